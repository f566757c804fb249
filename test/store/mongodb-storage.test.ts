import { getEventListeners } from 'node:events'
import t from 'tap'
import fc from 'fast-check'
import { Type } from '@sinclair/typebox'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { collection, MongoDBStorage, type CrudOperation } from '../../index.js'
import { inTransaction } from '../../lib/store/transaction.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
const Row = Type.Object({ text: Type.Optional(Type.String()), unique: Type.Optional(Type.String()) })
const client = new fastifyMongodb.mongodb.MongoClient(database.uri, { monitorCommands: true })
await client.connect()
t.teardown(() => client.close())
const db = client.db()

/** Names of the commands that MongoDB gets while `action` runs. */
async function commandsOf (action: () => Promise<unknown>): Promise<string[]> {
  const commands: string[] = []
  const listen = ({ commandName }: { commandName: string }) => { commands.push(commandName) }
  client.on('commandStarted', listen)
  await action()
  client.off('commandStarted', listen)
  return commands
}

t.test('commands do not grow with the number of operations', async t => {
  const app = await testServer(t, {
    mongo: { client },
    collections: { a: collection({ schema: Row }), b: collection({ schema: Row }) }
  })
  const put = (table: string, id: number) => ({ op: 'PUT', table, id: String(id), data: { text: 'x' } })
  const range = (length: number) => Array.from({ length }, (_, index) => index)
  const send = (batch: object[]) =>
    commandsOf(async () => t.same((await upload(app, { batch })).body.results, [{ status: 'success' }]))

  // MongoDB 8 takes the statements of several kinds and collections in one command.
  const { maxWireVersion } = await db.command({ hello: 1 })
  const commands = (...statements: string[]) => [
    ...(maxWireVersion >= 25 ? ['bulkWrite'] : statements),
    'commitTransaction'
  ]

  t.same(await send([put('a', 0)]), ['update'], 'one operation needs no transaction')
  t.same(await send(range(100).map(index => put('a', index))), ['update', 'commitTransaction'])
  t.same(
    await send(
      range(100).map(index => ({
        op: index % 2 ? 'PATCH' : 'DELETE',
        table: 'a',
        id: String(index),
        data: { text: 'y' }
      }))
    ),
    commands('update', 'delete')
  )
  t.same(
    await send(
      range(1000).map(index =>
        index % 4 < 2
          ? put(index % 2 ? 'a' : 'b', index)
          : { op: 'DELETE', table: index % 2 ? 'a' : 'b', id: String(index) }
      )
    ),
    commands('update', 'delete', 'update', 'delete')
  )
})

t.test('an upload has the outcome of one operation at a time, however the server takes its commands', async t => {
  await db.collection('unique').createIndex({ unique: 1 }, { unique: true, sparse: true })
  const collections = {
    plain: collection({ schema: Row }),
    unique: collection({ schema: Row, nulls: 'unset' }),
    replaced: collection({ schema: Row, put: 'replace' }),
    // Two tables over one collection are one collection.
    again: collection({ schema: Row, name: 'unique', nulls: 'unset' })
  }
  const names = ['plain', 'unique', 'replaced']
  const { maxWireVersion } = await db.command({ hello: 1 })
  const servers = {
    grouped: new MongoDBStorage(db, collections),
    ...maxWireVersion >= 25 && { bulkWrite: new MongoDBStorage(db, collections, { bulkWrite: true }) }
  }
  const user = { id: 'user1' }
  const start = names.map((table, index): CrudOperation => ({
    op: 'PUT',
    table,
    id: 'a',
    data: { text: 'start', unique: 'u0' },
    index
  }))
  const together = (work: (session: mongodb.ClientSession) => Promise<unknown>) =>
    client.withSession(session => session.withTransaction(() => work(session)))
  /** What is stored afterwards, or that it failed. */
  const run = async (work: (session: mongodb.ClientSession) => Promise<unknown>) => {
    for (const name of names) await db.collection(name).deleteMany({})
    await servers.grouped.updateBatch({ operations: start }, { user })
    const failed = await together(work).then(() => false, () => true)
    const contents = []
    for (const name of names) contents.push(await db.collection(name).find().sort({ _id: 1 }).toArray())
    return { failed, contents }
  }
  const value = fc.option(fc.constantFrom('u0', 'u1', 'u2'))
  const operation = fc.record({
    op: fc.constantFrom('PUT', 'PATCH', 'DELETE'),
    table: fc.constantFrom(...Object.keys(collections)),
    id: fc.constantFrom('a', 'b', 'c'),
    data: fc.record({ text: fc.option(fc.string()), unique: value }, { requiredKeys: [] })
  })
  let failures = 0
  await fc.assert(fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 12 }), async generated => {
    const operations = generated.map(
      (each, index) => ({ ...each, data: each.op === 'DELETE' ? undefined : each.data, index }) as CrudOperation
    )
    const oneByOne = await run(async session => {
      for (const each of operations) await servers.grouped.updateBatch({ operations: [each] }, { user, session })
    })
    if (oneByOne.failed) failures++
    for (const storage of Object.values(servers)) {
      const together = await run(session => storage.updateBatch({ operations }, { user, session }))
      // What only failed for being grouped is written in order by the caller.
      if (!together.failed || oneByOne.failed || storage !== servers.grouped) t.same(together, oneByOne)
    }
  }), {
    numRuns: 40,
    examples: [
      [[{ op: 'PUT', table: 'unique', id: 'b', data: { unique: 'u0' } }]],
      [
        [
          { op: 'PUT', table: 'again', id: 'b', data: { unique: 'u1' } },
          { op: 'DELETE', table: 'unique', id: 'b', data: {} },
          { op: 'PUT', table: 'again', id: 'b', data: { unique: 'u2' } }
        ]
      ]
    ]
  })
  t.ok(failures > 0, 'some of them failed')
})

