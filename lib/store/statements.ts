import { BSON, Double, MongoServerError, ObjectId, reading, type mongodb } from '../bson.js'
import type { CommandScope, ServerFeatures } from '../../types/storage.js'
import { WriteError } from '../errors.js'
import { createTurns } from '../turns.js'
import { flat } from '../flat.js'
import { hasKeys, type Plan } from '../rules/plan.js'
import { BSONObjectTooLarge, firstWriteError, hasNoSuchCommand } from './mongodb-errors.js'

/** One write of one document. */
export interface Statement {
  /** Name of the collection. */
  collection: string
  /** The document, among all: statements on one row keep their order. */
  row: string
  /** Its `_id`, and what else must hold. */
  filter: mongodb.Document
  /** Update operators, or a whole document in its place; undefined deletes it. */
  change: mongodb.Document | undefined
  /** Whether it is created when it is not there. */
  upsert: boolean
}

/**
 * How statements become commands.
 *
 * | way | commands | position of a failure |
 * | --- | --- | --- |
 * | `fewest` | one with MongoDB 8's `bulkWrite`, else an update and a delete per collection | if no delete came later |
 * | `ordered` | one per run of statements on one collection of one kind | known |
 * | `single` | one per statement | known, on servers too that do not tell it |
 */
export type Way = 'fewest' | 'ordered' | 'single'

/** Sends statements to one database. It knows no operations: an error tells the position of the failed statement. */
export class Statements {
  readonly #db: mongodb.Db
  #bulkWrite: boolean

  constructor (db: mongodb.Db, { bulkWrite }: ServerFeatures) {
    this.#db = db
    this.#bulkWrite = bulkWrite
  }

