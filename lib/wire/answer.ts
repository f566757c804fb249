import type { TransactionResult } from '../../types/index.js'
import type { Container } from './read.js'

export interface Answer {
  status: 200 | 503
  headers: Record<string, string>
  body: { results: object[] }
}

/** The results of an upload as its client gets them. */
export function answerOf (results: TransactionResult[], container: Container): Answer {
  const status = container === 'transactions' || results.every(isSettled) ? 200 : 503
  return { status, headers: status === 503 ? { 'retry-after': '5' } : {}, body: { results: results.map(written) } }
}

/** Clients that send `batch` or `operations` look at the status alone: 2xx must mean that nothing is left to send. */
function isSettled (result: TransactionResult): boolean {
  return result.status === 'success' || (result.status === 'fatal_error' && !result.requires_client_handling)
}

/** PowerSync's reference connectors print the `message` of a result, of a rejected one as well. */
function written (result: TransactionResult): object {
  return result.status === 'fatal_error' ? { ...result, message: result.failed_operation.message } : result
}
