/** Two tables over one MongoDB collection: the client's order holds per document, for writes and for what hooks see. */
import t, { type Test } from 'tap'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { bson, collection, throughParent, type Collections } from '../../index.js'
import { additive, versioned } from '../../lib/rules/conflicts/index.js'
import { testDatabase } from '../support/database.js'
import { olderMongoClient } from '../support/older-mongodb.js'
import { testServer, upload } from '../support/server.js'

const item = {
  name: 'items',
  schema: Type.Object({
    text: Type.Optional(Type.String()),
    quantity: Type.Optional(bson.Int32()),
    version: Type.Optional(bson.Int32())
  })
} as const

function onBoth (
  name: string,
  collections: Collections,
  test: (
    t: Test,
    items: mongodb.Collection<{ _id: string } & mongodb.Document>,
    send: (...operations: object[]) => Promise<string>
  ) => Promise<void>
): void {
  for (const older of [false, true]) {
    t.test(`${name}${older ? ', on a MongoDB without bulkWrite' : ''}`, async t => {
      const mongo = await testDatabase(t)
      const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
      t.teardown(() => client.close())
      const app = await testServer(t, {
        collections,
        mongo: older ? { client: await olderMongoClient(t, mongo.uri), database: mongo.database } : { url: mongo.uri }
      })
      let opId = 0
      /** One client transaction; gives its status. */
      const send = async (...operations: object[]) => {
        const { body } = await upload(app, {
          client_id: 'c',
          batch: operations.map(operation => ({ op_id: ++opId, tx_id: 1, ...operation }))
        })
        return body['results'][0].failed_operation?.error_code ?? body['results'][0].status
      }
      await test(t, client.db().collection('items'), send)
    })
  }
}

const two = { active: collection(item), archived: collection(item) }
const put = (type: string, id: string, data = {}) => ({ op: 'PUT', type, id, data })
const remove = (type: string, id: string) => ({ op: 'DELETE', type, id })
const patch = (type: string, id: string, data: object, old?: object) => ({
  op: 'PATCH',
  type,
  id,
  data,
  ...(old && { old })
})

onBoth('a row that is deleted in one table and created in the other is there', two, async (t, items, send) => {
  await items.insertOne({ _id: 'x', text: 'old' })
  t.equal(await send(put('archived', 'y'), remove('active', 'x'), put('archived', 'x', { text: 'new' })), 'success')
  t.match(await items.findOne({ _id: 'x' }), { text: 'new' })
})

onBoth('a last DELETE holds', two, async (t, items, send) => {
  t.equal(await send(put('active', 'x'), put('archived', 'y'), put('archived', 'x'), remove('active', 'x')), 'success')
  t.equal(await items.findOne({ _id: 'x' }), null)
})

onBoth('a PATCH after the row moved to the other table is applied', two, async (t, items, send) => {
  t.equal(
    await send(
      remove('active', 'x'),
      put('archived', 'x', { text: 'moved' }),
      patch('archived', 'x', { text: 'edited' })
    ),
    'success'
  )
  t.match(await items.findOne({ _id: 'x' }), { text: 'edited' })
})

const summing = () => collection({ ...item, resolveConflict: additive(['quantity']) })
onBoth('sums through both tables add up', { active: summing(), archived: summing() }, async (t, items, send) => {
  await items.insertOne({ _id: 'x', quantity: 10 })
  t.equal(
    await send(
      patch('active', 'x', { quantity: 7 }, { quantity: 10 }),
      patch('archived', 'x', { quantity: 5 }, { quantity: 7 })
    ),
    'success'
  )
  t.equal((await items.findOne({ _id: 'x' }))?.['quantity'], 5)
})

const counted = () => collection({ ...item, resolveConflict: versioned({ field: 'version' }) })
onBoth('versions count through both tables', { active: counted(), archived: counted() }, async (t, items, send) => {
  await items.insertOne({ _id: 'x', text: 'a', version: 1 })
  t.equal(
    await send(patch('active', 'x', { text: 'b', version: 2 }), patch('archived', 'x', { text: 'c', version: 3 })),
    'success'
  )
  t.match(await items.findOne({ _id: 'x' }), { text: 'c', version: 3 })
})

onBoth('existing() through one table sees what was written through the other', {
  active: collection(item),
  archived: collection({
    ...item,
    authorize: async (_operation, { existing }) => (await existing())?.['text'] === 'new'
  })
}, async (t, items, send) => {
  t.equal(await send(put('active', 'x', { text: 'new' }), patch('archived', 'x', { text: 'allowed' })), 'success')
  t.match(await items.findOne({ _id: 'x' }), { text: 'allowed' })
})

const wrapped = collection({ ...item, updateBatch: async (_transaction, _context, next) => await next() })
onBoth('an updateBatch of one table keeps the order on the collection', {
  active: wrapped,
  archived: collection(item)
}, async (t, items, send) => {
  await items.insertMany([{ _id: 'x', text: 'old' }, { _id: 'y', text: 'old' }])
  t.equal(
    await send(
      remove('archived', 'x'),
      put('active', 'x', { text: 'new' }),
      put('archived', 'z'),
      patch('active', 'z', { text: 'edited' }),
      remove('archived', 'y')
    ),
    'success'
  )
  t.match(await items.find().sort({ _id: 1 }).toArray(), [{ _id: 'x', text: 'new' }, { _id: 'z', text: 'edited' }])
})

const parents = {
  name: 'lists',
  schema: Type.Object({ owner_id: Type.Optional(Type.String()) }),
  owner: 'owner_id'
} as const
onBoth('a parent that was created through the other table is one', {
  lists: collection(parents),
  archived_lists: collection(parents),
  todos: collection({
    schema: Type.Object({ list_id: Type.String() }),
    name: 'items',
    owner: throughParent('archived_lists', 'list_id')
  })
}, async (t, items, send) => {
  t.equal(await send(put('lists', 'l'), put('todos', 't', { list_id: 'l' })), 'success')
  t.match(await items.findOne({ _id: 't' }), { list_id: 'l' })
})

const guarded = collection({
  schema: Type.Object({ text: Type.String(), locked: bson.Boolean(), version: bson.Int32() }),
  name: 'items',
  writable: ['text', 'version'],
  defaults: { locked: () => true, version: () => 1 },
  authorize: async (operation, { existing }) => operation.op === 'PUT' || (await existing())?.['locked'] === true
})
onBoth(
  'a row and its edit in one upload meet the defaults of read-only fields, as in two',
  { guarded },
  async (t, items, send) => {
    t.equal(await send(put('guarded', 'x', { text: 'a' }), patch('guarded', 'x', { text: 'b' })), 'success')
    t.same(await items.findOne({ _id: 'x' }), { _id: 'x', text: 'b', locked: true, version: 1 })
  }
)
