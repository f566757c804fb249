import type {
  ClientDatabase, ClientTransaction, Connector, ConnectorOptions, Credentials, Fetch
} from '../../types/client.js'
import { createCredentialsCache, isText, normalCredentials, readCredentials, userOf } from './credentials.js'
import { callHook, ConnectorError } from './errors.js'
import { claimQueue, nextTransactions, settled } from './queue.js'
import { send } from './request.js'
import { readResults, settle } from './settle.js'

type Headers = Record<string, string>

/**
 * A `PowerSyncBackendConnector` for the routes of fastify-powersync-mongo: tokens from `GET /token`, uploads to
 * `POST /upload`. For `@powersync/web`, `/node` and `/react-native`.
 *
 * An upload sends whole client transactions, several in one request, with the client database's id, so that the server
 * applies each operation once however often it is sent. A transaction leaves the client's queue only when the server
 * says that it is stored, or kept as a dead letter, or when `onFatal` discards it.
 *
 * @throws {ConnectorError} `PSM_OPTION` for a mistake in the options. The connector's own functions throw
 *   `ConnectorError`s as well, upon which the SDK waits and calls again.
 * @example
 * await database.connect(createConnector({
 *   url: 'https://app.example.com/powersync',
 *   headers: () => ({ authorization: `Bearer ${session.accessToken}` })
 * }))
 */
