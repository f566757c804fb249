import type { FastifyRequest } from 'fastify'
import type { Identity, TokenOptions, User } from '../../types/index.js'
import { isUser, userOf } from '../user.js'

/** Claims that the service reads or that this package sets: `token.claims` cannot. */
const reservedClaims = ['sub', 'aud', 'iat', 'exp', 'nbf', 'iss', 'jti']

/** The user that hooks and rules see, from what `authenticate` gave. */
export type ToUser = (identity: Identity, request: FastifyRequest | undefined) => Promise<User>

/** Where this server gives no tokens: what `authenticate` gives. */
export const asGiven: ToUser = async identity => {
  const { id, ...rest } = identity
  return userOf(id, rest)
}

/**
 * The id and the claims that a token of the user carries, in the values that JSON leaves of them: the user is the same by
 * token and by session.
 */
export const withClaims = (claims: TokenOptions['claims']): ToUser => async (identity, request) =>
  isUser(identity) ? identity as User : userOf(identity.id, checked(await claims?.(identity, request) ?? {}))

function checked (claims: object): Record<string, unknown> {
  const reserved = reservedClaims.filter(name => Object.hasOwn(claims, name))
  if (reserved.length) throw new Error(`token.claims sets the reserved claim ${reserved.join(', ')}: leave it to fastify-powersync-mongo`)
  const sent = JSON.parse(JSON.stringify(claims, (_, value) => value === undefined ? null : value)) as Record<string, unknown>
  const { parameters } = sent
  if (parameters !== undefined && (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters))) {
    throw new Error('token.claims sets "parameters" to something that is not an object: the PowerSync Service refuses such a token')
  }
  return sent
}
