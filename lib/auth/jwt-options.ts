import type { Issuer, JwtIssuersOptions } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { algorithmNames } from '../keys/algorithms.js'
import { readInteger, type Environment } from '../options/settings.js'
import { typeWords } from '../type-words.js'
import { isProtected } from '../urls.js'
import { bearerToken } from './bearer.js'
import type { KeySourceOptions } from './key-source.js'

export interface IssuerSettings extends KeySourceOptions {
  issuer: string
  /** Undefined: `claims` says whom a token is for. */
  audience: string[] | undefined
  /** Claim and the values that it may have. */
  claims: Array<[name: string, allowed: unknown[]]>
}

export interface JwtSettings {
  issuers: IssuerSettings[]
  userId: NonNullable<JwtIssuersOptions['userId']>
  token: NonNullable<JwtIssuersOptions['token']>
  algorithms: string[]
  /** Seconds. */
  clockTolerance: number
}

const known = ['issuers', 'audience', 'claims', 'algorithms', 'userId', 'token', 'clockTolerance', 'cache', 'timeout']
const knownOfIssuer = ['issuer', 'jwksUri', 'audience', 'claims']

/**
 * Checks the options of `jwtIssuers` and fills in defaults.
 * @throws {OptionError} for the first mistake
 */
export function readIssuers (options: JwtIssuersOptions, environment: Environment): JwtSettings {
  checkObject('jwtIssuers', options, known)
  const { userId, token = bearerToken, cache = {}, algorithms = ['RS256', 'ES256', 'EdDSA'] } = options
  if (!Array.isArray(algorithms) || algorithms.length === 0 || !algorithms.every(name => algorithmNames.includes(name))) {
    throw new OptionError('jwtIssuers.algorithms', `is not a list of these: ${algorithmNames.join(', ')}`)
  }
  if (typeof token !== 'function') throw new OptionError('jwtIssuers.token', `is ${typeWords(token)}: expected (request) => token`)
  if (userId !== undefined && typeof userId !== 'function' && (typeof userId !== 'string' || userId === '')) {
    throw new OptionError('jwtIssuers.userId', `is ${typeWords(userId)}: expected the name of a claim, or (claims, request) => id`)
  }
  const maxAge = readInteger('jwtIssuers.cache.maxAge', cache.maxAge, { byDefault: 600, minimum: 60, maximum: 86_400, unit: 'seconds' })
  const cooldown = readInteger('jwtIssuers.cache.cooldown', cache.cooldown, { byDefault: 30, minimum: 1, maximum: 600, unit: 'seconds' })
  const timeout = readInteger('jwtIssuers.timeout', options.timeout, { byDefault: 5000, minimum: 100, maximum: 60_000, unit: 'milliseconds' })
  const clockTolerance = readInteger('jwtIssuers.clockTolerance', options.clockTolerance, { byDefault: 60, minimum: 0, maximum: 300, unit: 'seconds' })
  const common = { audience: options.audience, claims: options.claims }
  const fetching = { maxAge: maxAge * 1000, cooldown: Math.min(cooldown, maxAge) * 1000, timeout }
  const issuers = listOf(options.issuers).map((issuer, index) => ({ ...fetching, ...readIssuer(issuer, `jwtIssuers.issuers[${index}]`, common, environment) }))
  if (issuers.length === 0) throw new OptionError('jwtIssuers.issuers', 'is missing or empty: pass the URL that your identity provider\'s tokens have as iss')
  if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) throw new OptionError('jwtIssuers.issuers', 'has one issuer twice: put all of it into one entry')
  if (issuers.length > 1 && userId === undefined) {
    throw new OptionError('jwtIssuers.userId', 'is missing: two issuers may use one sub for two people, so say what a user\'s id is, as in (claims) => claims.iss + \' \' + claims.sub; \'sub\' if it is unique among them')
  }
  return { issuers, algorithms, clockTolerance, token, userId: userId ?? 'sub' }
}

type FromIssuer = Omit<IssuerSettings, 'maxAge' | 'cooldown' | 'timeout'>

function readIssuer (entry: string | Issuer, option: string, common: Pick<Issuer, 'audience' | 'claims'>, environment: Environment): FromIssuer {
  const given: Issuer = typeof entry === 'string' ? { issuer: entry } : entry
  checkObject(option, given, knownOfIssuer)
  const { issuer, jwksUri, audience = common.audience, claims = common.claims } = given
  const url = checkUrl(option, issuer, environment)
  if (url.search || url.hash) throw new OptionError(option, 'is not an issuer: its URL has a query or a fragment (OpenID Connect Core 1.0 §2)')
  if (jwksUri !== undefined) checkUrl(`${option}.jwksUri`, jwksUri, environment)
  if (audience === undefined && claims === undefined) {
    throw new OptionError('jwtIssuers.audience', 'is missing: tokens that the issuer made for other apps would be accepted. Pass what yours have as aud; if they have none, pass claims that say whom they are for, as in { azp: \'https://app.example.com\' } (Clerk) or { client_id: \'…\' } (Cognito)')
  }
  return {
    issuer,
    jwksUri,
    audience: audience === undefined ? undefined : texts('jwtIssuers.audience', audience),
    claims: Object.entries(claims ?? {}).map(([name, allowed]) => [name, texts(`jwtIssuers.claims.${name}`, allowed)])
  }
}

function checkObject (option: string, value: unknown, names: string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new OptionError(option, `is ${typeWords(value)}: expected an object`)
  const unknown = Object.keys(value).find(name => !names.includes(name))
  if (unknown !== undefined) throw new OptionError(`${option}.${unknown}`, `is unknown: expected one of ${names.join(', ')}`)
}

function checkUrl (option: string, value: unknown, environment: Environment): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) throw new OptionError(option, 'is not a URL that starts with https://')
  if (environment['NODE_ENV'] === 'production' && !isProtected(url)) {
    throw new OptionError(option, 'is plain http, and NODE_ENV is production: whoever is between could put keys of their own there. Use its https URL')
  }
  return url
}

function listOf<Item> (value: Item | readonly Item[] | undefined): readonly Item[] {
  if (value === undefined) return []
  return Array.isArray(value) ? value : [value as Item]
}

function texts (option: string, value: unknown): string[] {
  const list = listOf(value)
  if (list.length === 0 || !list.every(item => typeof item === 'string' && item !== '')) throw new OptionError(option, 'is not text, or a list of texts')
  return list as string[]
}
