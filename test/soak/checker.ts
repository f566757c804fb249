/** Compares what clients wrote and were answered with what the database did. */
import { mayBeRejected, mended, type Columns, type Table } from './schedule.js'
import type { ClientHistory, Operation } from './client.js'
import type { Application } from './history.js'

/** All that is known of a soak when it is over. */
export interface History {
  clients: ClientHistory[]
  /** Applications in the order of their commits, by client and by row. */
  byClient: ReadonlyMap<string, Application[]>
  byRow: ReadonlyMap<string, Application[]>
  /** Dead letters that there are, and those that an operator has, or may have, discarded. */
  letters: Letter[]
  discarded: Letter[]
  /** The rows that the database holds, by the names of their lists. */
  rows: ReadonlyMap<string, Columns>
}

export interface Letter { clientId: string | null, opIds: number[] }

export const violations = [
  /** Acknowledged, and neither applied nor kept in a dead letter. */
  'lost',
  /** Applied more than once. */
  'doubled',
  /** Some of a client transaction's operations were applied and the others were not. */
  'half-applied',
  /** Applied after a later one of the same client. */
  'reordered',
  /** Applied, and there is a dead letter of it. */
  'applied and kept',
  /** Rejected, though no rule is against any operation of its transaction. */
  'rejected without a reason',
  /** A client was told otherwise, at least once. */
  'wrong answer',
  /** Not acknowledged: the client has not got it through. */
  'not uploaded',
  /** Applied, but no client wrote it. */
  'unknown',
  /** A row is not what the applied operations make it. */
  'wrong row'
] as const

export interface Violation {
  kind: typeof violations[number]
  /** Whether a dead letter has to do with it. */
  letter: boolean
  description: string
}

/**
 * Every violation of "each client transaction exactly once, whole, in its client's order, and rejected ones are kept".
 */
export function check (history: History): Violation[] {
  const clientIds = new Set(history.clients.map(({ clientId }) => clientId))
  const strangers = [...history.byClient.keys()].filter(clientId => !clientIds.has(clientId))
  return [
    ...history.clients.flatMap(client => checkClient(client, history)),
    ...strangers.map((clientId): Violation => ({
      kind: 'unknown',
      letter: false,
      description: `operations of ${clientId}, which is no client, were applied`
    })),
    ...checkRows(history)
  ]
}

function checkClient (
  { clientId, transactions, acknowledged, verdicts, cuts }: ClientHistory,
  { byClient, letters, discarded }: History
): Violation[] {
  const found: Violation[] = []
  const report = (kind: Violation['kind'], what: string, letter = false) =>
    found.push({ kind, letter, description: `${what} of ${clientId}` })
  const applications = byClient.get(clientId) ?? []
  const uploads = applications.filter(({ from }) => from === 'upload')
  const uploaded = timesOf(uploads)
  const retried = timesOf(applications.filter(({ from }) => from === 'letter'))
  const own = (all: Letter[]) => timesOf(all.filter(letter => letter.clientId === clientId))
  const open = own(letters)
  const kept = new Map([...open, ...own(discarded), ...retried])

  for (const [position, operations] of transactions.entries()) {
    const ids = operations.map(({ opId }) => opId)
    const transaction = `transaction ${position} (operations ${ids.join(', ')})`
    for (const opId of ids) {
      const times = (uploaded.get(opId) ?? 0) + (retried.get(opId) ?? 0)
      if (times > 1) report('doubled', `operation ${opId}, applied ${times} times,`, kept.has(opId))
      if (times > 0 && (open.has(opId) || (uploaded.has(opId) && kept.has(opId)))) {
        report('applied and kept', `operation ${opId}`, true)
      }
      if (!acknowledged.has(opId)) report('not uploaded', `operation ${opId}`)
      else if (times === 0 && !kept.has(opId)) report('lost', `operation ${opId}`)
    }
    if (ids.some(opId => kept.has(opId)) && !operations.some(mayBeRejected)) {
      report('rejected without a reason', transaction, true)
    }
    const truth = ids.every(opId => kept.has(opId)) ? 'fatal_error' : 'success'
    for (const verdict of verdicts.get(position) ?? []) {
      if (verdict !== truth) {
        report('wrong answer', `${verdict}, not ${truth}, for ${transaction}`, truth === 'fatal_error')
      }
    }
    for (const { opIds } of applications) {
      const part = ids.filter(opId => opIds.includes(opId))
      if (!cuts && part.length > 0 && part.length < ids.length) {
        report('half-applied', `operations ${part.join(', ')} of ${transaction}`)
      }
    }
  }

  const written = new Set(transactions.flat().map(({ opId }) => opId))
  for (const opId of new Set([...uploaded.keys(), ...retried.keys()])) {
    if (!written.has(opId)) report('unknown', `operation ${opId}`)
  }

  let latest = 0
  for (const opId of uploads.flatMap(({ opIds }) => opIds)) {
    // A second application is a violation of its own.
    if (opId < latest && uploaded.get(opId) === 1) {
      report('reordered', `operation ${opId}, applied after operation ${latest},`)
    }
    latest = Math.max(latest, opId)
  }
  return found
}

/** How often each operation is in them. */
function timesOf (parts: Array<{ opIds: number[] }>): Map<number, number> {
  const times = new Map<number, number>()
  for (const opId of parts.flatMap(({ opIds }) => opIds)) times.set(opId, (times.get(opId) ?? 0) + 1)
  return times
}

