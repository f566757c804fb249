/**
 * A client of a soak: an upload queue in memory, with a connector that does what connectors do when answers are late or
 * lost, and worse.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { attemptsOf, habitsOf, type Attempt, type Write } from './schedule.js'
import type { TransactionResult } from '../../index.js'

type Status = TransactionResult['status']

/** A write and its position in the client's queue, from 1. */
export type Operation = Write & { opId: number }

/** What a client knows when a soak is over. */
export interface ClientHistory {
  clientId: string
  /** In the order in which the client committed them; their operations have ascending `op_id`s. */
  transactions: Operation[][]
  /** `op_id`s of the operations that the server has answered for. */
  acknowledged: ReadonlySet<number>
  /**
   * The verdicts that were given on a transaction, by its position. Of clients that cut transactions there are none.
   */
  verdicts: ReadonlyMap<number, ReadonlySet<Status>>
  /** Whether an upload may hold a part of a transaction. */
  cuts: boolean
}

export interface SoakClient {
  clientId: string
  /** Commits a transaction to the local database. */
  write (transaction: Write[]): void | Promise<void>
  /** How many operations are still to be uploaded. */
  queued (): number
  history (): ClientHistory
  /** Ends its uploads, and waits for those that are under way. */
  stop (): Promise<void>
  readonly stats: ClientStats
}

export interface ClientStats {
  requests: number
  /** Requests that went wrong at the client's side or on their way, by how. */
  faults: Map<string, number>
  /** Why the last upload failed. */
  lastError: string
}

export interface SoakClientOptions {
  seed: number
  /** Its number in the soak. */
  number: number
  user: string
  /** Whether the keys of its JSON may come in another order when it sends again. */
  otherOrder: boolean
  /** Whether it may cut transactions. */
  cuts: boolean
  /** Ports of the two servers. */
  ports: readonly [number, number]
}

interface Upload { transactions: Operation[][], body: string }
type Answer = Array<{ status: Status }>

/** Milliseconds after which no answer will come any more; the servers answer in 10 s. */
const patience = 30_000

