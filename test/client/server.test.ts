/** The connector with the server that it is made for. */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, type PowerSyncMongoOptions } from '../../index.js'
import { createConnector, type ConnectorOptions, type RejectedTransaction } from '../../lib/client/index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { inserts, queueOf, type Queue } from './queue.js'

const mongo = await testDatabase(t)
let servers = 0

/** The plugin under a prefix, on a collection of its own; `session` signs in. */
async function server (
  t: Test,
  options: Partial<PowerSyncMongoOptions> = {},
  connectorOptions: Partial<ConnectorOptions> = {}
) {
  const name = `rows_${++servers}`
  const app = await testServer(t, {
    mongo: { url: mongo.uri },
    prefix: '/powersync',
    collections: { rows: collection({ name, schema: Type.Object({ text: Type.String({ maxLength: 3 }) }) }) },
    authenticate: request => request.headers['x-session'] === 'session' ? { id: `user${servers}` } : null,
    ...options
  })
  const uploads: number[] = []
  app.addHook('onResponse', async ({ routeOptions }, reply) => {
    if (routeOptions.url?.endsWith('/upload')) uploads.push(reply.statusCode)
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const rejected: RejectedTransaction[] = []
  const connector = createConnector({
    url: `${url}/powersync`,
    headers: () => ({ 'x-session': 'session' }),
    onFatal: event => { rejected.push(event) },
    ...connectorOptions
  })
  return {
    app,
    url,
    connector,
    rejected,
    /** Statuses of the answers to `/upload`. */
    uploads,
    rows: async () =>
      (await app.mongo.db!.collection(name).find().sort({ _id: 1 }).toArray()).map(({ _id }) => String(_id)),
    /** As the SDK does it: until nothing is left. */
    async drain (queue: Queue) { while (queue.left().length > 0) await connector.uploadData(queue) }
  }
}

const tooLong = { opData: { text: 'too long' } }

t.test('a backlog is stored, in few requests', async t => {
  const { drain, rows, uploads } = await server(t)
  await drain(queueOf(...inserts(45)))
  t.equal((await rows()).length, 45)
  t.same(uploads, [200, 200, 200])
})

t.test('a token for the service', async t => {
  const { connector } = await server(t)
  t.match(await connector.fetchCredentials(), {
    endpoint: 'https://test.powersync.example',
    token: /^ey/,
    expiresAt: Date
  })
})

t.test(
  'a rejected transaction leaves the queue for the dead letters, and those behind it are sent in another request',
  async t => {
    const { app, drain, rows, rejected, uploads } = await server(t)
    await drain(queueOf([{ id: 'a' }], [{ id: 'b' }, { id: 'c', ...tooLong }], [{ id: 'd' }]))
    t.same(await rows(), ['a', 'd'])
    t.match(rejected, [
      {
        transaction: { transactionId: 2 },
        failedOperation: { error_code: 'INVALID_DATA', operation_index: 1 },
        requiresClientHandling: false
      }
    ])
    t.equal(rejected.length, 1)
    t.equal(uploads.length, 2)
    t.match(await app.powersync.deadLetters.list(), [
      { user_id: `user${servers}`, client_id: 'phone', transaction_id: '2' }
    ])
  }
)

t.test('a rejected transaction that is left to the client stays, until onFatal discards it', async t => {
  let decision: 'retain' | 'discard' = 'retain'
  const { app, connector, rows } = await server(
    t,
    { upload: { requiresClientHandling: () => true } },
    { onFatal: () => decision }
  )
  const queue = queueOf([{ id: 'a' }], [{ id: 'b', ...tooLong }], [{ id: 'c' }])
  await t.rejects(connector.uploadData(queue), {
    code: 'PSM_REJECTED',
    failedOperation: { error_code: 'INVALID_DATA' }
  })
  t.same(queue.left(), [[2], [3]])
  decision = 'discard'
  await connector.uploadData(queue)
  await connector.uploadData(queue)
  t.same(queue.left(), [])
  t.same(await rows(), ['a', 'c'])
  t.same((await app.powersync.deadLetters.list()).filter(({ user_id: user }) => user === `user${servers}`), [])
})

t.test('a transaction that the server cannot store now stays, and what comes before it goes', async t => {
  let fails = true
  const authorize = ({ id }: { id: string }) => {
    if (id === 'b' && fails) throw new Error('a bug')
    return true
  }
  const { connector, drain, rows } = await server(t, { authorize })
  const queue = queueOf([{ id: 'a' }], [{ id: 'b' }], [{ id: 'c' }])
  await t.rejects(connector.uploadData(queue), { code: 'PSM_RETRY', retryAfter: 5000 })
  t.same(queue.left(), [[2], [3]])
  t.same(await rows(), ['a'])
  fails = false
  await drain(queue)
  t.same(await rows(), ['a', 'b', 'c'])
})

t.test('more than the server takes at once is sent in smaller parts', async t => {
  for (const upload of [{ maxOperations: 10 }, { bodyLimit: 1024 }]) {
    const { drain, rows, uploads } = await server(t, { upload })
    await drain(queueOf(...inserts(20)))
    t.equal((await rows()).length, 20)
    t.equal(uploads[0], 413)
    t.equal(uploads.at(-1), 200)
  }
})

t.test('a server that is full: everything stays', async t => {
  const { app, connector, rows } = await server(t, { upload: { maxConcurrent: 1 }, authorize: () => held })
  let release = (_: boolean) => {}
  const held = new Promise<boolean>(resolve => { release = resolve })
  const first = queueOf(...inserts(1))
  const running = connector.uploadData(first)
  while (app.powersync.health().running === 0) await new Promise(resolve => setTimeout(resolve, 5))
  const second = queueOf(...inserts(2))
  await t.rejects(connector.uploadData(second), { code: 'PSM_STATUS', status: 503 })
  t.equal(second.left().length, 2)
  release(true)
  await running
  t.same(first.left(), [])
  t.same(await rows(), ['row1'])
})

t.test('somebody else\'s session', async t => {
  const { connector } = await server(t, {}, { headers: () => ({ 'x-session': 'forged' }) })
  const queue = queueOf(...inserts(1))
  t.equal(await connector.fetchCredentials(), null)
  await t.rejects(connector.uploadData(queue), { code: 'PSM_UNAUTHORIZED' })
  t.same(queue.left(), [[1]])
})

t.test('a token of another server is refused once, and then replaced', async t => {
  const { app, url, drain, rows, uploads } = await server(t)
  const tokens = ['forged', (await app.powersync.signToken({ id: `user${servers}` })).token]
  const { uploadData } = createConnector({
    url: `${url}/powersync`,
    fetchCredentials: async () => ({ endpoint: 'https://test.powersync.example', token: tokens.shift()! })
  })
  const queue = queueOf(...inserts(1))
  await t.rejects(uploadData(queue), { code: 'PSM_UNAUTHORIZED' })
  await uploadData(queue)
  t.same(uploads, [401, 200])
  t.same(await rows(), ['row1'])
  await drain(queue)
})

t.test('an upload that was stored, but not completed, is not applied again', async t => {
  const applied: string[] = []
  const { connector, drain } = await server(t, {
    transform: operation => {
      applied.push(operation.id)
      return operation
    }
  })
  const queue = queueOf(...inserts(2))
  const killed: Queue = {
    ...queue,
    async * getCrudTransactions () {
      for await (const transaction of queue.getCrudTransactions()) {
        yield {
          ...transaction,
          complete: async () => {
            throw new Error('killed')
          }
        }
      }
    }
  }
  await t.rejects(connector.uploadData(killed), { message: 'killed' })
  t.equal(queue.left().length, 2)
  await drain(queue)
  t.same(applied, ['row1', 'row2'])
})
