import type {
  CrudTransaction, FailedOperation, FatalErrorResult, RetryableErrorResult, TransactionResult, UploadOptions
} from '../../types/index.js'
import { loggable } from '../observe/loggable.js'
import { deepFreeze } from '../rules/freeze.js'
import { Rejected } from '../rules/hooks.js'
import type { Plan } from '../rules/plan.js'
import type { UserCollections } from '../rules/registry.js'
import { fold, markOf, marksOf } from '../rules/since.js'
import type { DeadLetters } from '../store/dead-letters.js'
import { fingerprintOf } from '../store/fingerprint.js'
import type { Ledger, PageIdentity } from '../store/ledger.js'
import type { Page, Rejection, Verdict } from '../store/page.js'
import type { Statement } from '../store/statements.js'
import { UnknownCommitError, type TransactionScope } from '../store/transaction.js'
import { failedOperation, type Caller, type Commit, type CommitDependencies, type Work } from './commit.js'
import { startDeadline, type Deadline } from './deadline.js'
import { BlockedQueues, runResultHooks } from './outcomes.js'
import { refusalOf, retryAfter } from './schema-versions.js'
import { settlementsIn, settles, type Settlements } from './settlements.js'

export interface UploadDependencies extends CommitDependencies {
  commit: Commit
  /** Absent if uploads are not deduplicated. */
  ledger: Ledger | undefined
  deadLetters: DeadLetters
  /** Milliseconds after which an upload is answered, whatever MongoDB or a hook is still waiting for. */
  deadline: number
}

/** The rules that depend on the shape of an upload. */
interface UploadPolicy {
  /** Whether a rejected transaction stops those after it. */
  onRejection: 'stop' | 'skip'
  /** Whether a rejected transaction is left to the client instead of the dead letters. */
  requiresClientHandling?: UploadOptions['requiresClientHandling']
}

/** Applies client transactions in order and tells what became of each. */
export type Uploader =
  (transactions: CrudTransaction[], caller: Caller, policy: UploadPolicy) => Promise<TransactionResult[]>

/** Failures in a row of the head of a queue from which on it counts as blocked: a client retries it every 5 s. */
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

/** The result of a commit. */
interface Settled {
  /** Of each transaction of the group, up to the last that was looked at. */
  verdicts: Verdict[]
  page?: Page | undefined
  /** Id of the dead letter that it wrote. */
  letter?: string
}

/** One upload on its way. */
interface Upload {
  entries: readonly Entry[]
  caller: Caller
  policy: UploadPolicy
  limit: Deadline
}

export function createUploader (dependencies: UploadDependencies): Uploader {
  const { ledger, collections: { migrations } } = dependencies
  const blockedQueues = new BlockedQueues()

  return async (transactions, caller, policy) => {
    const limit = startDeadline(dependencies.deadline)
    const refusal = refusalOf(transactions, migrations, caller.log)
    const results = refusal ??
      await settleAll({ entries: transactions.map(entryOf), caller, policy, limit }, dependencies)
    for (const [position, transaction] of transactions.entries()) {
      const result = results[position]!
      if (!refusal) countFailures(transaction, result, caller)
      await runResultHooks({ transaction, result }, caller, dependencies, limit)
    }
    limit.clear()
    return results
  }

  function entryOf ({ schemaVersion = migrations.current, ...uploaded }: CrudTransaction): Entry {
    // With its version, for a letter of it that is run again when the server has gone on.
    const transaction = { ...uploaded, schemaVersion }
    const isKnown = ledger && transaction.clientId !== undefined
    return { transaction, fingerprints: transaction.operations.map(isKnown ? fingerprintOf : () => undefined) }
  }

  function countFailures (transaction: CrudTransaction, { status }: TransactionResult, { user, log }: Caller): void {
    if (status === 'not_attempted') return
    if (status !== 'retryable_error') return blockedQueues.succeeded(transaction, user)
    const failures = blockedQueues.failed(transaction, user)
    if (failures < blockedAfter) return
    // The ledger's page of this client names the user.
    log.error({ failures, client: transaction.clientId },
      'the head of an upload queue keeps failing, and everything behind it waits')
  }
}

