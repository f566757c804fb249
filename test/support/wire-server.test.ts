import fastifyMongodb from '@fastify/mongodb'
import type { mongodb } from '@fastify/mongodb'
import t, { type Test } from 'tap'
import {
  bulkWriteErrors, closeAfterReply, commandError, cursor, delay, dropConnection, hang, notWritablePrimary,
  startWireServer, writeConcernError, writeErrors, type WireServer, type WireServerOptions
} from './wire-server.js'

const { MongoClient } = fastifyMongodb.mongodb

async function start (t: Test, options?: WireServerOptions, clientOptions?: mongodb.MongoClientOptions) {
  const server = await startWireServer(options)
  const client = new MongoClient(server.uri, { serverSelectionTimeoutMS: 5000, ...clientOptions })
  t.teardown(async () => {
    await client.close()
    await server.stop()
  })
  return { server, client, todos: client.db().collection<{ _id: string, n?: number }>('todos') }
}

const names = (server: WireServer) => server.commands.map(({ name }) => name)

t.test('a transaction is logged with its session and its number', async (t) => {
  const { server, client, todos } = await start(t)
  await client.withSession((session) => session.withTransaction(async () => {
    await todos.insertOne({ _id: 'a' }, { session })
    await todos.updateOne({ _id: 'a' }, { $set: { n: 1 } }, { session })
  }))

  t.match(server.commands, [
    {
      name: 'insert',
      database: 'test',
      collection: 'todos',
      statements: 1,
      txnNumber: 1,
      autocommit: false,
      startTransaction: true
    },
    {
      name: 'update',
      txnNumber: 1,
      autocommit: false,
      startTransaction: undefined,
      document: { updates: [{ q: { _id: 'a' }, u: { $set: { n: 1 } } }] }
    },
    { name: 'commitTransaction', txnNumber: 1, autocommit: false, database: 'admin', collection: undefined }
  ])
  t.match(server.commands[0]?.lsid, /^[0-9a-f]{32}$/)
  t.equal(new Set(server.commands.map(({ lsid }) => lsid)).size, 1)
})

t.test('bulk writes are acknowledged statement by statement, however they come', async (t) => {
  const { client, todos, server } = await start(t, { log: false })
  const written = await todos.bulkWrite([
    { updateOne: { filter: { _id: 'a' }, update: { $set: { n: 1 } } } },
    { updateOne: { filter: { _id: 'b' }, update: { $set: { n: 2 } } } },
    { deleteOne: { filter: { _id: 'c' } } }
  ], { ordered: false })
  t.match(written, { matchedCount: 2, modifiedCount: 2, deletedCount: 1 })

  const reply = await client
    .db()
    .command({
      update: 'todos',
      updates: Array.from({ length: 1000 }, (_, n) => ({ q: { _id: `${n}` }, u: { $set: { n } } }))
    })
  t.match(reply, { ok: 1, n: 1000, nModified: 1000 })

  t.equal((await todos.insertMany([{ _id: 'a' }, { _id: 'b' }])).insertedCount, 2)
  t.same(server.commands, [], 'log: false keeps nothing')
  t.match(server.counts, { update: 2, delete: 1, insert: 1 })
})

t.test('client.bulkWrite needs wire version 25', async (t) => {
  const models: Array<mongodb.AnyClientBulkWriteModel<mongodb.Document> & { namespace: string }> = [
    { name: 'insertOne', namespace: 'test.todos', document: { n: 1 } },
    { name: 'updateOne', namespace: 'test.lists', filter: { n: 1 }, update: { $set: { n: 1 } } },
    { name: 'deleteOne', namespace: 'test.todos', filter: { n: 2 } }
  ]
  const { client, server } = await start(t)

  t.match(await client.bulkWrite(models), { insertedCount: 1, matchedCount: 1, deletedCount: 1 })
  const verbose = await client.bulkWrite(models, { verboseResults: true })
  t.equal(verbose.updateResults?.get(1)?.matchedCount, 1)
  t.match(server.commands[0]?.document, { nsInfo: [{ ns: 'test.todos' }, { ns: 'test.lists' }] })

  server.script('bulkWrite', bulkWriteErrors([{ index: 1, code: 11000 }]))
  const error = (await t.rejects(client.bulkWrite(models), {
    name: 'MongoClientBulkWriteError'
  })) as mongodb.MongoClientBulkWriteError
  t.equal(error.writeErrors.get(1)?.code, 11000)
  t.match(error.partialResult, { insertedCount: 1, deletedCount: 0 })

  const older = await start(t, { maxWireVersion: 21 })
  await t.rejects(older.client.bulkWrite(models), { cause: { code: 59 } })
})

