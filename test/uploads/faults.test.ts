/** Faults of the data and faults of the server: only the first are final, and only writes can tell. */
import t, { type Test } from 'tap'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import Fastify from 'fastify'
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import powersyncMongo, { bson, collection, developmentAuth, type PowerSyncMongoOptions } from '../../index.js'
import { dataFault } from '../../lib/store/mongodb-errors.js'
import { testDatabase, withDatabase } from '../support/database.js'
import { keys, testServer, upload } from '../support/server.js'

const places = collection({
  schema: Type.Object({ at: bson.Json(Type.Object({ type: Type.String(), coordinates: Type.Array(Type.Number()) })) })
})
const things = collection({ schema: Type.Object({ name: Type.String(), code: Type.Optional(Type.String()) }) })

async function fixture (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const mongo = await testDatabase(t)
  const appName = `faults-${randomBytes(4).toString('hex')}`
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri, {
    appName,
    monitorCommands: true,
    maxPoolSize: 20
  }).connect()
  t.teardown(() => client.close())
  const commands: string[] = []
  client.on('commandStarted', ({ commandName }) => { commands.push(commandName) })
  const other = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => other.close())
  const app = await testServer(t, {
    collections: { places, things },
    ...options,
    mongo: { client, database: mongo.database }
  })
  const fail = (command: string, data: mongodb.Document, mode: unknown = { times: 1 }) =>
    other
      .db('admin')
      .command({ configureFailPoint: 'failCommand', mode, data: { failCommands: [command], appName, ...data } })
  return { app, db: other.db(), client: other, commands, fail, uri: mongo.uri }
}

const put = (opId: number, id = `t${opId}`, data: object = { name: 'n' }, type = 'things') => ({
  op_id: opId,
  tx_id: opId,
  op: 'PUT',
  type,
  id,
  data
})
const statuses = (body: Record<string, any>) => body['results'].map(({ status }: { status: string }) => status)

t.test('codes that only the data can cause are final, those of the app\'s own indexes too', async t => {
  for (const code of [
    2, 52, 55, 56, 57, 121, 171, 201, 10334, 11000, 13026, 13027, 13067, 13068, 16572, 16746, 16755, 16756, 16766,
    16775, 16776, 16804, 17261, 17262, 17280, 17419, 17420
  ]) {
    t.ok(dataFault({ code }), String(code))
  }
  for (const code of [1, 6, 11, 13, 50, 64, 91, 112, 189, 251, 999_999, undefined]) {
    t.equal(dataFault({ code }), undefined, String(code))
  }
})

t.test('a geometry that an index refuses is rejected, and kept as a dead letter', async t => {
  const { app, db } = await fixture(t)
  await db.collection('places').createIndex({ at: '2dsphere' })
  const at = (coordinates: number[]) => ({ at: JSON.stringify({ type: 'Point', coordinates }) })
  const { status, body } = await upload(app, {
    client_id: 'c',
    batch: [put(1, 'p', at([190, 0]), 'places'), put(2, 'q', at([19, 0]), 'places')]
  })
  t.equal(status, 200)
  t.same(statuses(body), ['fatal_error', 'success'])
  t.equal(await db.collection('powersync_dead_letters').countDocuments(), 1)
})

t.test('a fault of the ledger\'s own read, or of a commit, is never final', async t => {
  for (const command of ['find', 'commitTransaction']) {
    for (const errorCode of [2, 10334, 11000, 121]) {
      const { app, db, fail } = await fixture(t)
      await fail(command, { errorCode })
      // Two that fail together are tried one by one: of those one would get through.
      const batch = command === 'find' ? [put(1)] : [put(1), put(2)]
      const body = { client_id: 'c', batch }
      const first = await upload(app, body)
      t.equal(first.status, 503, `${command} ${errorCode}`)
      if (command === 'commitTransaction') {
        t.same(statuses(first.body), ['retryable_error', 'retryable_error'], 'none of them was not attempted')
      }
      t.equal((await upload(app, body)).status, 200)
      t.equal(await db.collection('things').countDocuments(), batch.length)
      t.equal(await db.collection('powersync_dead_letters').countDocuments(), 0)
    }
  }
})

