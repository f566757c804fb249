import { ConnectorError } from './errors.js'
import type { ClientDatabase } from './types.js'

/** See `Connector.settled`. */
export async function settled (
  database: ClientDatabase,
  { signal }: { signal?: AbortSignal | undefined } = {}
): Promise<'uploaded' | 'synced'> {
  await uploaded(database, signal)
  let request
  try {
    request = await database.requestCheckpoint?.()
  } catch (error) {
    // Of a connection in legacy mode; it has no code of its own.
    if (!/legacy checkpoint mode/.test((error as Error).message)) throw error
  }
  if (!request) return 'uploaded'
  await request.waitForSync({ ...signal && { signal } })
  return 'synced'
}

/** The queue may be another tab's to upload: the SDK tells all of them of its status. */
async function uploaded (database: ClientDatabase, signal: AbortSignal | undefined): Promise<void> {
  const queue = async () =>
    (await database.getOptional!<{ first: number | null, last: number }>(
      'SELECT min(id) AS first, max(id) AS last FROM ps_crud'
    ))!
  const uploadError = () => database.currentStatus?.uploadError
  const { last } = await queue()
  const before = uploadError()
  let stop = () => {}
  await new Promise<void>((resolve, reject) => {
    const abort = () => reject(new ConnectorError('PSM_ABORTED', 'settled: ended by its signal'))
    const look = async () => {
      const { first } = await queue()
      const error = uploadError()
      if (!first || first > last) resolve()
      else if (error && error !== before) reject(error)
    }
    const statusChanged = () => { look().catch(reject) }
    const dispose = database.registerListener!({ statusChanged })
    signal?.addEventListener('abort', abort)
    stop = () => {
      dispose()
      signal?.removeEventListener('abort', abort)
    }
    if (signal?.aborted) abort()
    else statusChanged()
  }).finally(() => stop())
}
