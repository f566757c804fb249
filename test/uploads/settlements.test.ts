/** A user corrects a rejected change, or gives it up: the same client transaction settles the letter. */
import t, { type Test } from 'tap'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { bson, collection, PowerSyncFatalError, type PowerSyncMongoOptions } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const collections = {
  items: collection({
    schema: Type.Object({
      name: Type.String({ maxLength: 4 }),
      state: Type.Optional(Type.String()),
      stock: bson.Int32()
    }),
    defaults: { stock: () => 0 },
    fields: { label: 'name' },
    resolveConflict: additive(['stock'])
  })
}

interface Operation { op: string, type: string, id: string, data?: object, old?: object }

const put = (data: object, id = 'x'): Operation => ({ op: 'PUT', type: 'items', id, data })
const patch = (data: object, old?: object): Operation => ({
  op: 'PATCH',
  type: 'items',
  id: 'x',
  data,
  ...(old && { old })
})
const settle = (id: string): Operation => ({ op: 'DELETE', type: 'rejections', id })

async function fixture (
  t: Test, deadLetters: { mirror?: string } = { mirror: 'rejections' }, hooks: Partial<PowerSyncMongoOptions> = {}
) {
  const mongo = await testDatabase(t)
  const app = await testServer(t, { collections, mongo: { url: mongo.uri }, upload: { deadLetters }, ...hooks })
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const db = client.db()
  const items = db.collection<{ _id: string } & mongodb.Document>('items')
  let opId = 0
  let txId = 0
  /** Client transactions as one upload; what becomes of each. */
  const send = async (
    transactions: Operation[][], { user = 'user1', client = 'phone' as string | null, version = 0 } = {}
  ) => {
    const batch = transactions.flatMap(operations => {
      txId++
      return operations.map(operation => ({ ...operation, ...client && { op_id: ++opId, tx_id: txId } }))
    })
    const body = { ...client && { client_id: client }, ...version && { schema_version: version }, batch }
    const again = () => upload(app, body, { url: `/upload?user_id=${user}` })
    const answer = await again()
    return {
      again,
      answer,
      statuses: (answer.body['results'] as Array<{ status: string, failed_operation?: { error_code: string } }>).map(
        ({ status, failed_operation: failed }) => failed?.error_code ?? status
      )
    }
  }
  const one = async (...operations: Operation[]) => (await send([operations])).statuses[0]
  return {
    app,
    db,
    items,
    send,
    one,
    item: () => items.findOne({ _id: 'x' }),
    letters: () => app.powersync.deadLetters.list(),
    notes: () => db.collection<{ _id: string } & mongodb.Document>('rejections').find().toArray(),
    /** The id of the only letter. */
    letter: async () => (await app.powersync.deadLetters.list()).map(({ _id }) => _id).join()
  }
}

t.test('a corrected row is written and its letter settled in one transaction; sent again, nothing changes', async t => {
  const { send, one, item, items, letters, notes, letter } = await fixture(t)
  t.equal(await one(put({ label: 'too long', state: 'open' })), 'INVALID_DATA')
  const id = await letter()
  t.match(await notes(), [{
    _id: id,
    user_id: 'user1',
    error_code: 'INVALID_DATA',
    message: /label/,
    path: 'label',
    table: 'items',
    row_id: 'x',
    op: 'PUT',
    data: '{"label":"too long","state":"open"}',
    operation_index: 0,
    operations: '[{"op":"PUT","table":"items","id":"x","data":{"label":"too long","state":"open"}}]'
  }])
  const { again, answer, statuses } = await send([[put({ label: 'ok', state: 'open' }), settle(id)]])
  t.same(statuses, ['success'])
  t.same(await item(), { _id: 'x', name: 'ok', state: 'open', stock: 0 })
  t.same([await letters(), await notes()], [[], []])
  await items.updateOne({ _id: 'x' }, { $set: { name: 'them' } })
  t.same((await again()).body, answer.body)
  t.equal((await item())?.['name'], 'them')
})

