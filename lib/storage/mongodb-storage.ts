import type { mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, User } from '../../types/index.js'
import type { CollectionRegistry, RegisteredCollection } from '../collections/registry.js'
import { sameValue } from '../collections/same-value.js'
import { PowerSyncFatalError } from '../errors.js'
import { firstWriteError, isDuplicateId, isTooLargeToSend, tooLarge } from './faults.js'
import type { CommandScope } from './transaction.js'

type Statement = mongodb.AnyBulkWriteOperation

/** How a client transaction is written. */
export interface UpdateBatchContext extends CommandScope {
  user: User
  /** One command per operation, in the client's order, so that a failure names its operation. Default: bulk commands. */
  oneByOne?: boolean | undefined
}

/** A write of the storage that failed. */
export interface WriteFailure {
  /** The operation that it is known to come from. */
  operation: CrudOperation | undefined
}

/** Beside the error and not around it: the driver's `withTransaction` has to see its own errors with their labels. */
const failures = new WeakMap<object, WriteFailure>()

/** What is known of an error that `updateBatch` threw; undefined for an error from anywhere else. */
export const writeFailure = (error: unknown): WriteFailure | undefined => failures.get(error as object)

/**
 * Writes client transactions to MongoDB: the built-in `updateBatch`.
 *
 * | operation | MongoDB |
 * | --- | --- |
 * | PUT | upsert that sets every column of the schema; fields that the schema does not know stay (`put: 'replace'`: they go) |
 * | PATCH | sets the changed columns of an existing document, never creates one |
 * | DELETE | deletes; a document that is gone already is a success |
 *
 * The outcome equals that of one operation at a time, in order; the commands are one update and one delete per collection.
 */
export class MongoDBStorage {
  readonly #db: mongodb.Db
  readonly #collections: CollectionRegistry

  constructor (db: mongodb.Db, collections: CollectionRegistry) {
    this.#db = db
    this.#collections = collections
  }

  /**
   * @param transaction decoded operations: values as BSON types, ids as the client has them
   * @throws the driver's error; `writeFailure` says which operation it comes from
   * @throws {PowerSyncFatalError} for an operation that must not be written
   */
  async updateBatch (transaction: CrudTransaction, { user, oneByOne = false, ...scope }: UpdateBatchContext): Promise<void> {
    const batches = oneByOne ? this.#inOrder(transaction, user) : this.#grouped(transaction, user)
    for (const { collection, operations, statements, certain } of batches) {
      try {
        await this.#db.collection(collection.name).bulkWrite(statements, {
          ...scope, ordered: true, ...!scope.session && { writeConcern: { w: 'majority' } }
        })
      } catch (error) {
        const position = statements.length === 1 ? 0 : firstWriteError(error).index
        const operation = certain && position !== undefined ? operations[position] : undefined
        const failure = isDuplicateId(error)
          ? duplicateId(error as mongodb.MongoError, collection)
          : isTooLargeToSend(error) ? new PowerSyncFatalError(tooLarge().code, tooLarge().message) : error as object
        failures.set(failure, { operation })
        throw failure
      }
    }
  }

  * #inOrder ({ operations }: CrudTransaction, user: User): Generator<Batch> {
    for (const operation of operations) {
      const collection = this.#collections.get(operation)
      const statement = statementOf(operation, collection, user)
      if (statement) yield { collection, operations: [operation], statements: [statement], certain: true }
    }
  }

  /**
   * Updates before deletes, within each collection. Documents with different ids meet in unique indexes only, and
   * while the deletes still wait every update meets at least the documents that it would meet in the client's order:
   * what succeeds this way succeeds in order, with the same result. What fails is found out one by one.
   * An update of an id whose delete waits starts another round.
   */
  * #grouped ({ operations }: CrudTransaction, user: User): Generator<Batch> {
    const rounds = new Map<RegisteredCollection, Round>()
    for (const operation of operations) {
      const collection = this.#collections.get(operation)
      const statement = statementOf(operation, collection, user)
      if (!statement) continue
      let round = rounds.get(collection)
      if (!round) rounds.set(collection, round = new Round(collection))
      if (operation.op === 'DELETE') {
        round.deletes.set(operation.id, { operation, statement })
      } else {
        if (round.deletes.has(operation.id)) {
          yield * round.batches()
          rounds.set(collection, round = new Round(collection))
        }
        round.operations.push(operation)
        round.statements.push(statement)
      }
    }
    for (const round of rounds.values()) yield * round.batches()
  }
}

