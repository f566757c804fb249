/** What a client changes after a rejection goes through; a letter that is run again goes under it. */
import t, { type Test } from 'tap'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { bson, collection, type CrudTransaction, type PowerSyncMongoOptions } from '../../index.js'
import { Decimal128, Double, Int32, Long } from '../../lib/bson.js'
import { additive, fieldLevel, lastWriteWins } from '../../lib/rules/conflicts/index.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const strict = collection({
  schema: Type.Object({
    name: Type.Optional(Type.String({ maxLength: 4 })),
    state: Type.Optional(Type.String()),
    stock: bson.Int32()
  }),
  defaults: { stock: () => 0 },
  resolveConflict: additive(['stock'])
})

async function fixture (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const mongo = await testDatabase(t)
  const app = await testServer(t, { collections: { items: strict }, ...options, mongo: { url: mongo.uri } })
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const db = client.db()
  const items = db.collection<{ _id: string } & mongodb.Document>('items')
  let opId = 0
  const send = async (op: string, data?: object, extra: object = {}) => {
    opId++
    const { body } = await upload(app, {
      client_id: 'c',
      batch: [{ op_id: opId, tx_id: opId, op, type: 'items', id: 'x', ...(data && { data }), ...extra }]
    })
    return body['results'][0].status
  }
  const letters = app.powersync.deadLetters
  /** The oldest first. */
  const ids = async () => (await letters.summaries()).map(({ _id }) => _id).reverse()
  const retry = async (edit?: (transaction: CrudTransaction) => CrudTransaction) =>
    await letters.retry((await ids())[0]!, { edit })
  return { app, db, items, send, letters, ids, retry, uri: mongo.uri }
}

const shorter = (transaction: CrudTransaction): CrudTransaction => ({
  ...transaction,
  operations: transaction.operations.map(operation => operation.data?.['name'] === undefined
    ? operation
    : { ...operation, data: { ...operation.data, name: 'ok' } } as typeof operation)
})

t.test('a rejected PUT that is corrected and run again keeps what came later', async t => {
  const { items, send, retry } = await fixture(t)
  t.equal(await send('PUT', { name: 'too long', state: 'open' }), 'fatal_error')
  t.equal(await send('PATCH', { state: 'done' }), 'success')
  t.equal((await retry(shorter))?.status, 'success')
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', state: 'done', stock: 0 })
})

t.test('what came later keeps its types, however often it was noted and read again', async t => {
  const number = { d: bson.Double(), l: bson.Long(), big: bson.Long(), m: bson.Decimal128(), i: bson.Int32() }
  const optional = Type.Partial(Type.Object({ ...number, json: Type.Object(number), added: bson.Double() }))
  const { items, send, retry } = await fixture(t, {
    validators: 'apply',
    collections: {
      items: collection({
        schema: Type.Composite([Type.Object({ name: Type.String({ maxLength: 4 }) }), optional]),
        resolveConflict: additive(['added'])
      })
    }
  })
  const sent = { d: 5, l: 5, big: '9007199254740992', m: '1.50', i: 5 }
  t.equal(await send('PUT', { name: 'too long' }), 'fatal_error')
  t.equal(await send('PATCH', { ...sent, json: JSON.stringify(sent), added: 1 }, { old: { added: null } }), 'success')
  t.equal(await send('PATCH', { i: 6, added: 3 }, { old: { added: 1 } }), 'success')
  t.equal((await retry(shorter))?.status, 'success')
  const stored = {
    d: new Double(5), l: Long.fromNumber(5), big: Long.fromString('9007199254740992'), m: Decimal128.fromString('1.50')
  }
  const json = { ...stored, i: new Int32(5) }
  t.strictSame(
    await items.findOne({ _id: 'x' }, { promoteValues: false }),
    { _id: 'x', name: 'ok', ...stored, i: new Int32(6), json, added: new Double(3) }
  )
})

t.test('a rejected PUT of a row that its client has deleted since stays without effect', async t => {
  const { items, send, retry } = await fixture(t)
  await send('PUT', { name: 'too long' })
  t.equal(await send('DELETE'), 'success')
  t.equal((await retry(shorter))?.status, 'success')
  t.equal(await items.findOne({ _id: 'x' }), null)
})

