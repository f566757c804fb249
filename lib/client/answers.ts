/** The server's answers, checked before anything is done with them: what leaves the upload queue is gone. */
import type { TransactionResult } from '../../types/results.js'
import type { Credentials } from './types.js'

/** The result of each transaction in order. */
export function readResults (body: unknown, count: number): TransactionResult[] | undefined {
  const { results } = Object(body)
  return Array.isArray(results) && results.length === count && results.every(isResult) ? results : undefined
}

/** Other parts of `failed_operation` may come from the app's own hooks: a slip there must not block the queue. */
function isResult (value: unknown): value is TransactionResult {
  const { status, requires_client_handling: handling, failed_operation: failed, message, retry_after_ms: wait } =
    Object(value)
  return status === 'success' || status === 'not_attempted' ||
    (status === 'retryable_error' && typeof message === 'string' && typeof wait === 'number') ||
    (status === 'fatal_error' && typeof handling === 'boolean' &&
      [failed?.error_code, failed?.message].every(text => typeof text === 'string'))
}

/** The credentials in an answer of `/token`. */
export function readCredentials (body: unknown): Credentials | undefined {
  const { token, powersync_url: endpoint, expires_at: expiresAt } = Object(body)
  return isText(expiresAt) ? normalCredentials({ token, endpoint, expiresAt }) : undefined
}

/** Credentials whose end is a Date, in whatever form that came; undefined when something else came. */
export function normalCredentials (given: unknown): Credentials | undefined {
  const { endpoint, token, expiresAt: end } = Object(given)
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
  const { checkpoint_request_id: id } = Object(body)
  return isText(id) ? id : undefined
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
