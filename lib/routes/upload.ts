import { getHeapStatistics } from 'node:v8'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { UploadOptions } from '../../types/index.js'
import { identify, type Identification } from '../auth/authenticators.js'
import type { Tokens } from '../auth/tokens.js'
import { BodyError, TooLargeError } from '../errors.js'
import type { Gate } from '../uploads/gate.js'
import type { Uploader } from '../uploads/uploader.js'
import { answerOf } from '../wire/answer.js'
import { limitTime, readBody, type Body } from '../wire/body.js'
import { parseUpload } from '../wire/parse.js'
import { readUpload } from '../wire/read.js'
import { ClientId, SchemaVersion, UnavailableAnswer, UploadAnswer, UploadBody } from '../wire/schemas.js'
import { errorAnswers, errorExample, examples, type RouteSchema } from './schema.js'
import { sendJson } from './scope.js'

export interface UploadRouteDependencies {
  identification: Identification
  tokens: Tokens
  upload: Uploader
  /** Bytes. */
  bodyLimit: number
  maxOperations: number
  requiresClientHandling: UploadOptions['requiresClientHandling']
  gate: Gate
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
  'One can never be stored, and is kept as a dead letter': { results: [{ status: 'fatal_error', requires_client_handling: false, failed_operation: failed, message: failed.message }, { status: 'success' }] },
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
  headers: Type.Object({
    'x-client-id': Type.Optional(Type.String({ ...ClientId, description: 'The client database\'s id (getClientId()), where the body has no client_id' })),
    'x-schema-version': Type.Optional(Type.Integer({ ...SchemaVersion, description: 'Version of the app\'s schema, where the body has no schema_version' }))
  }),
  body: { ...UploadBody, ...examples(bodies) },
  response: {
    ...errorAnswers({
      400: ['The body cannot be read: a mistake in the connector, which blocks its queue', 'FST_PSM_BODY', 'batch[0].op: expected "PUT", "PATCH" or "DELETE", found text'],
      401: ['Nobody is signed in', 'FST_PSM_UNAUTHORIZED', 'Nobody is signed in: send the credentials that this server accepts for uploads'],
      413: ['The upload is larger than this server takes', 'FST_PSM_TOO_LARGE', 'The upload is larger than 16777216 bytes, this server\'s limit (option upload.bodyLimit)'],
      415: ['The body is not JSON, or is encoded', 'FST_PSM_MEDIA_TYPE', 'The content type: expected application/json, found text/plain']
    }),
    200: { ...UploadAnswer, description: 'Each transaction is committed, or kept because it can never be; those of "transactions" may have to be sent again as well', ...examples(answers) },
    503: { ...UnavailableAnswer, description: 'Send it again: of "batch" and "operations" what had to be, too', ...examples(unavailable) }
  }
}

/** `POST /upload`: applies what a client's upload queue holds. */
export function uploadRoute ({ identification, tokens, upload, gate, bodyLimit, maxOperations, requiresClientHandling }: UploadRouteDependencies): RouteOptions {
  const limits = limitsOf(bodyLimit)
  return {
    method: 'POST',
    url: '/upload',
    schema,
    // Or the client would keep its connection, and the server that closes would wait for it: Fastify for 72 s by default.
    onSend (_request, reply, payload, done) {
      if (!gate.health().accepting) reply.header('connection', 'close')
      done(null, payload)
    },
    async handler (request, reply) {
      limitTime(request)
      gate.check()
      // Who is nobody takes no place and gets nothing read.
      const user = await identify(identification, request, { route: 'upload', verifyToken: tokens.verify })
      const gone = goneSignal(reply)
      const body = await readBody(request, { ...limits.body, room: bytes => gate.receive(bytes, gone) })
      const leave = await gate.enter(weightOf(body), gone).finally(body.release)
      try {
        // For hooks that look at what came beside the operations.
        request.body = await parseUpload(body.bytes, limits.parse)
        const { container, transactions } = readUpload(request.body, header(request, 'x-client-id'), header(request, 'x-schema-version'))
        const count = transactions.reduce((sum, { operations }) => sum + operations.length, 0)
        if (count > maxOperations) throw new TooLargeError(`The upload has ${count} operations: this server takes ${maxOperations} at once (option upload.maxOperations)`)
        const byTransaction = container === 'transactions'
        const results = await upload(transactions, { user, request, log: request.log }, {
          onRejection: byTransaction ? 'stop' : 'skip',
          requiresClientHandling: byTransaction ? requiresClientHandling : undefined
        })
        const answer = answerOf(results, container)
        return sendJson(reply.code(answer.status).headers(answer.headers), answer.body)
      } catch (error) {
        if (error instanceof BodyError) request.log.error({ err: error }, 'an upload cannot be read: it blocks this client\'s queue until its connector or this server changes')
        throw error
      } finally {
        leave()
      }
    }
  }
}

/**
 * Parsed, JSON takes up to thirty times its bytes, by what it holds: so units of it are bounded too. Usual operations
 * have about ten bytes for each.
 */
function limitsOf (bodyLimit: number) {
  const most = Math.floor(Math.min(Math.max(bodyLimit, 1024 ** 2) / 4, getHeapStatistics().heap_size_limit / 100))
  const mostInOne = Math.floor(most / 8)
  const expected = UploadBody.description as string
  return {
    body: {
      bytes: bodyLimit,
      tooLarge: `The upload is larger than ${bodyLimit} bytes, this server's limit (option upload.bodyLimit)`,
      units: { most, tooMany: (units: number) => `The upload has more than ${units - 1} names and values of JSON: this server takes ${most} at once (a quarter of option upload.bodyLimit, as far as its memory goes)` }
    },
    parse: {
      expected,
      atOnce: 512 * 1024,
      units: { most: mostInOne, tooMany: (place: string, units: number) => `${place} has ${units} names and values of JSON: this server takes ${mostInOne} in one operation (a thirty-second of option upload.bodyLimit, as far as its memory goes)` }
    }
  }
}

/** Bytes of memory that an upload takes while it is worked on: text and BSON, and what is parsed. */
const weightOf = ({ bytes, units }: Body) => 3 * bytes.length + 64 * units

/** Node joins a repeated header of this kind into one text. */
const header = ({ headers }: FastifyRequest, name: string) => headers[name] as string | undefined

/** Aborts when the client has hung up. */
function goneSignal ({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => { if (!raw.writableFinished) controller.abort() })
  return controller.signal
}
