import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type CryptoKey, type JWTVerifyOptions } from 'jose'
import type { FastifyRequest } from 'fastify'
import type { Authenticate, JwtIssuersOptions, TokenClaims, Identity } from '../../types/index.js'
import { AuthenticationUnavailableError } from '../errors.js'
import { bearerToken } from './authenticators.js'
import { readIssuers, type IssuerSettings } from './jwt-options.js'
import { createHostKeySource, createKeySource, KeySourceError, quote, type FindKey, type KeyHeader } from './key-source.js'

/**
 * Knows the bearer of a token that one of these identity providers signed: Auth0, Clerk, Cognito, Firebase, Keycloak,
 * Supabase and every other that publishes its keys as a JWK Set. A token counts if its issuer is one of `issuers`, its
 * signature is by the key of that issuer that it names (`kid`; it may be missing if the issuer has one key) with one of
 * `algorithms`, it is for `audience`, has `claims`, and has not expired. Any other is nobody's: null, so that `firstOf`
 * asks the next.
 *
 * The authenticator throws `FST_PSM_AUTHENTICATION_UNAVAILABLE` (503) when the issuer's keys cannot be fetched.
 *
 * @throws {OptionError} `FST_PSM_OPTION` for a mistake in the options
 * @example
 * jwtIssuers({ issuers: 'https://tenant.eu.auth0.com/', audience: 'https://api.example.com' })
 */
export function jwtIssuers (options: JwtIssuersOptions): Authenticate {
  const settings = readIssuers(options)
  const { getJwks, cache: { maxAge = 600, cooldown = 30 } = {}, timeout = 5000, token: tokenOf = bearerToken } = options
  const issuers = new Map(settings.map(settings => {
    const { issuer, jwksUri } = settings
    const fetching = { jwksUri, maxAge: maxAge * 1000, cooldown: Math.min(cooldown, maxAge) * 1000, timeout }
    return [issuer, { ...settings, findKey: getJwks ? createHostKeySource(issuer, { ...fetching, getJwks }) : createKeySource(issuer, fetching) }]
  }))

  return async request => {
    const token = tokenOf(request)
    if (!token) return null
    try {
      return await userOf(await verify(token, issuers, options), options, request)
    } catch (error) {
      if (error instanceof RefusedError) {
        request.log.info({ reason: error.message }, 'jwtIssuers refused a token')
        return null
      }
      if (error instanceof KeySourceError) {
        request.log.error({ reason: error.message }, 'jwtIssuers cannot verify tokens')
        throw new AuthenticationUnavailableError()
      }
      throw error
    }
  }
}

/** A token is nobody's. The message says why; of the token it holds nothing but `iss`. */
class RefusedError extends Error {}

type KnownIssuers = ReadonlyMap<string, IssuerSettings & { findKey: FindKey }>

async function verify (token: string, issuers: KnownIssuers, { algorithms = ['RS256', 'ES256', 'EdDSA'], clockTolerance = 60 }: JwtIssuersOptions): Promise<TokenClaims> {
  const { header, iss } = read(token)
  if (!(algorithms as readonly string[]).includes(header.alg)) throw new RefusedError('its alg is not one of algorithms')
  // Before anything is fetched: a token never says where keys come from.
  const issuer = issuers.get(iss)
  if (!issuer) throw foreign(iss, [...issuers.keys()])
  const key = await issuer.findKey(header)
  if (!key) throw new RefusedError(header.kid === undefined ? 'it has no kid, and its issuer has not exactly one key, for its alg' : 'its issuer has no key with its kid and alg')
  const claims = await verifySignature(token, key, { issuer: iss, algorithms: [...algorithms], clockTolerance, ...issuer.audience && { audience: issuer.audience } })
  for (const [name, allowed] of issuer.claims) {
    if (![claims[name]].flat().some(value => allowed.includes(value))) throw new RefusedError(`its claim ${name} is not what claims says`)
  }
  return claims
}

/** Which key it is, before anything is believed. */
function read (token: string): { header: KeyHeader, iss: string } {
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    const { iss } = decodeJwt(token)
    if (alg && iss && [alg, iss, kid ?? ''].every(value => typeof value === 'string')) return { header: { alg, kid }, iss }
  } catch {}
  throw new RefusedError('it is not a JWT with alg and iss')
}

function foreign (iss: string, issuers: string[]): RefusedError {
  const bare = (url: string) => url.replace(/\/$/, '')
  const hint = issuers.some(issuer => bare(issuer) === bare(iss)) ? ': they differ in the / at the end' : ''
  return new RefusedError(`its iss ${quote(iss)} is not one of issuers, ${issuers.map(quote).join(', ')}${hint}`)
}

async function verifySignature (token: string, key: CryptoKey, expected: JWTVerifyOptions & { clockTolerance: number }): Promise<TokenClaims> {
  try {
    const { payload } = await jwtVerify(token, key, { ...expected, requiredClaims: ['exp'] })
    const { iat = 0 } = payload
    if (iat > Date.now() / 1000 + expected.clockTolerance) throw new RefusedError('its iat is in the future')
    return payload
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error
    throw new RefusedError(`${error.code}${error instanceof errors.JWTClaimValidationFailed ? `, claim ${error.claim}` : ''}`)
  }
}

async function userOf (claims: TokenClaims, { userId = 'sub' }: JwtIssuersOptions, request: FastifyRequest): Promise<Identity | null> {
  const user = typeof userId === 'function' ? await userId(claims, request) : claims[userId]
  if (typeof userId === 'string' && (typeof user !== 'string' || user === '')) throw new RefusedError(`its claim ${userId} is not text, or empty`)
  return typeof user === 'string' ? { ...claims, id: user } : user as Identity | null
}
