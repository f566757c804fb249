/**
 * The connector in PowerSync's own client: what apps write to their local SQLite is stored once, whatever happens on
 * the way.
 */
import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { Type } from '@sinclair/typebox'
import { bson, collection, type CrudOperation, type PowerSyncMongoOptions } from '../../index.js'
import { createConnector, type ConnectorOptions, type RejectedTransaction } from '../../lib/client/index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { startProxy } from '../support/tcp-proxy.js'
import { openClient, sdkMissing, type ClientOptions } from './client.js'
import { sameAsClient } from './compare.js'
import { testService } from './service.js'

const skip = await sdkMissing()

const user = '8ea4310a-b7c0-4dd7-ae54-51d6e1596b83'
const listId = '61d19021-0565-4686-acc4-3ea4f8c48839'
const insertList = 'INSERT INTO lists (id, name, owner_id) VALUES (?, ?, ?)'
const insertTodo = 'INSERT INTO todos (id, list_id, description) VALUES (uuid(), ?, ?)'

const id = { type: 'uuid', store: 'bson' } as const
const collections = {
  lists: collection({
    id,
    schema: Type.Object({
      name: Type.String(),
      owner_id: Type.Optional(bson.UUID()),
      created_at: Type.Optional(bson.Date())
    })
  }),
  /** Has a row for each time that an operation was applied. */
  audit: collection({ schema: Type.Object({ op_id: Type.Integer() }) }),
  todos: collection({
    id,
    schema: Type.Object({
      list_id: bson.UUID(),
      description: Type.String({ maxLength: 100 }),
      completed: Type.Optional(bson.Boolean()),
      estimate: Type.Optional(bson.Double()),
      created_at: Type.Optional(bson.Date()),
      created_by: Type.Optional(bson.UUID()),
      completed_at: Type.Optional(bson.Date()),
      completed_by: Type.Optional(bson.UUID())
    })
  })
}

interface SetUp extends Pick<ClientOptions, 'track'> {
  server?: Partial<PowerSyncMongoOptions>
  connector?: Partial<ConnectorOptions>
}

