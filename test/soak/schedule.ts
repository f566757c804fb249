/** What happens in a soak, all of it drawn from the seed: what each client writes, and what goes wrong with each of its requests. */

export const tables = ['lists', 'todos', 'notes'] as const
export type Table = typeof tables[number]

/** So few that clients meet on them all the time. */
const rowsPerTable = 16

export interface Columns { value: string | null, note: string | null }

/** What a client does to a row, as its upload queue will have it. */
export type Write =
  | { op: 'PUT', table: Table, id: string, data: Columns }
  | { op: 'PATCH', table: Table, id: string, data: Partial<Columns> }
  | { op: 'DELETE', table: Table, id: string }

/** Numbers from 0 up to 1, the same for the same seed and stream. */
export type Random = () => number

/** Faults of one request; `weight` of 100 requests meet it. */
const faults = {
  'no fault': 71,
  'cut before the request': 2,
  'cut in the request': 2,
  'cut after the request': 4,
  'cut in the answer': 4,
  'connection lost or refused': 1,
  delay: 3,
  'delay beyond the time-out': 3,
  'request swallowed': 1,
  'answer swallowed': 2,
  'request sent twice': 4,
  'request sent twice, answer cut': 2,
  'server killed in the transaction': 0.5,
  'server killed before the answer': 0.5
} as const

/** Every kind of fault that there is. */
export const faultKinds = Object.keys(faults).filter(kind => kind !== 'no fault') as FaultKind[]

export type FaultKind = keyof typeof faults

export interface Fault {
  kind: FaultKind
  /** Bytes that still pass before a cut. */
  bytes: number
  /** How long a delay holds back what passes. */
  milliseconds: number
}

/** After how many successful requests of all clients, and how long after that, the server is killed, whatever it is doing. */
export interface Kill { requests: number, milliseconds: number }

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

const pick = <Item> (next: Random, items: readonly Item[]): Item => items[between(next, 0, items.length - 1)] as Item

/**
 * The transactions of one client. Each changes at least one row, and no two of its writes have the same value, so that
 * a value in the database says which operation it comes from.
 */
export function writesOf (seed: number, client: number, count: number): Write[][] {
  const next = random(seed, 'writes', client)
  const present = new Set<string>()
  return Array.from({ length: count }, (_, transaction) =>
    Array.from({ length: pick(next, [1, 1, 2, 3, 4, 5]) }, (_, operation) => {
      const table = pick(next, tables)
      const id = `row${between(next, 1, rowsPerTable)}`
      const value = `client ${client}, transaction ${transaction}, operation ${operation}`
      const dice = next()
      // A client changes and deletes what it has itself; the others may have deleted it since.
      const row = `${table} ${id}`
      if (!present.has(row) || dice < 0.35) {
        present.add(row)
        return { op: 'PUT', table, id, data: { value, note: next() < 0.5 ? `note of ${value}` : null } }
      }
      if (dice < 0.8) return { op: 'PATCH', table, id, data: next() < 0.5 ? { value } : { note: value } }
      present.delete(row)
      return { op: 'DELETE', table, id }
    }))
}

/** The faults of a client's requests, one after the other, for as many as it comes to send. */
export function * faultsOf (seed: number, client: number): Generator<Fault, never> {
  const next = random(seed, 'faults', client)
  for (;;) {
    const kind = drawFault(next)
    yield {
      kind,
      bytes: kind === 'cut in the answer' ? between(next, 1, 300) : between(next, 1, 600),
      milliseconds: kind === 'delay' ? between(next, 5, 150) : requestTimeout + between(next, 20, 200)
    }
  }
}

/** Milliseconds after which a client gives up a request that it will get no answer to. */
export const requestTimeout = 300

function drawFault (next: Random): FaultKind {
  let left = next() * 100
  for (const [kind, weight] of Object.entries(faults) as Array<[FaultKind, number]>) {
    left -= weight
    if (left < 0) return kind
  }
  return 'no fault'
}

export function * killsOf (seed: number): Generator<Kill, never> {
  const next = random(seed, 'kills')
  for (let requests = 0; ;) {
    requests += between(next, 20, 80)
    yield { requests, milliseconds: between(next, 0, 120) }
  }
}
