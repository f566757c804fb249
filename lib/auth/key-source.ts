import { once } from 'node:events'
import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet, type JWK } from 'jose'
import type { GetJwks } from '../../types/index.js'

/** The keys of an issuer cannot be fetched or used. The message is for the log: the cause and the remedy. */
export class KeySourceError extends Error {
  override readonly name = 'KeySourceError'
}

/** Times in milliseconds, as in `JwtIssuersOptions`. Without `jwksUri`, the issuer's OpenID configuration has it. */
interface KeySourceOptions { jwksUri: string | undefined, maxAge: number, cooldown: number, timeout: number }

/** The header of a token. */
export interface KeyHeader { alg: string, kid: string | undefined }

/**
 * Finds the key of a token; null if the issuer has none.
 * @throws {KeySourceError} if that is unknown at the moment
 */
type FindKey = (header: KeyHeader) => Promise<CryptoKey | null>

/** Milliseconds before a failed fetch is repeated. */
const retryAfter = 5000
/** Milliseconds that known keys count while the issuer cannot be reached, as in the PowerSync Service. */
const maxStale = 3_600_000
/** Bytes of an answer. The largest key sets, those with certificates, are a few dozen kilobytes. */
const maxBytes = 1024 * 1024
/** Unknown kids in a cooldown that the host's `getJwk` is asked for: each may be a request to the issuer. */
const maxLookups = 5

/**
 * Finds keys in the whole set of an issuer. It is fetched once at a time and at most once in `cooldown`, however many
 * kids are unknown, so that made-up kids neither reach the issuer nor keep a real one out.
 */
export function createKeySource (issuer: string, options: KeySourceOptions, now = Date.now): FindKey {
  const keys = remember(async () => {
    const signal = AbortSignal.timeout(options.timeout)
    const uri = options.jwksUri ?? await discover(issuer, signal)
    return keysOf(await getJson(uri, signal) as JSONWebKeySet, nameOf(uri))
  }, options, now)
  return async header => await (await keys.current())(header) ?? (await keys.refresh())(header)
}

/**
 * Finds keys by the host's get-jwks, within the same bounds. It looks up one kid at a time: beyond `maxLookups`
 * unknown ones in a `cooldown`, the issuer's whole set decides.
 */
export function createHostKeySource (
  issuer: string, { getJwks, ...options }: KeySourceOptions & { getJwks: GetJwks }, now = Date.now
): FindKey {
  const whole = createKeySource(issuer, options, now)
  const known = new Map<string, ReturnType<typeof remember<FindKey | null>>>()
  let [lookups, since] = [0, -Infinity]

  return async header => {
    const name = JSON.stringify([header.alg, header.kid])
    let key = known.get(name)
    if (!key) {
      if (now() - since >= options.cooldown) [lookups, since] = [0, now()]
      lookups += 1
      if (lookups > maxLookups) return whole(header)
      key = remember(() => askHost(getJwks, { domain: issuer, ...header }, options.timeout), options, now)
      // At once, so that one lookup is for all who ask meanwhile.
      known.set(name, key)
    }
    try {
      const find = await key.current()
      if (!find) known.delete(name)
      return find && await find(header)
    } catch (error) {
      known.delete(name)
      throw error
    }
  }
}

/** Keeps what is fetched for `maxAge`, and for `maxStale` if it cannot be fetched again. */
function remember<Value> (fetch: () => Promise<Value>, { maxAge, cooldown }: KeySourceOptions, now: () => number) {
  let kept: { value: Value, at: number } | undefined
  let failure: { error: unknown, at: number } | undefined
  let pending: Promise<Value> | undefined
  const isWithin = (age: number, { at }: { at: number }) => now() - at < age

  async function refresh (): Promise<Value> {
    if (kept && isWithin(cooldown, kept)) return kept.value
    if (failure && isWithin(retryAfter, failure)) throw failure.error
    pending ??= fetch().then(value => {
      [kept, failure] = [{ value, at: now() }, undefined]
      return value
    }, (error: unknown) => {
      failure = { error, at: now() }
      throw error
    }).finally(() => { pending = undefined })
    return pending
  }

  async function current (): Promise<Value> {
    if (kept && isWithin(maxAge, kept)) return kept.value
    return refresh().catch((error: unknown) => {
      if (kept && isWithin(maxStale, kept)) return kept.value
      throw error
    })
  }

  return { current, refresh }
}

