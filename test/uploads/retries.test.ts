/** Uploads that are sent again: no second effect, the same answer. On MongoDB with and without `bulkWrite`. */
import t, { type Test } from 'tap'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import type { FastifyInstance } from 'fastify'
import { Type } from '@sinclair/typebox'
import { bson, collection, type CrudOperation, type PowerSyncMongoOptions } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import { testDatabase } from '../support/database.js'
import { olderMongoClient } from '../support/older-mongodb.js'
import { testServer, upload } from '../support/server.js'

const stock = collection({
  schema: Type.Object({
    name: Type.Optional(Type.String()),
    quantity: bson.Int32(),
    tags: Type.Optional(Type.Array(Type.String()))
  }),
  resolveConflict: additive(['quantity'])
})
const things = collection({ schema: Type.Object({ name: Type.String({ maxLength: 10 }) }) })
const collections = { stock, things }

interface Fixture {
  db: mongodb.Db
  /** A server of its own: another process, as far as the database is concerned. */
  start (options?: Partial<PowerSyncMongoOptions>): Promise<FastifyInstance>
}

const add = (opId: number, by: number, id = 'x') =>
  ({ op_id: opId, tx_id: opId, op: 'PATCH', type: 'stock', id, data: { quantity: 10 + by }, old: { quantity: 10 } })
const put = (opId: number, id: string, name: string, txId = opId) => ({
  op_id: opId,
  tx_id: txId,
  op: 'PUT',
  type: 'things',
  id,
  data: { name }
})

const statuses = (body: Record<string, any>) => body['results'].map(({ status }: { status: string }) => status)

function onBoth (name: string, test: (t: Test, fixture: Fixture) => Promise<void>): void {
  for (const older of [false, true]) {
    t.test(`${name}${older ? ', on a MongoDB without bulkWrite' : ''}`, async t => {
      const mongo = await testDatabase(t)
      const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
      t.teardown(() => client.close())
      const connection = async () =>
        older ? { client: await olderMongoClient(t, mongo.uri), database: mongo.database } : { url: mongo.uri }
      const start = async (options: Partial<PowerSyncMongoOptions> = {}) =>
        await testServer(t, { collections, ...options, mongo: await connection() })
      const db = client.db()
      await db.collection<{ _id: string, quantity: number }>('stock').insertOne({ _id: 'x', quantity: 10 })
      await test(t, { db, start })
    })
  }
}

const quantityOf = async (db: mongodb.Db, id = 'x') =>
  ((await db.collection<{ _id: string }>('stock').findOne({ _id: id })) as mongodb.Document | null)?.['quantity']

onBoth('the order of names, and JSON as text or parsed, make no new operation', async (t, { db, start }) => {
  const app = await start()
  const sent = [
    {
      op_id: 1,
      op: 'PATCH',
      type: 'stock',
      id: 'x',
      data: { name: 'n', quantity: 7, tags: '["a","b"]' },
      old: { name: 'o', quantity: 10 }
    },
    {
      op_id: 1,
      op: 'PATCH',
      type: 'stock',
      id: 'x',
      data: { quantity: 7, tags: '["a","b"]', name: 'n' },
      old: { quantity: 10, name: 'o' }
    },
    {
      op_id: 1,
      op: 'PATCH',
      type: 'stock',
      id: 'x',
      data: { tags: ['a', 'b'], quantity: 7, name: 'n' },
      old: { name: 'o', quantity: 10 }
    },
    {
      op_id: 1,
      op: 'PATCH',
      type: 'stock',
      id: 'x',
      data: { tags: '[ "a", "b" ]', name: 'n', quantity: 7 },
      old: { quantity: 10 }
    }
  ]
  for (const operation of sent) {
    t.same(statuses((await upload(app, { client_id: 'c', batch: [operation] })).body), ['success'])
  }
  t.equal(await quantityOf(db), 7)
  const bad = { op_id: 2, op: 'PUT', type: 'things', id: 't' }
  await upload(app, { client_id: 'c', batch: [{ ...bad, data: { name: 5, also: 1 } }] })
  await upload(app, { client_id: 'c', batch: [{ ...bad, data: { also: 1, name: 5 } }] })
  t.equal(await db.collection('powersync_dead_letters').countDocuments(), 1, 'one letter')
})

