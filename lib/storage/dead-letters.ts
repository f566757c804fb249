import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { BSON, Binary, type mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, FailedOperation, FatalErrorResult, SuccessResult, User } from '../../types/index.js'
import { ParameterError } from '../errors.js'
import { parseJson, stringifyJson } from '../wire/json.js'
import { inTransaction, type CommandScope } from './transaction.js'

/** A rejected client transaction, kept so that somebody can read it, fix what was wrong and run it again. */
export interface DeadLetter {
  /** The same for the same transaction of the same user, so that a repeated upload does not store it twice. */
  _id: string
  /** Later than that of every letter that this process stored before: their order is the client's. */
  created_at: Date
  user_id: string
  client_id: string | null
  transaction_id: string | null
  /** Id of the request that brought it, as in the server's log. */
  request_id: string | null
  /** Why it was rejected; after retries, why it was the last time. */
  failed_operation: FailedOperation
  /** How often it was run again and rejected again. */
  attempts: number
  retried_at: Date | null
  /** The collection with the user's own note of it. */
  mirror: string | null
  tables: string[]
  operation_count: number
  operations: DeadLetterOperation[]
}

/** As uploaded; the columns as JSON text, since their names and values may be what made them fail. */
export interface DeadLetterOperation {
  /** Position in the client transaction, from 0. */
  index: number
  op: CrudOperation['op']
  table: string
  id: string
  op_id: string | null
  data: string | null
  previous: string | null
  metadata: string | null
}

/** A letter without what was uploaded: its names and its reason, no values. */
export type DeadLetterSummary = Omit<DeadLetter, 'operations'>

/** What `mirror` tells the user whose change was rejected: a flat row, as clients have them. */
export interface DeadLetterNote {
  /** The letter's. */
  _id: string
  user_id: string
  created_at: Date
  error_code: string
  /** One sentence, without uploaded values unless a hook of the app puts them there. */
  message: string
  /** Table and id of the row whose operation failed, where that is known. */
  table: string | null
  row_id: string | null
  tables: string[]
  /** `op_id`s of the first 1 000 operations. */
  op_ids: string[]
}

export interface DeadLetterSettings {
  /** Days after which MongoDB deletes letters and notes. Default: they stay. */
  expireAfterDays?: number | undefined
  /** Name of the collection for the users' notes. Default: none. */
  mirror?: string | undefined
  /** Bytes of a letter above which its operations are compressed; a document of MongoDB has at most 16 MiB. Default 15 MiB. */
  compressAbove?: number | undefined
}

/** Which letters to list: the latest first, from where the page before ended. */
export interface DeadLetterPage {
  /** Default 100. */
  limit?: number | undefined
  /** The last letter of the page before. */
  after?: Pick<DeadLetter, '_id' | 'created_at'> | undefined
  /** Id of the user whose letters to list. Default: everybody's. */
  user?: string | undefined
}

/** What is otherwise when a letter's transaction is run again. */
export interface RetryOptions {
  /** What hooks want to know of the user beside the id, which is the letter's, for example `{ role: 'editor' }`. */
  user?: Record<string, unknown> | undefined
  /** Changes the transaction before it is run, to repair what is wrong in it. The letter keeps what was uploaded. */
  edit?: ((transaction: CrudTransaction) => CrudTransaction) | undefined
}

/**
 * Runs a transaction through the upload's pipeline as a user. `remove` is called first in the same MongoDB
 * transaction, and takes the letter away; when it gives false, the letter is gone already and nothing is run.
 *
 * @returns null when the letter was gone
 * @throws what is to be tried again: then all of it has happened, or nothing
 */
export type Replay = (
  transaction: CrudTransaction, user: User, remove: (scope: CommandScope) => Promise<boolean>
) => Promise<SuccessResult | FatalErrorResult | null>

type StoredLetter = DeadLetterSummary & { operations: DeadLetterOperation[] | mongodb.Binary }

/** What letters need to be read as they are, whatever the host has set on its client. */
const reading: mongodb.BSONSerializeOptions = { promoteValues: true, promoteLongs: true, promoteBuffers: false, useBigInt64: false, raw: false }

