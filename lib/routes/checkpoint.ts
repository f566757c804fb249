import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { RouteOptions } from 'fastify'
import type { Identify } from '../auth/authenticators.js'
import { BodyError, UnavailableError } from '../errors.js'
import type { TakeCheckpoint } from '../store/checkpoints.js'
import { loggable } from '../observe/loggable.js'
import { typeWords } from '../type-words.js'
import { limitTime, readBody } from '../wire/body.js'
import { parseBody } from '../wire/parse.js'
import { ClientId as AnyClientId } from '../wire/schemas.js'
import { errorAnswers, routeSchema } from './schema.js'
import { sendJson } from './scope.js'

const RequestId = Type.String({
  pattern: '^[1-9][0-9]{0,18}$', description: 'the number that the SDK asks for: a positive 64-bit integer as text'
})
const ClientId = Type.String({
  minLength: 1, pattern: AnyClientId.pattern as string, description: 'the client database\'s id (getClientId())'
})
const expectedClientId = `client_id: expected ${AnyClientId.description} and not empty, found`

const body = {
  description: 'an object with "client_id"', examples: [{ client_id: '9f2c1c2e-0c39-4b9a-8a2e-6f1d3f6c1b2a' }]
}

/** The largest value of a MongoDB long. */
const largest = 2n ** 63n - 1n
const limits = { bytes: 4096, tooLarge: 'The body is larger than 4096 bytes' }
const unavailable = 'The write checkpoint could not be taken: send the request again'

const description = 'For an updateBatch that writes later, and PowerSync instances with custom write checkpoints. ' +
  'Without checkpoint_request_id the next number of this user and client, for complete() after an upload; with it ' +
  'the greater of the stored and the requested number, for the connector\'s postCheckpointRequest.'
const schema = routeSchema('A custom write checkpoint for a client', description, {
  body: Type.Object({ client_id: ClientId, checkpoint_request_id: Type.Optional(RequestId) }, body),
  response: {
    200: Type.Object({
      checkpoint: Type.Optional(Type.String({ description: 'greater than all before' })),
      checkpoint_request_id: Type.Optional(Type.String({ description: 'the greater of the stored and the requested' }))
    }, { description: 'The committed checkpoint', examples: [{ checkpoint: '42' }, { checkpoint_request_id: '42' }] }),
    ...errorAnswers({
      FST_PSM_BODY: `${expectedClientId} a number`,
      FST_PSM_UNAUTHORIZED: 'Nobody is signed in: send the credentials that this server accepts for uploads',
      FST_PSM_TOO_LARGE: limits.tooLarge,
      FST_PSM_MEDIA_TYPE: 'The content type: expected application/json, found text/plain',
      FST_PSM_UNAVAILABLE: unavailable
    })
  }
})

/** `PUT /checkpoint`: the number that the client passes to `complete()` after an upload. */
export const checkpointRoute = (identify: Identify, take: TakeCheckpoint): RouteOptions => ({
  method: 'PUT',
  url: '/checkpoint',
  schema,
  async handler (request, reply) {
    limitTime(request)
    const user = await identify(request)
    const { bytes } = await readBody(request, limits)
    const { client_id: client, checkpoint_request_id: id } = Object(parseBody(bytes, body.description))
    if (!Value.Check(ClientId, client)) {
      throw new BodyError(`${expectedClientId} ${client === '' ? 'empty text' : typeWords(client)}`)
    }
    const requested = Value.Check(RequestId, id) ? BigInt(id) : undefined
    if (id !== undefined && (requested === undefined || requested > largest)) {
      const found = typeWords(id)
      throw new BodyError(`checkpoint_request_id: expected a positive 64-bit integer as text, found ${found}`)
    }
    try {
      const checkpoint = await take(user, client, requested)
      return sendJson(reply, requested === undefined ? { checkpoint } : { checkpoint_request_id: checkpoint })
    } catch (error) {
      request.log.error({ err: loggable(error) }, 'a write checkpoint could not be taken')
      throw new UnavailableError(unavailable)
    }
  }
})
