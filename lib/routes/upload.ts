import { isUtf8 } from 'node:buffer'
import type { TSchema } from '@sinclair/typebox'
import type { FastifyError, FastifyInstance, FastifyRequest, RequestPayload, RouteOptions } from 'fastify'
import type { Authenticate, TransactionResult, UploadOptions, User } from '../../types/index.js'
import { identify } from '../auth/authenticators.js'
import type { Tokens } from '../auth/tokens.js'
import { BodyError, TooLargeError } from '../errors.js'
import type { Gate } from '../upload/gate.js'
import type { Uploader } from '../upload/upload.js'
import { readUpload, type Container } from '../wire/read.js'
import { ErrorAnswer, UnavailableAnswer, UploadAnswer, UploadBody } from '../wire/schemas.js'
import type { RouteSchema } from './schema.js'

export interface UploadRouteDependencies {
  authenticate: Authenticate
  tokens: Tokens
  upload: Uploader
  /** Bytes. */
  bodyLimit: number
  maxOperations: number
  onFatalError: UploadOptions['onFatalError']
  requiresClientHandling: UploadOptions['requiresClientHandling']
  gate: Gate
  /** Milliseconds. */
  bodyTimeout: number
}

const schema: RouteSchema = {
  summary: 'Apply queued writes of a client',
  tags: ['powersync'],
  body: UploadBody,
  response: { 200: UploadAnswer, 503: UnavailableAnswer, '4xx': ErrorAnswer, '5xx': ErrorAnswer }
}

/** `POST /upload`: applies what a client's upload queue holds. */
export function uploadRoute (dependencies: UploadRouteDependencies): RouteOptions {
  const { authenticate, tokens, upload, bodyLimit, maxOperations, requiresClientHandling, gate, bodyTimeout } = dependencies
  const callers = new WeakMap<FastifyRequest, User>()
  return {
    method: 'POST',
    url: '/upload',
    bodyLimit,
    schema,
    // The body is checked by readUpload: Fastify's own validator converts values, which corrupts data.
    validatorCompiler: () => () => true,
    errorHandler (error, request) {
      if ((error as FastifyError).code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
        throw new TooLargeError(`The upload is larger than ${bodyLimit} bytes, this server's limit (option upload.bodyLimit)`)
      }
      if (error instanceof BodyError) request.log.error({ err: error }, 'an upload cannot be read: it blocks this client\'s queue until its connector or this server changes')
      throw error
    },
    // Before the body is read: who is nobody gets nothing parsed.
    async preParsing (request, reply, payload) {
      const leave = gate.enter()
      // Whether it is answered or the client goes away.
      reply.raw.once('close', leave)
      callers.set(request, await identify(authenticate, request, { route: 'upload', verifyToken: tokens.verify }))
      limitTime(request, payload, bodyTimeout)
    },
    // Or the client would keep its connection, and the server that closes would wait for it: Fastify for 72 s by default.
    onSend (_request, reply, payload, done) {
      if (!gate.health().accepting) reply.header('connection', 'close')
      done(null, payload)
    },
    async handler (request, reply) {
      const user = callers.get(request) as User
      // Node joins a repeated header of this kind into one text.
      const header = request.headers['x-client-id'] as string | undefined
      const { container, transactions } = readUpload(request.body, header)
      const count = transactions.reduce((sum, { operations }) => sum + operations.length, 0)
      if (count > maxOperations) throw new TooLargeError(`The upload has ${count} operations: this server takes ${maxOperations} at once (option upload.maxOperations)`)
      const byTransaction = container === 'transactions'
      const results = await upload(transactions, { user, request, log: request.log }, {
        onFatalError: dependencies.onFatalError ?? (byTransaction ? 'stop' : 'skip'),
        requiresClientHandling: byTransaction ? requiresClientHandling : undefined
      })
      const status = statusOf(results, container)
      if (status === 503) reply.header('retry-after', '5')
      return reply.code(status).send({ results })
    }
  }
}

/** A body that does not come to its end would hold its place for ever. Fastify's own limit, `requestTimeout`, is off by default. */
function limitTime (request: FastifyRequest, payload: RequestPayload, bodyTimeout: number): void {
  const timer = setTimeout(() => {
    request.log.warn({ bodyTimeout }, 'the body of an upload did not arrive in time (option upload.bodyTimeout): its connection is closed')
    request.raw.destroy()
  }, bodyTimeout)
  for (const event of ['end', 'close']) payload.once(event, () => clearTimeout(timer))
}

/** Clients that send `batch` or `operations` look at the status alone: 2xx must mean that nothing is left to send. */
function statusOf (results: TransactionResult[], container: Container): 200 | 503 {
  return container !== 'transactions' && results.some(({ status }) => status === 'retryable_error') ? 503 : 200
}

/** Parses the bodies of uploads and checkpoints, so that neither a host's own parser nor Fastify's error texts, which quote the body, come in between. */
export function addBodyParser (scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer
    const { description } = request.routeOptions.schema?.body as TSchema
    if (bytes.length === 0) return done(new BodyError(`The body: expected ${description}, found nothing`))
    // Decoding would put U+FFFD in the place of other bytes: other ids and values than were sent.
    if (!isUtf8(bytes)) return done(new BodyError(`The body: expected ${description}, found bytes that are not UTF-8`))
    try {
      done(null, JSON.parse(bytes.toString()))
    } catch {
      done(new BodyError(`The body: expected ${description}, found something that is not JSON`))
    }
  })
}
