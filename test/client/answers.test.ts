/** What the connector makes of answers: right ones, wrong ones, late ones and none. */
import { createServer } from 'node:net'
import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import {
  ConnectorError, createConnector, type ConnectorErrorCode, type ConnectorOptions, type FatalDecision,
  type RejectedTransaction
} from '../../lib/client/index.js'
import { inserts, queueOf } from './queue.js'
import {
  fatal, leftToClient, notAttempted, rejected, retryable, scriptedServer, silence, success, tokenAnswer, type Answer
} from './scripted-server.js'

/** Uploads once; what came of it. */
async function upload (
  t: Test,
  answer: Answer,
  options: Partial<ConnectorOptions> = {},
  queue = queueOf(...inserts(3))
) {
  const server = await scriptedServer(t, answer)
  const told: RejectedTransaction[] = []
  const connector = createConnector({
    url: server.url,
    onFatal: event => { told.push(event) },
    ...options
  })
  const error = await connector.uploadData(queue).then(() => undefined, (error: ConnectorError) => error)
  return {
    error,
    code: error?.code,
    left: queue.left().flat(),
    told: told.map(({ transaction }) => transaction.transactionId),
    server,
    connector,
    queue
  }
}

const settlements: Array<{ results: object[], left: number[], code?: ConnectorErrorCode, told?: number[] }> = [
  { results: [success, success, success], left: [] },
  { results: [success, fatal, success], left: [], told: [2] },
  { results: [fatal, fatal, fatal], left: [], told: [1, 2, 3] },
  { results: [success, fatal, notAttempted], left: [3], told: [2] },
  { results: [fatal, notAttempted, notAttempted], left: [2, 3], told: [1] },
  { results: [fatal, success, notAttempted], left: [3], told: [1], code: 'PSM_RETRY' },
  { results: [success, retryable, notAttempted], left: [2, 3], code: 'PSM_RETRY' },
  { results: [retryable, notAttempted, notAttempted], left: [1, 2, 3], code: 'PSM_RETRY' },
  { results: [success, retryable, success], left: [2, 3], code: 'PSM_RETRY' },
  { results: [notAttempted, success, success], left: [1, 2, 3], code: 'PSM_RETRY' },
  { results: [success, success, leftToClient], left: [3], told: [3], code: 'PSM_REJECTED' },
  { results: [fatal, leftToClient, success], left: [2, 3], told: [1, 2], code: 'PSM_REJECTED' },
  { results: [leftToClient, notAttempted, notAttempted], left: [1, 2, 3], told: [1], code: 'PSM_REJECTED' }
]

for (const { results, left, code, told = [] } of settlements) {
  const words = results.map(result =>
    result === leftToClient ? 'left to client' : (result as { status: string }).status
  )
  t.test(`${words.join(', ')}: leaves ${left.length}${code ? ` and fails with ${code}` : ''}`, async t => {
    const outcome = await upload(t, { results })
    t.equal(outcome.code, code)
    t.same(outcome.left, left)
    t.same(outcome.told, told)
  })
}

t.test('a retryable result says how long the server asks to wait', async t => {
  t.match((await upload(t, { results: [retryable, notAttempted, notAttempted] })).error, {
    name: 'ConnectorError',
    code: 'PSM_RETRY',
    retryAfter: 5000
  })
})

const decisions: Array<{
  name: string
  onFatal: ConnectorOptions['onFatal']
  left: number[]
  code?: ConnectorErrorCode
}> = [
  { name: 'discard', onFatal: () => 'discard', left: [3] },
  { name: 'discard, after a while', onFatal: async (): Promise<FatalDecision> => 'discard', left: [3] },
  { name: 'retain', onFatal: () => 'retain', left: [2, 3], code: 'PSM_REJECTED' },
  { name: 'neither', onFatal: () => 'complete' as FatalDecision, left: [2, 3], code: 'PSM_REJECTED' },
  {
    name: 'a failure',
    onFatal: () => {
      throw new Error('mine')
    },
    left: [2, 3],
    code: 'PSM_REJECTED'
  },
  { name: 'none, since there is no onFatal', onFatal: undefined, left: [2, 3], code: 'PSM_REJECTED' }
]

