import type { mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, User } from '../../types/index.js'
import type { CollectionRegistry, UserCollection, UserCollections } from '../collections/registry.js'
import { PowerSyncFatalError } from '../errors.js'
import { areAlike, limitsOf, send, type Statement } from './commands.js'
import { firstWriteError, hasNoSuchCommand, isDuplicateId, tooLarge } from './faults.js'
import type { CommandScope } from './transaction.js'

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

/** What the server has beside what every MongoDB has. */
export interface ServerFeatures {
  /** The command `bulkWrite`, for several collections at once: MongoDB 8.0 and later. */
  bulkWrite: boolean
}

/**
 * Writes client transactions to MongoDB: the built-in `updateBatch`.
 *
 * | operation | MongoDB |
 * | --- | --- |
 * | PUT | upsert that sets every column of the schema; fields that the schema does not know stay (`put: 'replace'`: they go) |
 * | PATCH | sets the changed columns of an existing document, never creates one |
 * | DELETE | deletes; a document that is gone already is a success |
 *
 * The outcome equals that of one operation at a time, in order; the commands are one update and one delete per collection,
 * or one for all where the server has `bulkWrite`.
 */
export class MongoDBStorage {
  readonly #db: mongodb.Db
  readonly #collections: CollectionRegistry
  #hasBulkWrite: boolean

  constructor (db: mongodb.Db, collections: CollectionRegistry, features: ServerFeatures = { bulkWrite: false }) {
    this.#db = db
    this.#collections = collections
    this.#hasBulkWrite = features.bulkWrite
  }

