/** Rejected changes on the device: they are seen, corrected and sent again, or given up, with the real SDK. */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../index.js'
import { createConnector, createRejections, rejectionColumns, type Rejection } from '../../lib/client/index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { openClient, sdkMissing } from './client.js'
import { receiveRejections } from './mirror.js'

const skip = await sdkMissing()

const collections = {
  lists: collection({
    schema: Type.Object({
      name: Type.String({ maxLength: 10 }), steps: Type.Optional(bson.Long()), rate: Type.Optional(bson.Double())
    }),
    authorize: ({ op }) => op !== 'DELETE' || 'Lists stay'
  }),
  todos: collection({
    schema: Type.Object({
      description: Type.String({ maxLength: 10 }),
      completed: Type.Optional(bson.Boolean()),
      due: Type.Optional(bson.Date()),
      tags: Type.Optional(bson.Json(Type.Array(Type.String())))
    })
  })
}

async function setUp (t: Test, table = 'rejections') {
  const { Schema, Table, column } = await import('@powersync/node')
  const mongo = await testDatabase(t)
  const upload = { deadLetters: { mirror: table } }
  const app = await testServer(t, { mongo: { url: mongo.uri }, collections, upload })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const appSchema = new Schema({
    lists: new Table({ name: column.text, steps: column.integer, rate: column.real }),
    todos: new Table(
      { description: column.text, completed: column.integer, due: column.text, tags: column.text },
      { trackMetadata: true }
    ),
    [table]: new Table(rejectionColumns(column))
  })
  const { database } = await openClient(t, { backend: '', session: '', appSchema })
  const connector = createConnector({ url, fetch: (address, init) => fetch(`${address}?user_id=ann`, init) })
  const rejections = createRejections(database, { table })
  const db = app.mongo.db!
  return {
    database,
    rejections,
    db,
    url,
    letters: app.powersync.deadLetters,
    todo: () => db.collection('todos').findOne({ _id: 'a' as never }),
    /** Uploads all, and then has what the server has of rejections. */
    async sync () {
      while (await database.getNextCrudTransaction()) await connector.uploadData(database)
      await receiveRejections(database, db, { user: 'ann', table })
      return await rejections.all()
    },
    async write (...statements: Array<[sql: string, ...parameters: unknown[]]>) {
      await database.writeTransaction(async transaction => {
        for (const [sql, ...parameters] of statements) await transaction.execute(sql, parameters)
      })
    },
    /** The next transaction of the upload queue. */
    queue: async () => (await database.getNextCrudTransaction())?.crud.map(({ op, table, id, opData, metadata }) =>
      ({ op, table, id, ...opData && { data: opData }, ...metadata !== undefined && { metadata } }))
  }
}

const insert = `INSERT INTO todos (id, description, completed, tags, _metadata)
  VALUES ('a', 'much too long', 1, '["x"]', 'made offline')`

t.test('a rejected change is seen, and corrected with one local transaction', { skip }, async t => {
  const { database, rejections, sync, write, queue, todo, letters } = await setUp(t)
  await write([insert])
  const [rejection] = await sync() as [Rejection]
  const operation = { op: 'PUT', table: 'todos', id: 'a', metadata: 'made offline' }
  const failed = { ...operation, data: { completed: 1, description: 'much too long', tags: '["x"]' } }
  t.match(rejection, { id: /^[0-9a-f]{32}$/, code: 'INVALID_DATA', message: /description/, path: 'description' })
  t.same([rejection.failed, rejection.operations], [failed, [failed]])
  t.ok(Math.abs(Date.now() - rejection.createdAt.getTime()) < 60_000)

  await database.execute("DELETE FROM ps_data__todos WHERE id = 'a'") // The service takes back what the server has not.
  const correction = { description: 'short', due: new Date(0), tags: ['y'], completed: false }
  t.equal(await rejections.resend(rejection.id, correction), true)
  t.same(await rejections.all(), [])
  t.same(await queue(), [
    { ...operation, data: { completed: 0, description: 'short', due: '1970-01-01T00:00:00.000Z', tags: '["y"]' } },
    { op: 'DELETE', table: 'rejections', id: rejection.id }
  ])
  t.equal(await rejections.resend(rejection.id), false, 'it is gone')
  t.equal(await rejections.discard(rejection.id), false)
  t.same(await sync(), [])
  t.same(await todo(), { _id: 'a', description: 'short', completed: false, due: new Date(0), tags: ['y'] })
  t.same(await letters.list(), [])
})