export function soakClient ({ seed, number, user, otherOrder, cuts, ports }: SoakClientOptions): SoakClient {
  const clientId = `client${number}`
  const { container, ...habits } = habitsOf(seed, number)
  const takes = habits.takes === 'operations' && !cuts ? 'transactions' : habits.takes
  const attempts = attemptsOf(seed, number)
  const transactions: Operation[][] = []
  const acknowledged = new Set<number>()
  const verdicts = new Map<number, Set<Status>>()
  const underWay = new Set<Promise<unknown>>()
  const stats: ClientStats = { requests: 0, faults: new Map(), lastError: '' }
  let lastId = 0
  const over = new AbortController()

  const queued = () => lastId - acknowledged.size
  const uploading = uploadAll()
  return {
    clientId,
    stats,
    queued,
    write (transaction) { transactions.push(transaction.map(write => ({ ...write, opId: ++lastId }))) },
    history: () => ({ clientId, transactions, acknowledged, verdicts, cuts: takes === 'operations' }),
    async stop () {
      over.abort()
      await uploading
      await Promise.allSettled(underWay)
    }
  }

  async function uploadAll (): Promise<void> {
    for (let failures = 0; !over.signal.aborted;) {
      if (queued() === 0) {
        await sleep(20)
        continue
      }
      const attempt = attempts.next().value
      const upload = take(attempt)
      try {
        complete(upload, await send(upload, attempt))
        failures = 0
      } catch (error) {
        stats.lastError = String(error)
        await sleep(Math.min(20 * 2 ** failures++, 500))
      }
    }
  }

  /** The head of the queue. */
  function take ({ size, otherOrder: reversed }: Attempt): Upload {
    const left = transactions
      .map(operations => operations.filter(({ opId }) => !acknowledged.has(opId)))
      .filter(({ length }) => length > 0)
    const taken =
      takes === 'operations' ? firstOperations(left, size) : left.slice(0, takes === 'transaction' ? 1 : size)
    return { transactions: taken, body: bodyOf(taken, otherOrder && reversed) }
  }

  function bodyOf (taken: Operation[][], reversed: boolean): string {
    const crud = taken.map(operations => operations.map(({ opId, op, table, id, ...rest }) => ({
      op_id: opId,
      op,
      table,
      id,
      tx_id: positionOf(opId) + 1,
      ...'data' in rest && { data: rest.data },
      ...'previous' in rest && { old: rest.previous }
    })))
    const body = container === 'transactions'
      ? { client_id: clientId, transactions: crud.map(operations => ({ crud: operations })) }
      : { client_id: clientId, [container]: crud.flat() }
    return JSON.stringify(reversed ? reverseKeys(body) : body)
  }

  async function send (upload: Upload, { fault, server, milliseconds }: Attempt): Promise<Answer> {
    if (fault !== 'none') stats.faults.set(fault, (stats.faults.get(fault) ?? 0) + 1)
    const [here, there] = server === 0 ? ports : [ports[1], ports[0]]
    const first = request(
      here,
      upload,
      fault === 'given up and sent again' || fault === 'hung up at once' ? milliseconds : patience
    )
    if (fault === 'sent to both servers at once') return await Promise.any([first, request(there, upload, patience)])
    if (fault === 'sent again when it is over') track(sleep(milliseconds).then(() => request(there, upload, patience)))
    const answer = await first
    if (fault === 'answer lost') throw new Error('The answer was lost')
    return answer
  }

  /**
   * The answer, if it settles anything. Clients that send `transactions` look at the results, the others at the status
   * alone.
   */
  function request (port: number, { transactions: sent, body }: Upload, timeout: number): Promise<Answer> {
    stats.requests++
    return track(post(port, body, timeout).then(({ status, answer }) => {
      const { results } = answer
      const text = `/upload answered ${status} ${JSON.stringify(answer)}`
      if (results?.length !== sent.length) throw new Error(`${text} for ${sent.length} transactions`)
      if (takes !== 'operations') results.forEach((result, index) => noteVerdict(sent[index]![0]!, result.status))
      if (status !== 200 || !isFinal(results[0]!)) throw new Error(text)
      return results
    }))
  }

  function noteVerdict ({ opId }: Operation, status: Status): void {
    const position = positionOf(opId)
    if (isFinal({ status })) verdicts.set(position, (verdicts.get(position) ?? new Set()).add(status))
  }

  function complete ({ transactions: sent }: Upload, results: Answer): void {
    const open = results.findIndex(result => !isFinal(result))
    const settled = container === 'transactions' && open >= 0 ? sent.slice(0, open) : sent
    for (const { opId } of settled.flat()) acknowledged.add(opId)
  }

  function positionOf (opId: number): number {
    return transactions.findIndex(operations => opId <= operations.at(-1)!.opId)
  }

  function track <Result> (work: Promise<Result>): Promise<Result> {
    underWay.add(work)
    work.catch(() => {}).finally(() => underWay.delete(work))
    return work
  }

  async function post (port: number, body: string, timeout: number) {
    const response = await fetch(`http://127.0.0.1:${port}/upload`, {
      method: 'POST',
      headers: { 'x-session': user, 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(timeout)
    })
    return { status: response.status, answer: await response.json() as { results?: Answer } }
  }
}

const isFinal = ({ status }: { status: Status }) => status === 'success' || status === 'fatal_error'

/** So many operations; the last transaction is cut where they end. */
function firstOperations (transactions: Operation[][], count: number): Operation[][] {
  const taken: Operation[][] = []
  for (const operations of transactions) {
    if (count > 0) taken.push(operations.slice(0, count))
    count -= operations.length
  }
  return taken
}

function reverseKeys (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reverseKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).reverse().map(([key, inner]) => [key, reverseKeys(inner)]))
}
