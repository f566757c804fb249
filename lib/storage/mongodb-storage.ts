import type { mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, User } from '../../types/index.js'
import type { CollectionRegistry, RegisteredCollection, UserCollection, UserCollections } from '../collections/registry.js'
import { PowerSyncFatalError } from '../errors.js'
import { firstWriteError, isDuplicateId, isTooLargeToSend, tooLarge } from './faults.js'
import type { CommandScope } from './transaction.js'

type Statement = mongodb.AnyBulkWriteOperation

/** How a client transaction is written. */
export interface UpdateBatchContext extends CommandScope {
  user: User
  /** One command per operation, in the client's order, so that a failure names its operation. Default: bulk commands. */
  oneByOne?: boolean | undefined
  /** Operations that may give their row to another owner; all others may not. */
  transfers?: ReadonlySet<CrudOperation> | undefined
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
  async updateBatch (transaction: CrudTransaction, { user, oneByOne = false, transfers, ...scope }: UpdateBatchContext): Promise<void> {
    const ofUser = this.#collections.for(user)
    const batches = oneByOne ? this.#inOrder(transaction, ofUser, transfers) : this.#grouped(transaction, ofUser, transfers)
    for (const { collection, operations, statements, certain } of batches) {
      try {
        await this.#db.collection(collection.shared.name).bulkWrite(statements, {
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

  * #inOrder ({ operations }: CrudTransaction, ofUser: UserCollections, transfers: Transfers): Generator<Batch> {
    for (const operation of operations) {
      const collection = ofUser(operation)
      const statement = statementOf(operation, collection, transfers)
      if (statement) yield { collection, operations: [operation], statements: [statement], certain: true }
    }
  }

  /**
   * Updates before deletes, within each collection. Documents with different ids meet in unique indexes only, and
   * while the deletes still wait every update meets at least the documents that it would meet in the client's order:
   * what succeeds this way succeeds in order, with the same result. What fails is found out one by one.
   * An update of an id whose delete waits starts another round.
   */
  * #grouped ({ operations }: CrudTransaction, ofUser: UserCollections, transfers: Transfers): Generator<Batch> {
    const rounds = new Map<UserCollection, Round>()
    for (const operation of operations) {
      const collection = ofUser(operation)
      const statement = statementOf(operation, collection, transfers)
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

type Transfers = UpdateBatchContext['transfers']

interface Batch {
  collection: UserCollection
  operations: CrudOperation[]
  statements: Statement[]
  /** Whether the position of a failed statement is that of the operation which would fail in order. */
  certain: boolean
}

class Round {
  readonly operations: CrudOperation[] = []
  readonly statements: Statement[] = []
  readonly deletes = new Map<string, { operation: CrudOperation, statement: Statement }>()

  constructor (readonly collection: UserCollection) {}

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
function statementOf (operation: CrudOperation, collection: UserCollection, transfers: Transfers): Statement | undefined {
  const { shared } = collection
  const filter: mongodb.Document = { _id: shared.id(operation), ...collection.owner }
  switch (operation.op) {
    case 'DELETE':
      return { deleteOne: { filter } }
    case 'PATCH': {
      const path = collection.transfers(operation)
      if (path !== undefined && !transfers?.has(operation)) {
        throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation would give the row to another owner', {
          details: { path }, operationIndex: operation.index
        })
      }
      const update = updateOf(operation.data, shared)
      return update && { updateOne: { filter, update } }
    }
    case 'PUT': {
      const data = collection.owned(operation.data)
      const withoutNulls = () => shared.nulls === 'store' ? data : Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null))
      if (collection.createsOnly) {
        return { updateOne: { filter, update: { $setOnInsert: { ...withoutNulls(), ...collection.onInsert(data) } }, upsert: true } }
      }
      if (shared.put === 'replace') {
        const replacement = withoutNulls()
        return { replaceOne: { filter, replacement, upsert: true } }
      }
      const onInsert = collection.onInsert(data)
      const update = updateOf(data, shared, collection.absent(data))
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
function duplicateId (error: mongodb.MongoError, { isOwned }: UserCollection): Error {
  if (isOwned) return new PowerSyncFatalError('UNAUTHORIZED', 'The row belongs to another owner')
  error.addErrorLabel('TransientTransactionError')
  return error
}