onBoth('an op_id with another content is another operation', async (t, { db, start }) => {
  const app = await start()
  await upload(app, { client_id: 'c', batch: [add(1, 5)] })
  await upload(app, { client_id: 'c', batch: [add(1, 6)] })
  t.equal(await quantityOf(db), 21)
})

onBoth(
  'a body of 2 100 operations whose answer was lost has no second effect, in another process too',
  async (t, { db, start }) => {
    const [app, other] = [await start(), await start()]
    const batch = [
      add(1, 5),
      ...Array.from({ length: 2098 }, (_, index) => put(index + 2, `t${index}`, 'n', 2 + Math.floor(index / 300))),
      add(2100, 7)
    ]
    for (const server of [app, other, app]) t.equal((await upload(server, { client_id: 'c', batch })).status, 200)
    t.equal(await quantityOf(db), 22)
    t.equal(
      (await db.collection('powersync_ledger').findOne({}))?.['operations'].length(),
      2100 * 18,
      'each operation is remembered once'
    )
  }
)

onBoth(
  'a body that met the deadline in its midst is continued, and no part of it is applied twice',
  async (t, { db, start }) => {
    let hangs = true
    const app = await start({
      upload: { deadline: 4000 },
      authorize: async ({ opId }) => { if (hangs && opId === '1500') await new Promise(() => {}); return true }
    })
    const batch = [
      add(1, 5),
      ...Array.from({ length: 1998 }, (_, index) => put(index + 2, `t${index}`, 'n', 1 + Math.floor(index / 400)))
    ]
    t.equal((await upload(app, { client_id: 'c', batch })).status, 503)
    hangs = false
    // As a client does it: until it is accepted.
    for (let status = 503; status !== 200;) status = (await upload(app, { client_id: 'c', batch })).status
    t.equal(await quantityOf(db), 15)
    t.equal(await db.collection('things').countDocuments(), 1998)
  }
)

onBoth(
  'of two copies at once, one applied and one that meets a unique index, neither leaves a letter',
  async (t, { db, start }) => {
    await db.collection('things').createIndex({ name: 1 }, { unique: true })
    await db.collection<{ _id: string, name: string }>('things').insertOne({ _id: 'other', name: 'taken' })
    let meet: (() => Promise<void>) | undefined
    // The first copy is rejected; before its letter is stored, the second one applies the operation.
    const slow = await start({
      collections: {
        ...collections,
        things: collection({
          schema: things.schema,
          transform: async operation => {
            await meet?.()
            return operation
          }
        })
      }
    })
    const quick = await start()
    const body = { client_id: 'c', batch: [put(1, 't', 'taken')] }
    meet = async () => {
      meet = undefined
      // After the slow server's snapshot began, but it reads nothing before: its own write meets the index.
      await db.collection<{ _id: string }>('things').deleteOne({ _id: 'other' })
      t.equal((await upload(quick, body)).status, 200)
      await db.collection<{ _id: string, name: string }>('things').updateOne({ _id: 't' }, { $set: { name: 'moved' } })
      await db.collection<{ _id: string, name: string }>('things').insertOne({ _id: 'third', name: 'taken' })
    }
    t.same(statuses((await upload(slow, body)).body), ['success'])
    t.equal(await db.collection('powersync_dead_letters').countDocuments(), 0)
    t.match(await db.collection<{ _id: string }>('things').findOne({ _id: 't' }), { name: 'moved' })
  }
)

