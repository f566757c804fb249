import { Type } from '@sinclair/typebox'
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { FastifyRequest } from 'fastify'
import type { Authenticate, Identity, Issuer, JwtIssuersOptions, TokenClaims } from '../../types/index.js'
import { AuthenticationUnavailableError, OptionError } from '../errors.js'
import { algorithmNames } from '../keys/jwk.js'
import { checkOptions } from '../check-options.js'
import { functionOf, integer, object } from '../options/schema.js'
import { isProtected } from '../urls.js'
import { bearerToken } from './authenticators.js'
import { createHostKeySource, createKeySource, KeySourceError, quote, type KeyHeader } from './key-source.js'

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
  const { algorithms = ['RS256', 'ES256', 'EdDSA'], userId = 'sub', token: tokenOf = bearerToken } = options
  const { getJwks, cache: { maxAge = 600, cooldown = 30 } = {}, timeout = 5000, clockTolerance = 60 } = options
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
      return await userOf(await verify(token), request)
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

  async function verify (token: string): Promise<TokenClaims> {
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
    for (const [name, allowed] of Object.entries<unknown>(issuer.claims)) {
      if ([claims[name]].flat().some(value => [allowed].flat().includes(value))) continue
      throw new RefusedError(`its claim ${name} has no value that the option claims allows`)
    }
    return claims
  }

  async function userOf (claims: TokenClaims, request: FastifyRequest): Promise<Identity | null> {
    const user = typeof userId === 'function' ? await userId(claims, request) : claims[userId]
    if (typeof userId === 'string' && (typeof user !== 'string' || user === '')) {
      throw new RefusedError(`its claim ${userId} is not text, or empty`)
    }
    return typeof user === 'string' ? { ...claims, id: user } : user as Identity | null
  }
}

/** A token is not accepted. The message is the reason, and holds nothing of the token but `iss`. */
class RefusedError extends Error {}

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

const text = Type.String({ minLength: 1 })
const texts = Type.Union([text, Type.Array(text, { minItems: 1 })], { expected: 'text, or a list of texts' })
// None would restrict nothing.
const claims = Type.Record(Type.String(), texts, {
  minProperties: 1, expected: '{ name: value } with at least one claim'
})
const algorithm = Type.Union(algorithmNames.map(name => Type.Literal(name)))

const Options = object({
  issuers: Type.Unknown(),
  audience: texts,
  claims,
  algorithms: Type.Array(algorithm, { minItems: 1, expected: `a list of these: ${algorithmNames.join(', ')}` }),
  userId: Type.Union([text, functionOf()], { expected: 'the name of a claim, or (claims, request) => id' }),
  token: functionOf('(request) => token'),
  clockTolerance: integer(0, 300, 'seconds'),
  cache: object({ maxAge: integer(60, 86_400, 'seconds'), cooldown: integer(1, 600, 'seconds') }),
  timeout: integer(100, 60_000, 'milliseconds'),
  getJwks: Type.Object({ getJwk: functionOf() }, {
    expected: 'the result of get-jwks, an object with the function getJwk'
  })
})
const IssuerOptions = object({ issuer: Type.Unknown(), jwksUri: Type.Unknown(), audience: texts, claims })

function readIssuers (options: JwtIssuersOptions) {
  checkOptions(Options, options, 'jwtIssuers')
  const issuers = [options.issuers ?? []].flat()
    .map((issuer, index) => readIssuer(issuer, `jwtIssuers.issuers[${index}]`, options))
  if (issuers.length === 0) throw new OptionError('jwtIssuers.issuers', missingIssuers)
  if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) {
    throw new OptionError('jwtIssuers.issuers', 'has one issuer twice: merge its entries into one')
  }
  if (issuers.length > 1 && options.userId === undefined) throw new OptionError('jwtIssuers.userId', missingUserId)
  return issuers
}

const missingIssuers = 'is missing or empty: pass the iss of your identity provider\'s tokens, a URL'
const missingUserId = 'is missing: two issuers may use one sub for two people. Pass a function for a unique id, ' +
  'as in (claims) => claims.iss + \' \' + claims.sub, or \'sub\' if it is unique among them'
const missingAudience = 'is missing: tokens that the issuer made for other apps would be accepted. Pass the aud of ' +
  "your tokens; if they have none, pass claims that name your app, as in { azp: 'https://app.example.com' } (Clerk) " +
  "or { client_id: '…' } (Cognito)"

function readIssuer (entry: string | Issuer, option: string, common: JwtIssuersOptions) {
  const given: Issuer = typeof entry === 'string' ? { issuer: entry } : entry
  checkOptions(IssuerOptions, given, option)
  const { issuer, jwksUri, audience = common.audience, claims = common.claims ?? {} } = given
  const url = checkUrl(option, issuer)
  if (url.search || url.hash) {
    throw new OptionError(option, 'is not an issuer: its URL has a query or a fragment (OpenID Connect Core 1.0 §2)')
  }
  if (jwksUri !== undefined) checkUrl(`${option}.jwksUri`, jwksUri)
  const isOpen = audience === undefined && !given.claims && !common.claims
  if (isOpen) throw new OptionError('jwtIssuers.audience', missingAudience)
  return { issuer, jwksUri, audience: audience && [audience].flat(), claims }
}

function checkUrl (option: string, value: unknown): URL {
  // Blanks around it, as from a .env file, would be no part of the URL, but of what tokens are compared with.
  const url = typeof value === 'string' && !/\s/.test(value) && URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw new OptionError(option, 'is not a URL that starts with https://')
  }
  if (process.env['NODE_ENV'] === 'production' && !isProtected(url)) {
    const risk = 'an attacker on the network could replace the keys'
    throw new OptionError(option, `is plain http, and NODE_ENV is production: ${risk}. Use its https URL`)
  }
  return url
}
