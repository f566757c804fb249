/**
 * The plugin with PowerSync's own client: what apps write to their local SQLite arrives in MongoDB as they wrote it.
 * No PowerSync Service takes part: uploads go from the client to the server, and nothing is downloaded here.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { Type } from '@sinclair/typebox'
import { bson, collection, type CrudOperation, type CrudTransaction, type PowerSyncMongoOptions } from '../../index.js'
import type { mongodb } from '../../lib/bson.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { openClient, sdkMissing } from './client.js'
import { sameAsClient } from './compare.js'
import { testService } from './service.js'

const skip = await sdkMissing()

const user = '8ea4310a-b7c0-4dd7-ae54-51d6e1596b83'
const session = 'what the user signed in with'

const collections = {
  lists: collection({
    id: { type: 'uuid', store: 'bson' },
    schema: Type.Object({
      name: Type.String({ maxLength: 200 }),
      owner_id: Type.Optional(bson.UUID()),
      created_at: Type.Optional(bson.Date())
    })
  }),
  todos: collection({
    id: { type: 'uuid', store: 'bson' },
    schema: Type.Object({
      list_id: bson.UUID(),
      description: Type.String({ maxLength: 2000 }),
      completed: Type.Optional(bson.Boolean()),
      estimate: Type.Optional(bson.Double()),
      created_at: Type.Optional(bson.Date()),
      created_by: Type.Optional(bson.UUID()),
      completed_at: Type.Optional(bson.Date()),
      completed_by: Type.Optional(bson.UUID())
    })
  })
}

interface Backend {
  app: FastifyInstance
  db: mongodb.Db
  url: string
}

type BackendOptions = Partial<PowerSyncMongoOptions> & Required<Pick<PowerSyncMongoOptions, 'mongo' | 'powersyncUrl'>>

async function listen (t: Test, options: BackendOptions, port = 0): Promise<Backend> {
  const app = await testServer(t, {
    collections,
    authenticate: request => request.headers['x-session'] === session ? { id: user } : null,
    ...options
  })
  const url = await app.listen({ host: '127.0.0.1', port })
  return { app, db: app.mongo.db!, url }
}

/** A server on a database of its own. */
async function backend (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const { uri } = await testDatabase(t)
  const service = await testService(t)
  return { ...await listen(t, { mongo: { url: uri }, powersyncUrl: service.url, ...options }), service }
}

const listId = '61d19021-0565-4686-acc4-3ea4f8c48839'
const insertList = 'INSERT INTO lists (id, name, owner_id, created_at) VALUES (?, ?, ?, ?)'
const insertTodo = 'INSERT INTO todos (id, list_id, description) VALUES (uuid(), ?, ?)'
const success = { status: 'success' }

t.test('inserts, updates and deletes arrive', { skip }, async t => {
  const { url, db } = await backend(t)
  const client = await openClient(t, { backend: url, session })
  await client.connect()

  await client.database.execute(insertList, [listId, 'Name', user, '2024-10-31 10:33:24'])
  for (const description of ['stays', 'changes', 'goes']) {
    await client.database.execute(insertTodo, [listId, description])
  }
  await client.drained()
  await sameAsClient(t, db, client)
  t.equal(await db.collection('todos').countDocuments(), 3)

  await client.database.execute("UPDATE todos SET description = 'changed', completed = 1 WHERE description = 'changes'")
  await client.database.execute("DELETE FROM todos WHERE description = 'goes'")
  await client.drained()
  await sameAsClient(t, db, client)
  t.same((await db.collection('todos').find().toArray()).map(({ description }) => description).sort(), [
    'changed',
    'stays'
  ])
  t.same(client.results(), Array(6).fill(success), 'six commits of the client, six results')
})

