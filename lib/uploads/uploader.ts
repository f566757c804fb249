import type {
  CrudTransaction, FailedOperation, RetryableErrorResult, Since, TransactionResult, UploadOptions
} from '../../types/index.js'
import { HookError } from '../errors.js'
import { loggable } from '../observe/loggable.js'
import { flat } from '../flat.js'
import { deepFreeze } from '../freeze.js'
import { createTurns } from '../turns.js'
import { Rejected } from '../rules/hooks.js'
import type { Plan } from '../rules/plan.js'
import type { UserCollections } from '../rules/registry.js'
import { fold, markOf, rowOfUploaded } from '../rules/since.js'
import type { DeadLetters } from '../store/dead-letters.js'
import { fingerprintOf } from '../store/fingerprint.js'
import type { Ledger, PageIdentity } from '../store/ledger.js'
import { Page, type OpenLetter, type Verdict } from '../store/page.js'
import type { Statement } from '../store/statements.js'
import { UnknownCommitError, type TransactionScope } from '../store/transaction.js'
import { createCommit, plansOf, tablesOf, type Attempt, type Caller, type CommitDependencies } from './commit.js'
import { DeadlineError, startDeadline, type Deadline } from '../deadline.js'
import { BlockedQueues, runResultHooks } from './outcomes.js'
import { failedOperation, fatalError, refusalOf, sendAgain } from './results.js'
import { settlementsIn, settles } from './settlements.js'

export interface UploadDependencies extends CommitDependencies {
  /** Absent if uploads are not deduplicated. */
  ledger: Ledger | undefined
  deadLetters: DeadLetters
  /** Milliseconds after which an upload is answered, whatever MongoDB or a hook is still waiting for. */
  deadline: number
}

interface UploadPolicy {
  /** Whether a rejected transaction stops those after it. */
  onRejection: 'stop' | 'skip'
  /** Whether a rejected transaction is left to the client instead of the dead letters. */
  requiresClientHandling?: UploadOptions['requiresClientHandling']
}

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

interface Settled {
  /** Of each transaction of the group, up to the first that was rejected before and stops the upload. */
  verdicts: Verdict[]
  page?: Page
  /** Id of the dead letter that it wrote. */
  letter?: string
}

interface Upload {
  entries: readonly Entry[]
  caller: Caller
  policy: UploadPolicy
  limit: Deadline
  commit: ReturnType<typeof createCommit>
  blockedQueues: BlockedQueues
}

