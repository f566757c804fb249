import type { FastifyRequest } from 'fastify'
import type { Identity, TokenOptions, User } from '../../types/index.js'
import { typeWords } from '../type-words.js'
import { isUser, userOf } from '../user.js'

/** Claims that the service reads or this package sets, and `token.claims` cannot. */
const reservedClaims = ['sub', 'aud', 'iat', 'exp', 'nbf', 'iss', 'jti']

/** Gives the user that hooks and rules see. */
export type ToUser = (identity: Identity, request: FastifyRequest | undefined) => Promise<User>

/** Without tokens, the user is what `authenticate` gives. */
export const asGiven: ToUser = async ({ id, ...rest }) => userOf(id, rest)

/** Otherwise the id and the claims of the user's token, after JSON: the same user by token and by session. */
export const withClaims = (claims: TokenOptions['claims']): ToUser => async (identity, request) =>
  isUser(identity) ? identity as User : userOf(identity.id, checked(await claims?.(identity, request) ?? {}))

function checked (claims: object): Record<string, unknown> {
  const reserved = reservedClaims.filter(name => Object.hasOwn(claims, name))
  if (reserved.length) throw new Error(`token.claims sets the reserved claim ${reserved.join(', ')}: remove it`)
  const text = JSON.stringify(claims, (_, value) => value === undefined ? null : value)
  const sent: Record<string, unknown> = JSON.parse(text)
  const { parameters = {} } = sent
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
    throw new Error(
      `token.claims sets "parameters" to ${typeWords(parameters)}: the PowerSync Service takes an object only`
    )
  }
  return sent
}