t.test('a duplicate null, which the server stored for a column that was left out, is said to be one', async t => {
  const { app, db } = await fixture(t)
  await db.collection('things').createIndex({ code: 1 }, { unique: true })
  const messages = []
  for (const batch of [[put(1, 'a')], [put(2, 'b')], [put(3, 'c', { name: 'n', code: 'x' })],
    [put(4, 'd', { name: 'n', code: 'x' })]]) {
    messages.push((await upload(app, { client_id: 'c', batch })).body['results'][0].failed_operation?.message)
  }
  const duplicate = 'Another document has the same value in the unique index code_1'
  const isNull = ', null in code: null counts as a value, unless the index is partial'
  t.same(messages, [undefined, duplicate + isNull, undefined, duplicate])
})

t.test('a batch with one rejected transaction among 100 is answered from the ledger when it is sent again', async t => {
  const { app, db, commands } = await fixture(t)
  await db.collection('things').createIndex({ code: 1 }, { unique: true, sparse: true })
  await db.collection<{ _id: string, code: string }>('things').insertOne({ _id: 'other', code: 'taken' })
  const batch = Array.from({ length: 100 }, (_, index) =>
    put(index + 1, `t${index}`, index === 42 ? { name: 'n', code: 'taken' } : { name: 'n', code: `c${index}` })
  )
  const first = await upload(app, { client_id: 'c', batch })
  t.equal(first.status, 200)
  t.same(
    statuses(first.body).map((status: string, index: number) => status === (index === 42 ? 'fatal_error' : 'success')),
    Array(100).fill(true)
  )
  commands.length = 0
  t.same((await upload(app, { client_id: 'c', batch })).body, first.body)
  t.same(commands, [], 'nothing is run again')
})

t.test('401 transactions of which one meets a busy row are all applied in the first attempt', async t => {
  const { app, db, client } = await fixture(t)
  await db.collection<{ _id: string, name: string }>('things').insertOne({ _id: 't300', name: 'before' })
  const session = client.startSession()
  session.startTransaction()
  await db.collection<{ _id: string }>('things').updateOne({ _id: 't300' }, { $set: { name: 'busy' } }, { session })
  // Once the rest is through, so that it was not the busy row which all of it waited for.
  const release = (async () => {
    while (await db.collection('things').countDocuments() < 300) await setTimeout(100)
    await session.commitTransaction()
    await session.endSession()
  })()
  const { status, body } = await upload(app, {
    client_id: 'c',
    batch: Array.from({ length: 401 }, (_, index) => put(index + 1, `t${index}`))
  })
  t.equal(status, 200)
  t.same(new Set(statuses(body)), new Set(['success']))
  t.equal(await db.collection('things').countDocuments(), 401)
  await release
})

t.test('another number of days changes the ledger\'s index', async t => {
  const { db, uri } = await fixture(t)
  const seconds = async () =>
    (await db.collection('powersync_ledger').indexes())
      .map(({ expireAfterSeconds }) => expireAfterSeconds)
      .filter(Boolean)
  t.same(await seconds(), [60 * 86_400])
  await testServer(t, { collections: { things }, mongo: { url: uri }, upload: { deduplicate: { days: 7 } } })
  t.same(await seconds(), [7 * 86_400])
})

t.test('declared collections are there from the start, with post-images', async t => {
  const { db } = await fixture(t)
  const infos = await db.listCollections({ name: { $in: ['places', 'things'] } }).toArray()
  t.same(
    infos.map(info => [info.name, (info as mongodb.CollectionInfo).options?.['changeStreamPreAndPostImages']]).sort(),
    [
      ['places', { enabled: true }],
      ['things', { enabled: true }]
    ]
  )
})

t.test('a host\'s named connection is not taken for its unnamed one', async t => {
  const mongo = await testDatabase(t)
  const theirs = withDatabase(mongo.uri, `${mongo.database}_theirs`)
  const before = process.env['MONGO_URI']
  process.env['MONGO_URI'] = mongo.uri
  t.teardown(() => {
    if (before === undefined) delete process.env['MONGO_URI']
    else process.env['MONGO_URI'] = before
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyMongodb, { name: 'theirs', url: theirs })
  await app.register(powersyncMongo, {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    authenticate: developmentAuth(),
    collections: { things }
  })
  t.equal((await upload(app, { batch: [put(1)] })).status, 200)
  t.equal(await app.mongo['theirs']!.db!.collection('things').countDocuments(), 0)
  t.equal(await app.mongo['theirs']!.client.db(mongo.database).collection('things').countDocuments(), 1)
})
