import type { CrudOperation, CrudTransaction, FailedOperation, FatalErrorResult, RetryableErrorResult, TransactionResult, UploadOptions } from '../../types/index.js'
import type { DeadLetters } from '../storage/dead-letters.js'
import { dataFault, loggable, type FaultRules } from '../storage/faults.js'
import { inTransaction } from '../storage/transaction.js'
import { apply, type ApplyDependencies, type Caller } from './apply.js'
import { createBlockedQueues } from './blocked-queues.js'
import { startDeadline, type Deadline } from './deadline.js'
import { runResultHooks } from './result-hooks.js'
import { failedOperation } from './write.js'

export interface UploadDependencies extends ApplyDependencies {
  deadLetters: DeadLetters
  /** Milliseconds after which an upload is answered, whatever MongoDB or a hook is still waiting for. */
  deadline: number
  onFault: 'transaction' | 'operation'
  faults: FaultRules
}

/** What depends on who sent an upload. */
export interface UploadPolicy {
  onFatalError: 'stop' | 'skip'
  /** Whether a rejected transaction is left to the client instead of the dead letters. */
  requiresClientHandling?: UploadOptions['requiresClientHandling']
}

/** Applies client transactions in order and says what became of each. */
export type Uploader = (transactions: CrudTransaction[], caller: Caller, policy: UploadPolicy) => Promise<TransactionResult[]>

/** What a client is asked to wait; the SDKs wait 5 s of their own accord. */
const retryAfter = 5000

/** Failures in a row of the head of a queue from which on it counts as blocked: a client sends it again every 5 s. */
const blockedAfter = 3

/** Operations up to which neighbouring client transactions share one MongoDB transaction. */
const groupLimit = 1000