t.test('a rejected PATCH does not undo a later one of the same field', async t => {
  const { items, send, retry } = await fixture(t)
  await items.insertOne({ _id: 'x', name: 'a', state: 'new', stock: 1 })
  await send('PATCH', { name: 'too long', state: 'open' })
  await send('PATCH', { state: 'done' })
  await retry(shorter)
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', state: 'done', stock: 1 })
})

t.test('sums before and after a rejection add up, once', async t => {
  const { items, send, retry } = await fixture(t)
  await items.insertOne({ _id: 'x', name: 'a', state: 'new', stock: 10 })
  await send('PATCH', { name: 'too long', stock: 13 }, { old: { name: 'a', stock: 10 } })
  await send('PATCH', { stock: 18 }, { old: { stock: 13 } })
  t.equal((await items.findOne({ _id: 'x' }))?.['stock'], 15)
  await retry(shorter)
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', state: 'new', stock: 18 })
})

t.test('what is added after a rejection goes on top of what the letter clears', async t => {
  const { items, send, retry } = await fixture(t, {
    collections: {
      items: collection({
        schema: Type.Object({ name: Type.String({ maxLength: 4 }), stock: Type.Optional(bson.Int32()) }),
        nulls: 'unset',
        resolveConflict: additive(['stock'])
      })
    }
  })
  await items.insertOne({ _id: 'x', name: 'a', stock: 10 })
  await send('PATCH', { name: 'too long', stock: null })
  await send('PATCH', { stock: 3 }, { old: { stock: null } })
  t.equal((await items.findOne({ _id: 'x' }))?.['stock'], 13)
  await retry(shorter)
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', stock: 3 })

  await send('DELETE')
  await send('PUT', { name: 'too long', stock: 10 })
  await send('PATCH', { stock: null })
  await send('PATCH', { stock: 3 }, { old: { stock: null } })
  await retry(shorter)
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', stock: 3 }, 'or that was cleared since')
})