t.test('later changes stay, but for the columns that the user corrected', async t => {
  const { one, item, letter } = await fixture(t)
  await one(put({ label: 'too long', state: 'open', stock: 5 }))
  t.equal(await one(patch({ state: 'done' })), 'success')
  t.equal(await one(patch({ stock: 7 }, { stock: 5 })), 'success')
  t.equal(await item(), null, 'there is no row yet')
  t.equal(await one(put({ label: 'ok', state: 'open', stock: 5 }), settle(await letter())), 'success')
  t.same(await item(), { _id: 'x', name: 'ok', state: 'done', stock: 7 })

  await one(patch({ label: 'too long', state: 'new' }))
  await one(patch({ state: 'kept', label: 'mid' }))
  t.equal(await one(patch({ label: 'end', state: 'new' }), settle(await letter())), 'success')
  t.match(await item(), { name: 'end', state: 'kept' })
})

t.test('they stay in a row to which a hook moves the operations too', async t => {
  const transform: PowerSyncMongoOptions['transform'] = operation => ({ ...operation, id: `moved-${operation.id}` })
  const { one, items, letter } = await fixture(t, undefined, { transform })
  await one(put({ label: 'too long', state: 'open', stock: 5 }))
  t.equal(await one(patch({ state: 'done', label: 'mid' })), 'success')
  t.equal(await one(put({ label: 'ok', state: 'open', stock: 5 }), settle(await letter())), 'success')
  t.same(await items.find().toArray(), [{ _id: 'moved-x', name: 'ok', state: 'done', stock: 5 }])
})

t.test('a sum that is sent again adds what it added at first, whatever the row on the device is by now', async t => {
  const { one, item, items, letter } = await fixture(t)
  await items.insertOne({ _id: 'x', name: 'a', stock: 10 })
  const first = patch({ state: 'new' })
  await one(first, patch({ label: 'too long', stock: 13 }, { stock: 10 }), patch({ stock: 14 }, { stock: 13 }))
  t.equal(await one(patch({ stock: 12 }, { stock: 10 })), 'success')
  await items.updateOne({ _id: 'x' }, { $inc: { stock: 100 } })
  // The device has synced: its row has 112.
  const again = [patch({ label: 'still too long', stock: 13 }, { stock: 112 }), patch({ stock: 14 }, { stock: 13 })]
  t.equal(await one(first, ...again, settle(await letter())), 'INVALID_DATA')
  const corrected = [patch({ label: 'ok', stock: 13 }, { stock: 112 }), patch({ stock: 14 }, { stock: 13 })]
  t.equal(await one(first, ...corrected, settle(await letter())), 'success')
  t.match(await item(), { name: 'ok', stock: 116 })
  await one(patch({ label: 'too long', stock: 120 }, { stock: 116 }))
  const other = [patch({ label: 'end', stock: 121 }, { stock: 116 }), patch({ state: 'done' }, { state: 'new' })]
  t.equal(await one(...other, settle(await letter())), 'success')
  t.match(await item(), { name: 'end', state: 'done', stock: 121 }, 'another amount is the user\'s latest word')
})

t.test('a sum adds the same amount in columns of an older client, and after its update', async t => {
  const inStock = (row: Record<string, unknown> = {}) =>
    Object.fromEntries(Object.entries(row).map(([column, value]) => [column === 'cents' ? 'stock' : column, value]))
  for (const version of [1, 2]) {
    const { send, items, item, letter } = await fixture(t, undefined, {
      collections: {
        items: collection({
          schema: Type.Object({ name: Type.String({ maxLength: 4 }), stock: bson.Int32() }),
          migrations: {
            2: operation => ({
              ...operation, data: inStock(operation.data), previous: operation.previous && inStock(operation.previous)
            })
          },
          resolveConflict: additive(['stock'])
        })
      }
    })
    await items.insertOne({ _id: 'x', name: 'a', stock: 10 })
    const { statuses } = await send([[patch({ name: 'too long', cents: 13 }, { cents: 10 })]], { version: 1 })
    t.same(statuses, ['INVALID_DATA'])
    const column = version === 1 ? 'cents' : 'stock'
    const corrected = patch({ name: 'ok', [column]: 13 }, { name: 'a', [column]: 10 + 100 })
    await items.updateOne({ _id: 'x' }, { $inc: { stock: 100 } })
    t.same((await send([[corrected, settle(await letter())]], { version })).statuses, ['success'])
    t.same(await item(), { _id: 'x', name: 'ok', stock: 113 })
  }
})

