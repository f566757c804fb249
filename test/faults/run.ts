/** One run of the matrix: a client sends one upload until it is taken, while a fault stands in its way. */
import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { dataCodes, deadline, switchOff, switchOn, type Cause, type Fault } from './fault.js'
import type { Observer } from './observer.js'
import type { Sent, Server } from './server.js'
import { difference, firstOpId, uploadOf, type Shape, type State, type Transaction, type Upload } from './shapes.js'

interface Violation {
  kind:
    | 'status'
    | 'malformed'
    | 'lost'
    | 'half or twice'
    | 'out of order'
    | 'made final'
    | 'letter'
    | 'not attempted'
    | 'for ever'
    | 'another answer'
  detail: string
}

export interface Outcome {
  violations: Violation[]
  /** The commands of the first upload. */
  sent: Sent[]
  /** Those that the fault met. */
  hits: Sent[]
  /** Uploads that were sent. */
  uploads: number
}

/**
 * Uploads until MongoDB has ended the transactions that nobody ends, and until it is for ever: each waits for an
 * answer.
 */
const patience = 5
const mostUploads = 60

interface Result { status: string, failed_operation?: { error_code: string } }
interface Answer { status: number, body: { results?: Result[] } }

/** @param fault none: what the upload sends then is what faults can meet */
export async function run (
  server: Server,
  observer: Observer,
  shape: Shape,
  { user, fault }: { user: string, fault?: Fault }
): Promise<Outcome> {
  const upload = uploadOf(shape, user)
  await observer.seed(upload)
  if (shape.returning) await greet(server, upload)
  const client = new Client(server, observer, upload, fault?.cause)
  server.reset()
  if (fault) await switchOn(observer.client, fault)
  try {
    await client.send()
  } finally {
    if (fault) await switchOff(observer.client, fault)
  }
  const sent = [...server.sent]
  await client.sendUntilTaken()
  if (fault?.cause.kind === 'late') await pause(2 * deadline)
  await client.sendOnceMore()
  return { ...client.outcome, sent, ...fault?.cause.kind === 'late' && { hits: late(sent, fault) } }
}

/** The driver does not see that a command is late, only whether somebody waits for it. */
function late (sent: Sent[], { commands, skip }: Fault): Sent[] {
  return sent.filter(({ name }) => commands.includes(name)).slice(skip, skip + 1)
}

async function greet (server: Server, { user, clientId }: Upload): Promise<void> {
  const operation = {
    op: 'PUT',
    table: 'lists',
    id: `hello from ${user}`,
    op_id: firstOpId,
    tx_id: 0,
    data: { value: 'hello' }
  }
  const send = () => server.upload(user, { client_id: clientId, batch: [operation] })
  // Sent again, as clients do, where the fault before still holds something.
  let { status } = await send()
  for (let attempt = 1; status === 503 && attempt < 5; attempt++) ({ status } = await send())
  if (status !== 200) throw new Error(`The upload before the fault was answered with ${status}`)
}

const isToBeSentAgain = ({ status, body: { results } }: Answer): boolean =>
  status === 503 || (results?.some(result => result.status === 'retryable_error') ?? false)

class Client {
  readonly #server: Server
  readonly #observer: Observer
  readonly #upload: Upload
  readonly #cause: Cause | undefined
  readonly #violations: Violation[] = []
  readonly #applied = new Set<Transaction>()
  readonly #rejected = new Set<Transaction>()
  /** What the client was told in the end. */
  readonly #results = new Map<Transaction, Result>()
  #lost: Result[] | undefined
  #state: State
  #uploads = 0

  constructor (server: Server, observer: Observer, upload: Upload, cause: Cause | undefined) {
    this.#server = server
    this.#observer = observer
    this.#upload = upload
    this.#cause = cause
    this.#state = upload.before
  }

  get outcome (): Omit<Outcome, 'sent'> {
    return { violations: this.#violations, hits: [...this.#server.hits], uploads: this.#uploads }
  }

  get #queue (): Transaction[] {
    return this.#upload.transactions.filter(transaction => !this.#results.has(transaction))
  }

