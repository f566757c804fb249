import type {
  CrudTransaction, FailedOperation, FatalErrorResult, RetryableErrorResult, TransactionResult, UploadOptions
} from '../../types/index.js'
import { loggable } from '../observe/loggable.js'
import { deepFreeze } from '../rules/freeze.js'
import { Rejected } from '../rules/hooks.js'
import type { Plan } from '../rules/plan.js'
import type { UserCollections } from '../rules/registry.js'
import { addToOf, fold, markOf, marksOf } from '../rules/since.js'
import type { DeadLetters } from '../store/dead-letters.js'
import { fingerprintOf } from '../store/fingerprint.js'
import type { Ledger, PageIdentity } from '../store/ledger.js'
import type { Page, Rejection, Verdict } from '../store/page.js'
import type { Statement } from '../store/statements.js'
import { UnknownCommitError, type TransactionScope } from '../store/transaction.js'
import { BlockedQueues } from './blocked-queues.js'
import { failedOperation, type Around, type Caller, type Commit, type CommitDependencies, type Work } from './commit.js'
import { startDeadline, type Deadline } from './deadline.js'
import { runResultHooks } from './result-hooks.js'
import { settlementsIn, settles, type Settlements } from './settlements.js'

export interface UploadDependencies extends CommitDependencies {
  commit: Commit
  /** Absent if uploads are not deduplicated. */
  ledger: Ledger | undefined
  deadLetters: DeadLetters
  /** Milliseconds after which an upload is answered, whatever MongoDB or a hook is still waiting for. */
  deadline: number
}

/** What depends on the shape of an upload. */
interface UploadPolicy {
  /** What a rejected transaction does to those after it. */
  onRejection: 'stop' | 'skip'
  /** Whether a rejected transaction is left to the client instead of the dead letters. */
  requiresClientHandling?: UploadOptions['requiresClientHandling']
}

/** Applies client transactions in order and says what became of each. */
export type Uploader = (transactions: CrudTransaction[], caller: Caller, policy: UploadPolicy) => Promise<TransactionResult[]>

/** What a client is asked to wait; the SDKs wait 5 s of their own accord. */
const retryAfter = 5000

/** What kind of id an operation has: never the id itself, which may be a user's data. */
function idKind (id: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return 'a UUID'
  if (/^[0-9a-f]{24}$/i.test(id)) return 'an ObjectId'
  return /^-?\d+$/.test(id) ? 'an integer' : `text of ${id.length} characters`
}

/** Failures in a row of the head of a queue from which on it counts as blocked: a client sends it again every 5 s. */
const blockedAfter = 3

/** Operations up to which neighbouring client transactions share one MongoDB transaction. */
const groupLimit = 1000

/** Attempts in which a group has to get through before it is split: what conflicts is then found in a few steps. */
const groupAttempts = 4

/** A client transaction, with the fingerprints by which its operations are known. */
interface Entry {
  transaction: CrudTransaction
  fingerprints: ReadonlyArray<string | undefined>
}

export function createUploader (dependencies: UploadDependencies): Uploader {
  const { ledger } = dependencies
  const blockedQueues = new BlockedQueues()

  return async (transactions, caller, policy) => {
    const limit = startDeadline(dependencies.deadline)
    const entries = transactions.map(transaction => ({
      transaction,
      fingerprints: ledger && transaction.clientId !== undefined ? transaction.operations.map(fingerprintOf) : transaction.operations.map(() => undefined)
    }))
    const results = await new Upload(entries, caller, policy, limit, dependencies).run()
    for (const [position, transaction] of transactions.entries()) {
      const result = results[position]!
      countFailures(transaction, result, caller)
      await runResultHooks({ transaction, result }, caller, dependencies, limit)
    }
    limit.clear()
    return results
  }

  function countFailures (transaction: CrudTransaction, { status }: TransactionResult, { user, log }: Caller): void {
    if (status === 'not_attempted') return
    if (status !== 'retryable_error') return blockedQueues.succeeded(transaction, user)
    const failures = blockedQueues.failed(transaction, user)
    // The ledger's page of this client says whose it is.
    if (failures >= blockedAfter) log.error({ failures, client: transaction.clientId }, 'the head of an upload queue keeps failing, and everything behind it waits')
  }
}