  /**
   * @param transaction decoded operations: values as BSON types, ids as the client has them
   * @throws the driver's error; `writeFailure` says which operation it comes from
   * @throws {PowerSyncFatalError} for an operation that must not be written
   */
  async updateBatch (transaction: CrudTransaction, { user, oneByOne = false, transfers, ...scope }: UpdateBatchContext): Promise<void> {
    const writes = writesOf(transaction, this.#collections.for(user), transfers)
    for (const batch of this.#batches(writes, oneByOne)) for (const part of partsOf(batch)) await this.#send(part, scope)
  }

  #batches (writes: Write[], oneByOne: boolean): Batch[] {
    if (oneByOne) return writes.map(write => ({ writes: [write], certain: true }))
    const batches = grouped(writes)
    // In the client's order, since it can be: a failure then needs no second attempt to find its operation.
    return this.#hasBulkWrite && batches.length > 1 ? [{ writes, certain: true }] : batches
  }

  async #send ({ writes, certain }: Batch, scope: CommandScope): Promise<void> {
    try {
      await send(this.#db, writes, scope)
    } catch (error) {
      // Members may be older, or their featureCompatibilityVersion: the transaction starts again, without this command.
      if (hasNoSuchCommand(error) && !areAlike(writes)) {
        this.#hasBulkWrite = false
        ;(error as mongodb.MongoError).addErrorLabel('TransientTransactionError')
      }
      const position = writes.length === 1 ? 0 : firstWriteError(error).index
      const write = position === undefined ? undefined : writes[position]
      const failure = isDuplicateId(error) ? duplicateId(error as mongodb.MongoError, (write ?? writes[0]!).target) : error as object
      failures.set(failure, { operation: certain ? write?.operation : undefined })
      throw failure
    }
  }
}

type Transfers = UpdateBatchContext['transfers']

interface Write extends Statement {
  operation: CrudOperation
  target: UserCollection
}

/** Writes that are sent together. */
interface Batch {
  writes: Write[]
  /** Whether the write that fails is the one that would fail in the client's order. */
  certain: boolean
}

function writesOf ({ operations }: CrudTransaction, ofUser: UserCollections, transfers: Transfers): Write[] {
  const writes: Write[] = []
  for (const operation of operations) {
    const write = writeOf(operation, ofUser(operation), transfers)
    if (write) writes.push(write)
  }
  return writes
}

/**
 * Updates before deletes, within each collection. Documents with different ids meet in unique indexes only, and
 * while the deletes still wait every update meets at least the documents that it would meet in the client's order:
 * what succeeds this way succeeds in order, with the same result. What fails is found out one by one.
 * An update of an id whose delete waits starts another round.
 */
function grouped (writes: Write[]): Batch[] {
  if (writes.length > 0 && areAlike(writes)) return [{ writes, certain: true }]
  const batches: Batch[] = []
  const rounds = new Map<UserCollection, Round>()
  for (const write of writes) {
    const { operation: { op, id }, target } = write
    let round = rounds.get(target)
    if (op !== 'DELETE' && round?.deletes.has(id)) {
      batches.push(...batchesOf(round))
      round = undefined
    }
    if (!round) rounds.set(target, round = { updates: [], deletes: new Map() })
    if (op === 'DELETE') round.deletes.set(id, write)
    else round.updates.push(write)
  }
  for (const round of rounds.values()) batches.push(...batchesOf(round))
  return batches
}

interface Round { updates: Write[], deletes: Map<string, Write> }

function batchesOf ({ updates, deletes }: Round): Batch[] {
  return [
    { writes: updates, certain: deletes.size === 0 },
    { writes: [...deletes.values()], certain: true }
  ].filter(({ writes }) => writes.length > 0)
}

/**
 * A batch in parts that MongoDB takes.
 * @throws {PowerSyncFatalError} for a document that it never takes, after the parts before it
 */
function * partsOf ({ writes, certain }: Batch): Generator<Batch> {
  const { ends, tooLarge: refused } = limitsOf(writes)
  let start = 0
  for (const end of ends) {
    yield { writes: writes.slice(start, end), certain }
    start = end
  }
  if (refused !== undefined) throw new PowerSyncFatalError(tooLarge().code, tooLarge().message, { operationIndex: writes[refused]!.operation.index })
}

/** The write of one operation; undefined when there is nothing to write. */
function writeOf (operation: CrudOperation, target: UserCollection, transfers: Transfers): Write | undefined {
  const change = changeOf(operation, target, transfers)
  if (!change && operation.op !== 'DELETE') return undefined
  const { shared: { name: collection }, owner, isOwned } = target
  const _id = target.shared.id(operation)
  return { collection, filter: isOwned ? { _id, ...owner } : { _id }, change, upsert: operation.op === 'PUT', operation, target }
}

/** @throws {PowerSyncFatalError} for a PATCH that gives the row to another owner without being allowed to */
function changeOf (operation: CrudOperation, target: UserCollection, transfers: Transfers): mongodb.Document | undefined {
  switch (operation.op) {
    case 'DELETE': return undefined
    case 'PUT': return documentOf(target.owned(operation.data), target)
    case 'PATCH': {
      const path = target.transfers(operation)
      if (path !== undefined && !transfers?.has(operation)) {
        throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation would give the row to another owner', {
          details: { path }, operationIndex: operation.index
        })
      }
      return updateOf(operation.data, target)
    }
  }
}

/** What a PUT makes of a document, which is made if need be. */
function documentOf (data: mongodb.Document, target: UserCollection): mongodb.Document {
  const { shared } = target
  const withoutNulls = () => shared.nulls === 'store' ? data : Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null))
  if (target.createsOnly) return { $setOnInsert: { ...withoutNulls(), ...target.onInsert(data) } }
  if (shared.put === 'replace') return withoutNulls()
  const onInsert = target.onInsert(data)
  const update = updateOf(data, target, true)
  return update && !onInsert ? update : { ...update, $setOnInsert: onInsert ?? {} }
}

/** @param whole whether fields that are not there are cleared too */
function updateOf (data: mongodb.Document, target: UserCollection, whole = false): mongodb.Document | undefined {
  if (target.shared.nulls === 'store') return hasKeys(data) ? { $set: data } : undefined
  const $set: mongodb.Document = {}
  const $unset: Record<string, true> = {}
  for (const [field, value] of Object.entries(data)) {
    if (value === null) $unset[field] = true
    else $set[field] = value
  }
  if (whole) for (const field of target.absent(data)) $unset[field] = true
  const update = { ...hasKeys($set) && { $set }, ...hasKeys($unset) && { $unset } }
  return hasKeys(update) ? update : undefined
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
