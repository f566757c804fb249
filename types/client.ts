import type { FailedOperation } from './results.js'

/**
 * What the connector needs of PowerSync's types, by structure: `@powersync/common`, `/web`, `/node` and `/react-native`
 * of any version that has these members will do, and none has to be installed for this package's types to hold.
 */

/** One change in the client's upload queue: the SDK's `CrudEntry`. */
export interface ClientOperation {
  /** Position in the upload queue, `op_id` on the wire: unique in one client database. */
  clientId: number
  op: string
  table: string
  id: string
  opData?: Record<string, unknown> | undefined
  previousValues?: Record<string, unknown> | undefined
  metadata?: string | undefined
}

/** What one commit of the client's database changed: the SDK's `CrudTransaction`. */
export interface ClientTransaction {
  crud: ClientOperation[]
  transactionId?: number | undefined
  /** Removes it from the upload queue, and all before it. */
  complete: () => Promise<void>
}

/** The client's database: the SDK's `PowerSyncDatabase`. */
export interface ClientDatabase {
  /** Names this client database: the server's ledger is of user and client. */
  getClientId (): Promise<string>
  /** Not in older SDKs: those upload one transaction at a time. */
  getCrudTransactions?(): AsyncIterable<ClientTransaction>
  /** The head of the upload queue; null when it is empty. */
  getNextCrudTransaction (): Promise<ClientTransaction | null>
  /** The first row of a query. */
  getOptional? <Row> (sql: string, parameters?: unknown[]): Promise<Row | null>
  /** Runs one statement. */
  execute? (sql: string, parameters?: unknown[]): Promise<unknown>
  currentStatus?: { uploadError?: Error | undefined } | undefined
  /** Calls back when the status changes, until what it gives is called. */
  registerListener? (listener: { statusChanged: () => void }): () => void
  /** In SDKs with checkpoint requests: `@powersync/common` 2.2 and later. */
  requestCheckpoint?(): Promise<{
    /** Resolves when it came back. */ waitForSync(options?: { signal?: AbortSignal }): Promise<void>
  }>
}

/** What the SDK connects to the PowerSync Service with: its `PowerSyncCredentials`. */
export interface Credentials {
  /** URL of the PowerSync instance, without `/` at its end. */
  endpoint: string
  token: string
  expiresAt?: Date
}

/** The same as an app's own function gives them: the end also as text, or as Unix time in seconds or milliseconds. */
type GivenCredentials = Omit<Credentials, 'expiresAt'> & { expiresAt?: Date | string | number | null | undefined }

/** Names and values, as an object, as pairs, or as the platform's `Headers`. */
export type RequestHeaders = Record<string, string> | Iterable<readonly [name: string, value: string]>

/** The part of the platform's `fetch` that is used. */
export type Fetch = (url: string, init: {
  method: string
  headers: Record<string, string>
  body?: string
  redirect: 'manual'
  signal: AbortSignal
}) => Promise<FetchedAnswer>

/** The part of the platform's `Response` that is used. */
export interface FetchedAnswer {
  ok: boolean
  /** HTTP status. */
  status: number
  redirected?: boolean
  headers?: { /** A header's value. */ get (name: string): string | null }
  /** Rejects when the body is no JSON. */
  json (): Promise<unknown>
}

/** A transaction that the server rejected for good. */
export interface RejectedTransaction {
  transaction: ClientTransaction
  /** Which operation is at fault, and why. */
  failedOperation: FailedOperation
  /** True: the server kept nothing of it, so that `onFatal` decides. False: it stands in the server's dead letters. */
  requiresClientHandling: boolean
}

/** `discard` takes the transaction out of the queue, and its changes are lost; `retain` keeps it, to be sent again. */
export type FatalDecision = 'discard' | 'retain'

type MaybePromise<Value> = Value | Promise<Value>

/**
 * What `createConnector` takes: where the server is, how the app signs in, and what becomes of rejected transactions.
 */
export interface ConnectorOptions {
  /** Where the plugin is mounted: the server's URL with the plugin's `prefix`. */
  url: string
  /** What the app itself signs in with; asked before each request. Default: none. */
  headers?: (() => MaybePromise<RequestHeaders | undefined>) | undefined
  /** What uploads are sent with: a token from `/token` beside the headers (the default), or the headers alone. */
  uploadWith?: 'token' | 'headers' | undefined
  /** In place of `GET /token`, for an app that gets its tokens elsewhere; null when nobody is signed in. */
  fetchCredentials?: (() => MaybePromise<GivenCredentials | null | undefined>) | undefined
  /**
   * The client's database, so that it is marked as the user's own when the first token arrives, and not only at the
   * first upload.
   */
  database?: ClientDatabase | undefined
  /**
   * Version of the app's schema; raise it with each step that the server's `migrations` have. What an earlier version
   * queued before the app's first `connect()` of this one is sent as of that version. Default: 1.
   */
  schemaVersion?: number | undefined
  /**
   * Checkpoint requests go to the server's `PUT /checkpoint`: for an `updateBatch` that writes later. Default: to the
   * service.
   */
  checkpoints?: boolean | undefined
  /** Default: the platform's own. */
  fetch?: Fetch | undefined
  /** Milliseconds for one request. Default: 30 000. The server answers within its `upload.deadline`, 20 000. */
  timeout?: number | undefined
  /** Of one request. A transaction is never split: one that has more operations is sent alone. */
  limits?: {
    /** 1 to 50. Default: 20. */
    transactions?: number | undefined
    /** Default: 1 000. */
    operations?: number | undefined
  } | undefined
  /** Ends the request that is running, and refuses further ones, with `PSM_ABORTED`. */
  signal?: AbortSignal | undefined
  /**
   * Told about each rejected transaction before it leaves the queue. With `requiresClientHandling` it decides; without
   * decision, or when it fails, the transaction is retained.
   */
  onFatal?: ((rejected: RejectedTransaction) => MaybePromise<FatalDecision | undefined | void>) | undefined
  /**
   * Told at each try that the server no longer takes operations of a schema version: where it is that of
   * `schemaVersion`, ask the user to update the app. The queue waits.
   */
  onUpdateNeeded?: ((schemaVersion: number) => MaybePromise<unknown>) | undefined
}

/** A `PowerSyncBackendConnector`, for `database.connect(connector)`. */
export interface Connector {
  /** Credentials for the PowerSync Service; null when nobody is signed in. */
  fetchCredentials (): Promise<Credentials | null>
  /** Forgets the token. Call it when the user signs in or out. */
  invalidateCredentials (): void
  /** Sends the next transactions of the upload queue in one request. */
  uploadData (database: ClientDatabase): Promise<void>
  /** Only with the option `checkpoints`. */
  postCheckpointRequest?: (clientId: string, requestId: string) => Promise<string>
  /**
   * Waits until everything that is queued now has left the upload queue; with checkpoint requests (service 1.24 and the
   * JavaScript SDK 2.2, `connect(…, { checkpointMode: 'requests' })`) until the server's state with it has come back,
   * too.
   *
   * @returns what it waited for
   * @throws the error of an upload or a download that fails meanwhile; the SDK tries again, and so may the caller
   */
  settled (database: ClientDatabase, options?: { signal?: AbortSignal | undefined }): Promise<'uploaded' | 'synced'>
}

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
