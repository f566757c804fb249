import type { FastifyRequest } from 'fastify'
import type { Identity, TokenOptions, User } from '../types/index.js'
import { attempt } from './client/values.js'
import { ClaimError } from './errors.js'
import { deepFreeze } from './freeze.js'
import { isPlain, typeWords } from './type-words.js'

/** Read on any object by the language, the driver, and code that prints or compares values (Node.js, pino, tests). */
const probed = new Set([
  'then', 'toJSON', 'toBSON', '_bsontype', 'pipe', 'pipeTo', 'write', 'nodeType', '$$typeof', 'asymmetricMatch',
  'inspect'
])

const mark = Symbol('user')

/**
 * The user as hooks and rules see it, read-only: `{ id, ...claims }`. Reading another property throws a `ClaimError`,
 * so that a missing claim never decides about access.
 */
export function userOf (id: string, claims: Readonly<Record<string, unknown>>): User {
  const properties = Object.freeze(Object.defineProperty({ ...claims, id }, mark, { value: true, enumerable: false }))
  return new Proxy(properties, {
    get (target, property, receiver) {
      if (typeof property === 'symbol' || property in target || probed.has(property)) {
        return Reflect.get(target, property, receiver)
      }
      throw new ClaimError(property)
    }
  }) as User
}

/** A claim by its name: what every object has, such as `constructor`, is none. @throws {ClaimError} without it */
export function claimOf (user: User, name: string): unknown {
  if (Object.hasOwn(user, name)) return user[name]
  throw new ClaimError(name)
}

export const claimsOf = ({ id, ...claims }: User): Record<string, unknown> => claims

/** Claims as JSON, with all their names: an undefined one is null, a bigint text. */
export const claimsText = (claims: object): string =>
  JSON.stringify(claims, (_, value) => typeof value === 'bigint' ? String(value) : value ?? null)

/** Claims that the service reads or this package sets, and `token.claims` cannot. */
const reservedClaims = ['sub', 'aud', 'iat', 'exp', 'nbf', 'iss', 'jti']

/** Gives the user that hooks and rules see. */
export type ToUser = (identity: Identity, request: FastifyRequest | undefined) => Promise<User>

/** Without tokens, the user is what `authenticate` gives. Dead letters keep it as JSON: what is none fails at once. */
export const asGiven: ToUser = async ({ id, ...rest }) => {
  if (attempt(() => claimsText(rest)) !== undefined) return userOf(id, rest)
  throw new Error('authenticate gave a user that JSON cannot hold: give the id and plain values only')
}

/** Otherwise the id and the claims of the user's token, after JSON: the same user by token and by session. */
export const withClaims = (give: TokenOptions['claims']): ToUser => async (identity, request) => {
  if (mark in identity) return identity as User
  const given: object = await give?.(identity, request) ?? {}
  const claims = JSON.parse(claimsText(given))
  // A date is text as JSON.
  if (!isPlain(claims)) throw new Error(`token.claims gave ${typeWords(given)}: expected an object of claims`)
  const reserved = reservedClaims.filter(name => Object.hasOwn(claims, name))
  if (reserved.length) throw new Error(`token.claims sets the reserved claim ${reserved.join(', ')}: remove it`)
  const { parameters = {} } = claims
  if (!isPlain(parameters)) {
    const found = typeWords(parameters)
    throw new Error(`token.claims sets "parameters" to ${found}: the PowerSync Service takes an object only`)
  }
  return userOf(identity.id, deepFreeze(claims))
}
