/** What `createRejections` needs of the SDK's `PowerSyncDatabase`. */
export interface RejectionsDatabase {
  /** All rows of a query. */
  getAll <Row> (sql: string, parameters?: unknown[]): Promise<Row[]>
  /** Runs statements that are committed together, and uploaded together. */
  writeTransaction <Result> (work: (transaction: LocalTransaction) => Promise<Result>): Promise<Result>
  /** Calls back when a table has changed, until what it gives is called. */
  onChange (handler: { onChange: () => void }, options: { tables: string[] }): () => void
}

/** The part of the SDK's `Transaction` that is used. */
export interface LocalTransaction {
  /** Runs one statement. */
  execute (sql: string, parameters?: unknown[]): Promise<unknown>
  /** The first row of a query. */
  getOptional <Row> (sql: string, parameters?: unknown[]): Promise<Row | null>
}

/** An operation of a rejected client transaction, as it was uploaded. */
export interface RejectedOperation {
  op: 'PUT' | 'PATCH' | 'DELETE'
  table: string
  id: string
  /** Not of a DELETE. */
  data?: Record<string, unknown>
  metadata?: string
}

/** A client transaction that the server rejected, and keeps until it is discarded, corrected or retried. */
export interface Rejection {
  id: string
  createdAt: Date
  /** Why, as in `FailedOperation`. */
  code: string
  message: string
  /** Column that is at fault, where that is known. */
  path: string | null
  /** All of the transaction, which is stored as a whole or not at all; null if it is too large to be here. */
  operations: RejectedOperation[] | null
  /** The one of them that failed, where that is known. */
  failed: RejectedOperation | undefined
}

/** New values for columns of the operation that failed, undefined to leave one out; or all operations to write. */
export type Correction = Record<string, unknown> | ((operations: RejectedOperation[]) => RejectedOperation[])

/** `table`: the client's name of the mirror. Default: `rejections`. */
export interface RejectionsOptions { table?: string | undefined }

/** Reads and settles rejections. Both ways to settle one are ordinary local transactions: they work offline. */
export interface Rejections {
  /** The oldest first. */
  all (): Promise<Rejection[]>
  /** Calls back with all of them, at once and after each change, until what it gives is called. */
  watch (onChange: (rejections: Rejection[]) => void, onError?: (error: Error) => void): () => void
  /** Gives the change up. @returns false if the rejection is gone */
  discard (id: string): Promise<boolean>
  /**
   * Writes the change again, corrected, and settles the rejection in the same transaction.
   * @returns false if the rejection is gone
   * @throws {ConnectorError} `PSM_RESEND` if the change cannot be made on this device; nothing is written then
   */
  resend (id: string, correction?: Correction): Promise<boolean>
}
