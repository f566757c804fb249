/** The client's upload queue: what is next, whose it is, and when it has been uploaded. */
import type { ClientDatabase, ClientTransaction } from '../../types/client.js'
import { ConnectorError } from './errors.js'

/** The oldest transactions in the upload queue, at least one if there is any, and whole ones only. */
export async function nextTransactions (
  database: ClientDatabase,
  limits: { transactions: number, operations: number }
): Promise<ClientTransaction[]> {
  // Undefined in older SDKs, and on React Native without a polyfill for Symbol.asyncIterator.
  const iterator = database.getCrudTransactions?.()[Symbol.asyncIterator]?.()
  if (!iterator) {
    const transaction = await database.getNextCrudTransaction()
    return transaction ? [transaction] : []
  }
  const transactions: ClientTransaction[] = []
  for (let operations = 0; transactions.length < limits.transactions;) {
    const { done, value } = await iterator.next() as IteratorResult<ClientTransaction>
    if (done) break
    operations += value.crud.length
    if (transactions.length > 0 && operations > limits.operations) break
    transactions.push(value)
  }
  return transactions
}

/** In the SDK's own table of keys and values, which `disconnectAndClear()` empties. */
const key = 'fastify-powersync-mongo'

/** Which version of the app's schema wrote the operations of the upload queue from an `op_id` on. */
type Since = [version: number, opId: number]

/**
 * Marks the database as a user's, and what is queued as of this version of the app's schema, or of those that marked it
 * before: these it returns, the latest first. An empty queue can change hands; an unknown user changes no mark.
 */
export async function claimQueue (
  database: ClientDatabase | undefined,
  findUser: () => Promise<string | undefined>,
  version: number
): Promise<Since[]> {
  let versions: Since[] = [[version, 0]]
  if (!database?.execute) return versions
  const { mark, last } = (await database.getOptional!<{ mark: string | null, last: number | null }>(
    'SELECT (SELECT value FROM ps_kv WHERE key = ?) AS mark, (SELECT max(id) FROM ps_crud) AS last', [key]
  ))!
  const before: { user?: string, versions?: Since[] } = JSON.parse(mark ?? '{}')
  const user = await findUser() ?? before.user
  if (last && before.versions) {
    if (before.user !== undefined && user !== before.user) {
      throw new ConnectorError(
        'PSM_OTHER_USER',
        'The upload queue holds another user\'s changes: sign that user in again, or call disconnectAndClear()'
      )
    }
    versions = before.versions[0]![0] === version ? before.versions : [[version, last + 1], ...before.versions]
  }
  const next = JSON.stringify({ user, versions })
  if (next !== mark) await database.execute('INSERT OR REPLACE INTO ps_kv (key, value) VALUES (?, ?)', [key, next])
  return versions
}

/** See `Connector.settled`. */
export async function settled (
  database: ClientDatabase,
  { signal }: { signal?: AbortSignal | undefined } = {}
): Promise<'uploaded' | 'synced'> {
  await uploaded(database, signal)
  const request = await database.requestCheckpoint?.().catch((error: Error) => {
    // Of a connection in legacy mode; it has no code of its own.
    if (!/legacy checkpoint mode/.test(error.message)) throw error
  })
  if (!request) return 'uploaded'
  await request.waitForSync({ ...signal && { signal } })
  return 'synced'
}

/** The queue may be another tab's to upload: the SDK tells all of them of its status. */
async function uploaded (database: ClientDatabase, signal: AbortSignal | undefined): Promise<void> {
  const queue = async () => (await database.getOptional!<{ first: number | null, last: number }>(
    'SELECT min(id) AS first, max(id) AS last FROM ps_crud'
  ))!
  const { last } = await queue()
  const before = database.currentStatus?.uploadError
  let stop!: () => void
  await new Promise<void>((resolve, reject) => {
    const abort = () => reject(new ConnectorError('PSM_ABORTED', 'settled: ended by its signal'))
    const look = async () => {
      const { first } = await queue()
      const error = database.currentStatus?.uploadError
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
