import { getHeapStatistics } from 'node:v8'
import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifyReply, RouteOptions } from 'fastify'
import type { UploadOptions } from '../../types/index.js'
import type { Identify } from '../auth/authenticators.js'
import { BodyError, TooLargeError } from '../errors.js'
import type { Gate } from '../uploads/gate.js'
import type { Uploader } from '../uploads/uploader.js'
import { answerOf } from '../wire/answer.js'
import { limitTime, readBody } from '../wire/body.js'
import { parseUpload } from '../wire/parse.js'
import { readUpload } from '../wire/read.js'
import { ClientId, SchemaVersion, UnavailableAnswer, UploadAnswer, UploadBody } from '../wire/schemas.js'
import { errorAnswers, errorExample, examples, routeSchema } from './schema.js'
import { closeAfter, sendJson } from './scope.js'

const list = '61d19021-0565-4686-acc4-3ea4f8c48839'
const client = '9f2c1c2e-0c39-4b9a-8a2e-6f1d3f6c1b2a'

const put = { op: 'PUT', id: list, data: { name: 'Groceries' } }
const patch = { op: 'PATCH', id: list, data: { name: 'Shopping' }, old: { name: 'Groceries' }, metadata: 'renamed' }
const market = { op: 'PATCH', table: 'lists', id: list, op_data: { name: 'Market' }, previous_values: patch.data }

const bodies = {
  'As PowerSync\'s SDKs serialise their queue': {
    client_id: client,
    batch: [
      { op_id: 1, tx_id: 1, type: 'lists', ...put },
      { op_id: 2, tx_id: 2, type: 'lists', ...patch },
      { op_id: 3, tx_id: 2, op: 'DELETE', type: 'lists', id: 'c3a9b0de-8d2b-4a2c-9d2d-0d6f8f9f4a11' }
    ]
  },
  'As their operations are in memory': { operations: [{ op: 'PUT', table: 'lists', id: list, opData: put.data }] },
  'As PowerSync\'s reference write API takes them': {
    client_id: client, transactions: [{ transaction_id: 4, crud: [{ op_id: 4, ...market }] }]
  }
}

const success = { status: 'success' }
const message = 'The value is not text'
const failed = { error_code: 'INVALID_DATA', message, details: { path: 'name' }, operation_index: 0 }
const fatal = { status: 'fatal_error', requires_client_handling: false, failed_operation: failed, message }
const retryable = 'The transaction could not be applied at the moment'
const retry = { status: 'retryable_error', message: retryable, retry_after_ms: 5000 }

const answers = {
  'All are committed': { results: [success, success] },
  'One can never be stored, and is kept as a dead letter': { results: [fatal, success] },
  'Transactions stop at the first retryable one': { results: [retry, { status: 'not_attempted' }] }
}
const unavailable = {
  'Some have to be sent again': { results: [success, retry] },
  'None was processed': errorExample('FST_PSM_UNAVAILABLE', 'The server is shutting down: send the upload again')
}

const header = (schema: TSchema, description: string) => Type.Optional({ ...schema, description })
const headers = Type.Object({
  'x-client-id': header(ClientId, 'The client database\'s id (getClientId()), if not in the body'),
  'x-schema-version': header(SchemaVersion, 'Version of the app\'s schema, if not in the body')
})

const description = 'For a connector\'s uploadData. A client\'s transaction becomes one transaction of MongoDB, all ' +
  'or nothing and in the client\'s order. With client_id and op_id each operation is applied exactly once, however ' +
  'often it is sent. Null means absent, and other fields are ignored.'
const schema = routeSchema('Apply queued writes of a client', description, {
  headers,
  body: { ...UploadBody, ...examples(bodies) },
  response: {
    ...errorAnswers({
      FST_PSM_BODY: 'batch[0].op: expected "PUT", "PATCH" or "DELETE", found text',
      FST_PSM_UNAUTHORIZED: 'Nobody is signed in: send the credentials that this server accepts for uploads',
      FST_PSM_TOO_LARGE: 'The upload is larger than 16777216 bytes, this server\'s limit (option upload.bodyLimit)',
      FST_PSM_MEDIA_TYPE: 'The content type: expected application/json, found text/plain'
    }),
    200: {
      ...UploadAnswer, ...examples(answers), description: 'Committed or kept; of "transactions", some may be retryable'
    },
    503: { ...UnavailableAnswer, description: 'Send the upload again', ...examples(unavailable) }
  }
})

