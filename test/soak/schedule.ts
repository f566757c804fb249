/**
 * What happens in a soak, drawn from its seed: what each client writes, how it sends its n-th request, how MongoDB
 * fails, and when processes die.
 */
import type { mongodb } from '../../lib/bson.js'

/** Each table and its collection: two tables share one. `marks` and `touches` are for the history by marks. */
export const tables = {
  lists: 'lists',
  archive: 'lists',
  notes: 'notes',
  names: 'names',
  counters: 'counters',
  marks: 'marks',
  touches: 'touches'
} as const
export type Table = keyof typeof tables

/** The tables with the rows that are checked. */
export const rowTables: readonly Table[] = ['lists', 'archive', 'notes', 'names', 'counters']

/** Of each table; so few that clients meet on them all the time. */
export const rowIds = Array.from({ length: 24 }, (_, index) => `row${index + 1}`)

/** `notes` refuses values that begin so, by a validator of MongoDB. */
export const refused = '!'

/** The schema of all tables refuses longer values. */
export const longest = 80

/** So few that the unique index on `names` rejects some. */
const differentNames = 40

export interface Columns { value: string | null, note: string | null, amount: number | null }

/** A client's change of a row, as in its upload queue. Amounts of `counters` add up. */
export type Write =
  | { op: 'PUT', table: Table, id: string, data: Partial<Columns> }
  | { op: 'PATCH', table: Table, id: string, data: Partial<Columns>, previous?: { amount: number } }
  | { op: 'DELETE', table: Table, id: string }

/** Numbers from 0 up to 1, the same for the same seed and stream. */
export type Random = () => number

export function random (seed: number, ...stream: Array<string | number>): Random {
  let state = seed >>> 0
  for (const letter of stream.join('/')) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193) >>> 0
  // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ state >>> 15, state | 1)
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61)
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
}

/** An integer from `from` to `to`. */
export const between = (next: Random, from: number, to: number): number => from + Math.floor(next() * (to - from + 1))

export const pick = <Item>(next: Random, items: readonly Item[]): Item =>
  items[between(next, 0, items.length - 1)] as Item

/** A key of an object that has a weight for each. */
export function weighted <Key extends string> (next: Random, weights: Readonly<Record<Key, number>>): Key {
  const keys = Object.keys(weights) as Key[]
  let left = next() * keys.reduce((sum, key) => sum + weights[key], 0)
  return keys.find(key => (left -= weights[key]) < 0) ?? keys[0]!
}

/**
 * The transactions of one client, without end. Each value names the operation that it comes from, those of `names`
 * aside.
 */
export function * writesOf (seed: number, client: number): Generator<Write[], never> {
  const next = random(seed, 'writes', client)
  /** The rows that the client has itself; other clients may have changed or deleted them since. */
  const local = new Map<string, { value: string, amount: number }>()
  for (let transaction = 0; ; transaction++) {
    yield Array.from({ length: pick(next, [1, 1, 2, 3, 4, 5]) }, (_, operation) => {
      const table = pick(next, rowTables)
      const id = pick(next, rowIds)
      const row = local.get(`${table} ${id}`)
      const value = valueOf(next, table, `${client}.${transaction}.${operation}`, row?.value)
      const dice = next()
      if (!row || dice < 0.3) {
        const amount = between(next, 1, 9)
        local.set(`${table} ${id}`, { value, amount })
        const note = next() < 0.5 ? `note of ${client}.${transaction}.${operation}` : null
        return { op: 'PUT', table, id, data: { value, note, ...table === 'counters' && { amount } } }
      }
      if (dice > 0.85) {
        local.delete(`${table} ${id}`)
        return { op: 'DELETE', table, id }
      }
      if (table === 'counters' && next() < 0.7) {
        const { amount } = row
        row.amount += between(next, 1, 9)
        return { op: 'PATCH', table, id, data: { amount: row.amount }, previous: { amount } }
      }
      if (next() < 0.4) {
        return { op: 'PATCH', table, id, data: { note: `note of ${client}.${transaction}.${operation}` } }
      }
      row.value = value
      return { op: 'PATCH', table, id, data: { value } }
    })
  }
}

/** Another one than the row has: SQLite queues no column that stays as it is. */
function valueOf (next: Random, table: Table, operation: string, before: string | undefined): string {
  if (table === 'names') {
    const name = between(next, 1, differentNames)
    return `name ${name}` === before ? `name ${name % differentNames + 1}` : `name ${name}`
  }
  const value = `value of ${operation}`
  if (next() > 0.05) return value
  return table === 'notes' ? `${refused}${value}` : value.padEnd(longest + 1, '.')
}

/** Whether a server may reject a write: for its length, by the validator, or by the unique index. */
export function mayBeRejected (write: Write): boolean {
  const value = 'data' in write ? write.data.value : undefined
  if (typeof value !== 'string') return false
  return write.table === 'names' || value.length > longest || (write.table === 'notes' && value.startsWith(refused))
}