t.test('a transaction over two tables is one transaction on the server', { skip }, async t => {
  const received: CrudTransaction[] = []
  const { url, db } = await backend(t, { onResult: ({ transaction }) => { received.push(transaction) } })
  const client = await openClient(t, { backend: url, session })
  await client.connect()

  await client.database.writeTransaction(async transaction => {
    await transaction.execute(insertList, [listId, 'Name', user, '2024-10-31T10:33:24.000Z'])
    for (const description of ['first', 'second']) await transaction.execute(insertTodo, [listId, description])
    await transaction.execute('UPDATE todos SET completed = 0 WHERE list_id = ?', [listId])
    await transaction.execute("DELETE FROM todos WHERE description = 'second'")
  })
  await client.drained()
  t.match(client.uploads, [{ status: 200, results: [success], operations: [1, 2, 3, 4, 5, 6] }])
  t.equal(client.uploads.length, 1)
  t.equal(received.length, 1)
  t.equal(received[0]?.clientId, await client.database.getClientId())
  t.same(received[0]?.operations.map(({ op, table }) => [op, table]),
    [['PUT', 'lists'], ['PUT', 'todos'], ['PUT', 'todos'], ['PATCH', 'todos'], ['PATCH', 'todos'], ['DELETE', 'todos']])
  await sameAsClient(t, db, client)
})

t.test(
  'a rejected transaction leaves nothing in MongoDB, and the queue for the dead letters; the later ones arrive',
  { skip },
  async t => {
    const { app, url, db } = await backend(t)
    const client = await openClient(t, { backend: url, session })
    const rejected = ['11111111-0565-4686-acc4-3ea4f8c48839', '22222222-0565-4686-acc4-3ea4f8c48839']

    await client.database.execute(insertList, [listId, 'Before', user, null])
    await client.database.writeTransaction(async transaction => {
      await transaction.execute(insertList, [rejected[0], 'Good', user, '2024-10-31 10:33:24'])
      await transaction.execute('INSERT INTO todos (id, list_id, description, created_at) VALUES (?, ?, ?, ?)', [
        rejected[1],
        rejected[0],
        'bad',
        'soon'
      ])
    })
    await client.database.execute(insertTodo, [listId, 'after'])
    await client.connect()
    await client.drained()

    t.match(client.results(), [
      success,
      {
        status: 'fatal_error',
        failed_operation: { operation_index: 1, error_code: 'INVALID_DATA', details: { path: 'created_at' } }
      },
      success
    ])
    const letters = await app.powersync.deadLetters.list()
    t.match(letters, [
      {
        user_id: user,
        client_id: await client.database.getClientId(),
        transaction_id: '2',
        failed_operation: { operation_index: 1 }
      }
    ])
    t.equal(letters.length, 1)
    t.same(letters[0]?.operations.map(({ table, id }) => [table, id]), [['lists', rejected[0]], ['todos', rejected[1]]])
    await sameAsClient(t, db, client, rejected)
  }
)

t.test('a transaction that MongoDB refuses half-way is undone, and kept as a dead letter', { skip }, async t => {
  const { app, url, db } = await backend(t)
  await db.collection('todos').createIndex({ description: 1 }, { unique: true })
  const client = await openClient(t, { backend: url, session })
  const rejected = ['11111111-0565-4686-acc4-3ea4f8c48839', '22222222-0565-4686-acc4-3ea4f8c48839']
  const other = '33333333-0565-4686-acc4-3ea4f8c48839'

  await client.database.execute(insertTodo, [listId, 'taken'])
  await client.database.writeTransaction(async transaction => {
    await transaction.execute(insertList, [rejected[0], 'Good', user, null])
    await transaction.execute('INSERT INTO todos (id, list_id, description) VALUES (?, ?, ?)', [
      rejected[1],
      rejected[0],
      'taken'
    ])
  })
  await client.database.execute(insertList, [other, 'After', user, null])
  await client.connect()
  await client.drained()

  t.match(client.results(), [
    success,
    { status: 'fatal_error', failed_operation: { operation_index: 1, error_code: 'DUPLICATE_KEY' } },
    success
  ])
  t.match(await app.powersync.deadLetters.list(), [{ operations: [{ id: rejected[0] }, { id: rejected[1] }] }])
  await sameAsClient(t, db, client, rejected)
})

t.test('a transaction of 1 000 rows arrives in one piece', { skip }, async t => {
  const { url, db } = await backend(t)
  const client = await openClient(t, { backend: url, session })
  await client.database.writeTransaction(async transaction => {
    await transaction.execute(insertList, [listId, 'Long', user, null])
    await transaction.executeBatch(insertTodo, Array.from({ length: 999 }, (_, index) => [listId, `number ${index}`]))
  })
  await client.connect()
  await client.drained()
  t.same(client.results(), [success])
  t.equal(client.uploads[0]?.operations.length, 1000)
  await sameAsClient(t, db, client)
})