/** Server, proxy and client; the client connects through the proxy. */
async function setUp (t: Test, { server = {}, connector = {}, track }: SetUp = {}) {
  const { uri } = await testDatabase(t)
  const service = await testService(t)
  /** What the server was given to apply, and how many transactions came with each request. */
  const seen = { operations: [] as CrudOperation[], uploads: [] as number[] }

  async function listen (port = 0): Promise<FastifyInstance> {
    const app = await testServer(t, {
      mongo: { url: uri },
      powersyncUrl: service.url,
      collections,
      authenticate: request => request.headers['x-session'] === 'session' ? { id: user } : null,
      transform: operation => {
        seen.operations.push(operation)
        return [operation, { op: 'PUT', table: 'audit', id: randomUUID(), data: { op_id: Number(operation.opId) } }]
      },
      ...server
    }, { forceCloseConnections: true })
    // The route reads the body itself, after all hooks.
    app.addHook('onSend', async request => {
      if (request.method === 'POST') {
        seen.uploads.push((request.body as { transactions: unknown[] }).transactions.length)
      }
    })
    await app.listen({ host: '127.0.0.1', port })
    return app
  }

  const app = await listen()
  const { port } = app.server.address() as AddressInfo
  const proxy = await startProxy({ target: { host: '127.0.0.1', port } })
  t.teardown(() => proxy.stop())
  const client = await openClient(t, { backend: '', session: '', ...track && { track } })
  const backend = createConnector({
    url: `http://${proxy.address}`,
    headers: () => ({ 'x-session': 'session' }),
    timeout: 3000,
    ...connector
  })
  return {
    app,
    db: app.mongo.db!,
    listen: () => listen(port),
    proxy,
    seen,
    service,
    client,
    database: client.database,
    connect: () => client.database.connect(backend, { retryDelayMs: 100, crudUploadThrottleMs: 10 }),
    /** Waits for the reason why an upload failed. */
    async failed () {
      await client.database.waitForStatus(({ uploadError }) => uploadError !== undefined, AbortSignal.timeout(10_000))
      return client.database.currentStatus.uploadError
    },
    /** `op_id` of what was applied, as often as it was. */
    applied: async (db = app.mongo.db!) =>
      (await db.collection('audit').find().sort({ op_id: 1 }).toArray()).map(row => row['op_id'])
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

t.test('a backlog arrives in few requests, in order, and the service knows its token', { skip }, async t => {
  const { client, database, db, connect, seen, service } = await setUp(t)
  await database.execute(insertList, [listId, 'Name 0', user])
  for (let time = 1; time < 25; time++) {
    await database.writeTransaction(async transaction => {
      await transaction.execute('UPDATE lists SET name = ? WHERE id = ?', [`Name ${time}`, listId])
      await transaction.execute(insertTodo, [listId, `made with name ${time}`])
    })
  }
  await connect()
  await client.drained()
  t.same(seen.uploads, [20, 5])
  t.same(seen.operations.map(({ opId }) => Number(opId)), upTo(49))
  t.match(service.credentials, [/^Token ey/])
  await sameAsClient(t, db, client)
})

t.test('a rejected transaction in the middle: onFatal learns of it, the others arrive', { skip }, async t => {
  const rejected: RejectedTransaction[] = []
  const { app, client, database, db, connect, seen } = await setUp(t, {
    connector: {
      onFatal: event => {
        rejected.push(event)
      }
    }
  })
  const bad = '11111111-0565-4686-acc4-3ea4f8c48839'
  await database.execute(insertList, [listId, 'Before', user])
  await database.writeTransaction(async transaction => {
    await transaction.execute('UPDATE lists SET name = ? WHERE id = ?', ['Never', listId])
    await transaction.execute('INSERT INTO todos (id, list_id, description) VALUES (?, ?, ?)', [
      bad,
      listId,
      'x'.repeat(101)
    ])
  })
  await database.execute('UPDATE lists SET name = ? WHERE id = ?', ['After', listId])
  await connect()
  await client.drained()
  t.match(rejected, [
    {
      transaction: { crud: [{ op: 'PATCH' }, { id: bad }] },
      failedOperation: { error_code: 'INVALID_DATA', operation_index: 1 },
      requiresClientHandling: false
    }
  ])
  t.equal(rejected.length, 1)
  t.same(seen.uploads, [3, 1], 'the server stops there, and the rest follows')
  t.match(await app.powersync.deadLetters.list(), [{ operations: [{ op: 'PATCH' }, { id: bad }] }])
  await sameAsClient(t, db, client, [bad])
})

t.test(
  'a rejected transaction that is left to the client blocks the queue until it is discarded',
  { skip },
  async t => {
    const decisions: Array<'retain' | 'discard'> = ['retain', 'retain', 'discard']
    const { app, client, database, db, connect, failed } = await setUp(t, {
      server: { upload: { requiresClientHandling: () => true } },
      connector: { onFatal: () => decisions.shift() }
    })
    const bad = '11111111-0565-4686-acc4-3ea4f8c48839'
    await database.execute(insertList, [listId, 'Before', user])
    await database.execute('INSERT INTO todos (id, list_id, description) VALUES (?, ?, ?)', [
      bad,
      listId,
      'x'.repeat(101)
    ])
    await database.execute(insertTodo, [listId, 'after'])
    await connect()
    t.match(await failed(), { code: 'PSM_REJECTED', failedOperation: { error_code: 'INVALID_DATA' } })
    await client.drained()
    t.same(decisions, [])
    t.same(await app.powersync.deadLetters.list(), [])
    await sameAsClient(t, db, client, [bad])
  }
)

t.test('a server that goes down and comes up again: the queue waits, then drains', { skip }, async t => {
  const { app, client, database, connect, failed, listen, seen, applied } = await setUp(t)
  await connect()
  await database.execute(insertList, [listId, 'Before', user])
  await client.drained()
  await database.waitForStatus(({ connected }) => connected, AbortSignal.timeout(10_000))
  await app.close()
  for (let time = 0; time < 5; time++) await database.execute(insertTodo, [listId, `meanwhile ${time}`])
  t.match(await failed(), { code: 'PSM_NETWORK' })
  t.equal((await database.getUploadQueueStats()).count, 5)
  const { mongo } = await listen()
  await client.drained()
  t.same(await applied(mongo.db!), upTo(6))
  t.ok(seen.uploads.length < 6, `${seen.uploads.length} requests`)
  await sameAsClient(t, mongo.db!, client)
})

for (const [name, bytes] of [['before its first byte', 0], ['in the middle', 60]] as const) {
  t.test(`an answer that is cut ${name}: what was applied is sent again and not applied again`, { skip }, async t => {
    const { client, database, db, connect, proxy, seen, applied } = await setUp(t)
    for (let time = 0; time < 8; time++) await database.execute(insertTodo, [listId, `number ${time}`])
    const cut = proxy.cutAfter({ direction: 'response', bytes, request: 'POST /upload' })
    await connect()
    await client.drained()
    await cut
    t.equal(proxy.stats.cuts, 1)
    t.ok(seen.uploads.length > 1)
    t.same(await applied(), upTo(8), 'each operation applied once')
    await sameAsClient(t, db, client)
  })
}

t.test('answers that never come: each try ends with the time-out, and nothing is applied twice', { skip }, async t => {
  const { client, database, db, connect, failed, proxy, seen, applied } = await setUp(t, {
    connector: { timeout: 500 }
  })
  await connect()
  await database.execute(insertList, [listId, 'First', user])
  await client.drained()
  proxy.dropResponses()
  for (let time = 0; time < 8; time++) await database.execute(insertTodo, [listId, `number ${time}`])
  t.match(await failed(), { code: 'PSM_TIMEOUT' })
  const uploads = seen.uploads.length
  while (seen.uploads.length === uploads) await sleep(20)
  proxy.restore()
  await client.drained()
  t.same(await applied(), upTo(9))
  await sameAsClient(t, db, client)
})

t.test('previous values and metadata arrive', { skip }, async t => {
  const { client, database, db, connect, seen } = await setUp(t, {
    track: { trackPrevious: true, trackMetadata: true }
  })
  await database.execute('INSERT INTO lists (id, name, _metadata) VALUES (?, ?, ?)', [listId, 'First', 'new'])
  await database.execute("UPDATE lists SET name = 'Second', _metadata = 'rename' WHERE id = ?", [listId])
  await database.execute('UPDATE lists SET name = name WHERE id = ?', [listId])
  await database.execute("UPDATE lists SET _deleted = TRUE, _metadata = 'swiped away' WHERE id = ?", [listId])
  await connect()
  await client.drained()
  t.same(seen.operations.map(({ op, previous, metadata }) => ({ op, previous, metadata })), [
    { op: 'PUT', previous: undefined, metadata: 'new' },
    { op: 'PATCH', previous: { name: 'First', owner_id: null, created_at: null }, metadata: 'rename' },
    { op: 'PATCH', previous: { name: 'Second', owner_id: null, created_at: null }, metadata: undefined },
    { op: 'DELETE', previous: { name: 'Second', owner_id: null, created_at: null }, metadata: 'swiped away' }
  ])
  await sameAsClient(t, db, client)
})

t.test('nobody signed in: nothing is lost, and it goes on when somebody is', { skip }, async t => {
  let session = 'forged'
  const { client, database, db, connect, failed } = await setUp(t, {
    connector: { headers: () => ({ 'x-session': session }) }
  })
  await database.execute(insertList, [listId, 'Mine', user])
  await connect()
  t.match(await failed(), { code: 'PSM_UNAUTHORIZED' })
  t.equal((await database.getUploadQueueStats()).count, 1)
  t.equal(await db.collection('lists').countDocuments(), 0)
  session = 'session'
  await connect()
  await client.drained()
  await sameAsClient(t, db, client)
})
