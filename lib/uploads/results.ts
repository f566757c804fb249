import type { FastifyBaseLogger } from 'fastify'
import type {
  CrudTransaction, FailedOperation, FatalErrorResult, RetryableErrorResult, TransactionResult
} from '../../types/index.js'
import type { Rejected } from '../rules/hooks.js'
import type { Migrations } from '../rules/migrations.js'

/** The wait that a client is asked for, in ms; the SDKs wait 5 s of their own accord. */
const retryAfter = 5000

export const sendAgain = (message: string): RetryableErrorResult =>
  ({ status: 'retryable_error', message, retry_after_ms: retryAfter })

export const fatalError = (failed: FailedOperation): FatalErrorResult =>
  ({ status: 'fatal_error', requires_client_handling: false, failed_operation: failed })

export function failedOperation ({ cause: { code, message, details, operationIndex } }: Rejected): FailedOperation {
  const json = details && jsonOf(details)
  return {
    error_code: code,
    message,
    ...json && { details: json },
    ...operationIndex !== undefined && { operation_index: operationIndex }
  }
}

/** What a hook gives as details, as JSON has it; without what JSON cannot hold, a row's bigints as numbers or text. */
function jsonOf (details: Record<string, unknown>): Record<string, unknown> | undefined {
  const plain = (_: string, value: unknown) => typeof value !== 'bigint'
    ? value
    : Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  try {
    return JSON.parse(JSON.stringify(details, plain))
  } catch {
    return undefined
  }
}

/** Results of an upload that is older than this server lifts, or of a client that is ahead of it: its queue waits. */
export function refusalOf (
  transactions: readonly CrudTransaction[], { takes, oldest, current }: Migrations, log: FastifyBaseLogger
): TransactionResult[] | undefined {
  const version = transactions.find(({ schemaVersion = current }) => !takes(schemaVersion))?.schemaVersion
  if (version === undefined) return undefined
  log.warn({ version, oldest, current }, 'an upload of another schema version waits')
  const range = `it is of schema version ${version}, and the server takes ${oldest} to ${current}`
  const first: TransactionResult = version < oldest
    ? { ...sendAgain(`Update the app: ${range}`), error_code: 'UPDATE_NEEDED' }
    : sendAgain(`Send the upload again when the server is updated: ${range}`)
  return transactions.map((_, position) => position === 0 ? first : { status: 'not_attempted' })
}