export function createUploader (dependencies: UploadDependencies): Uploader {
  const { client, ledger, deadLetters, transactionOptions, onFault, faults, spans } = dependencies
  const blockedQueues = createBlockedQueues()

  return async (transactions, caller, policy) => {
    const limit = startDeadline(dependencies.deadline)
    const results: TransactionResult[] = []
    for (const group of groups(transactions)) {
      results.push(...await together(group, caller, limit) ?? await oneAfterTheOther(group, caller, limit, policy))
      if (stops(results.at(-1), policy)) break
    }
    while (results.length < transactions.length) results.push({ status: 'not_attempted' })
    await report(transactions, results, caller, limit)
    limit.clear()
    return results
  }

  /** All of a group in one MongoDB transaction; undefined when that failed, so that each has to be tried by itself. */
  async function together (group: CrudTransaction[], caller: Caller, limit: Deadline): Promise<TransactionResult[] | undefined> {
    if (group.length === 1) return undefined
    try {
      const { rejectedBefore } = await limit.race(apply(group, caller, dependencies, limit.signal))
      return rejectedBefore.size === 0 ? group.map(() => ({ status: 'success' })) : undefined
    } catch (error) {
      caller.log.debug({ err: loggable(error), transactions: group.length }, 'transactions that failed together are tried one after the other')
      return undefined
    }
  }

  async function oneAfterTheOther (group: CrudTransaction[], caller: Caller, limit: Deadline, policy: UploadPolicy): Promise<TransactionResult[]> {
    const results: TransactionResult[] = []
    for (const transaction of group) {
      results.push(await settle(transaction, caller, limit, policy))
      if (stops(results.at(-1), policy)) break
    }
    while (results.length < group.length) results.push({ status: 'not_attempted' })
    return results
  }

  async function settle (
    transaction: CrudTransaction, caller: Caller, limit: Deadline, policy: UploadPolicy, skipped: FailedOperation[] = []
  ): Promise<TransactionResult> {
    const outcome = await attempt(transaction, caller, limit)
    if ('status' in outcome) return skipped.length && outcome.status === 'success' ? { ...outcome, skipped_operations: skipped } : outcome
    const index = onFault === 'operation' ? outcome.operation_index : undefined
    const [bad, rest] = split(transaction, index)
    const result = await reject(bad, outcome, caller, limit, policy)
    if (index === undefined || result.status === 'retryable_error' || result.requires_client_handling) return result
    return await settle(rest, caller, limit, policy, [...skipped, outcome])
  }

  /** Its result, or the operation that will never be stored. */
  async function attempt (transaction: CrudTransaction, caller: Caller, limit: Deadline): Promise<TransactionResult | FailedOperation> {
    try {
      const { rejectedBefore } = await limit.race(apply([transaction], caller, dependencies, limit.signal))
      const letter = rejectedBefore.size ? await limit.race(deadLetters.of(transaction, caller.user)) : null
      return letter ? fatalError(letter.failed_operation) : { status: 'success' }
    } catch (error) {
      const fault = dataFault(error, faults)
      if (fault) return failedOperation(error, fault)
      return tryAgain(error, 'upload failed and has to be sent again', 'The server could not store the transaction: send it again', caller)
    }
  }

  /** Keeps a rejected transaction, and remembers that its operations are settled. */
  async function reject (
    transaction: CrudTransaction, failed: FailedOperation, caller: Caller, limit: Deadline, { requiresClientHandling }: UploadPolicy
  ): Promise<FatalErrorResult | RetryableErrorResult> {
    try {
      if (await limit.race(Promise.resolve(requiresClientHandling?.(failed, transaction, caller.user)))) {
        return { ...fatalError(failed), requires_client_handling: true }
      }
      await limit.race(spans.run('powersync.dead_letter', () => ledger && transaction.clientId !== undefined
        ? inTransaction(client, transactionOptions, limit.signal, async session => {
          const scope = { session, signal: limit.signal }
          const page = await ledger.open(caller.user, transaction.clientId, scope)
          page?.note(page.pending(transaction).operations, 'rejected')
          await page?.save(scope)
          await deadLetters.add(transaction, failed, caller.user, caller.request?.id, scope)
        }, spans)
        : deadLetters.add(transaction, failed, caller.user, caller.request?.id, { signal: limit.signal })))
    } catch (error) {
      return tryAgain(error, 'a rejected transaction could not be kept as a dead letter', 'The server could not keep the rejected transaction: send it again', caller)
    }
    caller.log.warn({ code: failed.error_code, operation: failed.operation_index, operations: transaction.operations.length }, 'upload rejected, kept as a dead letter')
    return fatalError(failed)
  }

  async function report (transactions: CrudTransaction[], results: TransactionResult[], caller: Caller, limit: Deadline): Promise<void> {
    for (const [position, transaction] of transactions.entries()) {
      const result = results[position] as TransactionResult
      countFailures(transaction, result, caller)
      await runResultHooks({ transaction, result }, caller, dependencies, limit)
    }
  }

  function countFailures (transaction: CrudTransaction, { status }: TransactionResult, { user, log }: Caller): void {
    if (status === 'not_attempted') return
    if (status !== 'retryable_error') return blockedQueues.succeeded(transaction, user)
    const failures = blockedQueues.failed(transaction, user)
    // The ledger's page of this client says whose it is.
    if (failures >= blockedAfter) log.error({ failures, client: transaction.clientId }, 'the head of an upload queue keeps failing, and everything behind it waits')
  }
}

function * groups (transactions: CrudTransaction[]): Generator<CrudTransaction[]> {
  let group: CrudTransaction[] = []
  let size = 0
  for (const transaction of transactions) {
    if (group.length > 0 && size + transaction.operations.length > groupLimit) {
      yield group
      group = []
      size = 0
    }
    group.push(transaction)
    size += transaction.operations.length
  }
  if (group.length > 0) yield group
}

function stops (result: TransactionResult | undefined, { onFatalError }: UploadPolicy): boolean {
  switch (result?.status) {
    case 'retryable_error':
    case 'not_attempted': return true
    case 'fatal_error': return onFatalError === 'stop' || result.requires_client_handling
    default: return false
  }
}

/** The operation at an index, as a transaction of its own, and the others; without an index, the whole and nothing. */
function split (transaction: CrudTransaction, index: number | undefined): [bad: CrudTransaction, rest: CrudTransaction] {
  const [bad, rest] = [[], []] as [CrudOperation[], CrudOperation[]]
  for (const operation of transaction.operations) (index === undefined || operation.index === index ? bad : rest).push(operation)
  return [{ ...transaction, operations: bad }, { ...transaction, operations: rest }]
}

function tryAgain (error: unknown, event: string, message: string, { log }: Caller): RetryableErrorResult {
  log.error({ err: loggable(error) }, event)
  return { status: 'retryable_error', message, retry_after_ms: retryAfter }
}

const fatalError = (failed: FailedOperation): FatalErrorResult =>
  ({ status: 'fatal_error', requires_client_handling: false, failed_operation: failed })
