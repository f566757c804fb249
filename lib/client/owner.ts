import { readClaims } from './claims.js'
import { ConnectorError } from './errors.js'
import type { ClientDatabase } from './types.js'

/** In the SDK's own table of keys and values, which `disconnectAndClear()` empties. */
const key = 'fastify-powersync-mongo:user'

/**
 * Marks the database as that of the token's user. An empty upload queue can change hands; a token without `sub`, or one
 * that is not a JWT, says nothing.
 * @throws {ConnectorError} `PSM_OTHER_USER` if the queue holds changes of another user
 */
export async function claimQueue (database: ClientDatabase | undefined, token: string | undefined): Promise<void> {
  const { sub } = readClaims(token)
  if (typeof sub !== 'string' || !database?.getOptional || !database.execute) return
  const marked = await database.getOptional<{ value: string }>('SELECT value FROM ps_kv WHERE key = ?', [key])
  if (marked?.value === sub) return
  if (marked && await database.getNextCrudTransaction()) {
    throw new ConnectorError('PSM_OTHER_USER', 'The upload queue holds changes of another user: sign that user in again, or drop them by disconnectAndClear()')
  }
  await database.execute('INSERT OR REPLACE INTO ps_kv (key, value) VALUES (?, ?)', [key, sub])
}
