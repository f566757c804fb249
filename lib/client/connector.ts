import { normalCredentials, readCheckpoint, readCredentials, readOutcomes } from './answers.js'
import { createCredentialsCache } from './credentials.js'
import { callHook, ConnectorError, type ConnectorErrorCode } from './errors.js'
import { claimQueue } from './owner.js'
import { nextTransactions, toWire } from './queue.js'
import { requestJson, type JsonRequest } from './request.js'
import { settle } from './settle.js'
import { settled } from './settled.js'
import type {
  ClientDatabase, ClientTransaction, Connector, ConnectorOptions, Credentials, Fetch, RequestHeaders
} from './types.js'

/**
 * A slow connection, or a server or proxy that refuses a body before it has read all of it, which may reset the
 * connection.
 */
const perhapsTooLarge: ConnectorErrorCode[] = ['PSM_TOO_LARGE', 'PSM_TIMEOUT', 'PSM_NETWORK']

/** The same, said by a proxy: forbidden, time-outs, and an upstream that closed. 524 is Cloudflare's. */
const perhapsTooLargeStatuses = [403, 408, 502, 504, 524]

/** The most that `/upload` takes in one request. */
const mostTransactions = 50

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
  const { url, limits, timeout, uploadWith, schemaVersion, fetch, signal } = readOptions(options)
  const credentials = createCredentialsCache(options.fetchCredentials ? fetchOwn : fetchToken)
  /**
   * How many transactions go into one request: half as many when it does not get through, one more each time it does.
   */
  let batch = limits.transactions

  const appHeaders = async () => lowerCase(await callHook('headers', () => options.headers?.()) ?? {})

  return {
    fetchCredentials,
    invalidateCredentials: () => credentials.clear(),
    uploadData,
    settled,
    // The SDK refuses it with managed checkpoints of the service.
    ...options.checkpoints && { postCheckpointRequest }
  }

  async function fetchCredentials (): Promise<Credentials | null> {
    const found = await credentials.get(await appHeaders())
    await claimQueue(options.database, found?.token, schemaVersion)
    return found
  }

  async function fetchOwn (): Promise<Credentials | null> {
    const given = await callHook('fetchCredentials', () => options.fetchCredentials!()) ?? null
    const found = given && normalCredentials(given)
    if (found === undefined) {
      throw new ConnectorError('PSM_HOOK', 'fetchCredentials: expected { endpoint, token, expiresAt }')
    }
    return found
  }

  async function fetchToken (headers: Record<string, string>): Promise<Credentials | null> {
    try {
      return await call(['GET', '/token'], headers, readCredentials)
    } catch (error) {
      if ((error as ConnectorError).code === 'PSM_UNAUTHORIZED') return null
      throw error
    }
  }

  async function uploadData (database: ClientDatabase): Promise<void> {
    const queued = await nextTransactions(database, { ...limits, transactions: batch })
    if (queued.length === 0) return
    const headers = await uploadHeaders()
    const versions = await claimQueue(database, headers['authorization'], schemaVersion)
    const sinceOf = ({ crud }: ClientTransaction) => versions.find(([, opId]) => opId <= crud[0]!.clientId)!
    const since = sinceOf(queued[0]!)
    // One request is of one version.
    const transactions = queued.filter(transaction => sinceOf(transaction) === since)
    const [version] = since
    const body = {
      client_id: await database.getClientId(),
      schema_version: version,
      transactions: transactions.map(toWire)
    }
    let outcomes
    try {
      outcomes = await call(['POST', '/upload'], headers, answer => readOutcomes(answer, transactions), body)
    } catch (error) {
      const { code, status } = error as ConnectorError
      if (perhapsTooLarge.includes(code) || perhapsTooLargeStatuses.includes(status!)) {
        batch = Math.ceil(transactions.length / 2)
      }
      if (code === 'PSM_TOO_LARGE' && transactions.length > 1) return uploadData(database)
      throw error
    }
    batch = Math.min(batch + 1, limits.transactions)
    await settle(outcomes, options, version)
  }

  async function uploadHeaders (): Promise<Record<string, string>> {
    const headers = await appHeaders()
    if (uploadWith === 'headers') return headers
    const found = await credentials.get(headers)
    if (!found) throw new ConnectorError('PSM_UNAUTHORIZED', 'Nobody is signed in')
    return { ...headers, authorization: `Bearer ${found.token}` }
  }

  async function postCheckpointRequest (clientId: string, requestId: string): Promise<string> {
    const body = { client_id: clientId, checkpoint_request_id: requestId }
    return await call(['PUT', '/checkpoint'], await uploadHeaders(), readCheckpoint, body)
  }

  /** Sends a request; what `read` finds in its answer, which is undefined for another server's. */
  async function call<Found> (
    route: Route,
    headers: Record<string, string>,
    read: (answer: unknown) => Found | undefined,
    body?: object
  ): Promise<Found> {
    const [method, path] = route
    const name = `${method} ${url}${path}`
    const request = {
      method,
      url: url + path,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      body
    }
    const { ok, status, body: answer } = await requestJson(request, { fetch, timeout, signal })
    if (status === 401) credentials.clear()
    if (!ok) throw statusError(name, status)
    const found = read(answer)
    if (found === undefined) {
      throw new ConnectorError('PSM_ANSWER', `${name}: not an answer of fastify-powersync-mongo`, { status })
    }
    return found
  }
}

type Route = [method: JsonRequest['method'], path: string]

function readOptions ({
  url,
  limits = {},
  timeout = 30_000,
  uploadWith = 'token',
  schemaVersion = 1,
  fetch = platformFetch,
  signal
}: ConnectorOptions) {
  const { transactions = 20, operations = 1000 } = limits
  check('url', typeof url === 'string' && url !== '', 'a URL')
  check(
    'limits.transactions',
    isCount(transactions) && transactions <= mostTransactions,
    `a whole number from 1 to ${mostTransactions}`
  )
  check('limits.operations', isCount(operations), 'a whole number from 1')
  check('schemaVersion', isCount(schemaVersion), 'a whole number from 1')
  // What setTimeout takes: more would be none.
  check('timeout', timeout > 0 && timeout < 2 ** 31, 'milliseconds')
  check('uploadWith', ['token', 'headers'].includes(uploadWith), '\'token\' or \'headers\'')
  return {
    url: url.replace(/\/+$/, ''),
    limits: { transactions, operations },
    timeout,
    uploadWith,
    schemaVersion,
    fetch,
    signal
  }
}

function check (option: string, isRight: boolean, expected: string): void {
  if (!isRight) throw new ConnectorError('PSM_OPTION', `createConnector: option ${option}: expected ${expected}`)
}

/** Looked up with each call: a polyfill may come later. */
const platformFetch: Fetch = (url, init) => globalThis.fetch(url, init)

/** As an object with names in lower case, so that this connector's own headers take the place of the app's. */
function lowerCase (headers: RequestHeaders): Record<string, string> {
  const pairs =
    Symbol.iterator in headers ? [...(headers as Iterable<readonly [string, string]>)] : Object.entries(headers)
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]))
}

function statusError (name: string, status: number): ConnectorError {
  const codes: Record<number, ConnectorErrorCode> = { 401: 'PSM_UNAUTHORIZED', 413: 'PSM_TOO_LARGE' }
  return new ConnectorError(
    codes[status] ?? 'PSM_STATUS',
    `${name}: the server answered ${status}${status === 413 ? ' (upload.bodyLimit)' : ''}`,
    { status }
  )
}

const isCount = (value: number) => Number.isInteger(value) && value >= 1