t.test('deletes of one row through two tables with different owners are both tried', async t => {
  const Owned = Type.Object({ text: Type.Optional(Type.String()), by: Type.Optional(Type.String()) })
  const storage = new MongoDBStorage(db, {
    everybody: collection({ schema: Owned, name: 'shared_rows' }),
    mine: collection({ schema: Owned, name: 'shared_rows', owner: 'by' })
  })
  for (const tables of [['everybody', 'mine'], ['mine', 'everybody']]) {
    await db.collection<{ _id: string, by: string }>('shared_rows').insertOne({ _id: 'a', by: 'bob' })
    const operations = [
      ...tables.map(table => ({ op: 'DELETE', table, id: 'a' })),
      { op: 'PUT', table: 'everybody', id: 'b', data: {} }
    ].map((each, index) => ({ ...each, index }) as CrudOperation)
    await storage.updateBatch({ operations }, { user: { id: 'ann' } })
    t.same(await db.collection('shared_rows').distinct('_id'), ['b'], tables.join())
  }
})

t.test('what fails only because it is grouped is written in the client\'s order', async t => {
  await db.collection('swap').createIndex({ unique: 1 }, { unique: true, sparse: true })
  const app = await testServer(t, {
    mongo: { client },
    collections: { swap: collection({ schema: Row, nulls: 'unset' }) }
  })
  const put = (id: string, unique: string) => ({ op: 'PUT', table: 'swap', id, data: { unique } })
  await upload(app, { batch: [put('old', 'name')] })
  const { status, body } = await upload(app, {
    batch: [{ op: 'DELETE', table: 'swap', id: 'old' }, put('new', 'name')]
  })
  t.equal(status, 200)
  t.same(body.results, [{ status: 'success' }])
  t.same(await db.collection('swap').find().toArray(), [{ _id: 'new', unique: 'name' }])
})

t.test('a duplicate key is final, names the operation and the index, and stores nothing', async t => {
  await db.collection('emails').createIndex({ unique: 1 }, { unique: true, name: 'one_account_per_email' })
  const app = await testServer(t, { mongo: { client }, collections: { emails: collection({ schema: Row }) } })
  const put = (id: string, unique: string) => ({ op: 'PUT', table: 'emails', id, data: { unique } })
  const message = 'Another document has the same value in the unique index one_account_per_email'
  // The emulator does not say which fields the index has.
  const details = { index: 'one_account_per_email', ...database.kind !== 'emulator' && { fields: ['unique'] } }
  await upload(app, { batch: [put('a', 'secret@example.com')] })
  for (const batch of [
    [put('b', 'other'), put('c', 'secret@example.com'), put('d', 'third')],
    [put('b', 'other'), put('c', 'secret@example.com'), { op: 'DELETE', table: 'emails', id: 'x' }]
  ]) {
    const { status, body } = await upload(app, { batch })
    t.equal(status, 200)
    t.same(body.results, [{
      status: 'fatal_error',
      requires_client_handling: false,
      message,
      failed_operation: { error_code: 'DUPLICATE_KEY', message, details, operation_index: 1 }
    }])
  }
  const { body } = await upload(app, { batch: [put('e', 'secret@example.com')] })
  t.match(body.results, [{ failed_operation: { error_code: 'DUPLICATE_KEY', operation_index: 0 } }])
  t.same(await db.collection('emails').distinct('_id'), ['a'])
})

t.test('a PUT of an empty schema creates the document', async t => {
  const app = await testServer(t, {
    mongo: { client },
    collections: { empty: collection({ schema: Type.Object({}) }) }
  })
  t.same((await upload(app, { batch: [{ op: 'PUT', table: 'empty', id: 'a', data: {} }] })).body.results, [
    { status: 'success' }
  ])
  t.same(await db.collection('empty').find().toArray(), [{ _id: 'a' }])
})

