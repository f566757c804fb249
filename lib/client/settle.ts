/** The answer to an upload, checked before anything is done with it: what leaves the upload queue is gone. */
import type { ClientTransaction, ConnectorOptions } from '../../types/client.js'
import type { RetryableErrorResult, TransactionResult } from '../../types/results.js'
import { callHook, ConnectorError } from './errors.js'

export function readResults (body: unknown, count: number): TransactionResult[] | undefined {
  const { results } = Object(body)
  return Array.isArray(results) && results.length === count && results.every(isResult) ? results : undefined
}

/** Other parts of `failed_operation` may come from the app's own hooks: a slip there must not block the queue. */
function isResult (value: unknown): value is TransactionResult {
  const { status, requires_client_handling: handling, failed_operation: failed, message, retry_after_ms: wait } =
    Object(value)
  return status === 'success' || status === 'not_attempted' ||
    (status === 'retryable_error' && typeof message === 'string' && typeof wait === 'number') ||
    (status === 'fatal_error' && typeof handling === 'boolean' &&
      [failed?.error_code, failed?.message].every(text => typeof text === 'string'))
}

/**
 * Takes out of the upload queue what the server has settled, up to the first transaction that has to stay: completing
 * one removes all before it, so nothing after a gap may go.
 *
 * @param version of the app's schema that the transactions are of
 * @throws {ConnectorError} when something has to stay (`PSM_RETRY`, `PSM_UPDATE_NEEDED`, `PSM_REJECTED`), and
 *   `PSM_HOOK` when a hook that is only told failed, which changes nothing else. The SDK waits before it calls again.
 */
export async function settle (
  transactions: ClientTransaction[],
  results: TransactionResult[],
  { onFatal, onUpdateNeeded }: ConnectorOptions,
  version: number
): Promise<void> {
  let settled: ClientTransaction | undefined
  let hookError: unknown
  for (const [index, transaction] of transactions.entries()) {
    const result = results[index]!
    if (result.status === 'fatal_error') {
      const { failed_operation: failedOperation, requires_client_handling: requiresClientHandling } = result
      if (requiresClientHandling) await settled?.complete() // The decision may take its time.
      const rejected = { transaction, failedOperation, requiresClientHandling }
      const decision = await callHook('onFatal', () => onFatal?.(rejected)).catch((error: ConnectorError) => error)
      const failure = decision instanceof ConnectorError ? decision : undefined
      if (requiresClientHandling && decision !== 'discard') {
        const message = `onFatal did not discard a rejected transaction (${failedOperation.error_code})`
        throw new ConnectorError('PSM_REJECTED', message, { failedOperation, cause: failure?.cause })
      }
      hookError ??= failure
    } else if (result.status !== 'success') {
      // The server stops at a rejected transaction. That one is settled: the SDK sends the rest at once.
      if (result.status === 'not_attempted' && results[index - 1]?.status === 'fatal_error') break
      await settled?.complete()
      const { error_code: tooOld, retry_after_ms: retryAfter } = result as Partial<RetryableErrorResult>
      if (!tooOld) throw new ConnectorError('PSM_RETRY', 'The server could not store a transaction now', { retryAfter })
      await callHook('onUpdateNeeded', () => onUpdateNeeded?.(version))
      throw new ConnectorError('PSM_UPDATE_NEEDED', `Schema version ${version} is too old`)
    }
    settled = transaction
  }
  await settled?.complete()
  if (hookError) throw hookError
}