t.test('what a client adds after a rejection is noted whatever its own changes alone would come to', async t => {
  const { app, items, send, retry, ids } = await fixture(t, {
    collections: {
      items: collection({
        schema: Type.Object({
          name: Type.String({ maxLength: 4 }),
          stock: Type.Optional(bson.Int32({ minimum: 0 }))
        }),
        resolveConflict: additive(['stock'])
      })
    }
  })
  await items.insertOne({ _id: 'x', name: 'a', stock: 10 })
  await send('PATCH', { name: 'too long' })
  await send('PATCH', { stock: null })
  await send('PATCH', { stock: 3 }, { old: { stock: null } })
  t.equal((await items.findOne({ _id: 'x' }))?.['stock'], 3)
  const other = { op_id: 1, op: 'PATCH', type: 'items', id: 'x', data: { stock: 23 }, old: { stock: 3 } }
  await upload(app, { client_id: 'other', batch: [other] })
  t.equal(await send('PATCH', { stock: 1 }, { old: { stock: 23 } }), 'success', 'its own would be -19')
  t.equal((await retry(shorter))?.status, 'success')
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', stock: 1 })

  await send('DELETE')
  await send('PUT', { name: 'too long', stock: 10 })
  await send('PATCH', { stock: 2 }, { old: { stock: 10 } })
  const corrected = (stock: number) => (transaction: CrudTransaction) => ({
    ...transaction,
    operations: transaction.operations.map(each => ({ ...each, data: { name: 'ok', stock } }) as typeof each)
  })
  t.match(await retry(corrected(1)), { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA' } })
  t.equal((await ids()).length, 1, 'a letter that does not fit under it is rejected again')
  t.equal((await retry(corrected(20)))?.status, 'success')
  t.match(await items.findOne({ _id: 'x' }), { stock: 12 })
})

t.test('a column may have a name that objects inherit', async t => {
  for (const name of ['constructor', 'toString']) {
    const { items, send, retry } = await fixture(t, {
      collections: {
        items: collection({
          schema: Type.Object({
            name: Type.String({ maxLength: 4 }),
            [name]: Type.Optional(Type.String()),
            stock: Type.Optional(bson.Int32())
          })
        })
      }
    })
    await items.insertOne({ _id: 'x', name: 'a' })
    await send('PATCH', { name: 'too long', [name]: 'letter' })
    await send('PATCH', { stock: 3 })
    await retry(shorter)
    t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', [name]: 'letter', stock: 3 })
  }
})

t.test('what others wrote in between stays, but for the fields of the letter', async t => {
  const { items, send, retry } = await fixture(t)
  await items.insertOne({ _id: 'x', name: 'a', state: 'new', stock: 1 })
  await send('PATCH', { name: 'too long' })
  await items.updateOne({ _id: 'x' }, { $set: { state: 'theirs', name: 'them', also: 1 } })
  await retry(shorter)
  t.same(await items.findOne({ _id: 'x' }), { _id: 'x', name: 'ok', state: 'theirs', stock: 1, also: 1 })
})

t.test('of letters that share a row the oldest is run first; the others wait for it', async t => {
  const { app, items, send, letters, ids } = await fixture(t)
  await items.insertOne({ _id: 'x', name: 'a', state: 'new', stock: 1 })
  for (const state of ['first', 'second', 'third']) {
    t.equal(await send('PATCH', { name: 'too long', state }), 'fatal_error')
  }
  const [oldest, middle, youngest] = await ids() as [string, string, string]
  t.same(await letters.retry(youngest, { edit: shorter }), { status: 'not_attempted', waits_for: [oldest, middle] })
  t.same(await letters.retry(middle, { edit: shorter }), { status: 'not_attempted', waits_for: [oldest] })
  t.equal((await letters.retry(oldest, { edit: shorter }))?.status, 'success')
  t.equal(await letters.discard(middle), true)
  t.equal((await app.powersync.deadLetters.retry(youngest, { edit: shorter }))?.status, 'success')
  t.match(await items.findOne({ _id: 'x' }), { name: 'ok', state: 'third' })
  t.same(await ids(), [])
})

t.test('a letter that is gone leaves its client\'s page with the next upload of its row', async t => {
  const { db, send, letters, ids } = await fixture(t)
  await send('PUT', { name: 'too long' })
  const page = async () => (await db.collection('powersync_ledger').findOne({}))?.['letters'].length
  t.equal(await page(), 1)
  await letters.discard((await ids())[0]!)
  t.equal(await page(), 1, 'a discard leaves the page alone')
  t.equal(await send('PATCH', { state: 'done' }), 'success')
  t.equal(await page(), 0)
})

t.test('a letter with more rows than a page holds is under later changes too, and leaves the page', async t => {
  const { app, db, items, send, retry, uri } = await fixture(t)
  const put = (id: string, name: string) =>
    ({ tx_id: 100, op: 'PUT', type: 'items', id, data: { name, state: 'open' } })
  const batch = [put('x', 'too long'), ...Array.from({ length: 20_000 }, (_, index) => put(`r${index}`, 'ok'))]
    .map((each, index) => ({ ...each, op_id: 100 + index }))
  t.match((await upload(app, { client_id: 'c', batch })).body, { results: [{ status: 'fatal_error' }] })
  const named = async () => (await db.collection('powersync_ledger').findOne({}))?.['letters']
  t.match(await named(), [{ rows: null }])
  t.equal(await send('PATCH', { state: 'done' }), 'success')
  const other = await testServer(t, { collections: { items: strict }, mongo: { url: uri } })
  const later = { op_id: 9, tx_id: 9, op: 'PATCH', type: 'items', id: 'x', data: { stock: 5 }, old: { stock: 3 } }
  t.equal((await upload(other, { client_id: 'c', batch: [later] })).status, 200)
  await retry(({ operations, ...transaction }) => shorter({ ...transaction, operations: operations.slice(0, 1) }))
  t.match(await items.findOne({ _id: 'x' }), { name: 'ok', state: 'done', stock: 2 })
  await upload(other, { client_id: 'c', batch: [{ ...later, op_id: 10 }] })
  t.same(await named(), [])
})

t.test('a page that was forgotten begins with the open letters of its client', async t => {
  const { db, items, send, retry, uri } = await fixture(t)
  await send('PUT', { name: 'too long', state: 'open' })
  await db.collection('powersync_ledger').deleteMany({})
  const other = await testServer(t, { collections: { items: strict }, mongo: { url: uri } })
  const later = { op_id: 9, tx_id: 9, op: 'PATCH', type: 'items', id: 'x', data: { state: 'done' } }
  t.equal((await upload(other, { client_id: 'c', batch: [later] })).status, 200)
  await retry(shorter)
  t.match(await items.findOne({ _id: 'x' }), { name: 'ok', state: 'done' })
})

t.test('operations that a hook moves to another row are under what came later on that', async t => {
  const { items, send, retry } = await fixture(t, {
    transform: operation => ({ ...operation, id: `moved-${operation.id}` }) as typeof operation
  })
  await send('PUT', { name: 'too long', state: 'open' })
  await send('PATCH', { state: 'done' })
  await retry(shorter)
  t.match(await items.findOne({ _id: 'moved-x' }), { name: 'ok', state: 'done' })
})

t.test('a later change of the same client does not drop a letter that was made before it', async t => {
  const at = (day: number) => new Date(Date.UTC(2025, 0, day)).toISOString()
  const { app, items, send, retry } = await fixture(t, {
    collections: {
      items: collection({
        schema: Type.Object({ name: Type.String({ maxLength: 4 }), state: Type.String(), at: bson.Date() }),
        resolveConflict: lastWriteWins({ field: 'at' })
      })
    }
  })
  for (const [others, name] of [[1, 'ok'], [3, 'a']] as const) {
    await items.replaceOne({ _id: 'x' }, { name: 'a', state: 'new', at: new Date(at(others)) }, { upsert: true })
    t.equal(await send('PATCH', { name: 'too long', at: at(2) }), 'fatal_error')
    if (others === 1) t.equal(await send('PATCH', { state: 'done', at: at(4) }), 'success')
    t.equal((await retry(shorter))?.status, 'success')
    t.match(await items.findOne({ _id: 'x' }), { name, at: new Date(at(others === 1 ? 4 : 3)) })
  }

  t.equal(await send('PATCH', { name: 'too long', at: at(5) }), 'fatal_error')
  t.equal(await send('PATCH', { state: 'open', at: at(6) }), 'success')
  const later = { op_id: 1, op: 'PATCH', type: 'items', id: 'x', data: { name: 'b', at: at(7) } }
  await upload(app, { client_id: 'other', batch: [later] })
  t.equal((await retry(shorter))?.status, 'success')
  t.match(await items.findOne({ _id: 'x' }), { name: 'b', state: 'open', at: new Date(at(7)) }, 'one of another does')
})

t.test('the times of a letter\'s fields stand beside those of later changes', async t => {
  const at = (day: number) => new Date(Date.UTC(2025, 0, day))
  const { items, send, retry } = await fixture(t, {
    collections: {
      items: collection({
        schema: Type.Object({ name: Type.String({ maxLength: 4 }), state: Type.String() }),
        resolveConflict: fieldLevel({ metadata: 'modified' })
      })
    }
  })
  const times = (day: number) =>
    ({ metadata: JSON.stringify({ name_modified_at: at(day), state_modified_at: at(day) }) })
  await items.insertOne({ _id: 'x', name: 'a', state: 'new' })
  await send('PATCH', { name: 'too long', state: 'open' }, times(1))
  await send('PATCH', { state: 'done' }, times(2))
  await retry(shorter)
  t.same(await items.findOne({ _id: 'x' }),
    { _id: 'x', name: 'ok', state: 'done', modified: { name: at(1), state: at(2) } })

  await send('PATCH', { name: 'too long', state: 'closed' })
  await send('PATCH', { state: 'gone' }, times(3))
  await retry(shorter)
  const row = await items.findOne({ _id: 'x' })
  t.match(row, { name: 'ok', state: 'gone', modified: { state: at(3) } }, 'a field that stays keeps its time')
  t.ok(row?.['modified'].name > at(3))
})

t.test('of later changes those count that an updateBatch wrote', async t => {
  const { items, send, retry } = await fixture(t, {
    transform: operation => ({ ...operation, id: `moved-${operation.id}` }) as typeof operation,
    updateBatch: async (transaction, _context, next) => {
      const kept = transaction.operations.filter(({ data }) => data?.['state'] !== 'dropped')
      const upper = (value: unknown) => typeof value === 'string' ? value.toUpperCase() : value
      const operations = kept.map(each => each.op === 'DELETE'
        ? each
        : { ...each, data: { ...each.data, ...'state' in each.data && { state: upper(each.data['state']) } } })
      await next({ ...transaction, operations: operations as typeof kept })
    }
  })
  await send('PUT', { name: 'too long', state: 'open' })
  t.equal(await send('PATCH', { state: 'done' }), 'success')
  t.equal(await send('PATCH', { state: 'dropped' }), 'success')
  await retry(shorter)
  t.match(await items.find().toArray(), [{ _id: 'moved-x', name: 'ok', state: 'DONE' }])
})

t.test('an updateBatch that passes a letter on in parts writes the difference of all of them', async t => {
  const { app, items, send, retry } = await fixture(t, {
    updateBatch: async (transaction, _context, next) => {
      for (const each of transaction.operations) await next({ ...transaction, operations: [each] })
    }
  })
  const common = { tx_id: 100, type: 'items', id: 'x' }
  const batch = [
    { ...common, op_id: 100, op: 'PUT', data: { name: 'too long', stock: 10 } },
    { ...common, op_id: 101, op: 'PATCH', data: { stock: 12 }, old: { stock: 10 } }
  ]
  await upload(app, { client_id: 'c', batch })
  t.equal(await send('PATCH', { stock: 17 }, { old: { stock: 12 } }), 'success')
  await retry(shorter)
  t.match(await items.findOne({ _id: 'x' }), { name: 'ok', stock: 17 })

  await send('DELETE')
  const [put, patch] = batch.map(each => ({ ...each, tx_id: 200, op_id: each.op_id + 100 }))
  await upload(app, { client_id: 'c', batch: [put, { ...patch, op: 'DELETE', data: undefined }] })
  t.equal(await send('PATCH', { stock: 17 }, { old: { stock: 12 } }), 'success')
  t.equal((await retry(shorter))?.status, 'success')
  t.equal(await items.findOne({ _id: 'x' }), null, 'a row that the letter itself creates and deletes')
})

t.test('a mirror that is none is refused, and left as it is', async t => {
  const mongo = await testDatabase(t)
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const db = client.db()
  await db.collection('events').insertOne({ created_at: new Date(0), text: 'of the app' })
  await db.collection('events').createIndex({ created_at: 1 })
  const start = (mirror: string) =>
    testServer(t, {
      collections: { items: strict },
      mongo: { url: mongo.uri },
      upload: { deadLetters: { mirror, expireAfterDays: 1 } }
    })
  await t.rejects(start('events'), /the collection events holds other documents than notes of dead letters/)
  t.same((await db.collection('events').indexes()).map(({ name }) => name), ['_id_', 'created_at_1'])
  await db.createCollection('strict', { validator: { $jsonSchema: { required: ['never'] } } })
  await t.rejects(start('strict'), /the collection strict has a validator/)
})

t.test('an app\'s own index on a mirror stays beside the one by which notes expire', async t => {
  const mongo = await testDatabase(t)
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const indexes = async () =>
    (await client.db().collection('notes').indexes()).map(({ key, expireAfterSeconds }) => [key, expireAfterSeconds])
  await client.db().collection('notes').createIndex({ created_at: 1 })
  const start = (expireAfterDays?: number) =>
    testServer(t, {
      collections: { items: strict },
      mongo: { url: mongo.uri },
      upload: { deadLetters: { mirror: 'notes', expireAfterDays } }
    })
  await start(2)
  t.same((await indexes()).slice(1), [[{ created_at: 1 }, undefined], [{ created_at: -1 }, 172_800]])
  await start(3)
  t.same((await indexes()).slice(1), [[{ created_at: 1 }, undefined], [{ created_at: -1 }, 259_200]])
  await start()
  t.same((await indexes()).slice(1), [[{ created_at: 1 }, undefined]])
})
