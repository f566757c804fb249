import type { FastifyRequest } from 'fastify'
import type { Authenticate, AuthenticateContext, User } from '../../types/index.js'
import { AuthenticationUnavailableError, ParameterError, UnauthorizedError } from '../errors.js'
import { loggable } from '../observe/loggable.js'
import { checkOptions } from '../check-options.js'
import { functionOf } from '../options/schema.js'
import { startDeadline } from '../deadline.js'
import type { ToUser } from '../user.js'

/**
 * Authenticates uploads by a token for `powersyncUrl` that a key of this registration signed, in the header
 * `Authorization: Bearer` (or `Token`). On `/token` it gives null.
 */
export function powersyncToken (): Authenticate {
  return (request, { route, verifyToken }) => {
    const token = bearerToken(request)
    return route === 'upload' && token ? verifyToken(token) : null
  }
}

/**
 * Tries authenticators one after the other, and takes the first user. One that fails does not stop the next; its error
 * is thrown if no other gives a user. An error with a `statusCode` below 500 is a refusal, and ends the search.
 *
 * @throws {OptionError} `FST_PSM_OPTION` for what is no function
 */
export function firstOf (...authenticators: Authenticate[]): Authenticate {
  for (const [index, each] of authenticators.entries()) checkOptions(functionOf(), each, `firstOf[${index}]`)
  const authenticate: Authenticate = async (request, context) => {
    const failures: unknown[] = []
    for (const each of authenticators) {
      try {
        const user = await each(request, context)
        if (user) return user
      } catch (error) {
        if (statusOf(error) < 500) throw error
        request.log.warn({ err: loggable(error) }, 'an authenticator of firstOf failed: the next is asked')
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
 * For development only: `/token?user_id=` signs a token for any user, as PowerSync's CloudCode template does, and
 * uploads need no credentials. It warns at the start, and does not start under `NODE_ENV=production`.
 */
export function developmentAuth (): Authenticate {
  const authenticate: Authenticate = (request, { route }) => {
    const { user_id: id } = request.query as Record<string, unknown>
    if (typeof id === 'string' && id) return { id }
    if (route === 'upload') return { id: 'anonymous' }
    throw new ParameterError('The query parameter user_id is missing: send the user\'s id, as in /token?user_id=user1')
  }
  authenticate.development = true
  return authenticate
}

/** The token of the header `Authorization: Bearer` (RFC 6750 §2.1), or `Token`, which PowerSync's SDKs send. */
export function bearerToken ({ headers }: FastifyRequest): string | undefined {
  return /^(?:Bearer|Token) +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
}

/** The HTTP status with which an error wants to be answered, from 400; NaN if it has none. */
function statusOf (error: unknown): number {
  const status = Number(Object(error).statusCode)
  return status >= 400 ? status : NaN
}

/**
 * Gives the user who sent a request, as hooks and rules see them.
 * @throws {UnauthorizedError} without a user
 * @throws {AuthenticationUnavailableError} if `authenticate` or `token.claims` throws an error without a `statusCode`,
 * or both take longer than `upload.deadline`
 */
export type Identify = (request: FastifyRequest) => Promise<User>

export const identifier = (
  authenticate: Authenticate, toUser: ToUser, context: AuthenticateContext, milliseconds: number
): Identify => async request => {
  const failed = (details: object, message: string) => {
    request.log.error(details, message)
    return new AuthenticationUnavailableError()
  }
  // Node reads the first of several, a proxy may read the last.
  const headers = request.raw.rawHeaders.filter((name, index) => index % 2 === 0 && /^authorization$/i.test(name))
  if (headers.length > 1) throw new UnauthorizedError('The request has more than one Authorization header: send one')
  const limit = startDeadline(milliseconds)
  try {
    const user = await limit.race((async () => authenticate(request, context))()).catch((error: unknown) => {
      if (error instanceof Error && statusOf(error) < 600) throw error
      throw failed({ err: loggable(error) }, 'authenticate failed')
    })
    if (!user) {
      const credentials = context.route === 'token' ? 'this app signs in with' : 'this server accepts for uploads'
      throw new UnauthorizedError(`Nobody is signed in: send the credentials that ${credentials}`)
    }
    if (typeof user.id !== 'string' || user.id === '') {
      throw failed({ id: typeof user.id }, 'authenticate gave a user without an id: it must be text and not empty')
    }
    return await limit.race(toUser(user, request))
      .catch((error: unknown) => { throw failed({ err: loggable(error) }, 'token.claims failed') })
  } finally {
    limit.clear()
  }
}