t.test('64-bit numbers of another SDK keep their digits', { skip }, async t => {
  const { rejections, sync, url, db } = await setUp(t)
  const data = '{"name":"\\"9007199254740993, \\\\","steps":-9007199254740993,"rate":0.12345678901234567}'
  const body = `{"client_id":"swift","batch":[{"op":"PUT","table":"lists","id":"l","op_id":1,"data":${data}}]}`
  const headers = { 'content-type': 'application/json' }
  await fetch(`${url}/upload?user_id=ann`, { method: 'POST', headers, body })
  const [{ id, failed }] = await sync() as [Rejection]
  t.same(failed?.data, { name: '"9007199254740993, \\', steps: '-9007199254740993', rate: 0.12345678901234566 })
  await rejections.resend(id, { name: 'short' })
  t.same(await sync(), [])
  const list = await db.collection('lists').findOne({}, { promoteValues: false })
  t.match([list?.['name'], String(list?.['steps'])], ['short', '-9007199254740993'])
})

t.test('what the user changed after the rejection stays', { skip }, async t => {
  const { rejections, sync, write, todo } = await setUp(t)
  await write([insert])
  await write(['UPDATE todos SET completed = 0'])
  const [{ id }] = await sync() as [Rejection]
  t.equal(await todo(), null)
  await rejections.resend(id, { description: 'short' })
  t.same(await sync(), [])
  t.match(await todo(), { description: 'short', completed: false, tags: ['x'] })
})

t.test('a correction that is rejected as well comes back in the place of the first', { skip }, async t => {
  const { rejections, sync, write, todo } = await setUp(t)
  await write([insert])
  const [first] = await sync() as [Rejection]
  await rejections.resend(first.id, { description: 'still too long' })
  const [second, ...others] = await sync() as [Rejection]
  t.same(others, [])
  t.not(second.id, first.id)
  t.match(second.failed, { data: { description: 'still too long', completed: 1 } })
  await rejections.resend(second.id, { description: 'short' })
  t.same(await sync(), [])
  t.match(await todo(), { description: 'short' })
})

t.test('a whole transaction is sent again, or what a function makes of it', { skip }, async t => {
  const { database, rejections, sync, write, queue, db } = await setUp(t)
  await write(["INSERT INTO lists (id, name) VALUES ('l', 'list')"])
  await sync()
  const insertOther = "INSERT INTO todos (id, description) VALUES ('b', 'b')"
  await write(["UPDATE lists SET name = 'renamed'"], [insertOther], ["DELETE FROM lists WHERE id = 'l'"])
  const [{ id, failed, operations }] = await sync() as [Rejection]
  t.match(failed, { op: 'DELETE', table: 'lists', id: 'l' })
  t.same(operations?.map(({ op }) => op), ['PATCH', 'PUT', 'DELETE'])
  await write(["INSERT OR IGNORE INTO lists (id, name) VALUES ('l', 'list')"]) // As the service brings it back.
  await database.execute('DELETE FROM ps_crud')

  await rejections.resend(id, operations => operations.filter(({ op }) => op !== 'DELETE'))
  t.match(await queue(), [
    { op: 'PATCH', table: 'lists', data: { name: 'renamed' } },
    { op: 'PUT', table: 'todos', id: 'b' },
    { op: 'DELETE', table: 'rejections', id }
  ])
  t.same(await sync(), [])
  t.match(await db.collection('lists').find().toArray(), [{ name: 'renamed' }])

  await write(["DELETE FROM lists WHERE id = 'l'"])
  const [{ id: again }] = await sync() as [Rejection]
  await write(["INSERT INTO lists (id, name) VALUES ('l', 'renamed')"])
  await database.execute('DELETE FROM ps_crud')
  await rejections.resend(again)
  const same = [{ op: 'DELETE', table: 'lists', id: 'l' }, { op: 'DELETE', table: 'rejections', id: again }]
  t.same(await queue(), same, 'as it was')
  t.equal((await sync()).length, 1, 'and rejected again')
})

