import type { FailedOperation } from '../../types/results.js'

/** Why a call of the connector failed. */
export type ConnectorErrorCode =
  /** A mistake in the options of `createConnector`. */
  | 'PSM_OPTION'
  /** The server could not be reached. */
  | 'PSM_NETWORK'
  /** No answer within `timeout`. */
  | 'PSM_TIMEOUT'
  /** Ended by `signal`. */
  | 'PSM_ABORTED'
  /** The answer is not one of this plugin's: cut off, of another server, or of another version. */
  | 'PSM_ANSWER'
  /** Nobody is signed in. */
  | 'PSM_UNAUTHORIZED'
  /** The upload queue holds changes of another user than the one who is signed in. */
  | 'PSM_OTHER_USER'
  /** The server, or a proxy before it, redirects the request, which is not followed. */
  | 'PSM_REDIRECT'
  /** One transaction alone is larger than the server takes. */
  | 'PSM_TOO_LARGE'
  /** Any other status than 2xx. */
  | 'PSM_STATUS'
  /** The server could not store a transaction, and asks for it again. */
  | 'PSM_RETRY'
  /** The server no longer takes what this version of the app, or an earlier one, has queued. */
  | 'PSM_UPDATE_NEEDED'
  /** The server rejected a transaction and left it to `onFatal`, which did not discard it. */
  | 'PSM_REJECTED'
  /** A rejected change cannot be sent again from this device. */
  | 'PSM_RESEND'
  /** A function of the app's options failed; the error is the `cause`. */
  | 'PSM_HOOK'

/** What is known of a failed call beside its code. */
export interface ConnectorErrorDetails {
  /** HTTP status. */
  status?: number | undefined
  /** Milliseconds that the server asks to wait. The SDK waits its own `retryDelayMs`. */
  retryAfter?: number | undefined
  failedOperation?: FailedOperation | undefined
  cause?: unknown
}

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

/** Calls a function of the app's options. */
export async function callHook<Result> (name: string, hook: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await hook()
  } catch (cause) {
    throw new ConnectorError('PSM_HOOK', `${name} failed`, { cause })
  }
}