/** The value that an operator writes in the place of one that may be rejected. */
export function mended (table: Table, value: string, operation: string): string {
  return table === 'names' ? `${value} of ${operation}` : value.replace(refused, '').slice(0, longest)
}

/** The containers of an upload's operations. */
const containers = ['batch', 'operations', 'transactions'] as const

/** A client's ways, which are the same in all its requests. */
export interface Habits {
  container: typeof containers[number]
  /**
   * From its queue it takes the next transaction, several (another number at each attempt), or so many operations,
   * which cut transactions.
   */
  takes: 'transaction' | 'transactions' | 'operations'
}

export function habitsOf (seed: number, client: number): Habits {
  // The first clients have different ones whatever the seed.
  const takes = (['transactions', 'operations', 'transaction'] as const)[client % 3]!
  const next = random(seed, 'habits', client)
  return {
    takes,
    container: takes === 'operations' ? pick(next, ['batch', 'operations'] as const) : pick(next, containers)
  }
}

/** Weights of how requests go wrong at the client's side. */
const requestFaults = {
  none: 60,
  'sent to both servers at once': 10,
  'given up and sent again': 10,
  'hung up at once': 4,
  'answer lost': 7,
  'sent again when it is over': 7
}
type RequestFault = keyof typeof requestFaults

/** One attempt of a client to upload. */
export interface Attempt {
  fault: RequestFault
  /** Which of the two servers. */
  server: 0 | 1
  /** How many transactions or operations it takes. */
  size: number
  /** Whether the keys of its JSON are in another order, as with Swift's encoder in another process. */
  otherOrder: boolean
  /** When it is given up, hung up or sent again. */
  milliseconds: number
}

export function * attemptsOf (seed: number, client: number): Generator<Attempt, never> {
  const next = random(seed, 'attempts', client)
  for (;;) {
    const fault = weighted(next, requestFaults)
    const [from, to] =
      fault === 'hung up at once'
        ? ([0, 15] as const)
        : fault === 'sent again when it is over'
          ? ([50, 3000] as const)
          : ([10, 500] as const)
    yield {
      fault,
      server: next() < 0.5 ? 0 : 1,
      size: between(next, 1, 5),
      otherOrder: next() < 0.3,
      milliseconds: between(next, from, to)
    }
  }
}

/** Codes of faults that pass, and of some that nobody knows. */
const codes = [
  6, 7, 13, 20, 50, 89, 91, 112, 134, 189, 246, 251, 262, 10107, 11600, 11602, 13435, 13436, 9001, 8999, 55555
]
const labels = [[], ['TransientTransactionError'], ['RetryableWriteError'], ['UnknownTransactionCommitResult']]
const commands = [
  'find',
  'update',
  'delete',
  'insert',
  'bulkWrite',
  'commitTransaction',
  'commitTransaction',
  'abortTransaction'
]

/**
 * A fault of MongoDB, so many requests after the one before it, which it ends: a slow machine has as many as a fast
 * one.
 */
export interface MongoFault { command: mongodb.Document, requests: number }

/**
 * In the place of the minute after which MongoDB ends a transaction that nobody goes on with; those of the living end
 * as well.
 */
export const endAllTransactions: mongodb.Document = { killAllSessions: [] }

/** @param appName the name by which fail points know the commands of the processes */
export function * mongoFaultsOf (seed: number, appName: string): Generator<MongoFault, never> {
  const next = random(seed, 'MongoDB')
  const failCommand = (
    data: mongodb.Document,
    failCommands = [pick(next, commands), pick(next, commands)]
  ): mongodb.Document => ({
    configureFailPoint: 'failCommand',
    mode: { times: between(next, 1, 3) },
    data: { appName, failCommands, ...data }
  })
  const faults = {
    error: () => failCommand({ errorCode: pick(next, codes), ...next() < 0.6 && { errorLabels: pick(next, labels) } }),
    connection: () => failCommand({ closeConnection: true }),
    slow: () => failCommand({ blockConnection: true, blockTimeMS: between(next, 20, 900) }),
    // The command is done, and its answer says that nobody knows.
    unknown: () =>
      failCommand({ writeConcernError: { code: pick(next, [64, 91]), errmsg: 'by the soak' } }, ['commitTransaction']),
    end: () => endAllTransactions
  }
  for (;;) {
    const kind = weighted(next, { error: 45, connection: 20, slow: 15, unknown: 10, end: 10 })
    yield { command: faults[kind](), requests: between(next, 1, 5) }
  }
}

/** When a process kills itself with `kill -9`: around its n-th command, or the first commit from there on. */
export interface Life {
  commands: number
  commit: boolean
  /** Before the command is sent, when it is sent and not answered, or when its answer is there. */
  moment: 'before' | 'sent' | 'answered'
}

export function lifeOf (seed: number, process: string, start: number): Life {
  const next = random(seed, 'life', process, start)
  return {
    commands: Math.round(20 * 15 ** next()),
    commit: next() < 0.4,
    moment: pick(next, ['before', 'sent', 'answered'] as const)
  }
}