/** What became of a group. */
type Outcome =
  | { kind: 'settled', verdicts: Verdict[] }
  | { kind: 'rejected', position: number, failed: FailedOperation }
  | { kind: 'failed', error: unknown }

/** One upload on its way: groups of neighbouring client transactions, each settled by one commit. */
class Upload {
  readonly #entries: readonly Entry[]
  readonly #caller: Caller
  readonly #policy: UploadPolicy
  readonly #limit: Deadline
  readonly #dependencies: UploadDependencies
  /** Of all operations, by client. */
  readonly #fingerprints = new Map<string, ReadonlySet<string>>()
  readonly #results: TransactionResult[] = []
  /** Up to which transaction a commit was sent that nothing is known of since: none before is reported as not attempted. */
  #sent = 0
  /** Client transactions that may share a commit: halved at each failure, doubled at each success. */
  #size = groupLimit

  constructor (entries: readonly Entry[], caller: Caller, policy: UploadPolicy, limit: Deadline, dependencies: UploadDependencies) {
    this.#entries = entries
    this.#caller = caller
    this.#policy = policy
    this.#limit = limit
    this.#dependencies = dependencies
  }

  async run (): Promise<TransactionResult[]> {
    while (this.#results.length < this.#entries.length && !this.#stopped()) await this.#settle(this.#group(this.#size))
    return this.#entries.map((_, position) => this.#results[position] ?? (position < this.#sent ? sendAgain(notStored) : { status: 'not_attempted' }))
  }

  #stopped (): boolean {
    const last = this.#results.at(-1)
    switch (last?.status) {
      case 'retryable_error': return true
      case 'fatal_error': return this.#policy.onRejection === 'stop' || last.requires_client_handling
      default: return false
    }
  }

  /** The next transactions: of one client, and not too many operations, unless it is one transaction or settles a letter. */
  #group (most: number): Entry[] {
    const from = this.#results.length
    const { clientId } = this.#entries[from]!.transaction
    let end = from
    let operations = 0
    while (end < this.#entries.length && end - from < most) {
      const { transaction } = this.#entries[end]!
      operations += transaction.operations.length
      if (end > from && (transaction.clientId !== clientId || operations > groupLimit)) break
      // What settles a letter is put under what came before it, and not what comes after.
      if (this.#settles(transaction)) return this.#entries.slice(from, end === from ? from + 1 : end)
      end++
    }
    return this.#entries.slice(from, end)
  }

