import { MongoServerError, type mongodb } from '../bson.js'
import { bytesOf, mostBytesOf } from './bson-size.js'
import type { CommandScope } from './transaction.js'

/** One write of one document. */
export interface Statement {
  /** Name of the collection. */
  collection: string
  /** Its `_id`, and what else must hold. */
  filter: mongodb.Document
  /** Update operators, or a whole document in its place; undefined deletes it. */
  change: mongodb.Document | undefined
  /** Whether it is created when it is not there. */
  upsert: boolean
}

const majority = { writeConcern: { w: 'majority' } } as const

/** What errors need to be read as they are, whatever the host has set on its client. */
const reading: mongodb.BSONSerializeOptions = { promoteValues: true, promoteLongs: true, useBigInt64: false, raw: false }

/**
 * Writes statements in order, up to the first that fails: as one `update` or one `delete` if that can hold them all,
 * else as the `bulkWrite` of MongoDB 8.0. The command is made here, since the driver's bulk writes make several objects
 * of each statement, which takes twice the time.
 *
 * The driver does not send such a command again after a network fault or an election. In a transaction it never does:
 * it labels the error, and the transaction starts again. Without one, a lone statement goes the driver's own way, which
 * gives it a number, sends it again, and has no second effect. For several without one, which are not atomic either,
 * the fault goes to the caller.
 *
 * @throws the driver's error, for a statement that fails with its position as `index`
 */
export async function send (db: mongodb.Db, statements: readonly Statement[], scope: CommandScope): Promise<void> {
  const [first] = statements as readonly [Statement]
  if (!scope.session && statements.length === 1) return await sendAlone(db, first, scope)
  const bulk = !areAlike(statements)
  const command = bulk ? bulkWriteOf(db, statements) : first.change ? updateOf(statements) : deleteOf(statements)
  const reply = await (bulk ? db.client.db('admin') : db).command({ ...command, ordered: true, ...!scope.session && majority }, { ...db.bsonOptions, ...reading, ...scope })
  const failed: mongodb.Document | undefined = bulk ? reply['cursor'].firstBatch[0] : reply['writeErrors']?.[0]
  // As the driver makes it of a single write's.
  if (failed) throw new MongoServerError({ ...failed, index: failed['idx'] ?? failed['index'] })
}

/** Whether they are one command on every version of MongoDB. */
export function areAlike (statements: readonly Statement[]): boolean {
  const [first] = statements
  for (const { collection, change } of statements) if (collection !== first?.collection || !change !== !first.change) return false
  return true
}

async function sendAlone (db: mongodb.Db, { collection: name, filter, change, upsert }: Statement, scope: CommandScope): Promise<void> {
  const options = { ...scope, ...majority }
  const collection = db.collection(name)
  if (!change) await collection.deleteOne(filter, options)
  else if (hasOperators(change)) await collection.updateOne(filter, change, { ...options, upsert })
  else await collection.replaceOne(filter, change, { ...options, upsert })
}

/** No field of a document begins so. */
const hasOperators = (change: mongodb.Document): boolean => Object.keys(change)[0]?.startsWith('$') ?? false

const updateOf = (statements: readonly Statement[]): mongodb.Document => ({
  update: statements[0]?.collection,
  updates: statements.map(({ filter, change, upsert }) => ({ q: filter, u: change, upsert }))
})

const deleteOf = (statements: readonly Statement[]): mongodb.Document => ({
  delete: statements[0]?.collection,
  deletes: statements.map(({ filter }) => ({ q: filter, limit: 1 }))
})

/** @see https://www.mongodb.com/docs/manual/reference/command/bulkWrite/ */
function bulkWriteOf ({ databaseName }: mongodb.Db, statements: readonly Statement[]): mongodb.Document {
  const numbers = new Map<string, number>()
  const ops = statements.map(({ collection, filter, change, upsert }) => {
    const number = numbers.get(collection) ?? numbers.size
    numbers.set(collection, number)
    return change ? { update: number, filter, updateMods: change, multi: false, upsert } : { delete: number, filter, multi: false }
  })
  return { bulkWrite: 1, ops, nsInfo: [...numbers.keys()].map(name => ({ ns: `${databaseName}.${name}` })), errorsOnly: true }
}

/** A document's limit; a command's is 16 KiB above it, for what stands around the documents. */
const maxBytes = 16 * 1024 * 1024

/** `maxWriteBatchSize`, the same in every version of MongoDB. */
const maxStatements = 100_000

/** Bytes of a statement beside its filter and its change: its number, names, `upsert`. */
const around = 64

/**
 * Up to which positions statements may be sent together, one after the other; all of them as a rule.
 * @returns `tooLarge`: the position of one that is larger than MongoDB takes by itself
 */
export function limitsOf (statements: readonly Statement[]): { ends: number[], tooLarge?: number } {
  let most = 0
  for (const { filter, change } of statements) most += around + mostBytesOf(filter) + mostBytesOf(change)
  if (most <= maxBytes && statements.length <= maxStatements) return { ends: [statements.length] }

  const ends: number[] = []
  let start = 0
  let bytes = 0
  for (const [position, { filter, change }] of statements.entries()) {
    const size = around + bytesOf({ filter, change })
    if (size > maxBytes) return { ends, tooLarge: position }
    if (bytes + size > maxBytes || position - start === maxStatements) {
      ends.push(start = position)
      bytes = 0
    }
    bytes += size
  }
  return { ends: [...ends, statements.length] }
}