onBoth('a transaction that was cut has a letter of what is left of it', async (t, { db, start }) => {
  const app = await start()
  await upload(app, { client_id: 'c', batch: [{ ...add(1, -5), tx_id: 7 }] })
  const whole = [{ ...add(1, -5), tx_id: 7 }, put(2, 't', 'much too long for it', 7)]
  t.same(statuses((await upload(app, { client_id: 'c', batch: whole })).body), ['fatal_error'])
  const [letter] = await app.powersync.deadLetters.list()
  t.same(letter!.operations.map(({ op_id: opId }) => opId), ['2'])
  await app.powersync.deadLetters.retry(letter!._id, {
    edit: transaction => ({
      ...transaction,
      operations: transaction.operations.map(operation => ({ ...operation, data: { name: 'short' } }) as CrudOperation)
    })
  })
  t.equal(await quantityOf(db), 5)
})

onBoth(
  '"transactions" stops at a rejected one, and answers the same when it is sent again',
  async (t, { db, start }) => {
    const [app, other] = [await start(), await start()]
    const body = {
      client_id: 'c',
      transactions: [{ crud: [put(1, 'a', 'much too long for it')] }, { crud: [put(2, 'b', 'good')] }]
    }
    const first = await upload(app, body)
    t.same(statuses(first.body), ['fatal_error', 'not_attempted'])
    for (const server of [app, other, app]) t.same((await upload(server, body)).body, first.body)
    t.equal(await db.collection('things').countDocuments(), 0, 'what is not attempted is not applied')
    t.equal(await db.collection('powersync_dead_letters').countDocuments(), 1)
  }
)

onBoth('the answer stays what it was, whatever became of the letter', async (t, { start }) => {
  const [app, other] = [await start(), await start()]
  const body = {
    client_id: 'c',
    batch: [put(1, 'good', 'good', 1), put(2, 'a', 'much too long for it', 2), put(3, 'b', 'good', 2)]
  }
  const first = await upload(app, body)
  t.same(statuses(first.body), ['success', 'fatal_error'])
  const [letter] = await app.powersync.deadLetters.list()
  await app.powersync.deadLetters.discard(letter!._id)
  for (const server of [app, other]) t.same((await upload(server, body)).body, first.body)
  t.same(await app.powersync.deadLetters.list(), [], 'the letter does not come back')
})

onBoth('powersync.upload opens a page for each client', async (t, { db, start }) => {
  const app = await start()
  const transactionOf = (clientId: string, opId: string) => ({
    clientId,
    operations: [
      {
        op: 'PATCH' as const,
        table: 'stock',
        id: 'x',
        opId,
        index: 0,
        data: { quantity: 15 },
        previous: { quantity: 10 }
      }
    ]
  })
  const transactions = [transactionOf('c1', '1'), transactionOf('c2', '1')]
  await app.powersync.upload(transactions, { id: 'user' })
  t.equal(await quantityOf(db), 20)
  await app.powersync.upload([transactionOf('c2', '1')], { id: 'user' })
  await app.powersync.upload(transactions, { id: 'user' })
  t.equal(await quantityOf(db), 20)
})

onBoth('an operation that stands twice in one body is applied once', async (t, { db, start }) => {
  const app = await start()
  t.same(statuses((await upload(app, { client_id: 'c', batch: [add(1, 5), { ...add(1, 5), tx_id: 2 }] })).body), [
    'success',
    'success'
  ])
  t.equal(await quantityOf(db), 15)
})

onBoth('a sum is refused where a retry could not be recognised', async (t, { db, start }) => {
  const app = await start()
  for (const [clientId, opId] of [[undefined, 1], ['c', undefined]]) {
    const { body } = await upload(app, { client_id: clientId, batch: [{ ...add(1, 5), op_id: opId }] })
    t.match(body, {
      results: [
        { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', details: { path: 'quantity' } } }
      ]
    })
  }
  t.equal(await quantityOf(db), 10)
})

onBoth('many copies at once, to two processes, have one effect', async (t, { db, start }) => {
  const servers = [await start(), await start()]
  const body = { client_id: 'c', batch: Array.from({ length: 5 }, (_, index) => add(index + 1, 1)) }
  const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => upload(servers[index % 2]!, body)))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(await quantityOf(db), 15)
})
