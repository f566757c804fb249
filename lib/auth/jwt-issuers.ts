import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { FastifyRequest } from 'fastify'
import type { Authenticate, JwtIssuersOptions, TokenClaims, Identity } from '../../types/index.js'
import { AuthenticationUnavailableError } from '../errors.js'
import { bearerToken } from './authenticators.js'
import { readIssuers, type IssuerSettings } from './jwt-options.js'
import {
  createHostKeySource, createKeySource, KeySourceError, quote, type FindKey, type KeyHeader
} from './key-source.js'

/**
 * Authenticates by the tokens of identity providers: Auth0, Clerk, Cognito, Firebase, Keycloak, Supabase and every
 * other that publishes its keys as a JWK Set. A token is accepted if its issuer is one of `issuers`, a key of that
 * issuer signed it with one of `algorithms`, it is for `audience`, has `claims`, and has not expired. `kid` names the
 * key, and may be missing if the issuer has one key only. For any other token it gives null, so that `firstOf` asks
 * the next.
 *
 * The authenticator throws `FST_PSM_AUTHENTICATION_UNAVAILABLE` (503) if the issuer's keys cannot be fetched.
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
    const findKey = getJwks ? createHostKeySource(issuer, { ...fetching, getJwks }) : createKeySource(issuer, fetching)
    return [issuer, { ...settings, findKey }]
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

/** A token is not accepted. The message is the reason, and holds nothing of the token but `iss`. */
class RefusedError extends Error {}

type KnownIssuers = ReadonlyMap<string, IssuerSettings & { findKey: FindKey }>

async function verify (token: string, issuers: KnownIssuers, options: JwtIssuersOptions): Promise<TokenClaims> {
  const { algorithms = ['RS256', 'ES256', 'EdDSA'], clockTolerance = 60 } = options
  const { header, iss } = read(token)
  if (!algorithms.some(name => name === header.alg)) throw new RefusedError('its alg is not one of algorithms')
  // Checked before anything is fetched: a token never says where keys come from.
  const issuer = issuers.get(iss)
  if (!issuer) throw new RefusedError(foreign(iss, [...issuers.keys()]))
  const key = await issuer.findKey(header)
  if (!key) {
    const withoutKid = 'it has no kid, and its issuer has not exactly one key, for its alg'
    throw new RefusedError(header.kid === undefined ? withoutKid : 'its issuer has no key with its kid and alg')
  }
  const { payload: claims } = await jwtVerify(token, key, {
    issuer: iss,
    algorithms: [...algorithms],
    clockTolerance,
    requiredClaims: ['exp'],
    ...issuer.audience && { audience: issuer.audience }
  }).catch((error: unknown) => {
    if (!(error instanceof errors.JOSEError)) throw error
    const claim = error instanceof errors.JWTClaimValidationFailed ? `, claim ${error.claim}` : ''
    throw new RefusedError(error.code + claim)
  })
  const latest = Date.now() / 1000 + clockTolerance
  if (Number(claims['iat'] ?? 0) > latest) throw new RefusedError('its iat is in the future')
  for (const [name, allowed] of issuer.claims) {
    if ([claims[name]].flat().some(value => allowed.includes(value))) continue
    throw new RefusedError(`its claim ${name} has no value that the option claims allows`)
  }
  return claims
}

/** The header and the issuer of a token that is not verified yet. */
function read (token: string): { header: KeyHeader, iss: string } {
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    const { iss } = decodeJwt(token)
    const areTexts = [alg, iss, kid ?? ''].every(value => typeof value === 'string')
    if (alg && iss && areTexts) return { header: { alg, kid }, iss }
  } catch {}
  throw new RefusedError('it is not a JWT with alg and iss')
}

function foreign (iss: string, issuers: string[]): string {
  const bare = (url: string) => url.replace(/\/$/, '')
  const hint = issuers.some(issuer => bare(issuer) === bare(iss)) ? ': they differ in the / at the end' : ''
  return `its iss ${quote(iss)} is not one of issuers, ${issuers.map(quote).join(', ')}${hint}`
}

async function userOf (
  claims: TokenClaims, { userId = 'sub' }: JwtIssuersOptions, request: FastifyRequest
): Promise<Identity | null> {
  const user = typeof userId === 'function' ? await userId(claims, request) : claims[userId]
  if (typeof userId === 'string' && (typeof user !== 'string' || user === '')) {
    throw new RefusedError(`its claim ${userId} is not text, or empty`)
  }
  return typeof user === 'string' ? { ...claims, id: user } : user as Identity | null
}