t.test('a change that a migration refuses is rejected, as a correction too, and can be corrected', async t => {
  const mongo = await testDatabase(t)
  const app = await testServer(t, {
    collections: {
      items: collection({
        schema: Type.Object({ name: Type.String(), kind: Type.Optional(Type.String()) }),
        migrations: {
          2: operation => {
            if (operation.data['name'] === 'fault') throw new Error('of the app')
            if (operation.data['name'] === 'old') throw new PowerSyncFatalError('OLD', 'The name is of the old kind')
            return operation
          }
        }
      })
    },
    mongo: { url: mongo.uri },
    upload: { deadLetters: { mirror: 'rejections' } }
  })
  let opId = 0
  const send = async (version: number, ...operations: Operation[]) => {
    const batch = operations.map(operation => ({ op_id: ++opId, tx_id: 1, ...operation }))
    const { body } = await upload(app, { client_id: 'c', schema_version: version, batch })
    return body['results'][0].failed_operation?.error_code ?? body['results'][0].status
  }
  const letter = async () => (await app.powersync.deadLetters.list())[0]!._id
  t.equal(await send(1, put({ name: 'old' })), 'OLD')
  t.equal(await send(2, patch({ kind: 'later' })), 'success')
  t.equal(await send(1, put({ name: 'old', kind: 'corrected' }), settle(await letter())), 'OLD')
  t.equal(await send(1, put({ name: 'fault' }), settle(await letter())), 'retryable_error')
  t.equal(await send(2, put({ name: 'new' }), settle(await letter())), 'success')
  t.same(await app.powersync.deadLetters.list(), [])
})

t.test('what settles a letter goes under younger ones, which are settled after it', async t => {
  const { one, item, items, letters } = await fixture(t)
  await items.insertOne({ _id: 'x', name: 'a', stock: 10 })
  const [older, younger] = [
    (label: string) => patch({ label, state: 'older' }),
    (label: string) => patch({ label, state: 'younger' })
  ]
  for (const change of [older, younger]) t.equal(await one(change('too long')), 'INVALID_DATA')
  const [second, first] = (await letters()).map(({ _id }) => _id) as [string, string]
  t.equal(await one(older('ok'), settle(first)), 'success')
  t.match(await item(), { name: 'ok', state: 'older' })
  t.equal(await one(younger('end'), settle(second)), 'success')
  t.match(await item(), { name: 'end', state: 'younger' })
})

t.test('what replaced the row since is written over, as the user sees it', async t => {
  const { one, item, letter } = await fixture(t)
  await one(put({ label: 'too long', state: 'open' }))
  await one(put({ label: 'new', state: 'new' }))
  await one(put({ label: 'ok', state: 'open' }), settle(await letter()))
  t.match(await item(), { name: 'ok', state: 'open' })
})

t.test('in one upload, it goes under the changes before it, and those behind it go over it', async t => {
  const { send, one, item, letter, letters } = await fixture(t)
  await one(put({ label: 'too long', state: 'open' }))
  const { statuses } = await send([
    [patch({ state: 'done' })],
    [put({ label: 'ok', state: 'open' }), settle(await letter())],
    [patch({ label: 'last' })]
  ])
  t.same(statuses, ['success', 'success', 'success'])
  t.match(await item(), { name: 'last', state: 'done' })
  t.same(await letters(), [])
})

