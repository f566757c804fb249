import { readClaims } from './claims.js'
import { ConnectorError } from './errors.js'
import type { ClientDatabase } from './types.js'

/** In the SDK's own table of keys and values, which `disconnectAndClear()` empties. */
const key = 'fastify-powersync-mongo'

const query = 'SELECT (SELECT value FROM ps_kv WHERE key = ?) AS mark, (SELECT max(id) FROM ps_crud) AS last'

/** Which version of the app's schema wrote the operations of the upload queue from an `op_id` on. */
export type Since = [version: number, opId: number]

interface Mark {
  user?: string | undefined
  /** The latest first. */
  versions?: Since[]
}

/**
 * Marks the database as that of the token's user, and what is queued as written by this version of the app's schema, or
 * by the versions that marked it before. An empty upload queue can change hands; a token without `sub`, or one that is
 * not a JWT, says nothing.
 *
 * @returns the versions of what is queued, the latest first
 * @throws {ConnectorError} `PSM_OTHER_USER` if the queue holds changes of another user
 */
export async function claimQueue (
  database: ClientDatabase | undefined,
  token: string | undefined,
  version: number
): Promise<Since[]> {
  let versions: Since[] = [[version, 0]]
  if (!database?.execute) return versions
  const { mark, last } = (await database.getOptional!<{ mark: string | null, last: number | null }>(query, [key]))!
  const before: Mark = JSON.parse(mark ?? '{}')
  const { sub } = readClaims(token)
  const user = typeof sub === 'string' ? sub : before.user
  if (last && before.versions) {
    if (before.user !== undefined && user !== before.user) {
      throw new ConnectorError(
        'PSM_OTHER_USER',
        'The upload queue holds another user\'s changes: sign that user in again, or call disconnectAndClear()'
      )
    }
    versions = before.versions[0]![0] === version ? before.versions : [[version, last + 1], ...before.versions]
  }
  const next = JSON.stringify({ user, versions } satisfies Mark)
  if (next !== mark) await database.execute('INSERT OR REPLACE INTO ps_kv (key, value) VALUES (?, ?)', [key, next])
  return versions
}
