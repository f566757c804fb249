import { Type } from '@sinclair/typebox'
import type { RouteOptions } from 'fastify'
import { identify, type Identification } from '../auth/authenticators.js'
import type { Tokens } from '../auth/tokens.js'
import { errorAnswers, type RouteSchema } from './schema.js'
import { sendJson } from './scope.js'

export interface TokenRouteDependencies {
  identification: Identification
  tokens: Tokens
  powersyncUrl: string
}

const example = {
  token: 'eyJhbGciOiJFUzI1NiIsImtpZCI6IjIwMjYtMDEifQ.eyJzdWIiOiJ1c2VyMSJ9.c2lnbmF0dXJl',
  powersync_url: 'https://<id>.powersync.journeyapps.com',
  expires_at: '2026-01-31T12:05:00.000Z'
}

const schema: RouteSchema = {
  summary: 'A token for the PowerSync Service',
  description: 'For whoever this app has signed in, by the credentials that it signs in with: what a connector gives back from fetchCredentials. It is good for uploads as well.',
  tags: ['powersync'],
  response: {
    200: Type.Object({
      token: Type.String({ description: 'JWT' }),
      powersync_url: Type.String({ description: 'the endpoint to connect to' }),
      expires_at: Type.String({ format: 'date-time', description: 'when the token ends' })
    }, { description: 'A token, not to be cached by others than the client', examples: [example] }),
    ...errorAnswers({
      401: ['Nobody is signed in', 'FST_PSM_UNAUTHORIZED', 'Nobody is signed in: send the credentials that this app signs in with'],
      503: ['Nobody can say at the moment who is calling', 'FST_PSM_AUTHENTICATION_UNAVAILABLE', 'Authentication is not available at the moment: try again']
    })
  }
}

/** `GET /token`: a token for whoever `authenticate` knows. */
export function tokenRoute ({ identification, tokens, powersyncUrl }: TokenRouteDependencies): RouteOptions {
  return {
    method: 'GET',
    url: '/token',
    schema,
    async handler (request, reply) {
      const user = await identify(identification, request, { route: 'token', verifyToken: tokens.verify })
      const { token, expiresAt } = tokens.sign(user)
      reply.header('cache-control', 'no-store')
      return sendJson(reply, { token, powersync_url: powersyncUrl, expires_at: expiresAt.toISOString() })
    }
  }
}