t.test('a duplicate key names the statement and the index', async (t) => {
  const { server, client, todos } = await start(t)
  const duplicate = writeErrors([{ index: 1, code: 11000, keyPattern: { email: 1 }, keyValue: { email: 'x' } }])
  server.script('insert', duplicate, duplicate)
  const documents = [{ _id: 'a' }, { _id: 'b' }, { _id: 'c' }]

  const error = (await t.rejects(todos.insertMany(documents), {
    code: 11000,
    insertedCount: 1
  })) as mongodb.MongoBulkWriteError
  t.equal([error.writeErrors].flat()[0]?.index, 1)

  const reply = await client.db().command({ insert: 'todos', documents })
  t.match(
    reply,
    { ok: 1, n: 1, writeErrors: [{ index: 1, keyPattern: { email: 1 } }] },
    'a plain command does not throw, and keeps the key'
  )
})

t.test('a failed validation carries errInfo', async (t) => {
  const { server, todos } = await start(t)
  server.script('update', writeErrors([{ index: 0, code: 121, errInfo: { failingDocumentId: 'a' } }]))
  await t.rejects(todos.updateOne({ _id: 'a' }, { $set: { n: 1 } }), { code: 121, errInfo: { failingDocumentId: 'a' } })
})

t.test('TransientTransactionError makes withTransaction start again', async (t) => {
  const { server, client, todos } = await start(t)
  server.script('update', commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] }))
  await client.withSession(session =>
    session.withTransaction(() => todos.updateOne({ _id: 'a' }, { $set: { n: 1 } }, { session }))
  )
  t.same(names(server), ['update', 'abortTransaction', 'update', 'commitTransaction'])
  t.same(server.commands.map(({ txnNumber }) => txnNumber), [1, 1, 2, 2])
})

t.test('UnknownTransactionCommitResult makes the driver commit again', async (t) => {
  const { server, client, todos } = await start(t)
  server.script(
    'commitTransaction',
    commandError({ code: 50, codeName: 'MaxTimeMSExpired', labels: ['RetryableWriteError'] })
  )
  server.script(
    'commitTransaction',
    writeConcernError({ code: 64, codeName: 'WriteConcernTimeout', labels: ['UnknownTransactionCommitResult'] })
  )
  await client.withSession((session) => session.withTransaction(() => todos.insertOne({ _id: 'a' }, { session })))
  t.same(names(server), ['insert', 'commitTransaction', 'commitTransaction', 'commitTransaction'])
  t.match(server.commands[2]?.document.writeConcern, { w: 'majority' })
})

t.test('a commit whose answer is lost is sent again', async (t) => {
  const applied: number[] = []
  const { server, client, todos } = await start(t, {
    on: {
      commitTransaction ({ txnNumber }) {
        applied.push(txnNumber ?? 0)
        return undefined
      }
    }
  })
  server.script('commitTransaction', dropConnection('after'))
  await client.withSession((session) => session.withTransaction(() => todos.insertOne({ _id: 'a' }, { session })))
  t.same(names(server), ['insert', 'commitTransaction', 'commitTransaction'])
  t.same(applied, [1, 1], 'carried out before the connection went')
})

t.test('a connection that drops before the command carries nothing out', async (t) => {
  let executed = 0
  const { server, client, todos } = await start(
    t,
    {
      on: {
        insert: () => {
          executed++
          return undefined
        }
      }
    },
    { retryWrites: false }
  )
  await client.connect()
  server.script('insert', dropConnection('before'))
  await t.rejects(todos.insertOne({ _id: 'a' }), { name: 'MongoNetworkError' })
  t.equal(executed, 0)
  await todos.insertOne({ _id: 'a' })
  t.equal(executed, 1)
})

