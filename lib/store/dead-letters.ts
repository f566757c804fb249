import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { asRead, BSON, Binary, reading, type mongodb } from '../bson.js'
import { parseJson, stringifyJson } from '../json.js'
import type {
  CommandScope, CrudOperation, CrudTransaction, DeadLetter, DeadLetterNote, DeadLetterOperation, DeadLetterPage,
  DeadLetters as PublicDeadLetters, DeadLetterSettings, DeadLetterSummary, FailedOperation, RetryOptions, RetryResult,
  Since, User, WaitingResult
} from '../../types/index.js'
import { MongoError, ParameterError } from '../errors.js'
import { claimsOf, claimsText, userOf } from '../user.js'
import { replaced } from '../rules/since.js'
import { closedTo, CommandNotFound, createCollection, expireAfter, unless } from './collections.js'
import { canonical } from './fingerprint.js'
import { Page, withLetter, type OpenLetter, type PageContent } from './page.js'
import type { Statement } from './statements.js'
import { inTransaction, type TransactionScope } from './transaction.js'

/**
 * Runs a letter's transaction through the commit of uploads as a user; null if the letter was gone. `take` is called
 * first in the MongoDB transaction: it gives the letter as it stands there, and the statements that end it.
 * @throws what is retryable: then all of it has happened, or nothing
 */
export type Rerun = (
  transaction: CrudTransaction, user: User, take: (scope: TransactionScope) => Promise<Taken | null | WaitingResult>
) => Promise<RetryResult | null>

interface Taken { statements: Statement[], since: ReadonlyMap<string, Since> }

/** What a letter is made of; `rows` and `since` as in the letter. */
interface RejectedTransaction extends Pick<DeadLetter, 'sequence'> {
  transaction: CrudTransaction
  reason: FailedOperation
  user: User
  requestId: string | undefined
  rows: Iterable<string>
  since: Iterable<Since>
}

type StoredLetter = Omit<DeadLetter, 'operations'> & { operations: DeadLetterOperation[] | mongodb.Binary }

/** Bytes of a letter above which its operations are compressed. A document has at most 16 MiB. */
const compressAbove = 8 * 1024 * 1024

/** Characters of its operations above which a note goes without them: devices get it whole. */
const mostNoted = 1024 * 1024

/** Bytes that what a client changed since may take in a letter: beyond them its retry leaves the row alone. */
const mostSince = 2 * 1024 * 1024

/** Client transactions that can never be stored as they are, in the collection `powersync_dead_letters`. */
export class DeadLetters implements PublicDeadLetters {
  static readonly collectionName = 'powersync_dead_letters'
  readonly #db: mongodb.Db
  readonly #collection: mongodb.Collection<StoredLetter>
  readonly #settings: DeadLetterSettings
  readonly #rerun: Rerun | undefined
  /** Of the latest letter. */
  #latest = 0

  constructor (db: mongodb.Db, settings: DeadLetterSettings = {}, rerun?: Rerun) {
    this.#db = db
    this.#collection = db.collection<StoredLetter>(DeadLetters.collectionName, reading)
    this.#settings = settings
    this.#rerun = rerun
  }

