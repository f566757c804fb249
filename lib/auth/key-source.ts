import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet } from 'jose'
import type { GetJwks } from '../../types/index.js'

/** The keys of an issuer cannot be had, or not be used: at whose side the fault is and what to do, for the log. */
export class KeySourceError extends Error {
  override readonly name = 'KeySourceError'
}

export interface KeySourceOptions {
  /** Where the key set is; without it, the issuer's OpenID configuration says (OpenID Connect Discovery 1.0 §4). */
  jwksUri: string | undefined
  /** Milliseconds that a key set is used before it is fetched again. */
  maxAge: number
  /** Milliseconds after a fetch in which an unknown kid is unknown without another one. */
  cooldown: number
  /** Milliseconds that a fetch, discovery included, may take. */
  timeout: number
}

/** The key of a token, by its header. */
export interface KeyHeader { alg: string, kid: string | undefined }

/**
 * The issuer's key for a token, null when it has none.
 * @throws {KeySourceError} when nobody can say at the moment
 */
export type FindKey = (header: KeyHeader) => Promise<CryptoKey | null>

type Clock = () => number

/** A failed fetch is not tried again within this many milliseconds. */
const retryAfter = 5000
/** While the issuer cannot be reached, the keys it had go on counting for this many milliseconds: as in the PowerSync Service. */
const maxStale = 3_600_000
/** Largest answer in bytes. The largest key sets, those with certificates, are a few dozen kilobytes. */
const maxBytes = 1024 * 1024
/** Unknown kids that a host's `getJwk` is asked for in a cooldown: each may be a request to the issuer. */
const maxLookups = 5

/**
 * The keys that one issuer publishes. A whole set is fetched and kept: at most one fetch at a time, and at most one in
 * `cooldown`, however many kids are asked for, so that made-up kids neither reach the issuer nor keep a real one out.
 */
export function createKeySource (issuer: string, options: KeySourceOptions, now: Clock = Date.now): FindKey {
  let keys: FindKey | undefined
  let fetchedAt = -Infinity
  let failure: { error: unknown, at: number } | undefined
  let pending: Promise<FindKey> | undefined

  const age = () => now() - fetchedAt

  async function refresh (): Promise<FindKey> {
    if (keys && age() < options.cooldown) return keys
    if (failure && now() - failure.at < retryAfter) throw failure.error
    pending ??= fetchKeySet(issuer, options).then(find => {
      keys = find
      fetchedAt = now()
      failure = undefined
      return find
    }, (error: unknown) => {
      failure = { error, at: now() }
      throw error
    }).finally(() => { pending = undefined })
    return pending
  }

  async function current (): Promise<FindKey> {
    if (keys && age() < options.maxAge) return keys
    try {
      return await refresh()
    } catch (error) {
      if (keys && age() < maxStale) return keys
      throw error
    }
  }

  return async header => await (await current())(header) ?? (await refresh())(header)
}

/**
 * The keys that the host's get-jwks finds, within the bounds of `createKeySource`. It can only be asked for one kid, so
 * beyond `maxLookups` unknown ones in a `cooldown` the issuer's whole set decides: made-up kids keep no real one out.
 */
export function createHostKeySource (issuer: string, { getJwks, ...options }: KeySourceOptions & { getJwks: GetJwks }, now: Clock = Date.now): FindKey {
  const whole = createKeySource(issuer, options, now)
  const known = new Map<string, { find: FindKey, foundAt: number, askAt: number }>()
  let lookups = 0
  let since = -Infinity

  return async header => {
    const name = JSON.stringify([header.alg, header.kid])
    const entry = known.get(name)
    if (entry && now() < entry.askAt) return entry.find(header)
    if (!entry) {
      if (now() - since >= options.cooldown) [since, lookups] = [now(), 0]
      lookups += 1
      if (lookups > maxLookups) return whole(header)
    }
    try {
      const jwk = await askHost(getJwks, { domain: issuer, ...header }, options.timeout)
      if (jwk === null) {
        known.delete(name)
        return null
      }
      const find = keysOf({ keys: [jwk] }, 'getJwks')
      known.set(name, { find, foundAt: now(), askAt: now() + options.maxAge })
      return await find(header)
    } catch (error) {
      if (!entry || now() - entry.foundAt >= maxStale) throw error
      entry.askAt = now() + retryAfter
      return entry.find(header)
    }
  }
}

