/**
 * The history of a soak in its database. Each client transaction that is applied appends an entry to the list of its
 * client and to the lists of its rows, in its own MongoDB transaction: writes of one document are one after the other, so
 * that the lists are in the order of the commits.
 */
import { randomUUID } from 'node:crypto'
import type { mongodb } from '../../lib/bson.js'
import { rowIds, tables, type Columns, type Table } from './schedule.js'
import type { CrudTransaction } from '../../index.js'

/** One application of one client transaction: all of it in a client's list, and its part in that of each row. */
export interface Application {
  /** Fresh for each. */
  id: string
  clientId: string
  opIds: number[]
  /** How the transaction came: from its client, or as a dead letter that was run again. */
  from: 'upload' | 'letter'
  /** Whether the letter was mended first. */
  mended: boolean
}

/** The metadata of operations in which an operator has mended the value. */
export const mendedMark = 'mended'

interface List { _id: string, applications: Application[] }

const rowOf = (table: string, id: string) => `${tables[table as Table]} ${id}`
const clientOf = (clientId: string) => `client ${clientId}`

/** Makes the lists that are not there yet: beforehand, so that no transaction is an upsert that meets another. */
export async function prepareHistory (db: mongodb.Db, clientIds: string[]): Promise<void> {
  const ids = new Set([...clientIds.map(clientOf), ...Object.keys(tables).flatMap(table => rowIds.map(id => rowOf(table, id)))])
  await db.collection<List>('history').bulkWrite([...ids].map(_id => ({ updateOne: { filter: { _id }, update: { $setOnInsert: { applications: [] } }, upsert: true } })))
}

/** To be called in the MongoDB transaction that applies a client transaction. */
export async function appendToHistory (
  db: mongodb.Db, session: mongodb.ClientSession, { clientId = '', operations }: CrudTransaction, from: Application['from']
): Promise<void> {
  const application = { id: randomUUID(), clientId, from, mended: operations.some(({ metadata }) => metadata === mendedMark) }
  const lists = new Map<string, number[]>([[clientOf(clientId), []]])
  for (const { table, id, opId } of operations) {
    for (const list of [clientOf(clientId), rowOf(table, id)]) lists.set(list, [...lists.get(list) ?? [], Number(opId)])
  }
  await db.collection<List>('history').bulkWrite(
    [...lists].map(([_id, opIds]) => ({ updateOne: { filter: { _id }, update: { $push: { applications: { ...application, opIds } } } } })),
    { session }
  )
}

/** The lists by client, and by row: `lists row1`. */
export async function readHistory (db: mongodb.Db): Promise<{ byClient: Map<string, Application[]>, byRow: Map<string, Application[]> }> {
  const byClient = new Map<string, Application[]>()
  const byRow = new Map<string, Application[]>()
  for await (const { _id, applications } of db.collection<List>('history').find()) {
    const [kind, name = ''] = _id.split(' ')
    if (kind === 'client') byClient.set(name, applications)
    else byRow.set(_id, applications)
  }
  return { byClient, byRow }
}

/** The rows that the database holds, by the names of their lists. */
export async function readRows (db: mongodb.Db): Promise<Map<string, Columns>> {
  const rows = new Map<string, Columns>()
  for (const collection of new Set(Object.values(tables))) {
    for await (const { _id, value = null, note = null, amount = null } of db.collection<Partial<Columns> & { _id: string }>(collection).find()) {
      rows.set(`${collection} ${_id}`, { value, note, amount })
    }
  }
  return rows
}
