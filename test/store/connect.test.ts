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
    'mongodb://%2Ftmp%2Fmongodb.sock/app'
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
    undefined
  ]) { t.equal(databaseIn(uri), undefined, String(uri)) }
})

t.test('uploads go to the database that the connection string names by escapes', async t => {
  const { uri, database } = await testDatabase(t)
  const app = await testServer(t, {
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) },
    mongo: { url: withDatabase(uri, database.replace('_', '%5F')) }
  })
  await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: 'a', data: { name: 'x' } }] })
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(() => client.close())
  t.match(await client.db().collection('lists').find().toArray(), [{ _id: 'a', name: 'x' }])
})
