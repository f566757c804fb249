import { tracingChannel } from 'node:diagnostics_channel'
import { performance } from 'node:perf_hooks'
import type { CrudTransaction, TransactionResult, UploadMessage, UploadSummary } from '../../types/index.js'
import type { Uploader } from '../uploads/uploader.js'
import type { SpanReport, Spans } from './spans.js'

const channel = tracingChannel<unknown, UploadMessage>('fastify-powersync-mongo.upload')

/** An uploader whose uploads are seen: each as one line of the log, one span, and the events of a diagnostics channel. */
export function observed (upload: Uploader, spans: Spans): Uploader {
  return async (transactions, caller, policy) => {
    const start = performance.now()
    const operations = operationsOf(transactions)
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

function operationsOf (transactions: CrudTransaction[]): number {
  let count = 0
  for (const { operations } of transactions) count += operations.length
  return count
}

const counters = { success: 'applied', fatal_error: 'rejected', retryable_error: 'retryable', not_attempted: 'notAttempted' } as const

function summaryOf (results: TransactionResult[], operations: number, milliseconds: number): UploadSummary {
  const summary: UploadSummary = {
    transactions: results.length, applied: 0, rejected: 0, retryable: 0, notAttempted: 0, operations, errorCodes: {}, milliseconds: Math.round(milliseconds * 10) / 10
  }
  const { errorCodes } = summary
  for (const result of results) {
    summary[counters[result.status]]++
    if (result.status !== 'fatal_error') continue
    const { error_code: code } = result.failed_operation
    errorCodes[code] = (errorCodes[code] ?? 0) + 1
  }
  return summary
}

/** Rejected data is the client's fault: only what has to be sent again fails the span. */
function reportOf ({ transactions, applied, rejected, retryable, notAttempted, operations, errorCodes }: UploadSummary): SpanReport {
  return {
    attributes: {
      'powersync.transactions': transactions,
      'powersync.transactions.applied': applied,
      'powersync.transactions.rejected': rejected,
      'powersync.transactions.retryable': retryable,
      'powersync.transactions.not_attempted': notAttempted,
      'powersync.operations': operations,
      'powersync.error_codes': Object.keys(errorCodes)
    },
    failed: retryable > 0
  }
}