/** Settles the transactions of an upload, in groups of neighbours: each is one commit. */
async function settleAll (upload: Upload, dependencies: UploadDependencies): Promise<TransactionResult[]> {
  const { entries, caller, policy, limit } = upload
  const { commit, ledger, deadLetters, collections, spans } = dependencies
  const results: TransactionResult[] = []
  /** Of all operations, by client. */
  const fingerprints = new Map<string, ReadonlySet<string>>()
  /** Transactions up to here are in a commit with an unknown outcome: none of them is reported as not attempted. */
  let sent = 0
  /** Client transactions that may share a commit: halved at each failure, doubled at each success. */
  let size = groupLimit

  while (results.length < entries.length && !stopped()) await settle(nextGroup())
  return entries.map((_, position) =>
    results[position] ?? (position < sent ? sendAgain(notStored) : { status: 'not_attempted' }))

  function stopped (): boolean {
    const last = results.at(-1)
    if (last?.status === 'fatal_error') return policy.onRejection === 'stop' || last.requires_client_handling
    return last?.status === 'retryable_error'
  }

  /** The next transactions: of one client, and at most `groupLimit` operations, unless it is one transaction. */
  function nextGroup (): Entry[] {
    const group: Entry[] = []
    let operations = 0
    for (const entry of entries.slice(results.length, results.length + size)) {
      const { transaction } = entry
      operations += transaction.operations.length
      const isFull = operations > groupLimit || transaction.clientId !== group[0]?.transaction.clientId
      // A settled letter goes under the changes before it, not under those after it.
      const isAlone = settlesLetter(transaction)
      if (group.length && (isFull || isAlone)) break
      group.push(entry)
      if (isAlone) break
    }
    return group
  }

  function settlesLetter ({ operations }: CrudTransaction): boolean {
    return operations.some(operation => settles(operation, dependencies))
  }

  async function settle (group: readonly Entry[]): Promise<void> {
    try {
      const { verdicts } = await attempt(group)
      size = Math.min(2 * size, groupLimit)
      results.push(...verdicts.map((verdict, index) => resultOf(verdict, group[index]!)))
    } catch (error) {
      size = Math.max(1, Math.min(group.length, size) >> 1)
      if (error instanceof Rejected) return await settleRejected(group, error)
      const isUnknown = error instanceof UnknownCommitError
      if (group.length > 1 && !isUnknown && !limit.signal.aborted) return
      const retryable = failed(error, 'upload failed and has to be sent again', notStored)
      // Nobody knows what became of a commit without an answer: none of them was not attempted.
      results.push(...isUnknown ? group.map(() => retryable) : [retryable])
    }
  }

  async function settleRejected (group: readonly Entry[], error: Rejected): Promise<void> {
    const entry = group[error.transaction]!
    // Those before it are settled first: nothing is rejected that a client could not have had before.
    const first = results.length
    if (error.transaction > 0) await settle(group.slice(0, error.transaction))
    if (results.length < entries.indexOf(entry)) return
    // If one of them is rejected, hooks saw the rows as they never become: the next group begins with this one.
    if (results.slice(first).every(({ status }) => status === 'success')) await reject(entry, failedOperation(error))
  }

  async function attempt (group: readonly Entry[]): Promise<Settled> {
    const identity = identify(group)
    const remembered = identity && ledger?.remembered(identity)
    const known = remembered && pendingOf(remembered, group, policy)
    if (known && isSettled(known)) return known
    const [{ transaction }] = group as [Entry]
    const mayBeAlone = !identity && group.length === 1 && !settlesLetter(transaction)
    if (mayBeAlone && await limit.race(commit.alone(transaction, caller, limit.signal))) {
      return { verdicts: ['applied'] }
    }
    return await run(identity, group.length, scope => workOf(group, identity, scope, known))
  }

  /** The page of a group's client; undefined if none of its operations can be recognised. */
  function identify (group: readonly Entry[]): PageIdentity | undefined {
    const { clientId } = group[0]!.transaction
    if (clientId === undefined || fingerprintsOf(group).length === 0) return undefined
    return ledger?.identify(caller.user, clientId)
  }

  async function workOf (
    group: readonly Entry[], identity: PageIdentity | undefined, scope: TransactionScope, known: Pending | undefined
  ): Promise<Work<Settled>> {
    if (!identity) {
      const { settle, ...rest } = await settlementsOf(group, scope)
      return { ...rest, around: () => ({ after: settle(), result: { verdicts: group.map(() => 'applied') } }) }
    }
    const page = await pageOf(identity, scope)
    const { pending, verdicts } = known?.page === page ? known : pendingOf(page, group, policy)
    const operations = fingerprintsOf(pending)
    const { settle, ...rest } = await settlementsOf(pending, scope)
    return {
      ...rest,
      around: async (plans, ofUser) => {
        if (operations.length === 0) return { result: { verdicts, page } }
        const { statements, closed } = await noteSince(page, plans, ofUser, scope)
        const next = page.next({ operations, upload: () => uploadOf(group), closed })
        const before = [ledger!.statement(identity, page, next)]
        return { before, after: [...statements, ...settle()], result: { verdicts, page: next } }
      }
    }
  }

  function settlementsOf (group: readonly Entry[], scope: TransactionScope): Promise<Settlements> {
    return settlementsIn(group.map(({ transaction }) => transaction), caller.user, dependencies, scope)
  }

  async function pageOf (identity: PageIdentity, scope: TransactionScope): Promise<Page> {
    const openLetters = () => deadLetters.openLetters(caller.user, identity.client_id, scope)
    return ledger!.remembered(identity) ??
      await spans.run('powersync.ledger', () => ledger!.read(identity, scope, openLetters))
  }

  /** Notes writes to rows of open letters in the letters, folded; letters that are gone leave the page. */
  async function noteSince (
    page: Page, plans: readonly Plan[], ofUser: UserCollections, scope: TransactionScope
  ): Promise<{ statements: Statement[], closed: ReadonlySet<string> }> {
    const touched = touchedBy(plans, page)
    if (touched.size === 0) return { statements: [], closed: new Set() }
    const letters = await deadLetters.since([...touched.keys()], scope)
    const statements = [...letters].map(([id, before]) => {
      const since = new Map(before.map(each => [each.row, each]))
      for (const plan of touched.get(id)!) since.set(plan.row, fold(since.get(plan.row), plan, ofUser))
      return deadLetters.sinceStatement(id, [...since.values()])
    })
    return { statements, closed: new Set([...touched.keys()].filter(id => !letters.has(id))) }
  }

  /** Fingerprints of all operations of the upload that are of the group's client. */
  function uploadOf ([first]: readonly Entry[]): ReadonlySet<string> {
    const clientId = first!.transaction.clientId!
    const known = fingerprints.get(clientId) ??
      new Set(fingerprintsOf(entries.filter(({ transaction }) => transaction.clientId === clientId)))
    fingerprints.set(clientId, known)
    return known
  }

  /** Keeps a rejected transaction, and notes that its operations are settled: a commit like any other. */
  async function reject (entry: Entry, reason: FailedOperation): Promise<void> {
    const { operations } = entry.transaction
    try {
      const asked = policy.requiresClientHandling?.(reason, deepFreeze(entry.transaction), caller.user)
      if (await limit.race(Promise.resolve(asked))) {
        results.push({ ...fatalError(reason), requires_client_handling: true })
        return
      }
      const identity = identify([entry])
      const settled = await run(identity, 1, scope => rejectionOf(entry, reason, identity, scope))
      const { letter, verdicts: [verdict] } = settled
      // Otherwise a copy of the upload has settled the operation that failed: the transaction is looked at anew.
      if (verdict) results.push(resultOf(verdict, entry))
      if (letter === undefined) return
      const { error_code: code, operation_index: operation } = reason
      // Any other name may be anything that a client has put there.
      const failedOn = operations.find(({ index, table }) => index === operation && collections.has(table))
      const row = { table: failedOn?.table, id: failedOn && idKind(failedOn.id) }
      caller.log.warn({ code, operation, ...row, operations: operations.length, letter },
        'upload rejected, kept as a dead letter')
    } catch (error) {
      results.push(failed(error, 'a rejected transaction could not be kept as a dead letter',
        'The server could not keep the rejected transaction: send it again'))
    }
  }

  async function rejectionOf (
    entry: Entry, reason: FailedOperation, identity: PageIdentity | undefined, scope: TransactionScope
  ): Promise<Work<Settled>> {
    const work = (result: Settled, before: Statement[] = [], after: Statement[] = []): Work<Settled> =>
      ({ transactions: [], around: () => ({ before, after, result }) })
    const origin = { reason, user: caller.user, requestId: caller.request?.id }
    if (!identity) {
      const { transactions: [transaction], settle } = await settlementsOf([entry], scope)
      const letter = deadLetters.letterOf({ ...origin, transaction: transaction!, sequence: null, rows: [], since: [] })
      // Not as statements before the others: a letter that is there already is no conflict.
      const statements = [...await deadLetters.statementsOf(letter, scope), ...settle(letter._id)]
      return work({ verdicts: [rejection(reason, null)], letter: letter._id }, [], statements)
    }
    const page = await pageOf(identity, scope)
    const known = pendingOf(page, [entry], policy)
    if (isSettled(known)) return work(known)
    const { transaction, fingerprints } = known.pending[0]!
    const position = transaction.operations.findIndex(({ index }) => index === reason.operation_index)
    if (position < 0 && reason.operation_index !== undefined) return work({ verdicts: [], page })
    const rows = marksOf(transaction, collections)
    const { transactions: [rest], since, settle } = await settlementsOf(known.pending, scope)
    const letter = deadLetters.letterOf({
      ...origin, transaction: rest!, sequence: page.content.sequence + 1, rows, since: since.values()
    })
    const rejected = { failed: fingerprints[position] ?? null, reason }
    const opened = { _id: letter._id, rows }
    const operations = fingerprintsOf(known.pending)
    const next = page.next({ operations, rejected, upload: () => uploadOf([entry]), opened })
    const result = { verdicts: [rejection(reason, rejected.failed)], page: next, letter: letter._id }
    const statements = [...await deadLetters.statementsOf(letter, scope), ...settle(letter._id)]
    return work(result, [ledger!.statement(identity, page, next)], statements)
  }

  /** One MongoDB transaction within the deadline, and what this process remembers of it. */
  async function run (
    identity: PageIdentity | undefined, transactions: number,
    prepare: (scope: TransactionScope) => Promise<Work<Settled>>
  ): Promise<Settled> {
    const isShared = transactions > 1
    const { signal, race, clear } = isShared ? limit.part() : limit
    let committing = false
    const forget = () => {
      committing = false
      if (identity) ledger?.forget(identity)
    }
    try {
      const result = await race(commit.run(prepare, caller, {
        signal,
        attempts: isShared ? groupAttempts : undefined,
        onRetry: forget,
        onCommit: () => {
          committing = true
          sent = Math.max(sent, results.length + transactions)
        }
      }))
      if (identity && result.page) ledger?.remember(identity, result.page)
      // The operations that an earlier commit left open are known by now.
      sent = 0
      return result
    } catch (error) {
      const isUnknown = committing && signal.aborted && !(error instanceof UnknownCommitError)
      forget()
      throw isUnknown ? new UnknownCommitError(error) : error
    } finally {
      if (isShared) clear()
    }
  }

  function failed (error: unknown, event: string, message: string): RetryableErrorResult {
    caller.log.error({ err: loggable(error) }, event)
    return sendAgain(message)
  }
}