  #settles ({ operations }: CrudTransaction): boolean {
    return operations.some(operation => settles(operation, this.#dependencies))
  }

  async #settle (group: readonly Entry[]): Promise<void> {
    const outcome = await this.#attempt(group)
    if (outcome.kind === 'settled') {
      this.#size = Math.min(2 * this.#size, groupLimit)
      this.#results.push(...outcome.verdicts.map((verdict, index) => resultOf(verdict, group[index]!)))
      return
    }
    this.#size = Math.max(1, Math.min(group.length, this.#size) >> 1)
    if (outcome.kind === 'rejected') {
      const { position } = outcome
      // Those before it are settled first: nothing is rejected that a client could not have had before.
      if (position > 0) await this.#settle(group.slice(0, position))
      if (position > 0 && (this.#stopped() || this.#results.length < this.#entries.indexOf(group[position]!))) return
      return await this.#reject(group[position]!, outcome.failed)
    }
    const unknown = outcome.error instanceof UnknownCommitError
    if (group.length > 1 && !unknown && !this.#limit.signal.aborted) return
    const retryable = this.#retryable(outcome.error, 'upload failed and has to be sent again', notStored)
    // Nobody knows what became of a commit without an answer: none of them was not attempted.
    this.#results.push(...unknown ? group.map(() => retryable) : [retryable])
  }

  async #attempt (group: readonly Entry[]): Promise<Outcome> {
    const identity = this.#page(group)
    const remembered = identity && this.#dependencies.ledger?.remembered(identity)
    const known = remembered && pendingOf(remembered, group, this.#policy)
    if (known && isSettled(known)) return { kind: 'settled', verdicts: known.verdicts }
    try {
      const [{ transaction }] = group as [Entry]
      if (!identity && group.length === 1 && !this.#settles(transaction) && await this.#limit.race(this.#dependencies.commit.alone(transaction, this.#caller, this.#limit.signal))) {
        return { kind: 'settled', verdicts: ['applied'] }
      }
      const { verdicts } = await this.#commit(identity, async scope => await this.#work(group, identity, scope, known), group.length)
      return { kind: 'settled', verdicts }
    } catch (error) {
      if (error instanceof Rejected) return { kind: 'rejected', position: error.transaction, failed: failedOperation(error) }
      return { kind: 'failed', error }
    }
  }

  /** The page of a group's client; undefined if none of its operations can be recognised. */
  #page (group: readonly Entry[]): PageIdentity | undefined {
    const { clientId } = group[0]!.transaction
    if (clientId === undefined || !group.some(({ fingerprints }) => fingerprints.some(fingerprint => fingerprint !== undefined))) return undefined
    return this.#dependencies.ledger?.identify(this.#caller.user, clientId)
  }

  async #work (group: readonly Entry[], identity: PageIdentity | undefined, scope: TransactionScope, known: Pending | undefined): Promise<Work<Settled>> {
    if (!identity) {
      const { transactions, since, settle } = await this.#settlements(group, scope)
      return {
        transactions,
        since,
        deduplicated: ({ opId }) => opId !== undefined && group[0]!.transaction.clientId !== undefined,
        around: () => ({ before: [], after: settle(), result: { verdicts: group.map(() => 'applied') } })
      }
    }
    const page = await this.#read(identity, scope)
    const { pending, verdicts } = known?.page === page ? known : pendingOf(page, group, this.#policy)
    const operations = fingerprintsOf(pending)
    const { transactions, since, settle } = await this.#settlements(pending, scope)
    return {
      transactions,
      since,
      deduplicated: ({ opId }) => opId !== undefined,
      around: async (plans, ofUser) => {
        if (operations.length === 0) return { before: [], result: { verdicts, page } }
        const { statements, closed } = await this.#noteSince(page, plans, ofUser, scope)
        const next = page.next({ operations, upload: () => this.#uploadOf(group), closed })
        return { before: [this.#dependencies.ledger!.statement(identity, page, next)], after: [...statements, ...settle()], result: { verdicts, page: next } }
      }
    }
  }

  #settlements (group: readonly Entry[], scope: TransactionScope): Promise<Settlements> {
    return settlementsIn(group.map(({ transaction }) => transaction), this.#caller.user, this.#dependencies, scope)
  }

  async #read (identity: PageIdentity, scope: TransactionScope): Promise<Page> {
    const { ledger, deadLetters, spans } = this.#dependencies
    return ledger!.remembered(identity) ?? await spans.run('powersync.ledger', () =>
      ledger!.read(identity, scope, () => deadLetters.openLetters(this.#caller.user, identity.client_id, scope)))
  }

  /** What is written to rows of open letters is noted in these, folded; letters that are gone leave the page. */
  async #noteSince (page: Page, plans: readonly Plan[], ofUser: UserCollections, scope: TransactionScope): Promise<{ statements: Statement[], closed: ReadonlySet<string> }> {
    const touched = touchedBy(plans, page)
    if (touched.size === 0) return { statements: [], closed: new Set() }
    const { deadLetters } = this.#dependencies
    const letters = await deadLetters.since([...touched.keys()], scope)
    const statements: Statement[] = []
    for (const [id, before] of letters) {
      const since = new Map(before.map(each => [each.row, each]))
      for (const plan of touched.get(id)!) {
        since.set(plan.row, fold(since.get(plan.row), plan, addToOf(ofUser)))
      }
      statements.push(deadLetters.sinceStatement(id, [...since.values()]))
    }
    return { statements, closed: new Set([...touched.keys()].filter(id => !letters.has(id))) }
  }

  /** Fingerprints of all operations of the upload that are of the group's client. */
  #uploadOf ([first]: readonly Entry[]): ReadonlySet<string> {
    const clientId = first!.transaction.clientId!
    let fingerprints = this.#fingerprints.get(clientId)
    if (!fingerprints) this.#fingerprints.set(clientId, fingerprints = new Set(fingerprintsOf(this.#entries.filter(({ transaction }) => transaction.clientId === clientId))))
    return fingerprints
  }

  /** Keeps a rejected transaction, and notes that its operations are settled: a commit like any other. */
  async #reject (entry: Entry, failed: FailedOperation): Promise<void> {
    const { transaction } = entry
    const { requiresClientHandling } = this.#policy
    try {
      if (await this.#limit.race(Promise.resolve(requiresClientHandling?.(failed, deepFreeze(transaction), this.#caller.user)))) {
        this.#results.push({ ...fatalError(failed), requires_client_handling: true })
        return
      }
      const identity = this.#page([entry])
      const { letter, verdicts: [verdict] } = await this.#commit(identity, scope => this.#rejection(entry, failed, identity, scope), 1)
      // Otherwise a copy of the upload has settled the operation that failed: the transaction is looked at anew.
      if (verdict) this.#results.push(resultOf(verdict, entry))
      if (letter === undefined) return
      const { error_code: code, operation_index: operation } = failed
      // Any other name may be anything that a client has put there.
      const failedOn = transaction.operations.find(({ index, table }) => index === operation && this.#dependencies.collections.has(table))
      this.#caller.log.warn({ code, operation, table: failedOn?.table, id: failedOn && idKind(failedOn.id), operations: transaction.operations.length, letter }, 'upload rejected, kept as a dead letter')
    } catch (error) {
      this.#results.push(this.#retryable(error, 'a rejected transaction could not be kept as a dead letter', 'The server could not keep the rejected transaction: send it again'))
    }
  }

  async #rejection (entry: Entry, failed: FailedOperation, identity: PageIdentity | undefined, scope: TransactionScope): Promise<Work<Settled & { letter?: string }>> {
    const { ledger, deadLetters, collections } = this.#dependencies
    const { user, request } = this.#caller
    const work = (around: Around<Settled & { letter?: string }>) => ({ transactions: [], deduplicated: () => false, around: () => around })
    if (!identity) {
      const { transactions: [rest], settle } = await this.#settlements([entry], scope)
      const letter = deadLetters.letterOf(rest!, failed, user, request?.id, { sequence: null, rows: [] })
      const statements = [...await deadLetters.statementsOf(letter, scope), ...settle(letter._id)]
      // Not as statements before the others: a letter that is there already is no conflict.
      return work({ before: [], after: statements, result: { verdicts: [rejection(failed, null)], letter: letter._id } })
    }
    const page = await this.#read(identity, scope)
    const known = pendingOf(page, [entry], this.#policy)
    if (isSettled(known)) return work({ before: [], result: { verdicts: known.verdicts, page } })
    const { transaction, fingerprints } = known.pending[0]!
    const position = transaction.operations.findIndex(({ index }) => index === failed.operation_index)
    if (position < 0 && failed.operation_index !== undefined) return work({ before: [], result: { verdicts: [], page } })
    const rows = marksOf(transaction, collections)
    const { transactions: [rest], since, settle } = await this.#settlements(known.pending, scope)
    const letter = deadLetters.letterOf(rest!, failed, user, request?.id, { sequence: page.content.sequence + 1, rows: [...rows], since: [...since.values()] })
    const rejected = { failed: fingerprints[position] ?? null, reason: failed }
    const operations = fingerprintsOf([{ transaction, fingerprints }])
    const next = page.next({ operations, rejected, upload: () => this.#uploadOf([entry]), opened: { _id: letter._id, rows } })
    return work({
      before: [ledger!.statement(identity, page, next)],
      after: [...await deadLetters.statementsOf(letter, scope), ...settle(letter._id)],
      result: { verdicts: [rejection(failed, rejected.failed)], page: next, letter: letter._id }
    })
  }

  /** One MongoDB transaction within the deadline, and what this process remembers of it. */
  async #commit<Result extends Settled> (identity: PageIdentity | undefined, prepare: (scope: TransactionScope) => Promise<Work<Result>>, transactions: number): Promise<Result> {
    const shared = transactions > 1
    const { commit, ledger } = this.#dependencies
    const limit = shared ? this.#limit.part() : this.#limit
    let committing = false
    const forget = () => {
      committing = false
      if (identity) ledger?.forget(identity)
    }
    try {
      const result = await limit.race(commit.run(prepare, this.#caller, {
        signal: limit.signal,
        attempts: shared ? groupAttempts : undefined,
        onRetry: forget,
        onCommit: () => {
          committing = true
          this.#sent = Math.max(this.#sent, this.#results.length + transactions)
        }
      }))
      if (identity && result.page) ledger?.remember(identity, result.page)
      // What an earlier commit left open is known by now.
      this.#sent = 0
      return result
    } catch (error) {
      const unknown = committing && limit.signal.aborted && !(error instanceof UnknownCommitError)
      forget()
      throw unknown ? new UnknownCommitError(error) : error
    } finally {
      if (shared) limit.clear()
    }
  }

  #retryable (error: unknown, event: string, message: string): RetryableErrorResult {
    this.#caller.log.error({ err: loggable(error) }, event)
    return sendAgain(message)
  }
}

/** What a commit gives. */
interface Settled {
  /** Of each transaction of the group, up to the last that was looked at. */
  verdicts: Verdict[]
  page?: Page | undefined
}

const fingerprintsOf = (entries: readonly Entry[]): string[] => entries.flatMap(({ fingerprints }) => fingerprints.filter(fingerprint => fingerprint !== undefined))

/** A group beside a page. */
interface Pending {
  page: Page
  /** What is left of its transactions, up to the first whose earlier rejection stops the upload. */
  pending: Entry[]
  /** Of the same transactions, once that is applied. */
  verdicts: Verdict[]
}

function pendingOf (page: Page, group: readonly Entry[], { onRejection }: UploadPolicy): Pending {
  const pending: Entry[] = []
  const verdicts: Verdict[] = []
  const known = page.verdicts(group.flatMap(({ fingerprints }) => fingerprints))
  const seen = new Set<string>()
  for (const entry of group) {
    const { transaction, fingerprints } = entry
    const rejected = known.size ? fingerprints.map(fingerprint => known.get(fingerprint!)).find(verdict => typeof verdict === 'object') : undefined
    const open = fingerprints.map(fingerprint => fingerprint === undefined || !(known.has(fingerprint) || seen.size === seen.add(fingerprint).size))
    const isOpen = (_: unknown, index: number) => open[index] as boolean
    pending.push(open.every(Boolean) ? entry : { transaction: { ...transaction, operations: transaction.operations.filter(isOpen) }, fingerprints: fingerprints.filter(isOpen) })
    verdicts.push(rejected ?? 'applied')
    if (rejected && onRejection === 'stop') break
  }
  return { page, pending, verdicts }
}

/** Whether nothing is left to write. */
const isSettled = ({ pending }: Pending) => pending.every(({ transaction }) => transaction.operations.length === 0)

/** Plans on rows of open letters, by letter: also those of operations that hooks moved to another row. */
function touchedBy (plans: readonly Plan[], { content: { letters } }: Page): Map<string, Plan[]> {
  const touched = new Map<string, Plan[]>()
  if (letters.length === 0) return touched
  for (const plan of plans) {
    const marks = [markOf(plan.row), markOf(plan.from)]
    for (const { _id, rows } of letters) {
      if (!marks.some(mark => rows.has(mark))) continue
      const own = touched.get(_id)
      if (own) own.push(plan)
      else touched.set(_id, [plan])
    }
  }
  return touched
}

const notStored = 'The server could not store the transaction: send it again'

const sendAgain = (message: string): RetryableErrorResult => ({ status: 'retryable_error', message, retry_after_ms: retryAfter })

const rejection = (reason: FailedOperation, failed: string | null): Rejection => ({ number: 0, failed, reason })

/** The same answer whenever it is asked for: the operation that failed has the place that it has in this upload, if any. */
function resultOf (verdict: Verdict, { transaction, fingerprints }: Entry): TransactionResult {
  if (verdict === 'applied') return { status: 'success' }
  const { failed, reason } = verdict
  if (failed === null) return fatalError(reason)
  const { operation_index: _, ...rest } = reason
  const operation = transaction.operations[fingerprints.indexOf(failed)]
  return fatalError({ ...rest, ...operation && { operation_index: operation.index } })
}

const fatalError = (failed: FailedOperation): FatalErrorResult =>
  ({ status: 'fatal_error', requires_client_handling: false, failed_operation: failed })
