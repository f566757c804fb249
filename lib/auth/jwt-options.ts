import { Type, type TSchema } from '@sinclair/typebox'
import type { Issuer, JwtIssuersOptions } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { algorithmNames } from '../keys/jwk.js'
import { checkOptions } from '../options/check.js'
import { isProtected } from '../urls.js'

const text = Type.String({ minLength: 1 })
const texts = Type.Union([text, Type.Array(text, { minItems: 1 })], { expected: 'text, or a list of texts' })
const claims = Type.Record(Type.String(), texts, { expected: '{ name: value }' })
const aFunction = (expected: string) => Type.Function([], Type.Unknown(), { expected })
const integer = (minimum: number, maximum: number, unit: string) => Type.Integer({ minimum, maximum, expected: `an integer from ${minimum} to ${maximum} ${unit}` })
const closed = (properties: Record<string, TSchema>) => Type.Partial(Type.Object(properties), { additionalProperties: false, expected: 'an object' })

const algorithms = Type.Array(Type.Union(algorithmNames.map(name => Type.Literal(name))), { minItems: 1, expected: `a list of these: ${algorithmNames.join(', ')}` })
const Options = closed({
  issuers: Type.Unknown(),
  audience: texts,
  claims,
  algorithms,
  userId: Type.Union([text, aFunction('')], { expected: 'the name of a claim, or (claims, request) => id' }),
  token: aFunction('(request) => token'),
  clockTolerance: integer(0, 300, 'seconds'),
  cache: closed({ maxAge: integer(60, 86_400, 'seconds'), cooldown: integer(1, 600, 'seconds') }),
  timeout: integer(100, 60_000, 'milliseconds'),
  getJwks: Type.Object({ getJwk: aFunction('') }, { expected: 'what get-jwks gives, an object with the function getJwk' })
})
const IssuerOptions = closed({ issuer: Type.Unknown(), jwksUri: Type.Unknown(), audience: texts, claims })

export interface IssuerSettings {
  issuer: string
  jwksUri: string | undefined
  /** Undefined: `claims` says for whom a token is. */
  audience: string[] | undefined
  /** Claim and the values that it may have. */
  claims: Array<[name: string, allowed: unknown[]]>
}

/**
 * Checks the options of `jwtIssuers`.
 * @throws {OptionError} for the first mistake
 */
export function readIssuers (options: JwtIssuersOptions): IssuerSettings[] {
  checkOptions(Options, options, 'jwtIssuers')
  const issuers = listOf(options.issuers).map((issuer, index) => readIssuer(issuer, `jwtIssuers.issuers[${index}]`, options))
  if (issuers.length === 0) throw new OptionError('jwtIssuers.issuers', 'is missing or empty: pass the URL that your identity provider\'s tokens have as iss')
  if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) throw new OptionError('jwtIssuers.issuers', 'has one issuer twice: put all of it into one entry')
  if (issuers.length > 1 && options.userId === undefined) {
    throw new OptionError('jwtIssuers.userId', 'is missing: two issuers may use one sub for two people, so say what a user\'s id is, as in (claims) => claims.iss + \' \' + claims.sub; \'sub\' if it is unique among them')
  }
  return issuers
}

function readIssuer (entry: string | Issuer, option: string, common: JwtIssuersOptions): IssuerSettings {
  const given: Issuer = typeof entry === 'string' ? { issuer: entry } : entry
  checkOptions(IssuerOptions, given, option)
  const { issuer, jwksUri, audience = common.audience, claims = common.claims } = given
  const url = checkUrl(option, issuer)
  if (url.search || url.hash) throw new OptionError(option, 'is not an issuer: its URL has a query or a fragment (OpenID Connect Core 1.0 §2)')
  if (jwksUri !== undefined) checkUrl(`${option}.jwksUri`, jwksUri)
  if (audience === undefined && claims === undefined) {
    throw new OptionError('jwtIssuers.audience', 'is missing: tokens that the issuer made for other apps would be accepted. Pass what yours have as aud; if they have none, pass claims that say for whom they are, as in { azp: \'https://app.example.com\' } (Clerk) or { client_id: \'…\' } (Cognito)')
  }
  return {
    issuer,
    jwksUri,
    audience: audience === undefined ? undefined : listOf(audience),
    claims: Object.entries(claims ?? {}).map(([name, allowed]) => [name, listOf(allowed)])
  }
}

function checkUrl (option: string, value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) throw new OptionError(option, 'is not a URL that starts with https://')
  if (process.env['NODE_ENV'] === 'production' && !isProtected(url)) {
    throw new OptionError(option, 'is plain http, and NODE_ENV is production: whoever is between could put keys of their own there. Use its https URL')
  }
  return url
}

const listOf = <Item>(value: Item | readonly Item[] | undefined): Item[] => value === undefined ? [] : [value].flat() as Item[]