/** The key as the host's get-jwks gives it; null if the issuer has none under this kid. */
async function askHost (getJwks: GetJwks, signature: Parameters<GetJwks['getJwk']>[0], timeout: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new KeySourceError(`getJwks did not give a key of ${signature.domain} in time`)) }, timeout)
  })
  try {
    const jwk = await Promise.race([getJwks.getJwk(signature), late])
    if (JSON.stringify(jwk).length > maxBytes) throw new KeySourceError(`getJwks gave a key of ${signature.domain} of more than ${maxBytes} bytes`)
    return jwk
  } catch (error) {
    if (error instanceof KeySourceError) throw error
    // Its errors hold the issuer's whole answer.
    const { code, name, cause } = Object(error) as Error & { code?: string, cause?: { code?: string } }
    if (code === 'JWK_NOT_FOUND') return null
    const hint = code === 'DOMAIN_NOT_ALLOWED' ? ': add the issuer to its issuersWhitelist' : ''
    throw new KeySourceError(`getJwks cannot give keys of ${signature.domain} (${code ?? cause?.code ?? name})${hint}`)
  } finally {
    clearTimeout(timer)
  }
}

async function fetchKeySet (issuer: string, { jwksUri, timeout }: KeySourceOptions): Promise<FindKey> {
  const signal = AbortSignal.timeout(timeout)
  const uri = jwksUri ?? await discover(issuer, signal)
  return keysOf(await getJson(uri, signal), nameOf(uri))
}

/** Finds keys in a JWK Set (RFC 7517 §5). A token without `kid` is by its only key. */
function keysOf (body: unknown, name: string): FindKey {
  let find: ReturnType<typeof createLocalJWKSet>
  try {
    find = createLocalJWKSet(body as JSONWebKeySet)
  } catch {
    throw new KeySourceError(`${name} gave something that is not a key set: expected { "keys": [JWK…] } (RFC 7517)`)
  }
  const isOne = (body as JSONWebKeySet).keys.length === 1
  return async ({ alg, kid }) => {
    if (kid === undefined && !isOne) return null
    try {
      return await find({ alg, ...kid !== undefined && { kid } })
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null
      throw new KeySourceError(`${name} has no usable key under the kid of a token: ${(error as Error).message}`)
    }
  }
}

/** The issuer says its own name in its configuration: anything else is somebody else's (OpenID Connect Discovery 1.0 §4.3). */
async function discover (issuer: string, signal: AbortSignal): Promise<string> {
  const uri = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { issuer: own, jwks_uri: jwksUri } = Object(await getJson(uri, signal)) as Record<string, unknown>
  if (own !== issuer) throw new KeySourceError(`${nameOf(uri)} is the configuration of another issuer, ${quote(own)}: write the issuer in jwtIssuers exactly as it stands there, or pass its jwksUri`)
  const protocols = issuer.startsWith('https:') ? ['https:'] : ['https:', 'http:']
  if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri) || !protocols.includes(new URL(jwksUri).protocol)) {
    throw new KeySourceError(`${nameOf(uri)} has no jwks_uri that starts with https://: pass the issuer's jwksUri`)
  }
  return jwksUri
}

/** For the log: what strangers wrote, cut. */
export const quote = (text: unknown) => JSON.stringify(String(text).slice(0, 200))

async function getJson (uri: string, signal: AbortSignal): Promise<unknown> {
  try {
    const response = await fetch(uri, { signal, redirect: 'manual', headers: { accept: 'application/json' } })
    if (response.status !== 200) {
      await response.body?.cancel()
      throw new KeySourceError(`${nameOf(uri)} answered ${response.status}: expected 200${response.status >= 300 && response.status < 400 ? ' (redirects are not followed)' : ''}`)
    }
    return JSON.parse(await readText(response, uri))
  } catch (error) {
    if (error instanceof KeySourceError) throw error
    if (error instanceof SyntaxError) throw new KeySourceError(`${nameOf(uri)} answered something that is not JSON`)
    const { name, cause } = error as Error & { cause?: { code?: string } }
    throw new KeySourceError(`${nameOf(uri)} ${name === 'TimeoutError' ? 'did not answer in time' : `cannot be reached (${cause?.code ?? name})`}`)
  }
}

async function readText (response: Response, uri: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // With the status 200 there is a body, be it an empty one.
  for await (const chunk of response.body!) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new KeySourceError(`${nameOf(uri)} answered more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** Without the query, which may hold a key of the provider's API. */
function nameOf (uri: string): string {
  const { origin, pathname } = new URL(uri)
  return origin + pathname
}