t.test('defaults of read-only fields are given when the document is created, and kept', async t => {
  let time = 0
  const schema = Type.Object({ text: Type.Optional(Type.String()), created: Type.Optional(Type.Integer()) })
  const app = await testServer(t, {
    mongo: { client },
    collections: { created: collection({ schema, writable: ['text'], defaults: { created: () => ++time } }) }
  })
  for (const text of ['x', 'y']) {
    await upload(app, { batch: [{ op: 'PUT', table: 'created', id: 'a', data: { text, created: 99 } }] })
  }
  t.same(await db.collection('created').find().toArray(), [{ _id: 'a', text: 'y', created: 1 }])
  await t.rejects(
    testServer(t, {
      mongo: { client },
      collections: { created: collection({ schema, writable: ['text'], put: 'replace' }) }
    }),
    { message: /collections\.created\.put is replace/ }
  )
})

t.test('nulls: unset removes fields instead of storing null', async t => {
  const app = await testServer(t, {
    mongo: { client },
    collections: { sparse: collection({ schema: Row, nulls: 'unset' }) }
  })
  const put = (data: object) => ({ op: 'PUT', table: 'sparse', id: 'a', data })
  await upload(app, { batch: [put({ text: 'x', unique: 'y' })] })
  await upload(app, { batch: [{ op: 'PATCH', table: 'sparse', id: 'a', data: { text: null } }] })
  t.same(await db.collection('sparse').find().toArray(), [{ _id: 'a', unique: 'y' }])
  t.match((await upload(app, { batch: [{ op: 'PATCH', table: 'sparse', id: 'a', data: {} }] })).body.results, [
    { status: 'success' }
  ])
  await upload(app, { batch: [put({ text: 'z' })] })
  t.same(await db.collection('sparse').find().toArray(), [{ _id: 'a', text: 'z' }])
  await upload(app, { batch: [put({})] })
  t.same(await db.collection('sparse').find().toArray(), [{ _id: 'a' }])
})

t.test('put: replace drops what the schema does not know', async t => {
  const app = await testServer(t, {
    mongo: { client },
    collections: { whole: collection({ schema: Row, put: 'replace' }) }
  })
  await db.collection<{ _id: string }>('whole').insertOne({ _id: 'a', server_only: 1 } as { _id: string })
  await upload(app, { batch: [{ op: 'PUT', table: 'whole', id: 'a', data: { text: 'x' } }] })
  t.same(await db.collection('whole').find().toArray(), [{ _id: 'a', text: 'x', unique: null }])
  const sparse = await testServer(t, {
    mongo: { client },
    collections: { whole: collection({ schema: Row, put: 'replace', nulls: 'unset' }) }
  })
  await upload(sparse, { batch: [{ op: 'PUT', table: 'whole', id: 'a', data: { text: 'y' } }] })
  t.same(await db.collection('whole').find().toArray(), [{ _id: 'a', text: 'y' }])
})

t.test(
  'MongoDB stops: 503, nothing lost to the dead letters; it is back: the same upload succeeds',
  { skip: needs(database, 'ownServer', 'stopping it') },
  async t => {
    const own = await testDatabase(t, { ownServer: true })
    const app = await testServer(t, {
      mongo: { url: own.uri, serverSelectionTimeoutMS: 500 },
      upload: { deadline: 3000 },
      collections: { a: collection({ schema: Row }) }
    })
    const batches = [
      [{ op: 'PUT', table: 'a', id: '1', data: { text: 'x' } }],
      [
        { op: 'PUT', table: 'a', id: '1', data: { text: 'x' } },
        { op: 'PATCH', table: 'a', id: '1', data: { text: 'y' } }
      ]
    ]
    t.equal((await upload(app, { batch: batches[1] })).status, 200)
    await own.stop()
    for (const batch of batches) {
      const { status, body } = await upload(app, { batch })
      t.equal(status, 503)
      t.match(body.results, [{ status: 'retryable_error', retry_after_ms: 5000 }])
      t.notMatch(JSON.stringify(body), /127\.0\.0\.1/)
    }
    const rejected = await upload(app, { batch: [{ op: 'PUT', table: 'unknown', id: '1', data: {} }] })
    t.equal(rejected.status, 503, 'a rejected transaction that cannot be kept stays with the client')
    await own.restart()
    for (const batch of batches) t.equal((await upload(app, { batch })).status, 200)
    t.same(await app.mongo.db!.collection('a').find().toArray(), [{ _id: '1', text: 'y', unique: null }])
    t.same(await app.powersync.deadLetters.list(), [])
  }
)

t.test('a signal of many MongoDB transactions keeps no listener of them', async t => {
  const { signal } = new AbortController()
  for (let i = 0; i < 3; i++) {
    await inTransaction(client, { signal }, async scope => await db.collection('rows').findOne({}, scope))
  }
  t.same(getEventListeners(signal, 'abort'), [])
})