t.test('what was written offline arrives in order', { skip }, async t => {
  const received: string[] = []
  const { url, db } = await backend(t, {
    onResult: ({ transaction }) => {
      received.push(...transaction.operations.map(({ opId }) => opId!))
    }
  })
  const client = await openClient(t, { backend: url, session })
  await client.database.execute(insertList, [listId, 'Name 0', user, null])
  for (let time = 1; time <= 20; time++) {
    await client.database.execute('UPDATE lists SET name = ? WHERE id = ?', [`Name ${time}`, listId])
    await client.database.execute(insertTodo, [listId, `made with name ${time}`])
    if (time % 5 === 0) {
      await client.database.execute('DELETE FROM todos WHERE description = ?', [`made with name ${time - 1}`])
    }
  }
  t.equal((await client.database.getUploadQueueStats()).count, 45)

  await client.connect()
  await client.drained()
  t.same(received, Array.from({ length: 45 }, (_, index) => String(index + 1)))
  t.same(client.results(), Array(45).fill(success))
  t.match(await db.collection('lists').findOne(), { name: 'Name 20' })
  await sameAsClient(t, db, client)
})

t.test('a column that is left out, cleared or replaced away is null', { skip }, async t => {
  const { url, db } = await backend(t)
  const client = await openClient(t, { backend: url, session })
  await client.connect()

  await client.database.execute('INSERT INTO lists (id, name) VALUES (?, ?)', [listId, 'Left out'])
  await client.drained()
  await sameAsClient(t, db, client)
  t.match(await db.collection('lists').findOne(), { owner_id: null, created_at: null })

  await client.database.execute('UPDATE lists SET owner_id = ?, created_at = ? WHERE id = ?', [
    user,
    '2024-10-31',
    listId
  ])
  await client.drained()
  await sameAsClient(t, db, client)
  await client.database.execute('UPDATE lists SET created_at = NULL WHERE id = ?', [listId])
  await client.drained()
  await sameAsClient(t, db, client)
  await client.database.execute('INSERT OR REPLACE INTO lists (id, name) VALUES (?, ?)', [listId, 'Replaced'])
  await client.drained()
  await sameAsClient(t, db, client)
  t.match(await db.collection('lists').findOne(), { name: 'Replaced', owner_id: null, created_at: null })
  t.same(client.results(), Array(4).fill(success))
})

t.test('values are stored as the BSON types of the schema, whatever SQLite made of them', { skip }, async t => {
  const { url, db } = await backend(t)
  const client = await openClient(t, { backend: url, session })
  const text = 'O\'Brien "Ünïcode" 👩‍👩‍👧 $set.a.b \\ \n'
  const rows = [
    [text, 1, 2.5, '2024-10-31 10:33:24', '2024-10-31T10:33:24.123Z'],
    ['', 0, 3, '2024-10-31T12:33:24+02:00', '1969-12-31 23:59:59.999'],
    ['1', 0, -1e21, '2024-10-31T10:33:24', '2024-02-29']
  ]
  for (const row of rows) {
    await client.database.execute(`
      INSERT INTO todos (id, description, completed, estimate, created_at, completed_at, list_id, created_by)
      VALUES (uuid(), ?, ?, ?, ?, ?, ?, ?)`, [...row, listId, user])
  }
  await client.database.execute(
    "UPDATE todos SET completed = NOT completed, completed_by = created_by, estimate = 5 WHERE description = ''"
  )
  await client.connect()
  await client.drained()

  await sameAsClient(t, db, client)
  const stored = await db.collection('todos').findOne({ description: text }, { promoteValues: false })
  t.match(stored, {
    _id: { _bsontype: 'Binary', sub_type: 4 },
    list_id: { _bsontype: 'Binary', sub_type: 4 },
    completed: true,
    estimate: { _bsontype: 'Double', value: 2.5 },
    created_at: new Date('2024-10-31T10:33:24Z'),
    completed_at: new Date('2024-10-31T10:33:24.123Z')
  })
  t.match(await db.collection('todos').findOne({ description: '' }, { promoteValues: false }),
    { completed: true, estimate: { _bsontype: 'Double', value: 5 }, created_at: new Date('2024-10-31T10:33:24Z') })
})

