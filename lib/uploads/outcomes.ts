import { tracingChannel } from 'node:diagnostics_channel'
import { performance } from 'node:perf_hooks'
import type {
  CrudTransaction, TransactionOutcome, TransactionResult, UploadMessage, UploadSummary, User
} from '../../types/index.js'
import { loggable } from '../observe/loggable.js'
import type { SpanReport, Spans } from '../observe/spans.js'
import { deepFreeze } from '../freeze.js'
import { tablesOf, type Caller, type CommitDependencies } from './commit.js'
import type { Deadline } from '../deadline.js'
import type { Uploader } from './uploader.js'

const channel = tracingChannel<unknown, UploadMessage>('fastify-powersync-mongo.upload')

/** An uploader that reports each upload: as one line of the log, one span, and the events of a diagnostics channel. */
export function observed (upload: Uploader, spans: Spans): Uploader {
  return async (transactions, caller, policy) => {
    const start = performance.now()
    const operations = transactions.reduce((count, each) => count + each.operations.length, 0)
    let results: TransactionResult[] = []
    const work = async () => {
      results = await upload(transactions, caller, policy)
      return summaryOf(results, operations, performance.now() - start)
    }
    const message: UploadMessage = { request: caller.request, transactions: transactions.length, operations }
    const summary = await channel.tracePromise(() => spans.run('powersync.upload', work, reportOf), message)
    caller.log.info(summary, 'upload finished')
    return results
  }
}

const counters = {
  success: 'applied', fatal_error: 'rejected', retryable_error: 'retryable', not_attempted: 'notAttempted'
} as const

function summaryOf (results: TransactionResult[], operations: number, time: number): UploadSummary {
  const milliseconds = Math.round(time * 10) / 10
  const counts = { transactions: results.length, applied: 0, rejected: 0, retryable: 0, notAttempted: 0 }
  const errorCodes: Record<string, number> = {}
  for (const result of results) {
    counts[counters[result.status]]++
    if (result.status !== 'fatal_error') continue
    const { error_code: code } = result.failed_operation
    errorCodes[code] = (errorCodes[code] ?? 0) + 1
  }
  return { ...counts, operations, errorCodes, milliseconds }
}

/** Rejected data is the client's fault: only what has to be sent again fails the span. */
function reportOf ({ transactions, applied, rejected, retryable, notAttempted, ...more }: UploadSummary): SpanReport {
  return {
    attributes: {
      'powersync.transactions': transactions,
      'powersync.transactions.applied': applied,
      'powersync.transactions.rejected': rejected,
      'powersync.transactions.retryable': retryable,
      'powersync.transactions.not_attempted': notAttempted,
      'powersync.operations': more.operations,
      'powersync.error_codes': Object.keys(more.errorCodes)
    },
    failed: retryable > 0
  }
}

/** Shows an outcome to the `onResult` hooks. What they do changes nothing of it. */
export async function runResultHooks (
  outcome: TransactionOutcome, caller: Caller, { collections, db }: CommitDependencies, limit: Deadline
): Promise<void> {
  for (const hook of collections.resultHooks(tablesOf([outcome.transaction]))) {
    deepFreeze(outcome)
    try {
      await limit.race(Promise.resolve(hook(outcome, { ...caller, db })))
    } catch (error) {
      caller.log.error({ err: loggable(error) }, 'onResult failed; the upload is not affected')
    }
  }
}

/** How often in a row the head of a client's upload queue could not be stored, as far as this process knows. */
export class BlockedQueues {
  /** In the order of their last failures. */
  readonly #failures = new Map<string, number>()

  /** @param limit queues that are remembered; the one with the oldest last failure is forgotten first */
  constructor (private readonly limit = 1000) {}

  /** Counts a failure that the client will retry. @returns how many there were in a row */
  failed (transaction: CrudTransaction, user: User): number {
    const key = keyOf(transaction, user)
    const count = (this.#failures.get(key) ?? 0) + 1
    this.#failures.delete(key)
    this.#failures.set(key, count)
    if (this.#failures.size > this.limit) this.#failures.delete(this.#failures.keys().next().value!)
    return count
  }

  /** Whether it has failed more than once in a row. */
  isFailing (transaction: CrudTransaction, user: User): boolean {
    return this.#failures.size > 0 && this.#failures.get(keyOf(transaction, user))! > 1
  }

  /** The transaction is settled: the queue moves on. */
  succeeded (transaction: CrudTransaction, user: User): void {
    if (this.#failures.size > 0) this.#failures.delete(keyOf(transaction, user))
  }
}

/** The first operation tells which transaction it is: a retry may carry more or fewer of those behind it. */
function keyOf ({ clientId, operations: [first] }: CrudTransaction, user: User): string {
  return JSON.stringify([user.id, clientId, first && (first.opId ?? [first.op, first.table, first.id])])
}