t.test('a correction that is rejected too takes the letter\'s place, above the same later changes', async t => {
  const { one, item, letter, letters, notes } = await fixture(t)
  await one(put({ label: 'too long', state: 'open' }))
  const first = await letter()
  await one(patch({ state: 'done' }))
  t.equal(await one(put({ label: 'still too long', state: 'open' }), settle(first)), 'INVALID_DATA')
  const second = await letter()
  t.not(second, first)
  t.match(await letters(), [
    { operation_count: 1, operations: [{ data: '{"label":"still too long","state":"open"}' }] }
  ])
  t.match(await notes(), [
    {
      _id: second,
      operations: '[{"op":"PUT","table":"items","id":"x","data":{"label":"still too long","state":"open"}}]'
    }
  ])
  t.equal(await one(put({ label: 'ok', state: 'open' }), settle(second)), 'success')
  t.match(await item(), { name: 'ok', state: 'done' })
  t.same(await notes(), [])
})

t.test('a letter is given up by its own user only; one that is gone or unknown is settled already', async t => {
  const { send, letters, notes, one, letter } = await fixture(t)
  await one(put({ label: 'too long' }))
  const id = await letter()
  for (const client of ['phone', null]) {
    t.same((await send([[settle(id)]], { user: 'mallory', client })).statuses, ['success'])
  }
  t.equal((await letters()).length, 1)
  t.equal((await notes()).length, 1)
  t.equal(await one(settle('unknown')), 'success')
  t.equal(await one(settle(id)), 'success')
  t.same([await letters(), await notes()], [[], []])
  t.equal(await one(settle(id)), 'success')
})

t.test('without client_id and op_id it works as well, and a rejected copy of the letter itself is kept', async t => {
  const { send, item, letter, letters, notes } = await fixture(t)
  const anonymous = async (...operations: Operation[]) => (await send([operations], { client: null })).statuses
  await anonymous(put({ label: 'too long' }))
  const id = await letter()
  t.same(await anonymous(put({ label: 'too long' }), settle(id)), ['INVALID_DATA'])
  t.equal(await letter(), id)
  t.equal((await notes()).length, 1)
  t.same(await anonymous(put({ label: 'ok' }), settle(id)), ['success'])
  t.match(await item(), { name: 'ok' })
  t.same([await letters(), await notes()], [[], []])
})

t.test('the table takes nothing but a DELETE, and without mirror not even that', async t => {
  const { one, letter, notes } = await fixture(t)
  await one(put({ label: 'too long' }))
  const id = await letter()
  const before = await notes()
  for (const op of ['PUT', 'PATCH']) {
    t.equal(await one({ op, type: 'rejections', id, data: { message: 'mine' } }), 'SCHEMA_MISMATCH')
  }
  t.same((await notes()).filter(({ _id }) => _id === id), before)
  const other = await fixture(t, {})
  t.equal(await other.one(settle(id)), 'SCHEMA_MISMATCH')
})

t.test('a note of a large transaction has no columns', async t => {
  const { one, notes } = await fixture(t)
  await one(put({ label: 'x'.repeat(2 ** 20) }))
  t.match(await notes(), [{ table: 'items', row_id: 'x', op: 'PUT', data: null, operations: null, operation_index: 0 }])
})

t.test('a mirror that a table writes to is refused, and one that no client can have as a table', async t => {
  const mongo = await testDatabase(t)
  const start = (name: string, mirror = 'rejections') =>
    testServer(t, {
      mongo: { url: mongo.uri },
      collections: { ...collections, rejected: collection({ schema: 'any', name }) },
      upload: { deadLetters: { mirror } }
    })
  await t.rejects(start('others', 'Rejected'), /mirror is Rejected, which collections\.rejected writes to/)
  for (const mirror of ['ps_rejections', 'my rejections', 'app.rejections', "it's", 'system.rejections']) {
    await t.rejects(start('others', mirror), /mirror is text: expected the name of a collection of yours/)
  }
  await t.rejects(
    start('rejections'),
    /option upload\.deadLetters\.mirror is rejections, which collections\.rejected writes to/
  )
})
