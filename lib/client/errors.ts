import type { ConnectorErrorCode, ConnectorErrorDetails } from '../../types/client.js'
import type { FailedOperation } from '../../types/results.js'

/**
 * Why a call of the connector failed. The SDK puts it into `SyncStatus` and calls again. Its message holds no token and
 * no row.
 */
export class ConnectorError extends Error {
  override readonly name = 'ConnectorError'
  declare readonly status: number | undefined
  declare readonly retryAfter: number | undefined
  declare readonly failedOperation: FailedOperation | undefined

  constructor (readonly code: ConnectorErrorCode, message: string, details?: ConnectorErrorDetails) {
    super(message, details)
    Object.assign(this, details)
  }
}

export async function callHook<Result> (name: string, hook: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await hook()
  } catch (cause) {
    throw new ConnectorError('PSM_HOOK', `${name} failed`, { cause })
  }
}