t.test('hooks get the previous values and the metadata that the client tracks', { skip }, async t => {
  const seen: CrudOperation[] = []
  const authorize = (operation: CrudOperation) => {
    seen.push(operation)
    return true
  }
  const { url, db } = await backend(t, { authorize })
  const client = await openClient(t, { backend: url, session, track: { trackPrevious: true, trackMetadata: true } })
  await client.database.execute('INSERT INTO lists (id, name, _metadata) VALUES (?, ?, ?)', [
    listId,
    'First',
    '{"screen":"new"}'
  ])
  await client.database.execute(
    "UPDATE lists SET name = 'Second', created_at = '2024-10-31 10:33:24', _metadata = 'rename' WHERE id = ?",
    [listId]
  )
  await client.database.execute("UPDATE lists SET name = 'Third' WHERE id = ?", [listId])
  await client.database.execute(insertList, ['33333333-0565-4686-acc4-3ea4f8c48839', 'Stays', null, null])
  await client.database.execute("UPDATE lists SET _deleted = TRUE, _metadata = 'swiped away' WHERE id = ?", [listId])
  await client.connect()
  await client.drained()

  t.same(seen.map(({ op, previous, metadata }) => ({ op, previous, metadata })), [
    { op: 'PUT', previous: undefined, metadata: '{"screen":"new"}' },
    { op: 'PATCH', previous: { name: 'First', owner_id: null, created_at: null }, metadata: 'rename' },
    {
      op: 'PATCH',
      previous: { name: 'Second', owner_id: null, created_at: '2024-10-31 10:33:24' },
      metadata: undefined
    },
    { op: 'PUT', previous: undefined, metadata: undefined },
    {
      op: 'DELETE',
      previous: { name: 'Third', owner_id: null, created_at: '2024-10-31 10:33:24' },
      metadata: 'swiped away'
    }
  ])
  await sameAsClient(t, db, client)
  t.equal(await db.collection('lists').countDocuments(), 1)
})

t.test(
  'the token of /token opens the connection and is the bearer of uploads; it does not open /token',
  { skip },
  async t => {
    const bearers: Array<string | undefined> = []
    const users: unknown[] = []
    const { app, url, db, service } = await backend(t, {
      token: { claims: () => ({ team: 'red' }) },
      routes: { upload: { onRequest: async ({ headers }) => { bearers.push(headers.authorization) } } },
      onResult: (_outcome, context) => { users.push(context.user) }
    })
    const client = await openClient(t, { backend: url, session })
    await client.connect()
    await client.database.execute(insertTodo, [listId, 'of the user'])
    await client.drained()

    const jwks = createLocalJWKSet((await app.inject('/jwks')).json())
    for (const credentials of [service.credentials[0], bearers[0]]) {
      const token = credentials?.replace(/^(?:Token|Bearer) /, '') ?? ''
      const { payload } = await jwtVerify(token, jwks, {
        audience: service.url,
        subject: user,
        requiredClaims: ['iat', 'exp']
      })
      t.match(payload, { sub: user, team: 'red' })
      t.equal((await app.inject({ url: '/token', headers: { authorization: `Bearer ${token}` } })).statusCode, 401)
    }
    t.match(service.credentials[0], /^Token /)
    t.match(bearers[0], /^Bearer /)
    t.match(users, [{ id: user, team: 'red' }])
    t.equal(users.length, 1)
    await sameAsClient(t, db, client)
  }
)

t.test('a client whom the app does not know keeps its writes', { skip }, async t => {
  const { url, db } = await backend(t)
  const client = await openClient(t, { backend: url, session: 'forged' })
  await client.database.execute(insertTodo, [listId, 'of nobody'])
  await client.connect()
  await client.database.waitForStatus(({ uploadError }) => uploadError !== undefined, AbortSignal.timeout(10_000))
  t.match(client.database.currentStatus.uploadError, { message: '/token answered 401' })
  t.equal((await client.database.getUploadQueueStats()).count, 1)
  t.equal(await db.collection('todos').countDocuments(), 0)
})

