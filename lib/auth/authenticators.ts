import type { FastifyRequest } from 'fastify'
import type { Authenticate, AuthenticateContext, Identity, User } from '../../types/index.js'
import { AuthenticationUnavailableError, ParameterError, UnauthorizedError } from '../errors.js'
import type { ToUser } from './users.js'

/**
 * Knows the bearer of a token that this registration signed, by the `Authorization: Bearer` (or `Token`) header.
 * Only for `/upload`: on `/token` it knows nobody.
 */
export function powersyncToken (): Authenticate {
  return (request, { route, verifyToken }) => {
    const token = bearerToken(request)
    return route === 'upload' && token ? verifyToken(token) : null
  }
}

/**
 * Asks one after the other and takes the first user that any of them knows. One that fails does not stop the next, but
 * if nobody knows the caller then nobody can say: its error is thrown. One that refuses, by an error with a
 * `statusCode` below 500, has the last word.
 */
export function firstOf (...authenticators: Authenticate[]): Authenticate {
  const authenticate: Authenticate = async (request, context) => {
    const failures: unknown[] = []
    for (const each of authenticators) {
      try {
        const user = await each(request, context)
        if (user) return user
      } catch (error) {
        if (Object(error).statusCode < 500) throw error
        request.log.warn({ err: error }, 'an authenticator of firstOf failed: the next is asked')
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
    return null
  }
  authenticate.development = authenticators.some(each => each.development)
  return authenticate
}

/**
 * For trying things out: whoever asks for a token is the user that `?user_id=` names, as in PowerSync's CloudCode
 * template, and uploads need no credentials. Warns at start; refuses to start under `NODE_ENV=production`.
 */
export function developmentAuth (): Authenticate {
  const authenticate: Authenticate = (request, { route }) => {
    const { user_id: id } = request.query as Record<string, unknown>
    if (typeof id === 'string' && id) return { id }
    if (route === 'upload') return { id: 'anonymous' }
    throw new ParameterError('The query parameter user_id is missing: developmentAuth() signs a token for the user that it names, as in /token?user_id=user1')
  }
  authenticate.development = true
  return authenticate
}

/** The token of `Authorization: Bearer`, or of `Token`, which PowerSync's SDKs send (RFC 6750 §2.1). */
export function bearerToken ({ headers }: FastifyRequest): string | undefined {
  return /^(?:Bearer|Token) +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
}

export interface Identification {
  authenticate: Authenticate
  toUser: ToUser
}

/**
 * Who is calling, as hooks and rules see them.
 * @throws {UnauthorizedError} when nobody is known
 * @throws {AuthenticationUnavailableError} when `authenticate` or `token.claims` fails without saying how to answer
 */
export async function identify ({ authenticate, toUser }: Identification, request: FastifyRequest, context: AuthenticateContext): Promise<User> {
  if (isAmbiguous(request)) throw new UnauthorizedError('The request has more than one Authorization header: send one')
  let user: Identity | null
  try {
    user = await authenticate(request, context)
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error) throw error
    request.log.error({ err: error }, 'authenticate failed')
    throw new AuthenticationUnavailableError()
  }
  if (!user) throw new UnauthorizedError(`Nobody is signed in: send the credentials that ${context.route === 'token' ? 'this app signs in with' : 'this server accepts for uploads'}`)
  if (typeof user.id !== 'string' || user.id === '') {
    request.log.error({ id: typeof user.id }, 'authenticate gave a user without an id: it must be text and not empty')
    throw new AuthenticationUnavailableError()
  }
  try {
    return await toUser(user, request)
  } catch (error) {
    request.log.error({ err: error }, 'token.claims failed')
    throw new AuthenticationUnavailableError()
  }
}

/** Node takes the first of several, a proxy in front perhaps the last: nobody can say whose request it is. */
function isAmbiguous ({ raw: { rawHeaders } }: FastifyRequest): boolean {
  return rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization').length > 1
}