  async sendUntilTaken (): Promise<void> {
    while (this.#queue.length > 0 && this.#violations.length === 0) {
      if (this.#uploads === patience) await this.#observer.endTransactions()
      if (this.#uploads === mostUploads) return this.#violate('for ever', `${this.#uploads} uploads`)
      await pause(Math.min(10 * this.#uploads, 200))
      await this.send()
    }
  }

  async send (): Promise<void> {
    const queue = this.#queue
    // Of an earlier upload whose commit had no answer: a server that cannot read its ledger now does not know of it.
    const before = new Set(this.#applied)
    const answer = await this.#send(queue)
    await this.#observe()
    this.#check(queue, answer, before)
  }

  /** The whole of it, as after an answer that was lost. */
  async sendOnceMore (): Promise<void> {
    if (this.#violations.length > 0) return
    const { transactions, shape: { withClient } } = this.#upload
    const rejections = this.#rejected.size
    const copy = async () => {
      const answer = await this.#send(transactions)
      await this.#observe()
      return answer
    }
    let answer = await copy()
    // Nothing fails any more, but a slow machine may reach the deadline, and leave a transaction that nobody ends.
    for (let copies = 1; isToBeSentAgain(answer) && copies < mostUploads; copies++) {
      if (copies === patience) await this.#observer.endTransactions()
      answer = await copy()
    }
    // Nothing says that it is the same upload, and the fault that rejected it is gone.
    if (!withClient && transactions.some(transaction => this.#rejected.has(transaction) && !transaction.rejected)) {
      return
    }
    const results = this.#expected()
    if (answer.status !== 200 || !isDeepStrictEqual(answer.body.results, results)) {
      this.#violate('another answer', `${JSON.stringify(answer)} after ${JSON.stringify(results)}`)
    }
    if (this.#rejected.size > rejections) this.#violate('letter', 'another one after the same upload')
  }

  /** The whole upload's answer: one of "transactions" stops at the first that is rejected. */
  #expected (): Result[] {
    const { transactions, shape: { container } } = this.#upload
    const results = transactions.map(transaction => this.#results.get(transaction)!)
    const stop = container === 'transactions' ? results.findIndex(({ status }) => status === 'fatal_error') : -1
    return stop < 0
      ? results
      : results.map((result, position) => (position > stop ? { status: 'not_attempted' } : result))
  }

  async #send (transactions: Transaction[]): Promise<Answer> {
    const { shape: { container }, user, clientId } = this.#upload
    const list =
      container === 'transactions'
        ? transactions.map(({ operations }) => ({
          crud: operations.map(({ old, ...operation }) => ({ ...operation, previous_values: old }))
        }))
        : transactions.flatMap(({ operations }) => operations)
    this.#uploads++
    return await this.#server.upload(user, { client_id: clientId, [container]: list })
  }

  /** Holds the database against what was there before, and lets another device write to what is new. */
  async #observe (): Promise<void> {
    const { shape: { withClient }, transactions } = this.#upload
    const after = await this.#observer.state(this.#upload)
    const applied = difference(
      this.#state,
      after,
      withClient ? transactions.filter(each => !this.#applied.has(each)) : transactions
    )
    if (!applied) return this.#violate('half or twice', `${JSON.stringify(after)} after ${JSON.stringify(this.#state)}`)
    this.#state = after
    for (const each of applied) this.#applied.add(each)
    await this.#observer.overwrite(applied, this.#state)
    await this.#readLetters()
    this.#checkOrder()
  }

  async #readLetters (): Promise<void> {
    const { shape: { withClient } } = this.#upload
    for (const { code, ids } of await this.#observer.letters(this.#upload)) {
      const transaction = this.#upload.transactions.find(({ operations }) =>
        isDeepStrictEqual(
          operations.map(({ op, table, id }) => `${op} ${table}/${id}`),
          ids
        )
      )
      if (!transaction) this.#violate('letter', `of ${ids.join()}, which is no transaction of the client`)
      else if (this.#applied.has(transaction) && (withClient || !this.#rejected.has(transaction))) {
        this.#violate('letter', `of an applied transaction, ${code}`)
      } else if (code !== transaction.rejected && !this.#mayBeFinal()) this.#violate('made final', code)
      if (transaction) this.#rejected.add(transaction)
    }
  }

  #mayBeFinal (): boolean {
    const cause = this.#cause
    const isDataFault =
      cause?.kind === 'validator' ||
      (cause?.kind === 'error' && dataCodes.includes(cause.code) && cause.label !== 'TransientTransactionError')
    return isDataFault && this.#server.hits.some(({ place }) => place === 'data')
  }

  #checkOrder (): void {
    const { transactions } = this.#upload
    const settled = transactions.map(each => this.#applied.has(each) || this.#rejected.has(each))
    if (settled.lastIndexOf(true) > settled.indexOf(false) && settled.includes(false)) {
      this.#violate('out of order', settled.join())
    }
  }

  #check (queue: Transaction[], { status, body: { results } }: Answer, before: ReadonlySet<Transaction>): void {
    const reads = this.#upload.shape.container === 'transactions'
    if (status !== 200 && status !== 503) return this.#violate('status', String(status))
    if (!results) return status === 503 ? undefined : this.#violate('malformed', 'no results')
    if (results.length !== queue.length) {
      return this.#violate('malformed', `${results.length} results for ${queue.length}`)
    }
    const told = new Map<Transaction, Result>()
    for (const [position, result] of results.entries()) {
      const transaction = queue[position]!
      const isApplied = this.#applied.has(transaction)
      if (result.status === 'success') {
        if (!isApplied) return this.#violate('lost', 'success, and it is not in the database')
        told.set(transaction, result)
      } else if (result.status === 'fatal_error') {
        if (!this.#rejected.has(transaction)) {
          return this.#violate('lost', `${result.failed_operation?.error_code}, and there is no dead letter`)
        }
        told.set(transaction, result)
      } else if (status === 200 && !reads) {
        return this.#violate('lost', `200 with ${result.status}`)
      } else if (result.status === 'not_attempted' && isApplied && !before.has(transaction)) {
        return this.#violate('not attempted', 'it is in the database')
      }
    }
    // Of "batch" and "operations" clients read the status alone, and send all of it again.
    if (status === 200 && !this.#loses(results)) {
      for (const [transaction, result] of told) this.#results.set(transaction, result)
    }
  }

  /** The first answer that stopped at a rejection is lost: the second must be the same, and still true. */
  #loses (results: Result[]): boolean {
    const has = (status: string) => results.some(result => result.status === status)
    if (!has('fatal_error') || !has('not_attempted')) return false
    const before = this.#lost
    this.#lost = before ? undefined : results
    if (before && !isDeepStrictEqual(results, before)) {
      this.#violate('another answer', `${JSON.stringify(results)} after ${JSON.stringify(before)}`)
    }
    return !before
  }

  #violate (kind: Violation['kind'], detail: string): void {
    this.#violations.push({ kind, detail })
  }
}
