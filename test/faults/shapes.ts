/** The uploads of the matrix, and what each of them does to the database. */
import { isDeepStrictEqual } from 'node:util'

export type Table = 'lists' | 'todos' | 'counters' | 'audited' | 'queued' | 'codes'

/** An operation before it has an id. `row`: operations of one name meet in one row. */
interface Step { op: 'PUT' | 'PATCH' | 'DELETE', table: Table, row?: string, fault?: 'duplicate' | 'invalid' }

const put = (table: Table, row?: string): Step => ({ op: 'PUT', table, ...row !== undefined && { row } })
const patch = (table: Table, row?: string): Step => ({ op: 'PATCH', table, ...row !== undefined && { row } })
const del = (table: Table, row?: string): Step => ({ op: 'DELETE', table, ...row !== undefined && { row } })
/** Meets a unique index of the database. */
const duplicate: Step = { op: 'PUT', table: 'codes', fault: 'duplicate' }
/** Does not fit the schema. */
const invalid: Step = { op: 'PUT', table: 'lists', fault: 'invalid' }

export interface Shape {
  name: string
  container: 'batch' | 'operations' | 'transactions'
  /** Whether the client says which it is: without, nothing is deduplicated. */
  withClient: boolean
  /** Whether the server has met the client before. */
  returning: boolean
  transactions: Step[][]
}

const queue = [[put('lists'), patch('lists')], [del('todos'), put('todos')], [patch('counters')]]

const described: Array<Partial<Shape> & Pick<Shape, 'name' | 'transactions'>> = [
  { name: 'one operation', transactions: [[patch('lists')]] },
  { name: 'one DELETE', transactions: [[del('lists')]] },
  { name: 'one operation, no client', transactions: [[put('lists')]], withClient: false },
  { name: 'one DELETE, no client', transactions: [[del('lists')]], withClient: false },
  { name: 'one collection', transactions: [[put('lists'), patch('lists'), put('lists')]] },
  {
    name: 'one collection with deletes',
    transactions: [[put('lists', 'a'), del('lists', 'a'), put('lists', 'a'), del('lists'), patch('lists')]]
  },
  { name: 'two collections', transactions: [[put('lists'), del('lists'), patch('todos'), put('todos'), del('todos')]] },
  { name: 'two collections, no client', transactions: [[put('lists'), del('lists'), put('todos')]], withClient: false },
  { name: 'a queue', transactions: queue },
  {
    name: 'a queue, no client',
    transactions: [[put('lists')], [del('todos'), put('todos')]],
    withClient: false,
    container: 'operations'
  },
  {
    name: 'a duplicate between',
    transactions: [[put('lists')], [put('todos'), duplicate, put('lists')], [patch('counters')]]
  },
  { name: 'a duplicate first', transactions: [[duplicate, del('lists')], [patch('todos')]], container: 'operations' },
  { name: 'an invalid value', transactions: [[invalid], [put('lists'), patch('lists')]] },
  { name: 'transactions', transactions: queue, container: 'transactions' },
  {
    name: 'transactions, one a duplicate',
    transactions: [[put('lists')], [duplicate, put('todos')], [patch('counters')]],
    container: 'transactions'
  },
  { name: 'sums', transactions: [[patch('counters', 'a'), patch('counters', 'a'), put('lists')]] },
  { name: 'hooks that read and write', transactions: [[patch('audited'), put('audited'), del('audited')]] },
  { name: 'updateBatch', transactions: [[put('queued'), patch('queued')], [put('lists')]] },
  { name: 'one operation, again here', transactions: [[patch('lists')]], returning: true },
  {
    name: 'two collections, again here',
    transactions: [[put('lists'), del('todos'), patch('todos')]],
    returning: true
  },
  { name: 'a duplicate, again here', transactions: [[duplicate, put('lists')], [patch('counters')]], returning: true }
]

export const shapes: Shape[] = described.map(shape => ({
  container: 'batch',
  withClient: true,
  returning: false,
  ...shape
}))

/** The rows of the tables as `table/id`, and how often hooks noted a row, as `visits/id`. */
export type State = Record<string, object | number>

interface Operation {
  op: Step['op']
  table: Table
  id: string
  op_id: number
  tx_id: number
  data?: Record<string, unknown>
  old?: Record<string, unknown>
}

export interface Transaction {
  operations: Operation[]
  /** Why it is rejected, if it is. */
  rejected: 'DUPLICATE_KEY' | 'INVALID_DATA' | undefined
}

/** One upload of a shape, with ids that no other has. */
export interface Upload {
  shape: Shape
  user: string
  clientId: string | undefined
  transactions: Transaction[]
  /** What the database holds of its rows before it. */
  before: State
}

/** Of the upload by which the server has met a returning client. */
export const firstOpId = 1

/** The code that a row of the database has already. */
export const takenCode = 'taken'

export function uploadOf (shape: Shape, user: string): Upload {
  const before: State = {}
  const seen = new Set<string>()
  let opId = firstOpId
  const transactions = shape.transactions.map((steps, position): Transaction => ({
    rejected: steps.some(({ fault }) => fault === 'invalid')
      ? 'INVALID_DATA'
      : steps.some(({ fault }) => fault)
        ? 'DUPLICATE_KEY'
        : undefined,
    operations: steps.map(({ op, table, row, fault }): Operation => {
      opId++
      const id = `${user}-${row ?? opId}`
      const key = `${table}/${id}`
      if (op !== 'PUT' && !seen.has(key)) {
        before[key] = table === 'counters' ? { value: 'seed', n: 100 } : { value: 'seed' }
      }
      seen.add(key)
      const value = fault === 'invalid' ? 5 : `value ${opId}`
      const ids = { op, table, id, op_id: opId, tx_id: position + 1 }
      if (op === 'DELETE') return ids
      if (table === 'counters') return { ...ids, data: { n: 17 }, old: { n: 10 } }
      return { ...ids, data: table === 'codes' ? { value, code: takenCode } : { value } }
    })
  }))
  return { shape, user, clientId: shape.withClient ? `client of ${user}` : undefined, transactions, before }
}

/** What a transaction makes of a state. */
function applied (state: State, { operations }: Transaction): State {
  const next = { ...state }
  for (const { op, table, id, data } of operations) {
    const key = `${table}/${id}`
    const row = next[key] as Record<string, unknown> | undefined
    if (op === 'DELETE') delete next[key]
    else if (op === 'PUT') next[key] = { ...row, ...data }
    else if (row) next[key] = table === 'counters' ? { ...row, n: row['n'] as number + 7 } : { ...row, ...data }
    if (table === 'audited') note('visits', id)
    if (table === 'audited') note('effects', id)
    if (table === 'queued') note('outbox', id)
  }
  return next

  function note (log: string, id: string): void {
    const key = `${log}/${id}`
    next[key] = (next[key] as number | undefined ?? 0) + 1
  }
}

/**
 * Which transactions, once each and in order, make one state of another.
 * @returns undefined when there are no such transactions: one is there in part, or twice, or a row is what nobody wrote
 */
export function difference (
  before: State,
  after: State,
  candidates: readonly Transaction[]
): Transaction[] | undefined {
  for (let subset = 0; subset < 2 ** candidates.length; subset++) {
    const chosen = candidates.filter((_, position) => subset & 2 ** position)
    if (isDeepStrictEqual(chosen.reduce(applied, before), after)) return chosen
  }
  return undefined
}
