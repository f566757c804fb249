import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { collection } from '../../index.js'
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
