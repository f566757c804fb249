import type { FastifyRequest } from 'fastify'

/** What became of one upload, in numbers: nothing of what was uploaded, and no ids. */
export interface UploadSummary {
  /** Client transactions of the upload: the sum of the next four. */
  transactions: number
  /** Committed, now or by an earlier upload. */
  applied: number
  /** Failed for good. */
  rejected: number
  /** To be sent again. */
  retryable: number
  /** Behind one of those. */
  notAttempted: number
  /** Operations of all transactions. */
  operations: number
  /** Rejected transactions, by `error_code`. */
  errorCodes: Record<string, number>
  /** From the parsed upload to its results. */
  milliseconds: number
}

/**
 * The message of the tracing channel `fastify-powersync-mongo.upload` of `node:diagnostics_channel`: one object for all
 * events of an upload.
 */
export interface UploadMessage {
  /** Absent when the app itself called `fastify.powersync.upload`. */
  request: FastifyRequest | undefined
  /** Client transactions of the upload. */
  transactions: number
  /** Operations of all of them. */
  operations: number
  /** From `asyncStart` on. */
  result?: UploadSummary
  /** Only if the plugin itself failed: a fault of MongoDB or a hook is a result, `retryable`. */
  error?: unknown
}
