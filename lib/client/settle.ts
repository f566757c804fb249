import type { FailedOperation, RetryableErrorResult } from '../../types/results.js'
import type { Outcome } from './answers.js'
import { callHook, ConnectorError } from './errors.js'
import type { ClientTransaction, ConnectorOptions } from './types.js'

export type SettleHooks = Pick<ConnectorOptions, 'onFatal' | 'onUpdateNeeded'>

/**
 * Takes out of the upload queue what the server has settled, from its head up to the first transaction that has to
 * stay: completing one removes all before it, so nothing after a gap may go.
 *
 * @param version of the app's schema that the transactions are of
 * @throws {ConnectorError} when something has to stay (`PSM_RETRY`, `PSM_UPDATE_NEEDED`, `PSM_REJECTED`), and
 *   `PSM_HOOK` when a hook that is only told failed, which changes nothing else. The SDK waits before it calls again.
 */
export async function settle (
  outcomes: Outcome[],
  { onFatal, onUpdateNeeded }: SettleHooks,
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
  for (const { transaction, result } of outcomes) {
    const isFatal = result.status === 'fatal_error'
    if (!isFatal && result.status !== 'success') {
      const { error_code: tooOld, retry_after_ms: retryAfter } = result as Partial<RetryableErrorResult>
      // The server stops at a rejected transaction. That one is settled: the SDK sends the rest at once.
      if (result.status === 'not_attempted' && afterRejected) break
      await complete()
      if (!tooOld) throw new ConnectorError('PSM_RETRY', 'The server could not store a transaction now', { retryAfter })
      await callHook('onUpdateNeeded', () => onUpdateNeeded?.(version))
      throw new ConnectorError('PSM_UPDATE_NEEDED', `Schema version ${version} is too old`)
    }
    if (isFatal) {
      const { failed_operation: failedOperation, requires_client_handling: requiresClientHandling } = result
      const ask = () => onFatal?.({ transaction, failedOperation, requiresClientHandling })
      if (requiresClientHandling) {
        await complete() // The decision may take its time.
        await decide(failedOperation, ask)
      } else await callHook('onFatal', ask).catch((error: unknown) => { hookError ??= error })
    }
    settled = transaction
    afterRejected = isFatal
  }
  await complete()
  if (hookError) throw hookError
}

/** @throws {ConnectorError} `PSM_REJECTED` unless the transaction is to be discarded */
async function decide (failedOperation: FailedOperation, ask: () => unknown): Promise<void> {
  let cause
  try {
    if (await ask() === 'discard') return
  } catch (error) {
    cause = error
  }
  throw new ConnectorError(
    'PSM_REJECTED',
    `onFatal did not discard a rejected transaction (${failedOperation.error_code})`,
    { failedOperation, cause }
  )
}
