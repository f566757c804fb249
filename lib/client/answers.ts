/** The server's answers, checked before anything is done with them: what leaves the upload queue is gone. */
import type { FailedOperation, TransactionResult } from '../../types/results.js'
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
  if (!Array.isArray(results) || results.length !== transactions.length) return undefined
  const outcomes: Outcome[] = []
  for (const [index, transaction] of transactions.entries()) {
    const result: unknown = results[index]
    if (!isResult(result)) return undefined
    outcomes.push({ transaction, result })
  }
  return outcomes
}

/** The credentials in an answer of `/token`; undefined when the body is anything else. */
export function readCredentials (body: unknown): Credentials | undefined {
  if (!isObject(body)) return undefined
  const { token, powersync_url: endpoint, expires_at: end } = body
  if (!isText(token) || !isText(endpoint) || !isText(end)) return undefined
  const expiresAt = new Date(end)
  return Number.isNaN(expiresAt.getTime()) ? undefined : { endpoint, token, expiresAt }
}

function isResult (value: unknown): value is TransactionResult {
  if (!isObject(value)) return false
  switch (value['status']) {
    case 'success':
    case 'not_attempted': return true
    case 'fatal_error': return typeof value['requires_client_handling'] === 'boolean' && isFailedOperation(value['failed_operation'])
    case 'retryable_error': return typeof value['message'] === 'string' && typeof value['retry_after_ms'] === 'number'
    default: return false
  }
}

/** Its `details` and `operation_index` may come from the app's own hooks: a slip there must not block the queue. */
function isFailedOperation (value: unknown): value is FailedOperation {
  return isObject(value) && typeof value['error_code'] === 'string' && typeof value['message'] === 'string'
}

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
