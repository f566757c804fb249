import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type CryptoKey } from 'jose'
import type { FastifyRequest } from 'fastify'
import type { Authenticate, JwtIssuersOptions, TokenClaims, User } from '../../types/index.js'
import { AuthenticationUnavailableError } from '../errors.js'
import { readIssuers, type IssuerSettings, type JwtSettings } from './jwt-options.js'
import { createKeySource, KeySourceError, type FindKey, type KeyHeader } from './key-source.js'

/**
 * Knows the bearer of a token that one of these identity providers signed: Auth0, Clerk, Cognito, Firebase, Keycloak,
 * Supabase and every other that publishes its keys as a JWK Set. A token counts if its issuer is one of `issuers`, its
 * signature is by the key of that issuer that it names (`kid`) with one of `algorithms`, it is for `audience`, has
 * `claims`, and has not expired. Any other is nobody's: null, so that `firstOf` asks the next.
 *
 * The authenticator throws `FST_PSM_AUTHENTICATION_UNAVAILABLE` (503) when the issuer's keys cannot be fetched.
 *
 * @throws {OptionError} `FST_PSM_OPTION` for a mistake in the options
 * @example
 * jwtIssuers({ issuers: 'https://tenant.eu.auth0.com/', audience: 'https://api.example.com' })
 */
export function jwtIssuers (options: JwtIssuersOptions): Authenticate {
  const settings = readIssuers(options, process.env)
  const issuers = new Map(settings.issuers.map(issuer => [issuer.issuer, { ...issuer, findKey: createKeySource(issuer.issuer, issuer) }]))

  return async request => {
    const token = settings.token(request)
    if (!token) return null
    try {
      const claims = await verify(token, issuers, settings)
      return await userOf(claims, settings, request)
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

/** A token is nobody's. The message says why in words of this package's own: tokens are written by strangers. */
class RefusedError extends Error {}

interface KnownIssuer extends IssuerSettings { findKey: FindKey }

async function verify (token: string, issuers: ReadonlyMap<string, KnownIssuer>, { algorithms, clockTolerance }: JwtSettings): Promise<TokenClaims> {
  const { header, iss } = read(token)
  if (!algorithms.includes(header.alg)) throw new RefusedError('its alg is not one of algorithms')
  // Before anything is fetched: where to is never up to the token.
  const issuer = issuers.get(iss)
  if (!issuer) throw new RefusedError('its iss is not one of issuers')
  const key = await issuer.findKey(header)
  if (!key) throw new RefusedError('its issuer has no key with its kid and alg')
  const claims = await verifySignature(token, key, { issuer: iss, audience: issuer.audience, algorithms, clockTolerance })
  for (const [name, allowed] of issuer.claims) {
    if (![claims[name]].flat().some(value => allowed.includes(value))) throw new RefusedError(`its claim ${name} is not what claims says`)
  }
  return claims
}

/** What says which key it is, before anything is believed. */
function read (token: string): { header: KeyHeader, iss: string } {
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    const { iss } = decodeJwt(token)
    if (alg && kid && iss && [alg, kid, iss].every(value => typeof value === 'string')) return { header: { alg, kid }, iss }
  } catch {}
  throw new RefusedError('it is not a JWT with alg, kid and iss')
}

interface Expected { issuer: string, audience: string[] | undefined, algorithms: string[], clockTolerance: number }

async function verifySignature (token: string, key: CryptoKey, { audience, ...expected }: Expected): Promise<TokenClaims> {
  try {
    const { payload } = await jwtVerify(token, key, { ...expected, ...audience && { audience }, requiredClaims: ['exp'] })
    const { iat = 0 } = payload
    if (iat > Date.now() / 1000 + expected.clockTolerance) throw new RefusedError('its iat is in the future')
    return payload
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error
    throw new RefusedError(`${error.code}${error instanceof errors.JWTClaimValidationFailed ? `, claim ${error.claim}` : ''}`)
  }
}

async function userOf (claims: TokenClaims, { userId }: JwtSettings, request: FastifyRequest): Promise<User | null> {
  const user = typeof userId === 'function' ? await userId(claims, request) : claims[userId]
  if (typeof userId === 'string' && (typeof user !== 'string' || user === '')) throw new RefusedError(`its claim ${userId} is not text, or empty`)
  return typeof user === 'string' ? { ...claims, id: user } : user as User | null
}