const majority = { writeConcern: { w: 'majority' } } as const

/** Client transactions that can never be stored as they are, in the collection `powersync_dead_letters`. */
export class DeadLetters {
  static readonly collectionName = 'powersync_dead_letters'
  readonly #db: mongodb.Db
  readonly #collection: mongodb.Collection<StoredLetter>
  readonly #settings: DeadLetterSettings
  readonly #replay: Replay | undefined
  #latest = 0

  /** @param replay what `retry` runs letters through */
  constructor (db: mongodb.Db, settings: DeadLetterSettings = {}, replay?: Replay) {
    this.#db = db
    this.#collection = db.collection<StoredLetter>(DeadLetters.collectionName, reading)
    this.#settings = settings
    this.#replay = replay
  }

  /** Makes the TTL indexes of letters and notes what `expireAfterDays` says: creates, changes or drops them. */
  async createIndexes (): Promise<void> {
    const { mirror, expireAfterDays } = this.#settings
    const seconds = expireAfterDays === undefined ? undefined : expireAfterDays * 86_400
    await expireAfter(this.#db, DeadLetters.collectionName, seconds)
    if (mirror !== undefined) await expireAfter(this.#db, mirror, seconds)
  }

  /**
   * Stores a rejected transaction, as uploaded, with `w: "majority"` or in the session's MongoDB transaction.
   * @throws the driver's error when it could not be stored: then the client has to keep the transaction
   */
  async add (
    transaction: CrudTransaction, failedOperation: FailedOperation, user: User, requestId: string | undefined,
    scope: CommandScope
  ): Promise<void> {
    const { mirror } = this.#settings
    const operations = transaction.operations.map(storedOperation)
    const summary: DeadLetterSummary = {
      _id: idOf(transaction, user),
      created_at: this.#now(),
      user_id: user.id,
      client_id: transaction.clientId ?? null,
      transaction_id: transaction.id ?? null,
      request_id: requestId ?? null,
      failed_operation: failedOperation,
      attempts: 0,
      retried_at: null,
      mirror: mirror ?? null,
      tables: [...new Set(operations.map(({ table }) => table))],
      operation_count: operations.length
    }
    const { _id, ...letter } = await this.#packed({ ...summary, operations })
    await this.#together(mirror !== undefined, scope, async options => {
      const { upsertedCount } = await this.#collection.updateOne({ _id }, { $setOnInsert: letter }, { ...options, upsert: true })
      // A letter that is there already has had its note, which its user may have deleted since.
      if (mirror !== undefined && upsertedCount > 0) {
        const { _id: noteId, ...note } = noteOf(summary, operations)
        await this.#notes(mirror).updateOne({ _id: noteId }, { $setOnInsert: note }, { ...options, upsert: true })
      }
    })
  }

  /** Why a transaction was rejected, if it is in a letter as this user uploaded it. */
  of (transaction: CrudTransaction, user: User): Promise<Pick<DeadLetter, '_id' | 'failed_operation'> | null> {
    return this.#collection.findOne({ _id: idOf(transaction, user) }, { projection: { failed_operation: 1 } })
  }

  /** Whole letters, the latest first. */
  async list (page: DeadLetterPage = {}): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = []
    for await (const stored of this.#find(page)) letters.push(await unpacked(stored))
    return letters
  }

  /** The same without what was uploaded, which may be large: without `operations`. */
  async summaries (page: DeadLetterPage = {}): Promise<DeadLetterSummary[]> {
    const found = await this.#find(page).project<StoredLetter>({ operations: 0 }).toArray()
    return found.map(({ operations, ...summary }) => summary)
  }