export function createUploader (dependencies: UploadDependencies): Uploader {
  const { ledger, collections: { migrations } } = dependencies
  const commit = createCommit(dependencies)
  const blockedQueues = new BlockedQueues()

  return async (transactions, caller, policy) => {
    const limit = startDeadline(dependencies.deadline)
    const refusal = refusalOf(transactions, migrations, caller.log)
    const results = refusal ?? await settleAll(
      { entries: await entriesOf(transactions), caller, policy, limit, commit, blockedQueues }, dependencies)
    for (const [position, transaction] of transactions.entries()) {
      const result = results[position]!
      if (!refusal) countFailures(transaction, result, caller)
      await runResultHooks({ transaction, result }, caller, dependencies, limit)
    }
    limit.clear()
    return results
  }

  async function entriesOf (transactions: readonly CrudTransaction[]): Promise<Entry[]> {
    const turn = createTurns()
    const entries: Entry[] = []
    for (const { schemaVersion = migrations.current, ...uploaded } of transactions) {
      const fingerprints: Array<string | undefined> = []
      for (const operation of uploaded.operations) {
        fingerprints.push(ledger && uploaded.clientId !== undefined ? fingerprintOf(operation) : undefined)
        const others = turn()
        if (others) await others
      }
      // With its version, for a letter of it that is run again when the server has gone on.
      entries.push({ transaction: { ...uploaded, schemaVersion }, fingerprints })
    }
    return entries
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
  const { entries, caller, policy, limit, commit, blockedQueues } = upload
  const { ledger, deadLetters, collections, spans } = dependencies
  const results: TransactionResult[] = []
  /** Whether hooks may read what was written before them. */
  const hooksRead = collections.hasOperationHooks(new Set(collections.tables()))
  /** Of all operations. */
  let fingerprints: ReadonlySet<string> | undefined
  /** Transactions up to here are in a commit with an unknown outcome: none of them is reported as not attempted. */
  let sent = 0
  /** Client transactions that may share a commit: halved at a failure, one after a time-out, doubled at a success. */
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
  function nextGroup (): readonly Entry[] {
    const group = entries.slice(results.length, results.length + size)
    let operations = 0
    const end = group.findIndex((entry, index) => {
      operations += entry.transaction.operations.length
      if (index === 0) return false
      const isOther = entry.transaction.clientId !== group[0]!.transaction.clientId
      return isOther || operations > groupLimit || goesAlone(entry) || goesAlone(group[index - 1]!)
    })
    return end < 0 ? group : group.slice(0, end)
  }

  /**
   * A settled letter goes under the changes before it, not under those after it. What keeps failing may need all of the
   * deadline, of which a group takes a part. Hooks see what an `updateBatch` has written for the transactions before.
   */
  function goesAlone (entry: Entry): boolean {
    const { transaction } = entry
    return settlesLetter(entry) || blockedQueues.isFailing(transaction, caller.user) ||
      (hooksRead && collections.hasUpdateBatchHooks(tablesOf([transaction])))
  }

  function settlesLetter ({ transaction: { operations } }: Entry): boolean {
    return operations.some(operation => settles(operation, dependencies))
  }

  async function settle (group: readonly Entry[]): Promise<void> {
    try {
      const { verdicts } = await apply(group)
      size = Math.min(2 * size, groupLimit)
      results.push(...verdicts.map((verdict, index) => resultOf(verdict, group[index]!)))
    } catch (error) {
      size = error instanceof DeadlineError ? 1 : Math.max(1, Math.min(group.length, size) >> 1)
      if (error instanceof Rejected) return await settleRejected(group, error)
      const isUnknown = error instanceof UnknownCommitError
      if (group.length > 1 && !isUnknown && !limit.signal.aborted) return
      const retryable = failed(error, 'upload failed and has to be sent again', notStored)
      // Nobody knows what became of a commit without an answer: none of them was not attempted.
      results.push(...isUnknown ? group.map(() => retryable) : [retryable])
    }
  }

  async function settleRejected (group: readonly Entry[], error: Rejected): Promise<void> {
    // Those before it are settled first. Then it begins the next group, whose hooks see the rows as they have become.
    if (error.transaction > 0) await settle(group.slice(0, error.transaction))
    else await reject(group[0]!, failedOperation(error))
  }

  async function apply (group: readonly Entry[]): Promise<Settled> {
    const identity = identify(group)
    const remembered = identity && ledger?.remembered(identity)
    const known = remembered && pendingOf(remembered, group, policy)
    if (known && isSettled(known)) return known
    const [first, second] = group as [Entry, ...Entry[]]
    if (!identity && !second && !settlesLetter(first)) {
      if (await limit.race(commit.alone(first.transaction, caller, limit.signal))) return { verdicts: ['applied'] }
    }
    return await run(identity, group.length, async ({ scope, ofUser, plan, write }) => {
      const page = await pageOf(identity, scope)
      const open = known?.page === page ? known : pendingOf(page, group, policy)
      if (isSettled(open)) return open
      const { transactions, since, settled, settle } = await settlementsOf(open.pending, scope)
      const planned = await plan(transactions, { since })
      const notesOf = noter(page, settled, ofUser, scope)
      const { closed } = await notesOf(plansOf(planned))
      const next = page.next({ operations: fingerprintsOf(open.pending), upload: uploaded, closed })
      const before = pageStatement(identity, page, next)
      const after = async (written: readonly Plan[]) => [...(await notesOf(written)).statements(), ...settle()]
      await write({ before, planned, since, after })
      return { verdicts: open.verdicts, page: next }
    })
  }

  /** Keeps a rejected transaction, and notes that its operations are settled: a commit like any other. */
  async function reject (entry: Entry, reason: FailedOperation): Promise<void> {
    const { transaction: { operations } } = entry
    const failedOn = operations.find(({ index }) => index === reason.operation_index)
    try {
      const ask = async () => policy.requiresClientHandling?.(reason, deepFreeze(entry.transaction), caller.user)
      const asked = await limit.race(ask()).catch(error => {
        throw new HookError({ hook: 'requiresClientHandling' }, 'failed', error)
      })
      if (asked) {
        results.push({ ...fatalError(reason), requires_client_handling: true })
        return
      }
      const identity = identify([entry])
      const { letter, verdicts: [verdict] } = await run(identity, 1, async ({ scope, write }) => {
        const page = await pageOf(identity, scope)
        const open = pendingOf(page, [entry], policy)
        const { transaction, fingerprints } = open.pending[0]!
        if (isSettled(open)) return open
        // A copy of the upload has settled the operation that failed: the transaction is looked at anew.
        if (failedOn && !transaction.operations.includes(failedOn)) return { verdicts: [], page }
        const { transactions: [rest], since, settle } = await settlementsOf(open.pending, scope)
        const known = transaction.operations.map(each => rowOfUploaded(each, collections))
        const rows = new Set(identity && known.filter(row => row !== undefined).map(markOf))
        const letter = deadLetters.letterOf({
          reason,
          user: caller.user,
          requestId: caller.request?.id,
          transaction: rest!,
          sequence: identity ? page.content.sequence + 1 : null,
          rows,
          since: since.values()
        })
        const rejected = { failed: fingerprints[transaction.operations.indexOf(failedOn!)] ?? null, reason }
        const next = page.next({
          operations: fingerprintsOf(open.pending), rejected, upload: uploaded, opened: { _id: letter._id, rows }
        })
        // The letter's behind the page's: a letter that is there already is no conflict.
        const after = [...await deadLetters.statementsOf(letter, scope), ...settle(letter._id)]
        await write({ before: pageStatement(identity, page, next), after: () => after })
        return { verdicts: [{ number: 0, ...rejected }], page: next, letter: letter._id }
      })
      if (verdict) results.push(resultOf(verdict, entry))
      if (letter === undefined) return
      // Any other name may be anything that a client has put there.
      const row = failedOn && collections.has(failedOn.table) && { table: failedOn.table, id: idKind(failedOn.id) }
      const { error_code: code, operation_index: operation } = reason
      caller.log.warn({ code, operation, ...row, operations: operations.length, letter },
        'upload rejected, kept as a dead letter')
    } catch (error) {
      results.push(failed(error, 'a rejected transaction could not be kept as a dead letter',
        'The server could not keep the rejected transaction: send it again'))
    }
  }

  /** One MongoDB transaction within the deadline, and what this process remembers of it. */
  async function run (
    identity: PageIdentity | undefined, transactions: number, work: (attempt: Attempt) => Promise<Settled>
  ): Promise<Settled> {
    const isShared = transactions > 1
    const { signal, race, clear } = isShared ? limit.part() : limit
    let committing = false
    const forget = () => {
      committing = false
      if (identity) ledger?.forget(identity)
    }
    const options = {
      signal,
      attempts: isShared ? groupAttempts : undefined,
      onRetry: forget,
      onCommit: () => {
        committing = true
        sent = Math.max(sent, results.length + transactions)
      }
    }
    try {
      const result = await race(commit.run(caller, options, work))
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

  /** The page of a group's client; undefined if none of its operations can be recognised. */
  function identify (group: readonly Entry[]): PageIdentity | undefined {
    if (fingerprintsOf(group).length === 0) return undefined
    return ledger?.identify(caller.user, group[0]!.transaction.clientId!)
  }

  async function pageOf (identity: PageIdentity | undefined, scope: TransactionScope): Promise<Page> {
    if (!identity) return new Page(Page.empty)
    const openLetters = () => deadLetters.openLetters(caller.user, identity.client_id, scope)
    return ledger!.remembered(identity) ??
      await spans.run('powersync.ledger', () => ledger!.read(identity, scope, openLetters))
  }

  function pageStatement (identity: PageIdentity | undefined, page: Page, next: Page): Statement[] {
    return identity ? [ledger!.statement(identity, page, next)] : []
  }

  /**
   * Notes plans on rows of open letters in the letters, folded; letters that are gone leave the page. What settles a
   * letter goes under the younger ones, as that letter itself.
   */
  function noter (
    { content: { letters: all } }: Page, settled: readonly string[], ofUser: UserCollections, scope: TransactionScope
  ) {
    const first = all.findIndex(({ _id }) => settled.includes(_id))
    const named = first < 0 ? all : all.slice(0, first)
    /** Those that were read; undefined: gone. */
    const letters = new Map<string, Since[] | undefined>()
    return async (plans: readonly Plan[]): Promise<{ statements: () => Statement[], closed: ReadonlySet<string> }> => {
      const large = named.filter(({ rows }) => !rows).map(({ _id }) => _id)
      const found = large.length ? await deadLetters.rowsAmong(plans.flatMap(marksOf), large, scope) : []
      const touched = touchedBy(plans, [...named, ...found])
      const unread = [...touched.keys()].filter(id => !letters.has(id))
      const read = unread.length ? await deadLetters.since(unread, scope) : undefined
      for (const id of unread) letters.set(id, read?.get(id))
      const statements = () => [...touched].flatMap(([id, own]) => {
        const before = letters.get(id)
        if (!before) return []
        const since = new Map(before.map(each => [each.row, each]))
        for (const plan of own) since.set(plan.row, fold(since.get(plan.row), plan, ofUser))
        return [deadLetters.sinceStatement(id, [...since.values()])]
      })
      const gone = large.filter(id => found.every(({ _id }) => _id !== id))
      return { statements, closed: new Set([...touched.keys()].filter(id => !letters.get(id)).concat(gone)) }
    }
  }

  function settlementsOf (group: readonly Entry[], scope: TransactionScope) {
    return settlementsIn(group.map(({ transaction }) => transaction), caller.user, dependencies, scope)
  }

  function uploaded (): ReadonlySet<string> {
    fingerprints ??= new Set(fingerprintsOf(entries))
    return fingerprints
  }

  function failed (error: unknown, event: string, message: string): RetryableErrorResult {
    caller.log.error({ err: loggable(error) }, event)
    return sendAgain(message)
  }
}

const fingerprintsOf = (entries: readonly Entry[]): string[] =>
  flat(entries.map(({ fingerprints }) => fingerprints)).filter(fingerprint => fingerprint !== undefined)

/** A group beside a page: the rest of its transactions, and the result once that is applied. */
interface Pending extends Settled { page: Page, pending: Entry[] }

function pendingOf (page: Page, group: readonly Entry[], { onRejection }: UploadPolicy): Pending {
  const pending: Entry[] = []
  const verdicts: Verdict[] = []
  const known = page.verdicts(flat(group.map(({ fingerprints }) => fingerprints)))
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
      ? fingerprints.map(each => known.get(each!)).find(verdict => typeof verdict === 'object')
      : undefined
    verdicts.push(rejected ?? 'applied')
    if (rejected && onRejection === 'stop') break
  }
  return { page, pending, verdicts }
}

const isSettled = ({ pending }: Pending) => pending.every(({ transaction }) => transaction.operations.length === 0)

/** Plans on rows of open letters, by letter: also those of operations that hooks moved to another row. */
function touchedBy (plans: readonly Plan[], letters: readonly OpenLetter[]): Map<string, Plan[]> {
  const marked = letters.length ? plans.map(plan => ({ plan, marks: marksOf(plan) })) : []
  const touched = letters.map(({ _id, rows }) =>
    [_id, marked.filter(({ marks }) => marks.some(mark => rows?.has(mark))).map(({ plan }) => plan)] as const)
  return new Map(touched.filter(([, own]) => own.length > 0))
}

const marksOf = ({ row, from }: Plan): string[] => [row, from].map(markOf)

/** The kind of an operation's id: never the id itself, which may be a user's data. */
function idKind (id: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return 'a UUID'
  if (/^[0-9a-f]{24}$/i.test(id)) return 'an ObjectId'
  return /^-?\d+$/.test(id) ? 'an integer' : `text of ${id.length} characters`
}

const notStored = 'The server could not store the transaction: send it again'

/** The same answer each time; the position of the failed operation is that in this upload, if it is in it. */
function resultOf (verdict: Verdict, { transaction, fingerprints }: Entry): TransactionResult {
  if (verdict === 'applied') return { status: 'success' }
  const { failed, reason } = verdict
  if (failed === null) return fatalError(reason)
  const { operation_index: _, ...rest } = reason
  const operation = transaction.operations[fingerprints.indexOf(failed)]
  return fatalError({ ...rest, ...operation && { operation_index: operation.index } })
}
