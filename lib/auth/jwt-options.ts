import { Type } from '@sinclair/typebox'
import type { Issuer, JwtIssuersOptions } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { algorithmNames } from '../keys/jwk.js'
import { checkOptions } from '../options/check.js'
import { functionOf, integer, object } from '../options/schema.js'
import { isProtected } from '../urls.js'

const text = Type.String({ minLength: 1 })
const texts = Type.Union([text, Type.Array(text, { minItems: 1 })], { expected: 'text, or a list of texts' })
const claims = Type.Record(Type.String(), texts, { expected: '{ name: value }' })
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

export type IssuerSettings = ReturnType<typeof readIssuer>

/**
 * Checks the options of `jwtIssuers`.
 * @throws {OptionError} for the first mistake
 */
export function readIssuers (options: JwtIssuersOptions): IssuerSettings[] {
  checkOptions(Options, options, 'jwtIssuers')
  const given = listOf(options.issuers)
  const issuers = given.map((issuer, index) => readIssuer(issuer, `jwtIssuers.issuers[${index}]`, options))
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
  return {
    issuer,
    jwksUri,
    /** Undefined: `claims` restricts the tokens. */
    audience: audience === undefined ? undefined : listOf(audience),
    /** Claims with their allowed values. */
    claims: Object.entries(claims).map(([name, allowed]): [string, unknown[]] => [name, listOf(allowed)])
  }
}

function checkUrl (option: string, value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw new OptionError(option, 'is not a URL that starts with https://')
  }
  if (process.env['NODE_ENV'] === 'production' && !isProtected(url)) {
    const risk = 'an attacker on the network could replace the keys'
    throw new OptionError(option, `is plain http, and NODE_ENV is production: ${risk}. Use its https URL`)
  }
  return url
}

const listOf = <Item>(value: Item | readonly Item[] | undefined): Item[] =>
  value === undefined ? [] : [value].flat() as Item[]
