/** Codes of a rejected operation; the first four are those of PowerSync's reference write API. */
export type OperationErrorCode =
  | 'INVALID_DATA'
  | 'SCHEMA_MISMATCH'
  | 'UNAUTHORIZED'
  | 'DOCUMENT_VALIDATION_FAILURE'
  | 'DUPLICATE_KEY'
  | (string & {})

/** Which operation made its transaction fail, and why. */
export interface FailedOperation {
  error_code: OperationErrorCode
  /** One sentence; never holds an uploaded value. */
  message: string
  /** Where in the data the fault is, for example `{ path: 'created_at' }`. */
  details?: Record<string, unknown> | undefined
  /** Position in the client transaction, from 0; absent when no single operation is at fault. */
  operation_index?: number | undefined
}

/** Every operation is committed with `w: "majority"`. */
export interface SuccessResult { status: 'success' }

/** None of the operations is stored, and they never will be: they stand in a dead letter. */
export interface FatalErrorResult {
  status: 'fatal_error'
  /** True: it is in no dead letter, and stays with the client until that decides (`upload.requiresClientHandling`). */
  requires_client_handling: boolean
  failed_operation: FailedOperation
}

/** It is not known that the data are at fault: the client has to send the transaction again. */
export interface RetryableErrorResult {
  status: 'retryable_error'
  /** The client's schema version is older than the server takes: its app has to be updated. */
  error_code?: 'UPDATE_NEEDED'
  message: string
  /** Milliseconds to wait before the next try. */
  retry_after_ms: number
}

/** An earlier transaction of the same upload has to be sent again first. */
export interface NotAttemptedResult { status: 'not_attempted' }

/** The outcome of one client transaction: the vocabulary of PowerSync's reference write API. */
export type TransactionResult = SuccessResult | FatalErrorResult | RetryableErrorResult | NotAttemptedResult
