/** Compares what clients wrote and what they were told with what the database did. */
import type { Columns, Table, Write } from './schedule.js'

/** All that is known of a soak when it is over. */
export interface History {
  clients: ClientHistory[]
  /** What the server applied, in any order. */
  audit: AuditRow[]
  /** The rows that the database holds. */
  rows: Rows
}

export interface ClientHistory {
  clientId: string
  /** In the order in which the client committed them; their operations have ascending `op_id`. */
  transactions: Array<Array<Write & { opId: number }>>
  /** `op_id` of the operations that the server has answered for with 2xx. */
  acknowledged: ReadonlySet<number>
  /** Operations that are still to be uploaded. */
  queued: number
}

/** One application of one operation, written in the MongoDB transaction of the operation itself. */
export interface AuditRow {
  /** Fresh for each application. */
  id: string
  clientId: string
  opId: number
  /** The session and the number of the MongoDB transaction. */
  mongoTransaction: string
  /** Which start of the server. */
  start: number
  /** Counts the applications since that start. */
  sequence: number
  /** Whether there was a document to change or delete. */
  existed: boolean
}

export type Rows = Record<Table, Record<string, Columns>>

export const violations = [
  /** Acknowledged, and not applied. */
  'lost',
  /** Applied more than once. */
  'doubled',
  /** A MongoDB transaction holds some of a client transaction's operations and not the others. */
  'half-applied',
  /** Applied before an earlier one of the same client. */
  'reordered',
  /** Neither acknowledged nor applied: the client has not got it through. */
  'not uploaded',
  /** Applied, but no client wrote it. */
  'unknown',
  /** A row is not what the applied operations make it. */
  'wrong row'
] as const

export type Violation = { kind: typeof violations[number], description: string }

/** Every violation of "each client transaction exactly once, whole, in its client's order" in a history. */
export function check ({ clients, audit, rows }: History): Violation[] {
  const inOrder = [...audit].sort((a, b) => a.start - b.start || a.sequence - b.sequence)
  const byClient = new Map(clients.map(client => [client.clientId, client]))
  const unknown = inOrder.filter(({ clientId, opId }) => !byClient.get(clientId)?.transactions.some(operations => operations.some(operation => operation.opId === opId)))
  return [
    ...clients.flatMap(client => checkClient(client, inOrder.filter(({ clientId }) => clientId === client.clientId))),
    ...unknown.map(({ clientId, opId }): Violation => ({ kind: 'unknown', description: `operation ${opId} of ${clientId} was applied, but never written` })),
    ...checkRows(clients, inOrder, rows)
  ]
}

function checkClient (client: ClientHistory, audit: AuditRow[]): Violation[] {
  const { clientId, transactions, acknowledged, queued } = client
  const found: Violation[] = []
  const report = (kind: Violation['kind'], what: string) => found.push({ kind, description: `${what} of ${clientId}` })
  const applications = new Map<number, AuditRow[]>()
  for (const row of audit) applications.set(row.opId, [...applications.get(row.opId) ?? [], row])

  for (const [position, operations] of transactions.entries()) {
    const groups = new Map<string, Set<number>>()
    for (const { opId } of operations) {
      const times = applications.get(opId) ?? []
      if (times.length === 0) report(acknowledged.has(opId) ? 'lost' : 'not uploaded', `operation ${opId}`)
      if (times.length > 1) report('doubled', `operation ${opId}, applied ${times.length} times,`)
      for (const { mongoTransaction } of times) groups.set(mongoTransaction, (groups.get(mongoTransaction) ?? new Set()).add(opId))
    }
    for (const applied of groups.values()) {
      if (applied.size < operations.length) report('half-applied', `transaction ${position}, ${applied.size} of ${operations.length} operations at once,`)
    }
  }

  let latest = 0
  for (const { opId } of audit) {
    // A second application is a violation of its own.
    if (opId < latest && applications.get(opId)?.length === 1) report('reordered', `operation ${opId}, applied after operation ${latest},`)
    latest = Math.max(latest, opId)
  }
  if (queued > 0) report('not uploaded', `${queued} operations in the queue`)
  return found
}

/**
 * Applies the operations once more, in memory, in the order of the audit. That is the order of the commits for any two
 * MongoDB transactions which wrote the same row: the later one began after the earlier one was committed, or MongoDB
 * would have refused it. An operation that met no document wrote none, and may have run beside one that creates it.
 */
function checkRows (clients: ClientHistory[], audit: AuditRow[], rows: Rows): Violation[] {
  const writes = new Map<string, Write>()
  for (const { clientId, transactions } of clients) {
    for (const operation of transactions.flat()) writes.set(`${clientId} ${operation.opId}`, operation)
  }
  const expected = new Map<string, Columns>()
  for (const { clientId, opId, existed } of audit) {
    const write = writes.get(`${clientId} ${opId}`)
    if (write && (existed || write.op === 'PUT')) apply(write, expected)
  }
  const actual = new Map(Object.entries(rows).flatMap(([table, byId]) => Object.entries(byId).map(([id, columns]) => [`${table} ${id}`, columns])))
  return [...new Set([...expected.keys(), ...actual.keys()])]
    .filter(row => describe(expected.get(row)) !== describe(actual.get(row)))
    .map(row => ({ kind: 'wrong row', description: `${row} is ${describe(actual.get(row))}, and should be ${describe(expected.get(row))}` }))
}

function apply (write: Write, rows: Map<string, Columns>): void {
  const row = `${write.table} ${write.id}`
  const before = rows.get(row)
  if (write.op === 'PUT') rows.set(row, write.data)
  else if (write.op === 'DELETE') rows.delete(row)
  else if (before) rows.set(row, { ...before, ...write.data })
}

const describe = (columns: Columns | undefined) => columns ? JSON.stringify([columns.value, columns.note]) : 'not there'