  /** Creates the mirror and the indexes of letters; sets the TTL of letters and notes to `expireAfterDays`. */
  async createIndexes (): Promise<void> {
    const { mirror, expireAfterDays } = this.#settings
    const seconds = expireAfterDays === undefined ? undefined : expireAfterDays * 86_400
    await this.#collection.createIndex({ user_id: 1, client_id: 1, sequence: 1 })
    await expireAfter(this.#db, DeadLetters.collectionName, 'created_at', seconds)
    if (mirror === undefined) return
    await prepareMirror(this.#db, mirror)
    await expireAfter(this.#db, mirror, 'created_at', seconds)
  }

  letterOf ({ transaction, reason, user, requestId, sequence, rows, since }: RejectedTransaction): DeadLetter {
    const operations = transaction.operations.map(storedOperation)
    this.#latest = Math.max(Date.now(), this.#latest + 1)
    return {
      _id: idOf(transaction, user),
      created_at: new Date(this.#latest),
      user_id: user.id,
      claims: claimsText(claimsOf(user)),
      client_id: transaction.clientId ?? null,
      transaction_id: transaction.id ?? null,
      schema_version: transaction.schemaVersion ?? null,
      sequence,
      request_id: requestId ?? null,
      failed_operation: reason,
      attempts: 0,
      retried_at: null,
      mirror: this.#settings.mirror ?? null,
      tables: [...new Set(operations.map(({ table }) => table))],
      operation_count: operations.length,
      operations,
      rows: [...rows],
      since: [...since]
    }
  }

  /** Stores a letter and its note, unless the letter is there: its user may have deleted the note. */
  async statementsOf (letter: DeadLetter, scope: CommandScope): Promise<Statement[]> {
    const { _id, mirror } = letter
    if (await this.#collection.findOne({ _id }, { ...scope, projection: { _id: 1 } })) return []
    const own = insert(DeadLetters.collectionName, await packed(letter))
    return mirror === null ? [own] : [own, insert(mirror, noteOf(letter))]
  }

  /** Whether clients have their notes as this table. A DELETE there settles the letter. */
  isMirror (table: string): boolean {
    return table === this.#settings.mirror
  }

  /** Letters of a user; others' are as if they were not there. */
  async lettersOf (user: User, ids: readonly string[], scope: CommandScope): Promise<DeadLetter[]> {
    const filter = { _id: { $in: [...ids] }, user_id: user.id }
    const stored = await this.#collection.find(filter, { ...scope, ...typed }).toArray()
    const letters = stored.map(({ since, ...letter }) => ({ ...asRead(letter) as StoredLetter, since }))
    return await Promise.all(letters.map(unpacked))
  }

  /** What settles a letter, and deletes its note, if they are the user's. */
  settlementOf (_id: string, user: User): Statement[] {
    return [DeadLetters.collectionName, this.#settings.mirror!].map(name => remove(name, _id, { user_id: user.id }))
  }

  /** How a client's page begins: with the letters of it that are open. */
  async openLetters (user: User, clientId: string, scope: CommandScope): Promise<PageContent> {
    const options = { ...scope, projection: { rows: 1, sequence: 1 }, sort: { sequence: 1 } } as const
    const found = await this.#collection.find({ user_id: user.id, client_id: clientId }, options).toArray()
    const letters = found.map(({ _id, rows }): OpenLetter => ({ _id, rows: new Set(rows) }))
    return { ...Page.empty, sequence: found.at(-1)?.sequence ?? 0, letters: letters.reduce(withLetter, []) }
  }

  async rowsAmong (rows: string[], ids: readonly string[], scope: CommandScope): Promise<OpenLetter[]> {
    const own = [{ $match: { _id: { $in: ids } } }, { $project: { rows: { $setIntersection: ['$rows', rows] } } }]
    const found = await this.#collection.aggregate<StoredLetter>(own, scope).toArray()
    return found.map(({ _id, rows }) => ({ _id, rows: new Set(rows) }))
  }

  /** What a client has changed since on the rows of its letters, by letter; without letters that are gone. */
  async since (ids: readonly string[], scope: CommandScope): Promise<Map<string, Since[]>> {
    const options = { ...scope, ...typed, projection: { since: 1 } }
    const letters = await this.#collection.find({ _id: { $in: [...ids] } }, options).toArray()
    return new Map(letters.map(({ _id, since }) => [_id, since]))
  }

  /** Writes what a client has changed since into its letter. It creates no letter. */
  sinceStatement (id: string, since: Since[]): Statement {
    const kept = BSON.calculateObjectSize(since) <= mostSince ? since : since.map(({ row }) => replaced(row))
    const change = { $set: { since: kept } }
    return { collection: DeadLetters.collectionName, row: id, filter: { _id: id }, change, upsert: false }
  }

  async list (page: DeadLetterPage = {}): Promise<DeadLetter[]> {
    return await Promise.all((await this.#find(page).toArray()).map(unpacked))
  }

  async summaries (page: DeadLetterPage = {}): Promise<DeadLetterSummary[]> {
    return await this.#find(page).project<DeadLetterSummary>({ claims: 0, operations: 0, since: 0 }).toArray()
  }

  async get (id: string): Promise<DeadLetter | null> {
    if (id === '') return null
    // Ids are hexadecimal: each that begins so is below this beginning with a g.
    const filter = { _id: { $gte: id, $lt: `${id}g` } }
    const [stored, other] = await this.#collection.find(filter, { sort: { _id: 1 }, limit: 2 }).toArray()
    if (!stored) return null
    if (!other || stored._id === id) return await unpacked(stored)
    throw new ParameterError(`The ids of several dead letters begin with ${JSON.stringify(id)}: give more of it`)
  }

  async waitsFor (letter: Omit<StoredLetter, 'operations'>, scope: CommandScope = {}): Promise<string[]> {
    const { user_id: user, client_id: client, sequence, rows } = letter
    if (client === null || sequence === null) return []
    const filter = { user_id: user, client_id: client, sequence: { $lt: sequence }, rows: { $in: rows } }
    const options = { ...scope, projection: { _id: 1 }, sort: { sequence: 1 } } as const
    return (await this.#collection.find(filter, options).toArray()).map(({ _id }) => _id)
  }

  async retry (id: string, { user, edit }: RetryOptions = {}): Promise<RetryResult | null> {
    if (!this.#rerun) throw new Error('These DeadLetters were made without a pipeline to run letters through')
    const letter = await this.get(id)
    if (!letter) return null
    const claims = { ...JSON.parse(letter.claims ?? '{}') as Record<string, unknown>, ...user }
    const as = userOf(letter.user_id, claims)
    const uploaded = transactionOf(letter)
    const result = await this.#rerun(edit ? edit(uploaded) : uploaded, as, scope => this.#take(letter, scope))
    if (result?.status === 'fatal_error') await this.#rejectedAgain(letter, result.failed_operation)
    return result
  }

  async discard (id: string): Promise<boolean> {
    const letter = await this.get(id)
    if (!letter) return false
    const { _id, mirror } = letter
    return await this.#together(mirror, async scope => {
      if (mirror !== null) await this.#db.collection<DeadLetterNote>(mirror).deleteOne({ _id }, scope)
      return (await this.#collection.deleteOne({ _id }, scope)).deletedCount > 0
    })
  }

  async #take ({ _id }: DeadLetter, scope: TransactionScope): Promise<Taken | null | WaitingResult> {
    const letter = await this.#collection.findOne({ _id }, { ...scope, ...typed, projection: { operations: 0 } })
    if (!letter) return null
    const waiting = await this.waitsFor(letter, scope)
    if (waiting.length) return { status: 'not_attempted', waits_for: waiting }
    const statements = [remove(DeadLetters.collectionName, _id)]
    if (letter.mirror !== null) statements.push(remove(letter.mirror, _id))
    return { statements, since: new Map(letter.since.map(since => [since.row, since])) }
  }

  async #rejectedAgain ({ _id, mirror, operations }: DeadLetter, reason: FailedOperation): Promise<void> {
    const update = { $set: { failed_operation: reason, retried_at: new Date() }, $inc: { attempts: 1 } }
    await this.#together(mirror, async scope => {
      await this.#collection.updateOne({ _id }, update, scope)
      if (mirror === null) return
      const note = { $set: reasonOf(reason, operations) }
      await this.#db.collection<DeadLetterNote>(mirror).updateOne({ _id }, note, scope)
    })
  }

  #find ({ limit = 100, after, user }: DeadLetterPage): mongodb.FindCursor<mongodb.WithId<StoredLetter>> {
    const older = after &&
      [{ created_at: { $lt: after.created_at } }, { created_at: after.created_at, _id: { $lt: after._id } }]
    const filter = { ...user !== undefined && { user_id: user }, ...older && { $or: older } }
    return this.#collection.find(filter, { sort: { created_at: -1, _id: -1 }, limit })
  }

  /** Changes a letter, and its note in the same transaction if there is a mirror. */
  async #together<Result> (mirror: string | null, work: (scope: CommandScope) => Promise<Result>): Promise<Result> {
    if (mirror === null) return await work({ writeConcern: { w: 'majority' } } as CommandScope)
    return await inTransaction(this.#db.client, { signal: AbortSignal.timeout(20_000) }, work)
  }
}

/** For reading `since`, which is written again: the driver's numbers have lost their types. */
const typed = { promoteValues: false } as const

const insert = (collection: string, { _id, ...document }: mongodb.Document & { _id: string }): Statement =>
  ({ collection, row: _id, filter: { _id }, change: { $setOnInsert: document }, upsert: true })

const remove = (collection: string, _id: string, condition: mongodb.Document = {}): Statement =>
  ({ collection, row: _id, filter: { _id, ...condition }, change: undefined, upsert: false })

async function packed (letter: DeadLetter): Promise<StoredLetter> {
  if (BSON.calculateObjectSize(letter) <= compressAbove) return letter
  return { ...letter, operations: new Binary(await promisify(gzip)(JSON.stringify(letter.operations))) }
}

async function unpacked ({ operations, ...letter }: StoredLetter): Promise<DeadLetter> {
  if (Array.isArray(operations)) return { ...letter, operations }
  const json = await promisify(gunzip)(operations.value())
  return { ...letter, operations: JSON.parse(json.toString()) as DeadLetterOperation[] }
}

function storedOperation ({ index, op, table, id, opId, ...sent }: CrudOperation): DeadLetterOperation {
  const { data, previous, metadata = null } = sent
  return { index, op, table, id, op_id: opId ?? null, data: json(data), previous: json(previous), metadata }
}

export function transactionOf (letter: DeadLetter): CrudTransaction {
  const { client_id: clientId, transaction_id: id, schema_version: schemaVersion } = letter
  const operations = letter.operations.map(({ op_id: opId, data, previous, ...rest }) =>
    present({ ...rest, opId, data: parsed(data), previous: parsed(previous) }) as CrudOperation)
  return present({ id, clientId, schemaVersion, operations }) as CrudTransaction
}

const present = (object: object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null))

/** With all digits of its numbers. */
const json = (value: unknown) => stringifyJson(value) ?? null
const parsed = (text: string | null) => text === null ? null : parseJson(text)

/** 128 bits of a hash of the whole, so that the same transaction sent again finds its letter, in whatever form. */
function idOf ({ clientId, id, operations }: CrudTransaction, user: User): string {
  const content = operations.map(({ op, table, id, opId, data }) => [opId ?? null, op, table, id, data])
  const whole = canonical([user.id, clientId ?? null, id ?? null, content])
  return hash('sha256', whole).slice(0, 32)
}

function noteOf ({ _id, user_id: user, created_at: at, operations, tables, ...letter }: DeadLetter): DeadLetterNote {
  const opIds = operations.slice(0, 1000).map(operation => operation.op_id).filter(id => id !== null)
  const reason = reasonOf(letter.failed_operation, operations)
  return { _id, user_id: user, created_at: at, ...reason, tables, op_ids: opIds }
}

function reasonOf (failed: FailedOperation, operations: DeadLetterOperation[]) {
  const { error_code: code, message, details } = failed
  const position = operations.findIndex(({ index }) => index === failed.operation_index)
  const { table = null, id = null, op = null, data = null } = operations[position] ?? {}
  const path = details?.['path']
  const all = `[${operations.map(notedOperation).join()}]`
  const isWhole = all.length <= mostNoted
  return {
    error_code: code,
    message,
    path: typeof path === 'string' ? path : null,
    table,
    row_id: id,
    op,
    data: isWhole ? data : null,
    operation_index: position < 0 ? null : position,
    operations: isWhole ? all : null
  }
}

/** With all digits of its numbers: the columns are JSON already. */
function notedOperation ({ op, table, id, data, metadata }: DeadLetterOperation): string {
  const text = JSON.stringify({ op, table, id, ...metadata !== null && { metadata } })
  return data === null ? text : `${text.slice(0, -1)},"data":${data}}`
}

/** The mirror belongs to this package: the app's rows in it would expire, and a validator could refuse all notes. */
async function prepareMirror (db: mongodb.Db, mirror: string): Promise<void> {
  const refuse = (problem: string, remedy = '') => {
    throw new MongoError(
      `the collection ${mirror} ${problem}: ${remedy}name a collection of its own in upload.deadLetters.mirror`)
  }
  const foreign = { $or: [{ error_code: { $exists: false } }, { op_ids: { $exists: false } }] }
  const other = await db.collection(mirror).findOne(foreign, { projection: { _id: 1 } })
  if (other) refuse('holds other documents than notes of dead letters')
  const infos = await db.listCollections<mongodb.CollectionInfo>({ name: mirror }).toArray()
    .catch(unless(CommandNotFound, undefined))
  if (infos?.length === 0) await createCollection(db, mirror)
  const closed = closedTo(infos?.[0]?.options)
  if (closed) refuse(closed)
  if (infos?.[0]?.options?.['validator']) {
    refuse('has a validator, which may refuse notes of dead letters', 'remove it, or ')
  }
}