/** Applies the operations once more, in memory, in the order of the commits. */
function checkRows ({ clients, byRow, rows }: History): Violation[] {
  const operations = new Map(clients.flatMap(({ clientId, transactions }) =>
    transactions.flat().map(operation => [`${clientId} ${operation.opId}`, operation] as const)))
  return [...new Set([...byRow.keys(), ...rows.keys()])].flatMap((row): Violation[] => {
    const applications = byRow.get(row) ?? []
    const expected = describe(replay(applications, operations))
    const actual = describe(rows.get(row) ?? null)
    if (actual === expected) return []
    const last = applications
      .slice(-12)
      .map(({ clientId, opIds, from }) => `${clientId} ${opIds.join('+')}${from === 'letter' ? ' from a letter' : ''}`)
    const letter = applications.some(({ from }) => from === 'letter')
    return [
      {
        kind: 'wrong row',
        letter,
        description: `${row} is ${actual}, and should be ${expected} after ${last.join(', ')}`
      }
    ]
  })
}

const describe = (columns: Columns | null) =>
  columns ? JSON.stringify([columns.value, columns.note, columns.amount]) : 'not there'

/**
 * A column in the course of changes: where its value comes from, and what is added to it. `base` is the value that the
 * row has, `later` one that its client set after the letter that is run again.
 */
interface Cell { from: 'base' | 'later' | 'operation', value: string | number | null, sum: number }
type Cells = Record<keyof Columns, Cell>

const cells = (of: (column: keyof Columns) => Cell): Cells => ({
  value: of('value'),
  note: of('note'),
  amount: of('amount')
})
const unchanged = cells(() => ({ from: 'base', value: null, sum: 0 }))

function replay (applications: Application[], operations: ReadonlyMap<string, Operation>): Columns | null {
  let row: Columns | null = null
  for (const [position, { clientId, opIds, from, mended }] of applications.entries()) {
    const find = (ids: number[]) =>
      ids.map(opId => operations.get(`${clientId} ${opId}`)).filter(operation => operation !== undefined)
    const written = mended ? find(opIds).map(operation => mend(operation, clientId)) : find(opIds)
    if (from === 'upload') row = difference(row, row && unchanged, apply(row && unchanged, written))
    else {
      const before = applications
        .slice(0, position)
        .filter(other => other.clientId === clientId && other.from === 'upload')
      row = writeBelow(
        row,
        written,
        find(before.flatMap(other => other.opIds.filter(opId => opId > Math.max(...opIds))))
      )
    }
  }
  return row
}

function mend (operation: Operation, clientId: string): Operation {
  if (operation.op === 'DELETE' || !mayBeRejected(operation)) return operation
  return {
    ...operation,
    data: { ...operation.data, value: mended(operation.table, operation.data.value!, `${clientId} ${operation.opId}`) }
  }
}

/** What operations make of a row, null where there is none. */
function apply (row: Cells | null, operations: Operation[]): Cells | null {
  for (const operation of operations) {
    if (operation.op === 'DELETE') row = null
    else if (operation.op === 'PUT') row = put(row, operation.data, operation.table)
    else if (row) row = patch(row, operation)
  }
  return row
}

/** Amounts of `counters` that are there stay as they are. */
function put (row: Cells | null, data: Partial<Columns>, table: Table): Cells {
  return cells(column =>
    row && column === 'amount' && table === 'counters'
      ? row.amount
      : { from: 'operation', value: data[column] ?? null, sum: 0 }
  )
}

type Patch = Operation & { op: 'PATCH' }

function patch (row: Cells, operation: Patch): Cells {
  const { data } = operation
  return cells(column => {
    if (data[column] === undefined) return row[column]
    if (column === 'amount') return { ...row.amount, sum: row.amount.sum + addedBy(operation) }
    return { from: 'operation', value: data[column]!, sum: 0 }
  })
}

const addedBy = ({ data, previous }: Patch) =>
  data.amount === undefined ? 0 : Number(data.amount) - Number(previous?.amount)

/**
 * What a dead letter that is run again makes of a row: its operations go under those that its client wrote to the row
 * later.
 */
function writeBelow (row: Columns | null, letter: Operation[], later: Operation[]): Columns | null {
  const patches = later.filter((operation): operation is Patch => operation.op === 'PATCH')
  if (patches.length < later.length) return row
  const over = (below: Cells | null) => below && cells(column => {
    const value = patches.findLast(({ data }) => data[column] !== undefined)?.data[column]
    if (column === 'amount') {
      return { ...below.amount, sum: patches.reduce((sum, operation) => sum + addedBy(operation), below.amount.sum) }
    }
    return value === undefined ? below[column] : { from: 'later', value, sum: 0 }
  })
  return difference(row, over(row && unchanged), over(apply(row && unchanged, letter)))
}

/** Writes to a row where its two states differ. Both states are null where they have no row. */
function difference (row: Columns | null, before: Cells | null, after: Cells | null): Columns | null {
  if (!after) return null
  const column = (name: keyof Columns) => {
    const { from, value, sum } = after[name]
    const same = before && before[name].from === from && from !== 'operation'
    const start = same ? row![name] : value
    const added = same ? sum - before[name].sum : sum
    return added === 0 ? start : Number(start) + added
  }
  return { value: column('value'), note: column('note'), amount: column('amount') } as Columns
}
