/**
 * The history of a soak, in one of two ways.
 *
 * By a hook: each client transaction that is applied appends an entry to the list of its
 * client and to the lists of its rows, in its own MongoDB transaction: writes of one document are one after the other,
 * so that the lists are in the order of the commits.
 *
 * By marks, where a hook would change the way in which the plugin writes: each client transaction puts a row of its own
 * into `marks`, and a change stream tells when. The row is deleted then, so that a second application is told as well.
 * It also writes to `touches`, a document for each of its rows: a PATCH or DELETE that finds no row writes nothing, and
 * under snapshot isolation it could be committed after the PUT of another client that it did not see.
 */
import { randomUUID } from 'node:crypto'
import type { mongodb } from '../../lib/bson.js'
import { rowIds, rowTables, tables, type Columns, type Table, type Write } from './schedule.js'
import type { ClientHistory } from './client.js'
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
  const ids = new Set([
    ...clientIds.map(clientOf),
    ...Object.keys(tables).flatMap(table => rowIds.map(id => rowOf(table, id)))
  ])
  await db
    .collection<List>('history')
    .bulkWrite(
      [...ids].map(_id => ({
        updateOne: { filter: { _id }, update: { $setOnInsert: { applications: [] } }, upsert: true }
      }))
    )
}

/** To be called in the MongoDB transaction that applies a client transaction. */
export async function appendToHistory (
  db: mongodb.Db,
  session: mongodb.ClientSession,
  { clientId = '', operations }: CrudTransaction,
  from: Application['from']
): Promise<void> {
  const application = {
    id: randomUUID(),
    clientId,
    from,
    mended: operations.some(({ metadata }) => metadata === mendedMark)
  }
  const lists = new Map<string, number[]>([[clientOf(clientId), []]])
  for (const { table, id, opId } of operations) {
    for (const list of [clientOf(clientId), rowOf(table, id)]) lists.set(list, [...lists.get(list) ?? [], Number(opId)])
  }
  await db.collection<List>('history').bulkWrite(
    [...lists].map(([_id, opIds]) => ({
      updateOne: { filter: { _id }, update: { $push: { applications: { ...application, opIds } } } }
    })),
    { session }
  )
}

/** The lists by client, and by row: `lists row1`. */
export async function readHistory (
  db: mongodb.Db
): Promise<{ byClient: Map<string, Application[]>, byRow: Map<string, Application[]> }> {
  const byClient = new Map<string, Application[]>()
  const byRow = new Map<string, Application[]>()
  for await (const { _id, applications } of db.collection<List>('history').find()) {
    const [kind, name = ''] = _id.split(' ')
    if (kind === 'client') byClient.set(name, applications)
    else byRow.set(_id, applications)
  }
  return { byClient, byRow }
}

export interface Marks {
  /** The history, when nothing is applied any more. */
  history(
    clients: ClientHistory[]
  ): Promise<{ byClient: Map<string, Application[]>, byRow: Map<string, Application[]> }>
  stop (): Promise<void>
}

/** A client's transaction with the writes that mark it. */
export function marked (transaction: Write[], clientId: string, position: number): Write[] {
  const data = { value: `${clientId} ${position}`, note: null }
  const rows = new Set(transaction.map(({ table, id }) => rowOf(table, id)))
  return [
    ...transaction,
    { op: 'PUT', table: 'marks', id: `${clientId} ${position}`, data },
    ...[...rows].map(id => ({ op: 'PUT', table: 'touches', id, data }) as const)
  ]
}

export async function followMarks (db: mongodb.Db): Promise<Marks> {
  const marks = db.collection<{ _id: string }>('marks')
  const seen: string[] = []
  const stream = marks.watch<{ _id: string }, mongodb.ChangeStreamInsertDocument<{ _id: string }>>([
    { $match: { operationType: 'insert' } }
  ])
  await stream.tryNext() // From here on nothing is missed.
  const following = follow()
  return {
    async history (clients) {
      await marks.insertOne({ _id: 'end' })
      await following
      return historyOf(seen, clients)
    },
    stop: () => stream.close()
  }

  async function follow (): Promise<void> {
    for await (const { documentKey: { _id } } of stream) {
      if (_id === 'end') break
      seen.push(_id)
      await marks.deleteOne({ _id })
    }
  }
}

/** The lists that a hook would have written, if each transaction that has its mark was applied whole. */
function historyOf (marks: string[], clients: ClientHistory[]): Awaited<ReturnType<Marks['history']>> {
  const byClient = new Map<string, Application[]>()
  const byRow = new Map<string, Application[]>()
  const append = (lists: Map<string, Application[]>, list: string, application: Application) =>
    lists.set(list, [...(lists.get(list) ?? []), application])
  for (const [id, mark] of marks.entries()) {
    const [clientId = '', position] = mark.split(' ')
    const operations = clients.find(client => client.clientId === clientId)?.transactions[Number(position)] ?? []
    const application = (ids: number[]): Application => ({
      id: String(id),
      clientId,
      opIds: ids,
      from: 'upload',
      mended: false
    })
    append(byClient, clientId, application(operations.map(({ opId }) => opId)))
    for (const row of new Set(
      operations.filter(({ table }) => rowTables.includes(table)).map(({ table, id }) => rowOf(table, id))
    )) {
      append(
        byRow,
        row,
        application(operations.filter(({ table, id }) => rowOf(table, id) === row).map(({ opId }) => opId))
      )
    }
  }
  return { byClient, byRow }
}

/** The rows that the database holds, by the names of their lists. */
export async function readRows (db: mongodb.Db): Promise<Map<string, Columns>> {
  const rows = new Map<string, Columns>()
  for (const collection of new Set(rowTables.map(table => tables[table]))) {
    for await (const { _id, value = null, note = null, amount = null } of db
      .collection<Partial<Columns> & { _id: string }>(collection)
      .find()) {
      rows.set(`${collection} ${_id}`, { value, note, amount })
    }
  }
  return rows
}