export function createConnector (options: ConnectorOptions): Connector {
  // The platform's own fetch is looked up with each call: a polyfill may come later.
  const platformFetch: Fetch = (url, init) => globalThis.fetch(url, init)
  const { uploadWith = 'token', schemaVersion = 1, fetch = platformFetch, timeout = 30_000, signal } = options
  const { transactions: most = 20, operations = 1000 } = options.limits ?? {}
  checkNames(options)
  checkNames(options.limits, 'limits.')
  check('url', isText(options.url), 'a URL as text')
  check('headers', !options.headers || typeof options.headers === 'function', 'a function')
  check('limits.transactions', isCount(most) && most <= 50, 'a whole number from 1 to 50') // as many as /upload takes
  check('limits.operations', isCount(operations), 'a whole number from 1')
  check('schemaVersion', isCount(schemaVersion), 'a whole number from 1')
  // What setTimeout takes: more would be none.
  check('timeout', timeout > 0 && timeout < 2 ** 31, 'milliseconds')
  check('uploadWith', ['token', 'headers'].includes(uploadWith), "'token' or 'headers'")

  const server = { url: options.url.replace(/\/+$/, ''), fetch, timeout, signal }
  const credentials = createCredentialsCache(options.fetchCredentials ? fetchOwn : fetchToken)
  /** Transactions of one request: half as many when it does not get through, one more each time it does. */
  let batch = most

  return {
    fetchCredentials,
    invalidateCredentials: () => credentials.clear(),
    uploadData,
    settled,
    // The SDK refuses it with managed checkpoints of the service.
    ...options.checkpoints && { postCheckpointRequest }
  }

  async function fetchCredentials (): Promise<Credentials | null> {
    const headers = await appHeaders()
    const found = await credentials.get(headers)
    const sent = uploadWith === 'headers' ? userOf(headers['authorization']) : undefined
    await claimQueue(options.database, async () => sent ?? userOf(found?.token), schemaVersion)
    return found
  }

  async function fetchOwn (): Promise<Credentials | null> {
    const given = await callHook('fetchCredentials', () => options.fetchCredentials!()) || null
    const found = given && normalCredentials(given)
    if (found !== undefined) return found
    throw new ConnectorError('PSM_HOOK', 'fetchCredentials: expected { endpoint, token, expiresAt }')
  }

  function fetchToken (headers: Headers): Promise<Credentials | null> {
    return send('GET /token', { headers, read: readCredentials }, server).catch((error: ConnectorError) => {
      if (error.code === 'PSM_UNAUTHORIZED') return null
      throw error
    })
  }

  async function uploadData (database: ClientDatabase): Promise<void> {
    const queued = await nextTransactions(database, { transactions: batch, operations })
    if (queued.length === 0) return
    const headers = await uploadHeaders()
    const versions = await claimQueue(database, () => uploader(headers), schemaVersion)
    const sinceOf = ({ crud }: ClientTransaction) => versions.find(([, opId]) => opId <= crud[0]!.clientId)!
    const since = sinceOf(queued[0]!)
    // One request is of one version.
    const transactions = queued.filter(transaction => sinceOf(transaction) === since)
    const body = {
      client_id: await database.getClientId(),
      schema_version: since[0],
      // The SDK's operations know their form, and those of other makes have their names.
      transactions: transactions.map(({ transactionId, crud }) => ({ transaction_id: transactionId, crud }))
    }
    let results
    try {
      const read = (answer: unknown) => readResults(answer, transactions.length)
      results = await send('POST /upload', { headers, body, read }, server).catch(forget)
    } catch (error) {
      const { code } = error as ConnectorError
      // Perhaps it was too large: for a slow connection, or for a proxy, which may say so by any status, or by a page.
      if (code !== 'PSM_UNAUTHORIZED') batch = Math.ceil(transactions.length / 2)
      if (code === 'PSM_TOO_LARGE' && transactions.length > 1) return uploadData(database)
      throw error
    }
    batch = Math.min(batch + 1, most)
    await settle(transactions, results, options, since[0])
  }

  async function postCheckpointRequest (clientId: string, requestId: string): Promise<string> {
    const body = { client_id: clientId, checkpoint_request_id: requestId }
    const read = (answer: unknown) => [Object(answer).checkpoint_request_id].find(isText)
    return await send('PUT /checkpoint', { headers: await uploadHeaders(), body, read }, server).catch(forget)
  }

  /** Of the app, with names in lower case, so that this connector's own take their place. */
  function appHeaders (): Promise<Headers> {
    return callHook('headers', async () => {
      const headers = await options.headers?.() ?? {}
      const pairs = Symbol.iterator in headers ? [...headers as Iterable<[string, string]>] : Object.entries(headers)
      // fetch would send the text "undefined".
      const given = pairs.filter(([, value]) => value !== undefined && value !== null)
      return Object.fromEntries(given.map(([name, value]) => [name.toLowerCase(), value]))
    })
  }

  async function uploadHeaders (): Promise<Headers> {
    const headers = await appHeaders()
    if (uploadWith === 'headers') return headers
    const found = await credentials.get(headers)
    if (!found) throw new ConnectorError('PSM_UNAUTHORIZED', 'Nobody is signed in')
    return { ...headers, authorization: `Bearer ${found.token}` }
  }

  /** The user of an upload: by the JWT that it carries, or without one, as with a cookie, by that for the service. */
  async function uploader (headers: Headers): Promise<string | undefined> {
    const user = userOf(headers['authorization'])
    return uploadWith === 'token' ? user : user ?? userOf((await credentials.get(headers))?.token)
  }

  /** The token, when the server refused it. */
  function forget (error: ConnectorError): never {
    if (error.status === 401) credentials.clear()
    throw error
  }
}

/** A misspelt option would be lost: without `headers`, for example, nobody is signed in. */
function checkNames (given: object | undefined, path = ''): void {
  for (const name in given) check(path + name, names.includes(path + name), `one of ${names.join(', ')}`)
}

const names: string[] = [
  'url', 'headers', 'uploadWith', 'fetchCredentials', 'database', 'schemaVersion', 'checkpoints', 'fetch', 'timeout',
  'limits', 'signal', 'onFatal', 'onUpdateNeeded', 'limits.transactions', 'limits.operations'
] satisfies Array<keyof ConnectorOptions | `limits.${keyof NonNullable<ConnectorOptions['limits']>}`>

function check (option: string, isRight: boolean, expected: string): void {
  if (!isRight) throw new ConnectorError('PSM_OPTION', `createConnector: option ${option}: expected ${expected}`)
}

const isCount = (value: number) => Number.isInteger(value) && value >= 1
