/** The server's answers, checked before anything is done with them: what leaves the upload queue is gone. */
import type { TransactionResult } from '../../types/results.js'
import type { ClientTransaction, Credentials } from './types.js'

/** A transaction that was sent, and what came of it. */
export interface Outcome {
  transaction: ClientTransaction
  result: TransactionResult
}

type Fields = Record<string, unknown>

/** The outcome of each transaction in order; undefined when the body is anything else. */
export function readOutcomes (body: unknown, transactions: ClientTransaction[]): Outcome[] | undefined {
  const results = isObject(body) ? body['results'] : undefined
  if (!Array.isArray(results) || results.length !== transactions.length || !results.every(isResult)) return undefined
  return transactions.map((transaction, index) => ({ transaction, result: results[index]! }))
}

/** The credentials in an answer of `/token`; undefined when the body is anything else. */
export function readCredentials (body: unknown): Credentials | undefined {
  if (!isObject(body) || !isText(body['expires_at'])) return undefined
  return normalCredentials({ token: body['token'], endpoint: body['powersync_url'], expiresAt: body['expires_at'] })
}

/** Credentials whose end is a Date, in whatever form that came; undefined when something else came. */
export function normalCredentials (given: unknown): Credentials | undefined {
  if (!isObject(given)) return undefined
  const { endpoint, token, expiresAt: end } = given
  if (!isText(endpoint) || !isText(token)) return undefined
  const credentials = { endpoint: endpoint.replace(/\/+$/, ''), token }
  if (end === undefined || end === null) return credentials
  const expiresAt = toDate(end)
  return Number.isNaN(expiresAt.getTime()) ? undefined : { ...credentials, expiresAt }
}

/** A number below 10¹¹ is in seconds: in milliseconds it would be of 1973 or before. */
function toDate (end: unknown): Date {
  if (typeof end === 'number') return new Date(end < 1e11 ? end * 1000 : end)
  return new Date(isText(end) || end instanceof Date ? end : NaN)
}

/** The checkpoint in an answer of `/checkpoint`. */
export function readCheckpoint (body: unknown): string | undefined {
  return isObject(body) && isText(body['checkpoint_request_id']) ? body['checkpoint_request_id'] : undefined
}

/**
 * What is in `failed_operation` beside these may come from the app's own hooks: a slip there must not block the queue.
 */
function isResult (value: unknown): value is TransactionResult {
  if (!isObject(value)) return false
  const {
    status,
    requires_client_handling: handling,
    failed_operation: failed,
    message,
    retry_after_ms: retryAfter
  } = value
  return (
    status === 'success' ||
    status === 'not_attempted' ||
    (status === 'fatal_error' &&
      typeof handling === 'boolean' &&
      isObject(failed) &&
      isString(failed['error_code']) &&
      isString(failed['message'])) ||
    (status === 'retryable_error' && isString(message) && typeof retryAfter === 'number')
  )
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isString = (value: unknown): value is string => typeof value === 'string'
const isText = (value: unknown): value is string => isString(value) && value !== ''