for (const { name, onFatal, left, code } of decisions) {
  t.test(`a rejected transaction is left to onFatal, whose decision is ${name}`, async t => {
    const outcome = await upload(t, { results: [success, leftToClient, notAttempted] }, { onFatal })
    t.equal(outcome.code, code)
    t.same(outcome.left, left)
    if (code) t.same(outcome.error?.failedOperation, rejected)
  })
}

t.test('what comes before a decision has left the queue when it is asked for', async t => {
  const queue = queueOf(...inserts(3))
  await upload(t, { results: [success, leftToClient, notAttempted] }, {
    onFatal ({ transaction, failedOperation, requiresClientHandling }) {
      t.same(queue.left(), [[2], [3]])
      t.equal(transaction.crud[0]?.id, 'row2')
      t.same(failedOperation, rejected)
      t.equal(requiresClientHandling, true)
    }
  }, queue)
  t.plan(4)
})

t.test('onFatal is told while the transaction is still in the queue; what it gives back does not count', async t => {
  const queue = queueOf(...inserts(3))
  await upload(t, { results: [success, fatal, success] }, {
    onFatal ({ requiresClientHandling }) {
      t.equal(requiresClientHandling, false)
      t.equal(queue.left().length, 3)
      return 'retain'
    }
  }, queue)
  t.same(queue.left(), [])
})

t.test('an onFatal that is only told and fails does not block the queue, and does not go unseen', async t => {
  const mine = new Error('mine')
  const { error, left } = await upload(t, { results: [success, fatal, success] }, { onFatal: () => { throw mine } })
  t.match(error, { code: 'PSM_HOOK', cause: mine })
  t.same(left, [])
})

const wrongBodies: Array<[name: string, answer: Answer]> = [
  ['nothing', reply => reply.send()],
  ['text', reply => reply.type('text/html').send('<html>Sign in to the Wi-Fi</html>')],
  ['null', reply => reply.type('application/json').send('null')],
  ['an array', []],
  ['an object without results', {}],
  ['results that are no array', { results: { 0: success, length: 3 } }],
  ['too few results', { results: [success, success] }],
  ['too many results', { results: [success, success, success, success] }],
  ['a result that is no object', { results: [success, success, 'success'] }],
  ['a result that is null', { results: [success, success, null] }],
  ['a result without status', { results: [success, success, {}] }],
  ['an unknown status', { results: [success, success, { status: 'toString' }] }],
  [
    'a fatal_error that does not say who handles it',
    { results: [success, success, { ...fatal, requires_client_handling: undefined }] }
  ],
  ['a fatal_error without operation', { results: [success, success, { ...fatal, failed_operation: undefined }] }],
  [
    'a failed operation without code',
    { results: [success, success, { ...fatal, failed_operation: { message: 'no' } }] }
  ],
  [
    'a failed operation without message',
    { results: [success, success, { ...fatal, failed_operation: { error_code: 'INVALID_DATA' } }] }
  ],
  ['a retryable_error without message', { results: [success, success, { ...retryable, message: undefined }] }],
  ['a retryable_error without time', { results: [success, success, { ...retryable, retry_after_ms: 'soon' }] }],
  ['half of an answer', reply => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
    reply.raw.write(JSON.stringify({ results: [success, success, success] }), () => reply.raw.destroy())
  }]
]

for (const [name, answer] of wrongBodies) {
  t.test(`answered with ${name}: nothing leaves the queue`, async t => {
    const { code, left, told } = await upload(t, answer)
    t.equal(code, 'PSM_ANSWER')
    t.same(left, [1, 2, 3])
    t.same(told, [])
  })
}

for (const [code, expected] of [
  [400, 'PSM_STATUS'],
  [401, 'PSM_UNAUTHORIZED'],
  [403, 'PSM_STATUS'],
  [404, 'PSM_STATUS'],
  [500, 'PSM_STATUS'],
  [503, 'PSM_STATUS']
] as const) {
  t.test(`answered with status ${code}: nothing leaves the queue, whatever the body says`, async t => {
    const { error, left } = await upload(t, reply => reply.code(code).send({ results: [success, success, success] }))
    t.match(error, { code: expected, status: code })
    t.same(left, [1, 2, 3])
  })
}