/** The key that the host's get-jwks gives; null if the issuer has none under this kid. */
async function askHost (
  { getJwk }: GetJwks, signature: KeyHeader & { domain: string }, timeout: number
): Promise<FindKey | null> {
  const { domain } = signature
  const late = once(AbortSignal.timeout(timeout), 'abort')
    .then(() => { throw new KeySourceError(`getJwks did not give a key of ${domain} in time`) })
  try {
    // Async, since it may throw: without the race, the rejection of `late` would end the process.
    const jwk = await Promise.race([(async () => getJwk(signature))(), late])
    if (JSON.stringify(jwk).length > maxBytes) {
      throw new KeySourceError(`getJwks gave a key of ${domain} of more than ${maxBytes} bytes`)
    }
    return keysOf({ keys: [jwk as JWK] }, 'getJwks')
  } catch (error) {
    if (error instanceof KeySourceError) throw error
    // Its errors hold the issuer's whole answer.
    const { code, name, cause } = Object(error) as Error & { code?: string, cause?: { code?: string } }
    if (code === 'JWK_NOT_FOUND') return null
    const hint = code === 'DOMAIN_NOT_ALLOWED' ? ': add the issuer to its issuersWhitelist' : ''
    throw new KeySourceError(`getJwks cannot give keys of ${domain} (${code ?? cause?.code ?? name})${hint}`)
  }
}

/** Finds keys in a JWK Set (RFC 7517 §5). A token without `kid` is by its only key. */
function keysOf (set: JSONWebKeySet, name: string): FindKey {
  let find: ReturnType<typeof createLocalJWKSet>
  try {
    find = createLocalJWKSet(set)
  } catch {
    throw new KeySourceError(`${name} did not answer a key set: expected { "keys": [JWK…] } (RFC 7517)`)
  }
  const isOne = set.keys.length === 1
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

/** The `jwks_uri` of the issuer's configuration, which has to name the issuer (OpenID Connect Discovery 1.0 §4.3). */
async function discover (issuer: string, signal: AbortSignal): Promise<string> {
  const uri = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { issuer: own, jwks_uri: jwksUri } = Object(await getJson(uri, signal)) as Record<string, unknown>
  if (own !== issuer) {
    const fix = 'copy it into jwtIssuers exactly, or pass jwksUri'
    throw new KeySourceError(`${nameOf(uri)} is the configuration of another issuer, ${quote(own)}: ${fix}`)
  }
  const protocols = issuer.startsWith('https:') ? ['https:'] : ['https:', 'http:']
  if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri) || !protocols.includes(new URL(jwksUri).protocol)) {
    throw new KeySourceError(`${nameOf(uri)} has no jwks_uri that starts with https://: pass the issuer's jwksUri`)
  }
  return jwksUri
}

/** Quotes a stranger's text for the log, at most 200 characters of it. */
export const quote = (text: unknown) => JSON.stringify(String(text).slice(0, 200))

async function getJson (uri: string, signal: AbortSignal): Promise<unknown> {
  try {
    const response = await fetch(uri, { signal, redirect: 'manual', headers: { accept: 'application/json' } })
    if (response.status !== 200) {
      await response.body?.cancel()
      const hint = response.headers.has('location') ? ' (redirects are not followed)' : ''
      throw new KeySourceError(`${nameOf(uri)} answered ${response.status}: expected 200${hint}`)
    }
    const chunks: Uint8Array[] = []
    let bytes = 0
    // An answer of status 200 has a body, if only an empty one.
    for await (const chunk of response.body!) {
      bytes += chunk.length
      if (bytes > maxBytes) throw new KeySourceError(`${nameOf(uri)} answered more than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch (error) {
    if (error instanceof KeySourceError) throw error
    const { name, cause } = error as Error & { cause?: { code?: string } }
    const what = { SyntaxError: 'JSON', TimeoutError: 'in time' }[name]
    const problem = what ? `did not answer ${what}` : `cannot be reached (${cause?.code ?? name})`
    throw new KeySourceError(`${nameOf(uri)} ${problem}`)
  }
}

/** The URL without its query, which may hold an API key. */
function nameOf (uri: string): string {
  const { origin, pathname } = new URL(uri)
  return origin + pathname
}