  /**
   * Writes statements. The outcome equals that of one after the other, in order; each array is sent before the next,
   * or all are one command.
   * @throws {WriteError} for the first that MongoDB refuses
   */
  async send (sequence: ReadonlyArray<readonly Statement[]>, way: Way, scope: CommandScope): Promise<void> {
    const parts = sequence.filter(({ length }) => length > 0)
    const all = flat(parts)
    const batches = flat((this.#bulkWrite && way !== 'single' ? [all] : parts).map(each => this.#batches(each, way)))
    for (const batch of batches) for await (const part of partsOf(batch)) await this.#command(part, all, scope)
  }

  #batches (statements: readonly Statement[], way: Way): Batch[] {
    if (way === 'single') return statements.map(statement => ({ statements: [statement], certain: true }))
    if (this.#bulkWrite || areAlike(statements)) return statements.length ? [{ statements, certain: true }] : []
    return way === 'ordered' ? runsOf(statements) : grouped(statements)
  }

  /**
   * The driver does not send such a command again after a network fault or an election. In a transaction it never does:
   * it labels the error, and the transaction starts again. Without one, a lone statement goes the driver's own way,
   * which gives it a number, sends it again, and has no second effect.
   *
   * The command is made here, since the driver's bulk writes make several objects of each statement, which takes twice
   * the time.
   */
  async #command ({ statements, certain }: Batch, all: readonly Statement[], scope: CommandScope): Promise<void> {
    const first = statements[0]!
    const alike = areAlike(statements)
    try {
      if (statements.length === 1 && isTooLarge(first)) throw new MongoServerError({ code: BSONObjectTooLarge })
      if (!scope.session && statements.length === 1) return await sendAlone(this.#db, first, scope)
      const command = alike ? sameOf(statements) : mixedOf(this.#db, statements)
      const options = { ordered: true, ...!scope.session && majority }
      const database = alike ? this.#db : this.#db.client.db('admin')
      const how = { ...this.#db.bsonOptions, ...reading, ...scope }
      const reply = await database.command({ ...command, ...options }, how)
      const failed: mongodb.Document | undefined = alike ? reply['writeErrors']?.[0] : reply['cursor'].firstBatch[0]
      // As the driver makes it of a single write's.
      if (failed) throw new MongoServerError({ ...failed, index: failed['idx'] ?? failed['index'] })
    } catch (error) {
      // Members may be older, or their featureCompatibilityVersion: the transaction starts again, without this command.
      if (hasNoSuchCommand(error) && !alike) {
        this.#bulkWrite = false
        ;(error as mongodb.MongoError).addErrorLabel('TransientTransactionError')
      }
      const failed = statements[statements.length === 1 ? 0 : firstWriteError(error).index ?? NaN]
      const collection = failed?.collection ?? (alike ? first.collection : undefined)
      throw new WriteError(error, { collection }, certain && failed ? all.indexOf(failed) : undefined)
    }
  }
}

const majority = { writeConcern: { w: 'majority' } } as const

/** Statements that are sent together. */
interface Batch {
  statements: readonly Statement[]
  /** Whether the one that fails is the one that would fail in the given order. */
  certain: boolean
}

/** Whether they are one command on every version of MongoDB. */
function areAlike (statements: readonly Statement[]): boolean {
  const [first] = statements
  return statements.every(({ collection, change }) => collection === first!.collection && !change === !first!.change)
}

/** Neighbours that are alike. */
function runsOf (statements: readonly Statement[]): Batch[] {
  const runs: Statement[][] = []
  for (const statement of statements) {
    const last = runs.at(-1)
    if (last && areAlike([last[0]!, statement])) last.push(statement)
    else runs.push([statement])
  }
  return runs.map(run => ({ statements: run, certain: true }))
}

/**
 * Updates before deletes, within each collection. Documents with different ids meet in unique indexes only, and
 * while the deletes still wait every update meets at least the documents that it would meet in the given order:
 * what succeeds this way succeeds in order, with the same result. What fails is found out in order.
 * An update of a row whose delete waits starts another round. Collections cannot depend on each other's order.
 */
function grouped (statements: readonly Statement[]): Batch[] {
  const batches: Batch[] = []
  const rounds = new Map<string, { updates: Statement[], deletes: Map<string, Statement[]> }>()
  const close = (collection: string) => {
    const { updates, deletes } = rounds.get(collection)!
    batches.push({ statements: updates, certain: deletes.size === 0 })
    batches.push({ statements: [...deletes.values()].flat(), certain: true })
    rounds.delete(collection)
  }
  for (const statement of statements) {
    const { collection, row, change } = statement
    if (change && rounds.get(collection)?.deletes.has(row)) close(collection)
    const round = rounds.get(collection) ?? { updates: [], deletes: new Map<string, Statement[]>() }
    rounds.set(collection, round)
    if (change) round.updates.push(statement)
    else round.deletes.set(row, [...round.deletes.get(row) ?? [], statement])
  }
  for (const collection of rounds.keys()) close(collection)
  return batches.filter(({ statements }) => statements.length > 0)
}

async function sendAlone (db: mongodb.Db, statement: Statement, scope: CommandScope): Promise<void> {
  const { filter, change, upsert } = statement
  const options = { ...scope, ...majority }
  const collection = db.collection(statement.collection)
  if (!change) await collection.deleteOne(filter, options)
  else if (hasOperators(change)) await collection.updateOne(filter, change, { ...options, upsert })
  else await collection.replaceOne(filter, change, { ...options, upsert })
}

/** No field of a document begins so. */
const hasOperators = (change: mongodb.Document): boolean => Object.keys(change)[0]?.startsWith('$') ?? false

function sameOf (statements: readonly Statement[]): mongodb.Document {
  const { collection, change } = statements[0]!
  return change
    ? { update: collection, updates: statements.map(({ filter: q, change: u, upsert }) => ({ q, u, upsert })) }
    : { delete: collection, deletes: statements.map(({ filter: q }) => ({ q, limit: 1 })) }
}

/** @see https://www.mongodb.com/docs/manual/reference/command/bulkWrite/ */
function mixedOf ({ databaseName }: mongodb.Db, statements: readonly Statement[]): mongodb.Document {
  const numbers = new Map<string, number>()
  const ops = statements.map(({ collection, filter, change, upsert }) => {
    const number = numbers.get(collection) ?? numbers.size
    numbers.set(collection, number)
    return change
      ? { update: number, filter, updateMods: change, multi: false, upsert }
      : { delete: number, filter, multi: false }
  })
  const nsInfo = [...numbers.keys()].map(name => ({ ns: `${databaseName}.${name}` }))
  return { bulkWrite: 1, ops, nsInfo, errorsOnly: true }
}

/** A document's limit; a command's is 16 KiB above it, for what stands around the documents. */
const maxBytes = 16 * 1024 * 1024

/** `maxWriteBatchSize`, the same in every version of MongoDB. */
const maxStatements = 100_000

/** Bytes of a statement beside its filter and its change: its number, names, `upsert`. */
const around = 64

const mostBytes = ({ filter, change }: Statement): number => around + mostBytesOf(filter) + mostBytesOf(change)

const exactBytes = ({ filter, change }: Statement): number => around + bytesOf({ filter, change })

/** Whether MongoDB never takes it. */
const isTooLarge = (statement: Statement): boolean =>
  mostBytes(statement) > maxBytes && exactBytes(statement) > maxBytes

/** A batch in parts that MongoDB takes, one as a rule. A statement that it never takes is a part of its own. */
async function * partsOf (batch: Batch): AsyncGenerator<Batch> {
  const { statements, certain } = batch
  let bytes = 0
  for (const statement of statements) bytes += mostBytes(statement)
  if (bytes <= maxBytes && statements.length <= maxStatements) return yield batch
  const turn = createTurns()
  let part: Statement[] = []
  bytes = 0
  for (const statement of statements) {
    const size = exactBytes(statement)
    if (part.length && (bytes + size > maxBytes || part.length === maxStatements)) {
      yield { statements: part, certain }
      part = []
      bytes = 0
    }
    part.push(statement)
    bytes += size
    await turn()
  }
  yield { statements: part, certain }
}

/** Bytes of a document as BSON. */
export const bytesOf = (document: mongodb.Document): number =>
  BSON.calculateObjectSize(document, { ignoreUndefined: true })

/** How many bytes a value takes at most, in a sixth of the time of the exact number: each letter counts as three. */
export function mostBytesOf (value: unknown): number {
  if (typeof value === 'string') return 5 + 3 * value.length
  if (typeof value !== 'object' || value === null || value instanceof Date) return 8
  if (value instanceof ObjectId || value instanceof Double) return 12
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype) return bytesOf({ value })
  let bytes = 5
  for (const key in value) bytes += 2 + 3 * key.length + mostBytesOf((value as mongodb.Document)[key])
  return bytes
}

/** What a plan writes. */
export function statementOf ({ collection, row, _id, owner, change }: Plan): Statement {
  const filter: mongodb.Document = { _id }
  // As `ownedBy` compares: without the type, an array that contains the value would meet the condition too.
  for (const field in owner) filter[field] = { $eq: owner[field], $not: { $type: 'array' } }
  return { collection, row, filter, change: updateOf(change), upsert: change.kind === 'put' }
}

function updateOf (change: Plan['change']): mongodb.Document | undefined {
  if (change.kind === 'delete') return undefined
  const { set, unset } = change
  if (change.kind === 'put' && change.existing === 'replace') return set
  if (change.kind === 'put' && change.existing === 'keep') return { $setOnInsert: { ...set, ...change.onInsert } }
  const update: mongodb.Document = {}
  if (hasKeys(set)) update['$set'] = set
  if (unset.length) update['$unset'] = Object.fromEntries(unset.map(field => [field, true]))
  // An upsert needs an operator, or it would replace the document.
  if (change.kind === 'put' && (hasKeys(change.onInsert) || !hasKeys(update))) update['$setOnInsert'] = change.onInsert
  return update
}