interface Batch {
  collection: RegisteredCollection
  operations: CrudOperation[]
  statements: Statement[]
  /** Whether the position of a failed statement is that of the operation which would fail in order. */
  certain: boolean
}

class Round {
  readonly operations: CrudOperation[] = []
  readonly statements: Statement[] = []
  readonly deletes = new Map<string, { operation: CrudOperation, statement: Statement }>()

  constructor (readonly collection: RegisteredCollection) {}

  * batches (): Generator<Batch> {
    const { collection, operations, statements } = this
    if (statements.length) yield { collection, operations, statements, certain: this.deletes.size === 0 }
    const deletes = [...this.deletes.values()]
    if (deletes.length) {
      yield { collection, operations: deletes.map(each => each.operation), statements: deletes.map(each => each.statement), certain: true }
    }
  }
}

/** The write of one operation; undefined when there is nothing to write. */
function statementOf (operation: CrudOperation, collection: RegisteredCollection, user: User): Statement | undefined {
  const filter: mongodb.Document = { _id: collection.id(operation) }
  const owner = collection.owner
  if (owner) filter[owner.field] = owner.valueOf(user)
  switch (operation.op) {
    case 'DELETE':
      return { deleteOne: { filter } }
    case 'PATCH': {
      const { data } = operation
      if (owner && Object.hasOwn(data, owner.field) && !sameValue(data[owner.field], filter[owner.field])) {
        throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation would give the row to another owner', {
          details: { path: owner.field }, operationIndex: operation.index
        })
      }
      const update = updateOf(data, collection)
      return update && { updateOne: { filter, update } }
    }
    case 'PUT': {
      const data = collection.ownedBy(user, operation.data)
      if (collection.put === 'replace') {
        const replacement = collection.nulls === 'store' ? data : Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null))
        return { replaceOne: { filter, replacement, upsert: true } }
      }
      const onInsert = collection.onInsert()
      const update = updateOf(data, collection, collection.absent(data))
      return { updateOne: { filter, update: update && !onInsert ? update : { ...update, $setOnInsert: onInsert ?? {} }, upsert: true } }
    }
  }
}

function updateOf (data: mongodb.Document, { nulls }: RegisteredCollection, absent: string[] = []): mongodb.UpdateFilter<mongodb.Document> | undefined {
  if (nulls === 'store') return hasKeys(data) ? { $set: data } : undefined
  const $set: mongodb.Document = {}
  const $unset: Record<string, true> = {}
  for (const [field, value] of Object.entries(data)) {
    if (value === null) $unset[field] = true
    else $set[field] = value
  }
  for (const field of absent) $unset[field] = true
  const update = { ...hasKeys($set) && { $set }, ...hasKeys($unset) && { $unset } }
  return hasKeys(update) ? update as mongodb.UpdateFilter<mongodb.Document> : undefined
}

function hasKeys (value: object): boolean {
  for (const key in value) if (Object.hasOwn(value, key)) return true
  return false
}

/**
 * An upsert that looks for its owner's document and meets the same _id is about somebody else's. Any other means that
 * two uploads create one document at once: the second will find it there.
 */
function duplicateId (error: mongodb.MongoError, { owner }: RegisteredCollection): Error {
  if (owner) return new PowerSyncFatalError('UNAUTHORIZED', 'The row belongs to another owner')
  error.addErrorLabel('TransientTransactionError')
  return error
}