t.test('uploads do not need the PowerSync Service', { skip }, async t => {
  const { uri } = await testDatabase(t)
  const { url, db } = await listen(t, { mongo: { url: uri }, powersyncUrl: `http://127.0.0.1:${await closedPort()}` })
  const client = await openClient(t, { backend: url, session })
  await client.database.execute(insertList, [listId, 'Before connecting', user, null])
  await client.connect()
  await client.drained()
  await client.database.execute(insertTodo, [listId, 'after'])
  await client.drained()
  t.notOk(client.database.connected)
  await sameAsClient(t, db, client)
})

t.test('a server that is not up yet, or stops and starts again: the queue waits, then drains', { skip }, async t => {
  const { uri } = await testDatabase(t)
  const service = await testService(t)
  const options = { mongo: { url: uri }, powersyncUrl: service.url }
  const port = await closedPort()
  const client = await openClient(t, { backend: `http://127.0.0.1:${port}`, session })

  await client.database.execute(insertList, [listId, 'Early', user, null])
  await client.connect()
  await client.database.waitForStatus(({ uploadError }) => uploadError !== undefined, AbortSignal.timeout(10_000))
  t.match(client.database.currentStatus.uploadError, { message: 'fetch failed' })
  const first = await listen(t, options, port)
  await client.drained()
  await sameAsClient(t, first.db, client)

  await client.database.waitForStatus(({ connected }) => connected, AbortSignal.timeout(10_000))
  await first.app.close()
  await client.database.execute('UPDATE lists SET name = ? WHERE id = ?', ['Meanwhile', listId])
  await client.database.execute(insertTodo, [listId, 'meanwhile'])
  await client.database.waitForStatus(({ uploadError }) => uploadError !== undefined, AbortSignal.timeout(10_000))
  t.equal((await client.database.getUploadQueueStats()).count, 2)
  const second = await listen(t, options, port)
  await client.drained()
  t.same(client.results(), Array(3).fill(success))
  await sameAsClient(t, second.db, client)
})

t.test('a transaction whose answer got lost is sent again and leaves the same', { skip }, async t => {
  let lost = 0
  const { url, db } = await backend(t, {
    routes: {
      upload: {
        onSend: async (_request, reply, payload) => {
          if (lost++ < 2) reply.raw.destroy()
          return payload
        }
      }
    }
  })
  const client = await openClient(t, { backend: url, session })
  await client.database.writeTransaction(async transaction => {
    await transaction.execute(insertList, [listId, 'Name', user, null])
    await transaction.execute(insertTodo, [listId, 'stays'])
    await transaction.execute(insertTodo, [listId, 'goes'])
    await transaction.execute("DELETE FROM todos WHERE description = 'goes'")
  })
  await client.database.execute("UPDATE todos SET completed = 1 WHERE description = 'stays'")
  await client.connect()
  await client.drained()
  t.equal(lost, 4, 'two of four answers')
  t.same(client.results(), [success, success])
  await sameAsClient(t, db, client)
})

const database = await testDatabase(t, { ownServer: true })

t.test(
  'MongoDB stops and starts again: 503, no dead letter, then the queue drains',
  { skip: skip || needs(database, 'ownServer', 'stopping it') },
  async t => {
    const service = await testService(t)
    const { app, url, db } = await listen(t, {
      mongo: { url: database.uri, serverSelectionTimeoutMS: 500 },
      powersyncUrl: service.url
    })
    const client = await openClient(t, { backend: url, session })
    await client.connect()

    await database.stop()
    await client.database.execute(insertList, [listId, 'Name', user, null])
    await client.database.execute(insertTodo, [listId, 'meanwhile'])
    await client.database.waitForStatus(({ uploadError }) => uploadError !== undefined, AbortSignal.timeout(10_000))
    t.match(client.uploads[0], { status: 503, results: [{ status: 'retryable_error' }], operations: [1] })
    t.equal((await client.database.getUploadQueueStats()).count, 2)

    await database.restart()
    await client.drained()
    t.same(await app.powersync.deadLetters.list(), [])
    await sameAsClient(t, db, client)
  }
)

/** A loopback port that nobody listens on. */
async function closedPort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
