import { Type } from '@sinclair/typebox'
import type { RouteOptions } from 'fastify'
import type { Authenticate } from '../../types/index.js'
import { identify } from '../auth/authenticators.js'
import type { Tokens } from '../auth/tokens.js'
import { ErrorAnswer } from '../wire/schemas.js'
import type { RouteSchema } from './schema.js'

export interface TokenRouteDependencies {
  authenticate: Authenticate
  tokens: Tokens
  powersyncUrl: string
}

const schema: RouteSchema = {
  summary: 'A token for the PowerSync Service',
  tags: ['powersync'],
  response: {
    200: Type.Object({
      token: Type.String({ description: 'JWT' }),
      powersync_url: Type.String({ description: 'the endpoint to connect to' }),
      expires_at: Type.String({ format: 'date-time', description: 'when the token ends' })
    }),
    '4xx': ErrorAnswer,
    '5xx': ErrorAnswer
  }
}

/** `GET /token`: a token for whoever `authenticate` knows. */
export function tokenRoute ({ authenticate, tokens, powersyncUrl }: TokenRouteDependencies): RouteOptions {
  return {
    method: 'GET',
    url: '/token',
    schema,
    async handler (request, reply) {
      const user = await identify(authenticate, request, { route: 'token', verifyToken: tokens.verify })
      const { token, expiresAt } = await tokens.sign(user, request)
      reply.header('cache-control', 'no-store')
      return { token, powersync_url: powersyncUrl, expires_at: expiresAt.toISOString() }
    }
  }
}
