import { normalCredentials, readCredentials, readOutcomes, type Outcome } from './answers.js'
import { createCredentialsCache } from './credentials.js'
import { callHook, ConnectorError, type ConnectorErrorCode } from './errors.js'
import { claimQueue } from './owner.js'
import { nextTransactions, toWire, type Limits } from './queue.js'
import { requestJson, type JsonRequest } from './request.js'
import { settle } from './settle.js'
import { settled } from './settled.js'
import type { ClientDatabase, ClientTransaction, Connector, ConnectorOptions, Credentials, Fetch, RequestHeaders } from './types.js'

/** A slow connection, or a server or proxy that refuses a body before it has read all of it, which may reset the connection. */
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
  const { url, limits, timeout, uploadWith, fetch, signal } = readOptions(options)
  const credentials = createCredentialsCache(options.fetchCredentials ? fetchOwn : fetchToken)
  /** How many transactions go into one request: half as many when it does not get through, one more each time it does. */
  let batch = limits.transactions

  const send = (request: JsonRequest) => requestJson(request, { fetch, timeout, signal })
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
    await claimQueue(options.database, found?.token)
    return found
  }

  async function fetchOwn (): Promise<Credentials | null> {
    const given = await callHook('fetchCredentials', () => options.fetchCredentials!()) ?? null
    const found = given && normalCredentials(given)
    if (found === undefined) throw new ConnectorError('PSM_HOOK', 'fetchCredentials: expected { endpoint, token } as text, and expiresAt as a date')
    return found
  }

  async function fetchToken (headers: Record<string, string>): Promise<Credentials | null> {
    const request: JsonRequest = { method: 'GET', url: `${url}/token`, headers }
    const { ok, status, body } = await send(request)
    if (status === 401) return null
    if (!ok) throw statusError(request, status)
    const found = readCredentials(body)
    if (!found) throw answerError(request, status, '{ token, powersync_url, expires_at }')
    return found
  }

  async function uploadData (database: ClientDatabase): Promise<void> {
    const transactions = await nextTransactions(database, { ...limits, transactions: batch })
    if (transactions.length === 0) return
    const headers = await uploadHeaders()
    await claimQueue(database, headers['authorization'])
    const request = jsonRequest('POST', '/upload', headers, { client_id: await database.getClientId(), transactions: transactions.map(toWire) })
    let outcomes
    try {
      outcomes = await upload(request, transactions)
    } catch (error) {
      const { code, status } = error as ConnectorError
      if (perhapsTooLarge.includes(code) || perhapsTooLargeStatuses.includes(status!)) batch = Math.ceil(transactions.length / 2)
      if (code === 'PSM_TOO_LARGE' && transactions.length > 1) return uploadData(database)
      throw error
    }
    batch = Math.min(batch + 1, limits.transactions)
    await settle(outcomes, options)
  }

  async function upload (request: JsonRequest, transactions: ClientTransaction[]): Promise<Outcome[]> {
    const { ok, status, body } = await send(request)
    if (status === 401) credentials.clear()
    if (!ok) throw statusError(request, status)
    const outcomes = readOutcomes(body, transactions)
    if (!outcomes) throw answerError(request, status, `{ results } with one for each of ${transactions.length} transactions`)
    return outcomes
  }

  async function uploadHeaders (): Promise<Record<string, string>> {
    const headers = await appHeaders()
    if (uploadWith === 'headers') return headers
    const found = await credentials.get(headers)
    if (!found) throw new ConnectorError('PSM_UNAUTHORIZED', 'Nobody is signed in: there is no token to upload with')
    return { ...headers, authorization: `Bearer ${found.token}` }
  }

  async function postCheckpointRequest (clientId: string, requestId: string): Promise<string> {
    const request = jsonRequest('PUT', '/checkpoint', await uploadHeaders(), { client_id: clientId, checkpoint_request_id: requestId })
    const { ok, status, body } = await send(request)
    if (status === 401) credentials.clear()
    if (!ok) throw statusError(request, status)
    const { checkpoint_request_id: reached } = Object(body) as Record<string, unknown>
    if (typeof reached !== 'string') throw answerError(request, status, '{ checkpoint_request_id }')
    return reached
  }

  function jsonRequest (method: 'POST' | 'PUT', route: string, headers: Record<string, string>, body: object): JsonRequest {
    return { method, url: url + route, headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) }
  }
}

function readOptions ({ url, limits = {}, timeout = 30_000, uploadWith = 'token', fetch = platformFetch, signal }: ConnectorOptions) {
  const { transactions = 20, operations = 1000 } = limits
  check('url', typeof url === 'string' && url !== '', 'the URL of the server with the plugin\'s prefix')
  check('limits.transactions', isCount(transactions) && transactions <= mostTransactions, `a whole number from 1 to ${mostTransactions}`)
  check('limits.operations', isCount(operations), 'a whole number from 1')
  // What setTimeout takes: more would be none.
  check('timeout', timeout > 0 && timeout < 2 ** 31, 'milliseconds from 1 to 2 147 483 647')
  check('uploadWith', uploadWith === 'token' || uploadWith === 'headers', '\'token\' or \'headers\'')
  const checked: Limits = { transactions, operations }
  return { url: url.replace(/\/+$/, ''), limits: checked, timeout, uploadWith, fetch, signal }
}

function check (option: string, isRight: boolean, expected: string): void {
  if (!isRight) throw new ConnectorError('PSM_OPTION', `createConnector: option ${option}: expected ${expected}`)
}

/** Looked up with each call: a polyfill may come later. */
const platformFetch: Fetch = (url, init) => globalThis.fetch(url, init)

/** As an object with names in lower case, so that this connector's own headers take the place of the app's. */
function lowerCase (headers: RequestHeaders): Record<string, string> {
  const pairs = Symbol.iterator in headers ? Array.from(headers as Iterable<readonly [string, string]>) : Object.entries(headers)
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]))
}

function statusError ({ method, url }: JsonRequest, status: number): ConnectorError {
  const name = `${method} ${url}`
  switch (status) {
    case 401: return new ConnectorError('PSM_UNAUTHORIZED', `${name}: the server does not accept the credentials`, { status })
    case 413: return new ConnectorError('PSM_TOO_LARGE', `${name}: larger than the server, or a proxy before it, takes; see upload.bodyLimit and upload.maxOperations`, { status })
    default: return new ConnectorError('PSM_STATUS', `${name}: the server answered ${status}`, { status })
  }
}

function answerError ({ method, url }: JsonRequest, status: number, expected: string): ConnectorError {
  return new ConnectorError('PSM_ANSWER', `${method} ${url}: expected ${expected}, found something else`, { status })
}

const isCount = (value: number) => Number.isInteger(value) && value >= 1
