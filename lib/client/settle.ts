import type { FatalErrorResult, RetryableErrorResult } from '../../types/results.js'
import type { Outcome } from './answers.js'
import { callHook, ConnectorError } from './errors.js'
import type { ClientTransaction, ConnectorOptions } from './types.js'

export type SettleHooks = Pick<ConnectorOptions, 'onFatal'>

/**
 * Takes out of the upload queue what the server has settled, from its head up to the first transaction that has to stay:
 * completing one removes all before it, so nothing after a gap may go.
 *
 * @throws {ConnectorError} when something has to stay (`PSM_RETRY`, `PSM_REJECTED`), and `PSM_HOOK` when a hook that is
 *   only told failed, which changes nothing else. The SDK then waits before it calls again.
 */
export async function settle (outcomes: Outcome[], { onFatal }: SettleHooks): Promise<void> {
  /** The last settled transaction that is still in the queue. */
  let settled: ClientTransaction | undefined
  let hookError: unknown
  const complete = async () => {
    await settled?.complete()
    settled = undefined
  }
  const tell = (name: string, hook: () => unknown) => callHook(name, hook).catch((error: unknown) => { hookError ??= error })

  let afterRejected = false
  for (const { transaction, result } of outcomes) {
    if (result.status === 'retryable_error' || result.status === 'not_attempted') {
      // The server stops at a rejected transaction. That one is settled: the SDK sends the rest at once.
      if (result.status === 'not_attempted' && afterRejected) break
      await complete()
      throw new ConnectorError('PSM_RETRY', 'The server could not store a transaction now: it is sent again', { retryAfter: (result as Partial<RetryableErrorResult>).retry_after_ms })
    }
    if (result.status === 'fatal_error' && result.requires_client_handling) {
      await complete() // The decision may take its time.
      await decide(transaction, result, onFatal)
    } else if (result.status === 'fatal_error') {
      await tell('onFatal', () => onFatal?.({ transaction, failedOperation: result.failed_operation, requiresClientHandling: false }))
    }
    settled = transaction
    afterRejected = result.status === 'fatal_error'
  }
  await complete()
  if (hookError) throw hookError
}

/** @throws {ConnectorError} `PSM_REJECTED` unless the transaction is to be discarded */
async function decide (transaction: ClientTransaction, { failed_operation: failedOperation }: FatalErrorResult, onFatal: SettleHooks['onFatal']): Promise<void> {
  let cause
  try {
    if (await onFatal?.({ transaction, failedOperation, requiresClientHandling: true }) === 'discard') return
  } catch (error) {
    cause = error
  }
  throw new ConnectorError('PSM_REJECTED', `The server rejected a transaction (${failedOperation.error_code}), and onFatal did not discard it: it is sent again`, { failedOperation, cause })
}