t.test('a DELETE keeps its metadata', { skip }, async t => {
  const { database, rejections, sync, write, queue } = await setUp(t)
  const rows = [["INSERT OR IGNORE INTO lists (id, name) VALUES ('l', 'list')"],
    ["INSERT OR IGNORE INTO todos (id, description) VALUES ('a', 'a')"]] as Array<[string]>
  await write(...rows)
  await sync()
  await write(["UPDATE todos SET _deleted = TRUE, _metadata = 'made offline'"], ["DELETE FROM lists WHERE id = 'l'"])
  const deleted = [
    { op: 'DELETE', table: 'todos', id: 'a', metadata: 'made offline' },
    { op: 'DELETE', table: 'lists', id: 'l' }
  ]
  t.same(await queue(), deleted)
  const [{ id }] = await sync() as [Rejection]
  await write(...rows) // As the service brings them back.
  await database.execute('DELETE FROM ps_crud')
  await rejections.resend(id)
  t.same(await queue(), [...deleted, { op: 'DELETE', table: 'rejections', id }])
})

t.test('what is discarded leaves no letter, under a table of another name too', { skip }, async t => {
  const { rejections, sync, write, todo, letters } = await setUp(t, 'refused')
  await write([insert])
  const [{ id }] = await sync() as [Rejection]
  t.equal(await rejections.discard(id), true)
  t.same(await sync(), [])
  t.same([await todo(), await letters.list()], [null, []])
})

t.test('a change that this device cannot make is not sent, and its rejection stays', { skip }, async t => {
  const { database, rejections, sync, write, queue } = await setUp(t)
  await write([insert])
  await write(["UPDATE todos SET description = 'too long as well'"])
  const [, update] = await sync() as [Rejection, Rejection]
  await database.execute('DELETE FROM ps_data__todos')
  const resend = () => rejections.resend(update.id, { description: 'short' })
  await t.rejects(resend(), { code: 'PSM_RESEND', message: /its row is not on the device/ })

  const set = 'UPDATE ps_data__rejections SET data = json_set(data, ?, json(?)) WHERE id = ?'
  const change = (path: string, json: string) => database.execute(set, [path, json, update.id])
  await change('$.operation_index', 'null')
  await change('$.operations', JSON.stringify('[{},{}]'))
  await t.rejects(resend(), { code: 'PSM_RESEND', message: /which operation failed is unknown/ })
  await change('$.operations', 'null')
  t.match((await rejections.all())[1], { operations: null, failed: undefined })
  await t.rejects(rejections.resend(update.id), { code: 'PSM_RESEND', message: /too large/ })
  t.equal(await queue(), undefined)
  t.equal((await rejections.all()).length, 2)
})

t.test('watch calls back at once and after each change, until it is ended', { skip }, async t => {
  const { database, rejections, sync, write } = await setUp(t)
  let seen: number | undefined
  let look = () => {}
  const stop = rejections.watch(all => { seen = all.length; look() })
  const until = (count: number) => new Promise<void>(resolve => {
    look = () => { if (seen === count) resolve() }
    look()
  })
  await until(0)
  await write([insert])
  const [{ id }] = await sync() as [Rejection]
  await until(1)
  await rejections.discard(id)
  await until(0)
  stop()
  const errors: Error[] = []
  const failing = createRejections(database, { table: 'no_such_table' })
  await new Promise<void>(resolve => failing.watch(() => {}, error => {
    errors.push(error)
    resolve()
  }))
  t.match(errors, [/no such table/])
  await write(["INSERT INTO todos (id, description) VALUES ('b', 'much too long')"])
  t.equal((await sync()).length, 1)
  t.equal(seen, 0)
})