const fingerprintsOf = (entries: readonly Entry[]): string[] =>
  entries.flatMap(({ fingerprints }) => fingerprints.filter(fingerprint => fingerprint !== undefined))

/** A group beside a page. */
interface Pending {
  page: Page
  /** The rest of its transactions, up to the first that was rejected before and stops the upload. */
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
    const open = fingerprints.map(fingerprint =>
      fingerprint === undefined || !(known.has(fingerprint) || seen.size === seen.add(fingerprint).size))
    const isOpen = (_: unknown, index: number) => open[index] as boolean
    const operations = transaction.operations.filter(isOpen)
    const isWhole = operations.length === open.length
    pending.push(isWhole
      ? entry
      : { transaction: { ...transaction, operations }, fingerprints: fingerprints.filter(isOpen) })
    const rejected = known.size
      ? fingerprints.map(fingerprint => known.get(fingerprint!)).find(verdict => typeof verdict === 'object')
      : undefined
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
      const own = touched.get(_id) ?? []
      own.push(plan)
      touched.set(_id, own)
    }
  }
  return touched
}

/** The kind of an operation's id: never the id itself, which may be a user's data. */
function idKind (id: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return 'a UUID'
  if (/^[0-9a-f]{24}$/i.test(id)) return 'an ObjectId'
  return /^-?\d+$/.test(id) ? 'an integer' : `text of ${id.length} characters`
}

const notStored = 'The server could not store the transaction: send it again'

const sendAgain = (message: string): RetryableErrorResult =>
  ({ status: 'retryable_error', message, retry_after_ms: retryAfter })

const rejection = (reason: FailedOperation, failed: string | null): Rejection => ({ number: 0, failed, reason })

/** The same answer each time; the position of the failed operation is that in this upload, if it is in it. */
function resultOf (verdict: Verdict, { transaction, fingerprints }: Entry): TransactionResult {
  if (verdict === 'applied') return { status: 'success' }
  const { failed, reason } = verdict
  if (failed === null) return fatalError(reason)
  const { operation_index: _, ...rest } = reason
  const operation = transaction.operations[fingerprints.indexOf(failed)]
  return fatalError({ ...rest, ...operation && { operation_index: operation.index } })
}

export const fatalError = (failed: FailedOperation): FatalErrorResult =>
  ({ status: 'fatal_error', requires_client_handling: false, failed_operation: failed })