/** `POST /upload`: applies operations of a client's upload queue. */
export function uploadRoute ({ identify, upload, gate, bodyLimit, maxOperations, requiresClientHandling }: {
  identify: Identify, upload: Uploader, gate: Gate, bodyLimit: number, maxOperations: number
} & Pick<UploadOptions, 'requiresClientHandling'>): RouteOptions {
  const limits = limitsOf(bodyLimit)
  return {
    method: 'POST',
    url: '/upload',
    schema,
    // A connection that is kept alive would delay the server's close, by 72 s with Fastify's default.
    onSend (request, reply, payload, done) {
      if (!gate.health().accepting) closeAfter(request, reply)
      done(null, payload)
    },
    async handler (request, reply) {
      limitTime(request)
      gate.check()
      // Before anything else: anonymous bodies are never read, and take no place.
      const user = await identify(request)
      const gone = goneSignal(reply)
      const body = await readBody(request, { ...limits.body, room: bytes => gate.receive(bytes, gone) })
      // Bytes of memory: the text, its BSON, and its parsed form.
      const weight = 3 * body.bytes.length + 64 * body.units
      const leave = await gate.enter(weight, gone).finally(body.release)
      try {
        // Hooks may read other fields of the body.
        request.body = await parseUpload(body.bytes, limits.parse)
        // Node joins repeated headers of this kind into one text.
        const names = Object.keys(headers.properties)
        const [client, version] = names.map(name => request.headers[name] as string | undefined)
        const { container, transactions } = readUpload(request.body, client, version)
        const count = transactions.reduce((sum, { operations }) => sum + operations.length, 0)
        const limit = `this server takes ${maxOperations} at once (option upload.maxOperations)`
        if (count > maxOperations) throw new TooLargeError(`The upload has ${count} operations: ${limit}`)
        const byTransaction = container === 'transactions'
        const results = await upload(transactions, { user, request, log: request.log }, {
          onRejection: byTransaction ? 'stop' : 'skip',
          requiresClientHandling: byTransaction ? requiresClientHandling : undefined
        })
        const answer = answerOf(results, container)
        return sendJson(reply.code(answer.status).headers(answer.headers), answer.body)
      } catch (error) {
        if (error instanceof BodyError) {
          request.log.error({ err: error },
            "an upload cannot be read: it blocks this client's queue until its connector or this server changes")
        }
        throw error
      } finally {
        leave()
      }
    }
  }
}

/** Parsed, JSON takes up to thirty times its bytes; usual operations have about ten bytes for a name or a value. */
function limitsOf (bodyLimit: number) {
  const most = Math.floor(Math.min(Math.max(bodyLimit, 1024 ** 2) / 4, getHeapStatistics().heap_size_limit / 100))
  const mostInOne = Math.floor(most / 8)
  const limit = (allowed: string, share: string) =>
    `names and values of JSON: this server takes ${allowed} (${share} of option upload.bodyLimit, as far as its memory goes)`
  const tooMany = (units: number) => `The upload has more than ${units - 1} ${limit(`${most} at once`, 'a quarter')}`
  const tooManyInOne = (place: string, units: number) =>
    `${place} has ${units} ${limit(`${mostInOne} in one operation`, 'a thirty-second')}`
  const tooLarge = `The upload is larger than ${bodyLimit} bytes, this server's limit (option upload.bodyLimit)`
  return {
    body: { bytes: bodyLimit, tooLarge, units: { most, tooMany } },
    parse: {
      expected: UploadBody.description as string, atOnce: 512 * 1024, units: { most: mostInOne, tooMany: tooManyInOne }
    }
  }
}

/** Aborts when the client has hung up. */
function goneSignal ({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => { if (!raw.writableFinished) controller.abort() })
  return controller.signal
}
