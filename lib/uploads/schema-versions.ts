import type { FastifyBaseLogger } from 'fastify'
import type { CrudTransaction, TransactionResult } from '../../types/index.js'
import type { Migrations } from '../rules/migrations.js'

/** The wait that a client is asked for, in ms; the SDKs wait 5 s of their own accord. */
export const retryAfter = 5000

/** Results of an upload that is older than this server lifts, or of a client that is ahead of it: its queue waits. */
export function refusalOf (
  transactions: readonly CrudTransaction[], { takes, oldest, current }: Migrations, log: FastifyBaseLogger
): TransactionResult[] | undefined {
  const version = transactions.find(({ schemaVersion = current }) => !takes(schemaVersion))?.schemaVersion
  if (version === undefined) return undefined
  log.warn({ version, oldest, current }, 'an upload of another schema version waits')
  const range = `it is of schema version ${version}, and the server takes ${oldest} to ${current}`
  const first: TransactionResult = {
    status: 'retryable_error',
    ...version < oldest
      ? { error_code: 'UPDATE_NEEDED', message: `Update the app: ${range}` }
      : { message: `Send the upload again when the server is updated: ${range}` },
    retry_after_ms: retryAfter
  }
  return transactions.map((_, position) => position === 0 ? first : { status: 'not_attempted' })
}