t.test('closeAfterReply answers, and the driver opens another connection', async (t) => {
  const { server, todos } = await start(t)
  server.script('insert', closeAfterReply())
  await todos.insertOne({ _id: 'a' })
  await todos.insertOne({ _id: 'b' })
  const [first, second] = server.commands
  t.not(first?.connection, second?.connection)
})

t.test('an election: not primary, then primary again', async (t) => {
  const { server, client, todos } = await start(t, {}, { heartbeatFrequencyMS: 500 })
  await client.connect()
  const types: string[] = []
  client.on('serverDescriptionChanged', ({ newDescription }) => types.push(newDescription.type))

  server.stepDown()
  setTimeout(() => server.stepUp(), 300)
  await todos.insertOne({ _id: 'a' })

  t.equal(server.counts.insert, 2, 'retried once')
  t.equal(types.at(0), 'Unknown')
  t.equal(types.at(-1), 'RSPrimary')
})

t.test('10107 has the label for where it happens', async (t) => {
  const { server, client, todos } = await start(t)
  server.script('insert', notWritablePrimary())
  await t.rejects(client.withSession(async (session) => {
    session.startTransaction()
    await todos.insertOne({ _id: 'a' }, { session })
  }), { code: 10107, errorLabels: ['TransientTransactionError'] })
})

t.test('delay and hang', async (t) => {
  const { server, todos } = await start(t, {}, { socketTimeoutMS: 200, retryReads: false })
  server.script('find', delay(50, cursor([{ _id: 'a' }])), hang())
  const started = performance.now()
  t.same(await todos.find().toArray(), [{ _id: 'a' }])
  t.ok(performance.now() - started >= 49)
  await t.rejects(todos.find().toArray(), { name: 'MongoNetworkTimeoutError' })
  t.equal(server.pending(), 0)
})

t.test('every round trip can take its time', async (t) => {
  const { todos } = await start(t, { delay: 20 })
  await todos.findOne()
  const started = performance.now()
  await todos.findOne()
  t.ok(performance.now() - started >= 19)
})

t.test('w: 0 gets no reply', async (t) => {
  const { server, todos } = await start(t)
  t.match(await todos.insertOne({ _id: 'a' }, { writeConcern: { w: 0 } }), { acknowledged: false })
  await todos.findOne()
  t.same(names(server), ['insert', 'find'])
})

t.test('stop and start again on the same port', async (t) => {
  const { server, client, todos } = await start(t, {}, { serverSelectionTimeoutMS: 2000 })
  await todos.insertOne({ _id: 'a' })
  await server.stop()
  t.equal(server.openConnections, 0)
  const insert = todos.insertOne({ _id: 'b' })
  await server.start()
  await insert
  t.match(await client.db().command({ ping: 1 }), { ok: 1 })
})

t.test('a standalone has no transactions', async (t) => {
  const { client, todos, server } = await start(t, { topology: 'standalone' })
  await todos.insertOne({ _id: 'a' })
  t.equal(server.commands[0]?.txnNumber, undefined)
  const error = await t.rejects(
    client.withSession(session => session.withTransaction(() => todos.insertOne({ _id: 'b' }, { session })))
  )
  t.match(error, { originalError: { code: 20 } })
})

t.test('mongos', async (t) => {
  const { client, todos, server } = await start(t, { topology: 'mongos' })
  await client.withSession((session) => session.withTransaction(() => todos.insertOne({ _id: 'a' }, { session })))
  t.same(names(server), ['insert', 'commitTransaction'])
})

t.test('what MongoDB would not know is refused', async (t) => {
  const { client } = await start(t)
  await t.rejects(client.db().command({ frobnicate: 1 }), { code: 59, codeName: 'CommandNotFound' })
})

t.test('hello can be overridden', async (t) => {
  const { client } = await start(
    t,
    { hello: { maxWireVersion: 3, minWireVersion: 3 } },
    { serverSelectionTimeoutMS: 300 }
  )
  await t.rejects(client.connect(), /maximum wire version 3/)
})
