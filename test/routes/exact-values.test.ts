import t from 'tap'
import { Type } from '@sinclair/typebox'
import { Decimal128, Long } from '../../lib/bson.js'
import { bson, collection } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'

const database = await testDatabase(t)
const app = await testServer(t, {
  mongo: { url: database.uri },
  collections: {
    amounts: collection({
      schema: Type.Object({
        l: Type.Optional(bson.Long()),
        n: Type.Optional(Type.Number()),
        json: Type.Optional(Type.Object({ l: bson.Long(), d: bson.Decimal128() })),
        labels: Type.Optional(Type.Record(Type.String(), Type.Unknown()))
      })
    }),
    anything: collection({ schema: 'any' })
  }
})
const db = app.mongo.db!

/** Sends the body as it is: JSON.stringify would round. */
const send = async (operations: string) => {
  const { statusCode, body } = await app.inject({
    method: 'POST',
    url: '/upload',
    headers: { 'content-type': 'application/json' },
    payload: `{"batch":[${operations}]}`
  })
  t.equal(statusCode, 200)
  return JSON.parse(body).results[0]
}
const stored = (table: string, id: string) =>
  db.collection<{ _id: string, [field: string]: unknown }>(table).findOne({ _id: id }, { promoteLongs: false })

t.test('digits come from the body to MongoDB', async t => {
  const json = '{"l":9223372036854775807,"d":0.12345678901234567890}'
  t.same(
    await send(
      `{"op":"PUT","table":"amounts","id":"a","data":{"id":"a","l":9007199254740993,"json":${JSON.stringify(json)}}}`
    ),
    { status: 'success' }
  )
  const row = await stored('amounts', 'a')
  t.same(row, {
    _id: 'a',
    l: Long.fromString('9007199254740993'),
    n: null,
    json: { l: Long.MAX_VALUE, d: Decimal128.fromString('0.12345678901234567890') },
    labels: null
  })
  t.same(
    await send(`{"op":"PATCH","table":"amounts","id":"a","data":{"json":${json}}}`),
    { status: 'success' },
    'a connector that sends it parsed'
  )
  t.same(await stored('amounts', 'a'), row)
  t.same(
    await send(
      '{"op":"PUT","table":"anything","id":"a","data":{"_id":"a","l":9007199254740993,' +
      '"deep":[{"d":12345678901234567890.5}]}}'
    ),
    { status: 'success' }
  )
  t.same(await stored('anything', 'a'), {
    _id: 'a',
    l: Long.fromString('9007199254740993'),
    deep: [{ d: Decimal128.fromString('12345678901234567890.5') }]
  })
})

t.test('digits that a field cannot hold are a rejection, whose letter has them', async t => {
  t.match(await send('{"op":"PATCH","table":"amounts","id":"a","data":{"n":9007199254740993}}'), {
    status: 'fatal_error',
    failed_operation: { error_code: 'INVALID_DATA', details: { path: 'n' } }
  })
  const [letter] = await app.powersync.deadLetters.list()
  const { operations } = (await app.powersync.deadLetters.get(letter!._id))!
  t.equal(operations[0]!.data, '{"n":9007199254740993}')
})

t.test('names with dots and dollars within a value are stored as they are', async t => {
  const labels = { 'a.b': 1, 'ann@example.com': 'x', $price: { $gt: '' }, $set: [{ $inc: 1 }] }
  t.same(
    await send(
      `{"op":"PATCH","table":"amounts","id":"a","data":${JSON.stringify({ labels: JSON.stringify(labels) })}}`
    ),
    { status: 'success' }
  )
  t.same((await stored('amounts', 'a'))!['labels'], labels)
  t.same(await send(`{"op":"PUT","table":"anything","id":"b","data":${JSON.stringify({ labels })}}`), {
    status: 'success'
  })
  t.same((await stored('anything', 'b'))!['labels'], labels)
})

t.test('an op_id or tx_id of more digits than a double holds is taken as it is', async t => {
  t.same(
    await send(
      '{"op":"PATCH","table":"amounts","id":"a","op_id":9007199254740993,"tx_id":9223372036854775807,"data":{"n":1}}'
    ),
    { status: 'success' }
  )
  const { statusCode, json } = await app.inject({
    method: 'POST',
    url: '/upload',
    headers: { 'content-type': 'application/json' },
    payload: '{"batch":[{"op":"PATCH","table":"amounts","id":"a","data":9007199254740993}]}'
  })
  t.equal(statusCode, 400)
  t.match(json(), { message: 'batch[0].data: expected an object of columns, found a number' })
})
