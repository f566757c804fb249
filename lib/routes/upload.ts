import { isUtf8 } from 'node:buffer'
import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifyError, FastifyInstance, FastifyRequest, RequestPayload, RouteOptions } from 'fastify'
import type { Authenticate, TransactionResult, UploadOptions, User } from '../../types/index.js'
import { identify } from '../auth/authenticators.js'
import type { Tokens } from '../auth/tokens.js'
import { BodyError, TooLargeError } from '../errors.js'
import type { Gate } from '../upload/gate.js'
import type { Uploader } from '../upload/upload.js'
import { parseJson } from '../wire/json.js'
import { readUpload, type Container } from '../wire/read.js'
import { ClientId, UnavailableAnswer, UploadAnswer, UploadBody } from '../wire/schemas.js'
import { errorAnswers, errorExample, examples, type RouteSchema } from './schema.js'

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

const list = '61d19021-0565-4686-acc4-3ea4f8c48839'
const client = '9f2c1c2e-0c39-4b9a-8a2e-6f1d3f6c1b2a'

const bodies = {
  'As PowerSync\'s SDKs serialise their queue': {
    client_id: client,
    batch: [
      { op_id: 1, tx_id: 1, op: 'PUT', type: 'lists', id: list, data: { name: 'Groceries' } },
      { op_id: 2, tx_id: 2, op: 'PATCH', type: 'lists', id: list, data: { name: 'Shopping' }, old: { name: 'Groceries' }, metadata: 'renamed by hand' },
      { op_id: 3, tx_id: 2, op: 'DELETE', type: 'lists', id: 'c3a9b0de-8d2b-4a2c-9d2d-0d6f8f9f4a11' }
    ]
  },
  'As their operations are in memory': {
    operations: [{ op: 'PUT', table: 'lists', id: list, opData: { name: 'Groceries' } }]
  },
  'As PowerSync\'s reference write API takes them': {
    client_id: client,
    transactions: [{ transaction_id: 4, crud: [{ op_id: 4, op: 'PATCH', table: 'lists', id: list, op_data: { name: 'Market' }, previous_values: { name: 'Shopping' } }] }]
  }
}

const failed = { error_code: 'INVALID_DATA', message: 'The value is not text', details: { path: 'name' }, operation_index: 0 }

const answers = {
  'All is committed': { results: [{ status: 'success' }, { status: 'success' }] },
  'One can never be stored, and is kept as a dead letter': { results: [{ status: 'fatal_error', requires_client_handling: false, failed_operation: failed }, { status: 'success' }] },
  'A bad operation is left out (onFault: operation)': { results: [{ status: 'success', skipped_operations: [failed] }] },
  'Transactions stop at the first that has to be sent again': { results: [{ status: 'retryable_error', message: 'The transaction could not be applied at the moment', retry_after_ms: 5000 }, { status: 'not_attempted' }] }
}

const unavailable = {
  'Some have to be sent again': { results: [{ status: 'success' }, { status: 'retryable_error', message: 'The transaction could not be applied at the moment', retry_after_ms: 5000 }] },
  'None was looked at': errorExample(503, 'FST_PSM_UNAVAILABLE', 'The server is shutting down: send the upload again')
}

const schema: RouteSchema = {
  summary: 'Apply queued writes of a client',
  description: 'What a connector\'s uploadData sends. A client\'s transaction becomes one transaction of MongoDB, all or nothing and in the client\'s order. With client_id and op_id each operation is applied exactly once, however often it is sent. Null means absent, and fields that are not listed are ignored.',
  tags: ['powersync'],
  headers: Type.Object({ 'x-client-id': Type.Optional(Type.String({ ...ClientId, description: 'The client database\'s id (getClientId()), where the body has no client_id' })) }),
  body: { ...UploadBody, ...examples(bodies) },
  response: {
    ...errorAnswers({
      400: ['The body cannot be read: a mistake in the connector, which blocks its queue', 'FST_PSM_BODY', 'batch[0].op: expected "PUT", "PATCH" or "DELETE", found text'],
      401: ['Nobody is signed in', 'FST_PSM_UNAUTHORIZED', 'Nobody is signed in: send the credentials that this server accepts for uploads'],
      413: ['The upload is larger than this server takes', 'FST_PSM_TOO_LARGE', 'The upload is larger than 16777216 bytes, this server\'s limit (option upload.bodyLimit)'],
      415: ['The body is not JSON', 'FST_ERR_CTP_INVALID_MEDIA_TYPE', 'Unsupported Media Type']
    }),
    200: { ...UploadAnswer, description: 'Each transaction is committed, or kept because it can never be; those of "transactions" may have to be sent again as well', ...examples(answers) },
    503: { ...UnavailableAnswer, description: 'Send it again: of "batch" and "operations" what had to be, too', ...examples(unavailable) }
  }
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
      done(null, parseJson(bytes.toString()))
    } catch {
      done(new BodyError(`The body: expected ${description}, found something that is not JSON`))
    }
  })
}
