import { Type } from '@sinclair/typebox'
import type { RouteOptions } from 'fastify'
import type { Identify } from '../auth/authenticators.js'
import type { Tokens } from '../auth/tokens.js'
import { errorAnswers, routeSchema } from './schema.js'
import { sendJson } from './scope.js'

const example = {
  token: 'eyJhbGciOiJFUzI1NiIsImtpZCI6IjIwMjYtMDEifQ.eyJzdWIiOiJ1c2VyMSJ9.c2lnbmF0dXJl',
  powersync_url: 'https://<id>.powersync.journeyapps.com',
  expires_at: '2026-01-31T12:05:00.000Z'
}

const description = 'For signed-in users of this app, for a connector\'s fetchCredentials. Uploads accept it as well.'
const schema = routeSchema('A token for the PowerSync Service', description, {
  response: {
    200: Type.Object({
      token: Type.String({ description: 'JWT' }),
      powersync_url: Type.String({ description: 'the endpoint to connect to' }),
      expires_at: Type.String({ format: 'date-time', description: 'when the token expires' })
    }, { description: 'A token, which only the client may cache', examples: [example] }),
    ...errorAnswers({
      FST_PSM_UNAUTHORIZED: 'Nobody is signed in: send the credentials that this app signs in with',
      FST_PSM_AUTHENTICATION_UNAVAILABLE: 'Authentication is not available at the moment: try again'
    })
  }
})

/** `GET /token`: a token for the user that `authenticate` gives. */
export const tokenRoute = (identify: Identify, sign: Tokens['sign'], powersyncUrl: string): RouteOptions => ({
  method: 'GET',
  url: '/token',
  schema,
  async handler (request, reply) {
    const { token, expiresAt } = sign(await identify(request))
    reply.header('cache-control', 'no-store')
    return sendJson(reply, { token, powersync_url: powersyncUrl, expires_at: expiresAt.toISOString() })
  }
})