t.test('details that a hook of the server got wrong do not block the queue', async t => {
  const odd = { ...fatal, failed_operation: { ...rejected, operation_index: -1, details: 'odd' } }
  const { error, left } = await upload(t, { results: [odd, odd, odd] })
  t.equal(error, undefined)
  t.same(left, [])
})

t.test('a server that is not there', async t => {
  const port = createServer().listen(0, '127.0.0.1')
  await once(port, 'listening')
  const { port: closed } = port.address() as { port: number }
  port.close()
  await once(port, 'close')
  const { code, left } = await upload(t, {}, { url: `http://127.0.0.1:${closed}` })
  t.equal(code, 'PSM_NETWORK')
  t.same(left, [1, 2, 3])
})

const headersThenSilence = async (reply: FastifyReply) => {
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'application/json' })
  reply.raw.write('{"results":[')
  await once(reply.raw, 'close')
}

for (const [name, answer] of [['no answer', silence], ['an answer that never ends', headersThenSilence]] as const) {
  t.test(`${name}: fails after the time-out and closes the connection`, async t => {
    let closed: Promise<unknown> = Promise.resolve()
    const listening: Answer = reply => {
      closed = once(reply.raw, 'close')
      return answer(reply)
    }
    const { code, left } = await upload(t, listening, { timeout: 100 })
    t.equal(code, 'PSM_TIMEOUT')
    t.same(left, [1, 2, 3])
    await closed
  })
}

t.test('a fetch that does not know signals is given up all the same', async t => {
  const fetch: ConnectorOptions['fetch'] = async url =>
    url.endsWith('/token') ? { ok: true, status: 200, json: async () => tokenAnswer() } : await new Promise(() => {})
  const { code, left } = await upload(t, {}, { timeout: 50, fetch })
  t.equal(code, 'PSM_TIMEOUT')
  t.same(left, [1, 2, 3])
})

t.test('the signal ends the request that is running, and refuses further ones', async t => {
  const controller = new AbortController()
  const abort: Answer = reply => {
    controller.abort()
    return silence(reply)
  }
  const { code, left, connector, queue, server } = await upload(t, abort, { signal: controller.signal })
  t.equal(code, 'PSM_ABORTED')
  t.same(left, [1, 2, 3])
  const requests = server.requests.length
  await t.rejects(connector.uploadData(queue), { code: 'PSM_ABORTED' })
  connector.invalidateCredentials()
  await t.rejects(connector.fetchCredentials(), { code: 'PSM_ABORTED' })
  t.equal(server.requests.length, requests)
})

t.test('a signal that is not used leaves no listener behind', async t => {
  const { signal } = new AbortController()
  const added: unknown[] = []
  const removed: unknown[] = []
  t.intercept(signal, 'addEventListener', { value: (_type: string, listener: unknown) => { added.push(listener) } })
  t.intercept(signal, 'removeEventListener', {
    value: (_type: string, listener: unknown) => {
      removed.push(listener)
    }
  })
  await upload(t, { results: [success, success, success] }, { signal })
  t.equal(added.length, 2, 'of /token and /upload')
  t.same(removed, added)
})

t.test('errors hold neither tokens nor rows', async t => {
  const secret = 'not-for-logs'
  const queue = () => queueOf([{ id: secret, opData: { text: secret }, metadata: secret }])
  const answers: Answer[] = [
    ...[400, 401, 413, 500].map((code): Answer => reply => reply.code(code).send({ message: secret })),
    { results: [{ status: secret }] },
    { results: [{ ...retryable, message: secret }] },
    reply => reply.send(secret),
    reply => reply.raw.destroy()
  ]
  const headers = () => ({ authorization: secret, 'x-more': secret })
  for (const answer of answers) {
    const { error } = await upload(t, answer, { headers }, queue())
    t.ok(error instanceof ConnectorError)
    t.notMatch(inspectable(error), secret)
  }
  for (const token of [`${secret}\n${secret}`, `${secret}\u{1F600}`]) {
    const { error } = await upload(t, {}, { fetchCredentials: async () => ({ endpoint: 'https://x', token }) }, queue())
    t.equal(error?.code, 'PSM_NETWORK')
    t.notMatch(inspectable(error), secret)
  }
})

/** All that a log would print of it. */
const inspectable = (error: unknown) => `${(error as Error).stack} ${(error as Error).cause} ${JSON.stringify(error)}`
