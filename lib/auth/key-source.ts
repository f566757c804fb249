import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet } from 'jose'

/** The keys of an issuer cannot be had, or not be used: whose fault it is and what to do, for the log. */
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

/** What a token's header says of its key. */
export interface KeyHeader { alg: string, kid: string }

/**
 * The issuer's key for a token, null when it has none.
 * @throws {KeySourceError} when nobody can say at the moment
 */
export type FindKey = (header: KeyHeader) => Promise<CryptoKey | null>

/** A failed fetch is not tried again within this many milliseconds. */
const retryAfter = 5000
/** While the issuer cannot be reached, the keys it had go on counting for this many milliseconds: as in the PowerSync Service. */
const maxStale = 3_600_000
/** Largest answer in bytes. The largest key sets, those with certificates, are a few dozen kilobytes. */
const maxBytes = 1024 * 1024

/**
 * The keys that one issuer publishes. A whole set is fetched and kept: at most one fetch at a time, and at most one in
 * `cooldown`, however many kids are asked for, so that made-up kids neither reach the issuer nor keep a real one out.
 */
export function createKeySource (issuer: string, options: KeySourceOptions, now: () => number = Date.now): FindKey {
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

async function fetchKeySet (issuer: string, { jwksUri, timeout }: KeySourceOptions): Promise<FindKey> {
  const signal = AbortSignal.timeout(timeout)
  const uri = jwksUri ?? await discover(issuer, signal)
  const find = await readKeySet(uri, signal)
  return async ({ alg, kid }) => {
    try {
      return await find({ alg, kid })
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null
      throw new KeySourceError(`${nameOf(uri)} has no usable key under the kid of a token: ${(error as Error).message}`)
    }
  }
}

async function readKeySet (uri: string, signal: AbortSignal): Promise<ReturnType<typeof createLocalJWKSet>> {
  const body = await getJson(uri, signal)
  try {
    return createLocalJWKSet(body as JSONWebKeySet)
  } catch {
    throw new KeySourceError(`${nameOf(uri)} answered something that is not a key set: expected { "keys": [JWK…] } (RFC 7517)`)
  }
}

/** The issuer says its own name in its configuration: anything else is somebody else's (OpenID Connect Discovery 1.0 §4.3). */
async function discover (issuer: string, signal: AbortSignal): Promise<string> {
  const uri = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { issuer: own, jwks_uri: jwksUri } = Object(await getJson(uri, signal)) as Record<string, unknown>
  if (own !== issuer) throw new KeySourceError(`${nameOf(uri)} is the configuration of another issuer: write the issuer in jwtIssuers exactly as it stands there, or pass its jwksUri`)
  const protocols = issuer.startsWith('https:') ? ['https:'] : ['https:', 'http:']
  if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri) || !protocols.includes(new URL(jwksUri).protocol)) {
    throw new KeySourceError(`${nameOf(uri)} has no jwks_uri that starts with https://: pass the issuer's jwksUri`)
  }
  return jwksUri
}

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