  /**
   * A letter by its id, or by the beginning of its id.
   * @throws {ParameterError} `FST_PSM_PARAMETER` when several ids begin so
   */
  async get (id: string): Promise<DeadLetter | null> {
    if (id === '') return null
    // Ids are hexadecimal: each that begins so is below this beginning with a g.
    const [stored, other] = await this.#collection.find({ _id: { $gte: id, $lt: `${id}g` } }).sort({ _id: 1 }).limit(2).toArray()
    if (!stored) return null
    if (other && stored._id !== id) throw new ParameterError(`The ids of several dead letters begin with ${JSON.stringify(id)}: give more of it`)
    return await unpacked(stored)
  }

  /**
   * Runs a letter's transaction again, as the user who uploaded it: decoded, through the hooks, stored, all or nothing.
   * The letter goes in the same MongoDB transaction, so that it is neither lost nor applied twice. Rejected again, it
   * stays, with the new reason.
   *
   * @param id as for `get`
   * @returns null when there is no such letter
   * @throws what is no fault of the data: to be tried again. The transaction is then applied and its letter gone, or neither
   */
  async retry (id: string, { user, edit = same }: RetryOptions = {}): Promise<SuccessResult | FatalErrorResult | null> {
    if (!this.#replay) throw new Error('These DeadLetters were made without a pipeline to run letters through')
    const letter = await this.get(id)
    if (!letter) return null
    const result = await this.#replay(edit(transactionOf(letter)), { ...user, id: letter.user_id }, scope => this.#remove(letter, scope))
    if (result?.status === 'fatal_error') await this.#rejectedAgain(letter, result.failed_operation)
    return result
  }

  /**
   * Deletes a letter, and with it what was uploaded.
   * @param id as for `get`
   * @returns false when there is no such letter
   */
  async discard (id: string): Promise<boolean> {
    const letter = await this.get(id)
    return letter !== null && await this.#together(letter.mirror !== null, {}, options => this.#remove(letter, options))
  }

  async #rejectedAgain (letter: DeadLetter, failedOperation: FailedOperation): Promise<void> {
    const { _id, mirror, operations } = letter
    await this.#together(mirror !== null, {}, async options => {
      await this.#collection.updateOne({ _id }, { $set: { failed_operation: failedOperation, retried_at: new Date() }, $inc: { attempts: 1 } }, options)
      if (mirror !== null) await this.#notes(mirror).updateOne({ _id }, { $set: reasonOf(failedOperation, operations) }, options)
    })
  }

  async #remove ({ _id, mirror }: DeadLetter, options: CommandScope & mongodb.DeleteOptions): Promise<boolean> {
    const { deletedCount } = await this.#collection.deleteOne({ _id }, options)
    if (mirror !== null) await this.#notes(mirror).deleteOne({ _id }, options)
    return deletedCount > 0
  }

  #find ({ limit = 100, after, user }: DeadLetterPage): mongodb.FindCursor<mongodb.WithId<StoredLetter>> {
    const filter: mongodb.Filter<StoredLetter> = {
      ...user !== undefined && { user_id: user },
      ...after && { $or: [{ created_at: { $lt: after.created_at } }, { created_at: after.created_at, _id: { $lt: after._id } }] }
    }
    return this.#collection.find(filter).sort({ created_at: -1, _id: -1 }).limit(limit)
  }

  #notes (mirror: string): mongodb.Collection<DeadLetterNote> {
    return this.#db.collection<DeadLetterNote>(mirror)
  }

  /** Runs commands in the transaction of the scope, or as one when they are `several`, or else by themselves. */
  async #together<Result> (several: boolean, scope: CommandScope, work: (options: CommandScope & { writeConcern?: mongodb.WriteConcernSettings }) => Promise<Result>): Promise<Result> {
    if (scope.session) return await work(scope)
    if (!several) return await work({ ...scope, ...majority })
    const signal = scope.signal ?? AbortSignal.timeout(20_000)
    return await inTransaction(this.#db.client, majority, signal, session => work({ session, signal }))
  }

  #now (): Date {
    this.#latest = Math.max(Date.now(), this.#latest + 1)
    return new Date(this.#latest)
  }

  async #packed (letter: DeadLetter): Promise<StoredLetter> {
    const { compressAbove = 15 * 1024 * 1024 } = this.#settings
    if (BSON.calculateObjectSize(letter) <= compressAbove) return letter
    return { ...letter, operations: new Binary(await promisify(gzip)(JSON.stringify(letter.operations))) }
  }
}

