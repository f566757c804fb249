import type { RetryableErrorResult, TransactionResult } from '../../types/results.js'
import { callHook, ConnectorError } from './errors.js'
import type { ClientTransaction, ConnectorOptions, FatalDecision } from './types.js'

/**
 * Takes out of the upload queue what the server has settled, from its head up to the first transaction that has to
 * stay: completing one removes all before it, so nothing after a gap may go.
 *
 * @param results of the transactions, one each
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
  /** The last settled transaction that is still in the queue. */
  let settled: ClientTransaction | undefined
  let hookError: unknown
  const complete = async () => {
    await settled?.complete()
    settled = undefined
  }

  let afterRejected = false
  for (const [index, transaction] of transactions.entries()) {
    const result = results[index]!
    const isFatal = result.status === 'fatal_error'
    if (isFatal) {
      const { failed_operation: failedOperation, requires_client_handling: requiresClientHandling } = result
      if (requiresClientHandling) await complete() // The decision may take its time.
      let decision: FatalDecision | undefined | void
      let failure
      try {
        decision = await callHook('onFatal', () => onFatal?.({ transaction, failedOperation, requiresClientHandling }))
      } catch (error) {
        failure = error as ConnectorError
      }
      if (requiresClientHandling && decision !== 'discard') {
        const message = `onFatal did not discard a rejected transaction (${failedOperation.error_code})`
        throw new ConnectorError('PSM_REJECTED', message, { failedOperation, cause: failure?.cause })
      }
      hookError ??= failure
    } else if (result.status !== 'success') {
      // The server stops at a rejected transaction. That one is settled: the SDK sends the rest at once.
      if (result.status === 'not_attempted' && afterRejected) break
      await complete()
      const { error_code: tooOld, retry_after_ms: retryAfter } = result as Partial<RetryableErrorResult>
      if (!tooOld) throw new ConnectorError('PSM_RETRY', 'The server could not store a transaction now', { retryAfter })
      await callHook('onUpdateNeeded', () => onUpdateNeeded?.(version))
      throw new ConnectorError('PSM_UPDATE_NEEDED', `Schema version ${version} is too old`)
    }
    settled = transaction
    afterRejected = isFatal
  }
  await complete()
  if (hookError) throw hookError
}
