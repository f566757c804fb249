import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { collection, MongoDBStorage, throughParent } from '../../index.js'
import { databaseIn } from '../../lib/store/connect.js'
import { testDatabase, withDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

t.test('the database of a connection string is the driver\'s', async t => {
  const uris = [
    'mongodb://host/app',
    'mongodb://host/b1%5F47',
    'mongodb://[::1]/app',
    'mongodb://[::1]:27017,host:1/app?replicaSet=rs0',
    'mongodb+srv://host.example.com/app',
    'mongodb://user:p%2Fw@host/app?authSource=admin',
    'mongodb://%2Ftmp%2Fmongodb.sock/app',
    'mongodb://user:pw@host:1,host:2/app\n',
    'mongodb://host/app#fragment'
  ]
  for (const uri of uris) {
    if (!uri.includes('+srv')) {
      t.equal(databaseIn(uri), new fastifyMongodb.mongodb.MongoClient(uri).db().databaseName, uri)
    } else t.equal(databaseIn(uri), 'app')
  }
  for (const uri of [
    'mongodb://host',
    'mongodb://host/',
    'mongodb://host/?replicaSet=a/b',
    'mongodb://host?appName=a/b',
    'mongodb://host/\n',
    undefined
  ]) { t.equal(databaseIn(uri), undefined, String(uri)) }
})

t.test('uploads go to the database that the connection string names, in options that are undefined too', async t => {
  const { uri, database } = await testDatabase(t)
  const url = withDatabase(uri, database.replace('_', '%5F'))
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(() => client.close())
  const before = process.env['MONGO_URI']
  t.teardown(() => { Object.assign(process.env, { MONGO_URI: before ?? '' }) })
  process.env['MONGO_URI'] = `${url}\n`
  const ways = [{ url }, { url, database: undefined }, { client, database: undefined }, { url: undefined }]
  for (const [index, mongo] of ways.entries()) {
    const app = await testServer(t, {
      collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }, mongo
    })
    await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: String(index), data: { name: 'x' } }] })
  }
  t.same((await client.db().collection('lists').find().toArray()).map(({ _id }) => _id), ['0', '1', '2', '3'])
})

t.test('the package reads from the primary, whatever the connection string says', async t => {
  const { uri } = await testDatabase(t)
  const client = new fastifyMongodb.mongodb.MongoClient(`${uri}&readPreference=secondaryPreferred`, {
    monitorCommands: true
  })
  t.teardown(() => client.close())
  const sent: string[] = []
  client.on('commandStarted', ({ commandName, command: { $readPreference: { mode } = { mode: 'primary' } } }) => {
    if (['find', 'aggregate', 'listIndexes'].includes(commandName)) sent.push(mode)
  })
  const lists = collection({ schema: Type.Object({ owner_id: Type.String() }), owner: 'owner_id' })
  const todos =
    collection({ schema: Type.Object({ list_id: Type.String() }), owner: throughParent('lists', 'list_id') })
  const app = await testServer(t, { collections: { lists, todos }, mongo: { client } })
  await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: 'a', data: {} }] })
  await upload(app, { batch: [{ op: 'PUT', table: 'other', id: 'a', data: {} }] })
  const { deadLetters } = app.powersync
  const [letter] = await deadLetters.summaries()
  await deadLetters.retry(letter!._id)
  await deadLetters.discard(letter!._id)
  const user = { id: 'anonymous' }
  const put = { op: 'PUT', table: 'todos', id: 'b', data: { list_id: 'a' }, index: 0 } as const
  await new MongoDBStorage(client.db(), { lists, todos }).updateBatch({ operations: [put] }, { user })
  t.ok(sent.length > 5, `${sent.length} reads`)
  t.same(sent.filter(mode => mode !== 'primary'), [])
})