async function unpacked ({ operations, ...letter }: StoredLetter): Promise<DeadLetter> {
  if (Array.isArray(operations)) return { ...letter, operations }
  const json = await promisify(gunzip)(operations.value())
  return { ...letter, operations: JSON.parse(json.toString()) as DeadLetterOperation[] }
}

const storedOperation = ({ index, op, table, id, opId, data, previous, metadata }: CrudOperation): DeadLetterOperation => ({
  index, op, table, id, op_id: opId ?? null, data: json(data), previous: json(previous), metadata: metadata ?? null
})

/** The transaction of a letter, as it was uploaded. */
function transactionOf ({ client_id: clientId, transaction_id: id, operations }: DeadLetter): CrudTransaction {
  return {
    ...id !== null && { id },
    ...clientId !== null && { clientId },
    operations: operations.map(({ index, op, table, id, op_id: opId, data, previous, metadata }) => ({
      index,
      op,
      table,
      id,
      ...opId !== null && { opId },
      ...data !== null && { data: parseJson(data) },
      ...previous !== null && { previous: parseJson(previous) },
      ...metadata !== null && { metadata }
    }) as CrudOperation)
  }
}

const json = (value: unknown) => stringifyJson(value) ?? null

const same = (transaction: CrudTransaction) => transaction

/** 128 bits of a hash of the whole, so that the same transaction sent again finds its letter. */
function idOf (transaction: CrudTransaction, user: User): string {
  const { clientId = null, id = null } = transaction
  const operations = transaction.operations.map(operation => ({ ...storedOperation(operation), index: undefined }))
  return createHash('sha256').update(JSON.stringify([user.id, clientId, id, operations])).digest('hex').slice(0, 32)
}

function noteOf ({ _id, user_id: userId, created_at: createdAt, failed_operation: failed, tables }: DeadLetterSummary, operations: DeadLetterOperation[]): DeadLetterNote {
  const opIds = operations.slice(0, 1000).map(operation => operation.op_id).filter(id => id !== null)
  return { _id, user_id: userId, created_at: createdAt, ...reasonOf(failed, operations), tables, op_ids: opIds }
}

function reasonOf (failed: FailedOperation, operations: DeadLetterOperation[]): Pick<DeadLetterNote, 'error_code' | 'message' | 'table' | 'row_id'> {
  const operation = operations.find(({ index }) => index === failed.operation_index)
  return { error_code: failed.error_code, message: failed.message, table: operation?.table ?? null, row_id: operation?.id ?? null }
}

/**
 * The TTL index on `created_at`: created, changed with `collMod`, or dropped, so that a new number counts from the next
 * start on. An index on it that expires nothing is left alone, unless something is to expire.
 */
async function expireAfter (db: mongodb.Db, name: string, expireAfterSeconds: number | undefined): Promise<void> {
  const collection = db.collection(name, reading)
  const indexes = await collection.indexes().catch(unless(NAMESPACE_NOT_FOUND, []))
  const existing = indexes.find(({ key }) => Object.keys(key).join() === 'created_at')
  if (existing?.expireAfterSeconds === expireAfterSeconds) return
  if (!existing) {
    await collection.createIndex({ created_at: 1 }, { expireAfterSeconds: expireAfterSeconds as number })
  } else if (expireAfterSeconds !== undefined) {
    await db.command({ collMod: name, index: { name: existing.name, expireAfterSeconds } })
  } else {
    // Another process that starts at the same time may be faster.
    await collection.dropIndex(String(existing.name)).catch(unless(INDEX_NOT_FOUND, undefined))
  }
}

const NAMESPACE_NOT_FOUND = 26
const INDEX_NOT_FOUND = 27

function unless<Value> (code: number, value: Value): (error: unknown) => Value {
  return error => {
    if ((error as Partial<mongodb.MongoServerError>).code !== code) throw error
    return value
  }
}
