import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, type PowerSyncMongoOptions } from '../../index.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { commandError, cursor, startWireServer } from '../support/wire-server.js'

const Row = Type.Object({ text: Type.Optional(Type.String()) })

const anyDatabase = await testDatabase(t)

/** A server that writes an audit row for each time that it applies an operation. */
async function audited (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const database = await testDatabase(t)
  const app = await testServer(t, {
    mongo: { url: database.uri, monitorCommands: true },
    authenticate: request => ({ id: String(request.headers['x-user'] ?? 'user1') }),
    collections: {
      rows: collection({
        schema: Row,
        transform: operation => operation.id === 'bad'
          ? operation
          : [operation, { op: 'PUT', table: 'audit', id: randomUUID(), data: { text: `${operation.opId} ${operation.op} ${operation.id}` } }]
      }),
      audit: collection({ schema: Row })
    },
    ...options
  })
  return {
    app,
    send: (batch: object[], { client = 'phone', user = 'user1' } = {}) => upload(app, { client_id: client, batch }, { headers: { 'x-user': user } }),
    applied: async () => (await app.mongo.db!.collection('audit').find().toArray()).map(({ text }) => text as string).sort(),
    rows: () => app.mongo.db!.collection('rows').find().sort({ _id: 1 }).toArray()
  }
}

const put = (opId: number, id: string, text = 'x', transaction?: number) => ({ op: 'PUT', type: 'rows', id, data: { text }, op_id: opId, tx_id: transaction })
const success = { results: [{ status: 'success' }] }

t.test('the same request twice in a row is applied once', async t => {
  const { send, applied } = await audited(t)
  const batch = [put(1, 'a'), put(2, 'b')]
  t.same((await send(batch)).body, success)
  t.same((await send(batch)).body, success)
  t.same(await applied(), ['1 PUT a', '2 PUT b'])
})

t.test('a stale change that is sent again does not undo what another user wrote since', async t => {
  const { app, send, rows } = await audited(t)
  const stale = [put(1, 'a', 'mine')]
  await send(stale)
  await upload(app, { client_id: 'tablet', batch: [put(1, 'a', 'theirs')] }, { headers: { 'x-user': 'user2' } })
  await send(stale)
  t.match(await rows(), [{ text: 'theirs' }])
})

t.test('the same request many times at the same time is applied once', { skip: needs(anyDatabase, 'mongod', 'write conflicts between updates') }, async t => {
  const { send, applied } = await audited(t)
  const batch = [put(1, 'a'), put(2, 'b'), put(3, 'c')]
  await send([put(0, 'first')])
  const answers = await Promise.all(Array.from({ length: 8 }, () => send(batch)))
  t.same(answers.map(({ status }) => status), Array(8).fill(200))
  t.same(await applied(), ['0 PUT first', '1 PUT a', '2 PUT b', '3 PUT c'])
})

t.test('of two requests at the same time the second starts again, and finds in the ledger what the first applied', async t => {
  let notedByRival: Record<string, unknown> | undefined
  const mongo = await startWireServer({
    on: {
      find: () => cursor(notedByRival ? [{ _id: 'x', operations: notedByRival }] : []),
      update: ({ document }) => {
        // What this request wants to note, another one has noted just now.
        const [statement] = document['updates'] as [{ u: { $set: Record<string, unknown> } }]
        const noted = Object.entries(statement.u.$set).filter(([path]) => path.startsWith('operations.'))
        notedByRival = Object.fromEntries(noted.map(([path, hash]) => [path.slice('operations.'.length), hash]))
        return commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] })
      }
    }
  })
  t.teardown(() => mongo.stop())
  const app = await testServer(t, { mongo: { url: mongo.uri }, collections: { rows: collection({ schema: Row }) } })
  mongo.reset()
  t.same((await upload(app, { client_id: 'phone', batch: [put(1, 'a'), put(2, 'b')] })).body, success)
  t.same(Object.keys(notedByRival!), ['1', '2'])
  t.same(mongo.commands.map(({ name, collection }) => [name, collection]), [
    ['find', 'powersync_ledger'], ['update', 'powersync_ledger'], ['abortTransaction', undefined], ['find', 'powersync_ledger'], ['commitTransaction', undefined]
  ])
})

t.test('the first request of a client many times at the same time is applied once', { skip: needs(anyDatabase, 'mongod', 'write conflicts between updates') }, async t => {
  const { send, applied } = await audited(t)
  const answers = await Promise.all(Array.from({ length: 8 }, () => send([put(1, 'a'), put(2, 'b')])))
  t.same(answers.map(({ status }) => status), Array(8).fill(200))
  t.same(await applied(), ['1 PUT a', '2 PUT b'])
})

t.test('a retry that carries more than the first request: only what is new is applied', async t => {
  const { send, applied } = await audited(t)
  await send([put(1, 'a'), put(2, 'b')])
  t.same((await send([put(1, 'a'), put(2, 'b'), put(3, 'c')])).body, success)
  t.same(await applied(), ['1 PUT a', '2 PUT b', '3 PUT c'])
})

t.test('a retry that carries a part of the first request applies nothing', async t => {
  const { send, applied } = await audited(t)
  await send([put(1, 'a'), put(2, 'b'), put(3, 'c')])
  t.same((await send([put(2, 'b'), put(3, 'c')])).body, success)
  t.same((await send([put(1, 'a')])).body, success)
  t.same(await applied(), ['1 PUT a', '2 PUT b', '3 PUT c'])
})

t.test('a client database restored from a backup: an old op_id with other content is a new operation', async t => {
  const { send, applied, rows } = await audited(t)
  await send([put(1, 'a', 'before'), put(2, 'b', 'before')])
  t.same((await send([put(1, 'a', 'after'), { ...put(2, 'b', 'before') }])).body, success)
  t.same((await send([put(2, 'b', 'before', 7), { op: 'DELETE', type: 'rows', id: 'b', op_id: 2 }])).body.results.length, 2)
  t.same(await applied(), ['1 PUT a', '1 PUT a', '2 DELETE b', '2 PUT b'])
  t.match(await rows(), [{ _id: 'a', text: 'after' }])
})

t.test('two devices of one user count by themselves', async t => {
  const { send, applied } = await audited(t)
  await send([put(1, 'a')], { client: 'phone' })
  await send([put(1, 'a')], { client: 'tablet' })
  t.same(await applied(), ['1 PUT a', '1 PUT a'])
})

t.test('the same client_id under another user is another client', async t => {
  const { send, applied } = await audited(t)
  await send([put(1, 'a')], { user: 'user1' })
  await send([put(1, 'a')], { user: 'user2' })
  await send([put(1, 'a')], { user: 'user1","phone' })
  t.same(await applied(), ['1 PUT a', '1 PUT a', '1 PUT a'])
})

t.test('without client_id or op_id, or with deduplicate: false, nothing is guessed', async t => {
  const { app, applied, send } = await audited(t)
  for (let time = 0; time < 2; time++) {
    await upload(app, { batch: [put(1, 'a')] })
    await send([{ op: 'PUT', type: 'rows', id: 'b', data: {} }])
  }
  t.same(await applied(), ['1 PUT a', '1 PUT a', 'undefined PUT b', 'undefined PUT b'])
  t.equal(await app.mongo.db!.collection('powersync_ledger').countDocuments(), 0)

  const off = await audited(t, { upload: { deduplicate: false } })
  for (let time = 0; time < 2; time++) await off.send([put(1, 'a')])
  t.same(await off.applied(), ['1 PUT a', '1 PUT a'])
})

t.test('an op_id that is not a number is remembered as well', async t => {
  const { send, applied } = await audited(t)
  const batch = [{ ...put(1, 'a'), op_id: 'a.$b' }]
  await send(batch)
  await send(batch)
  t.same(await applied(), ['a.$b PUT a'])
})

t.test('a rejected transaction that is sent again gives the same answer and leaves one dead letter', async t => {
  const { app, send, applied } = await audited(t)
  const batch = [put(1, 'a', 'x', 1), { ...put(2, 'bad', 'x', 1), data: { text: 5 } }, put(3, 'c', 'x', 2)]
  const first = await send(batch)
  t.match(first.body.results, [{ status: 'fatal_error', failed_operation: { operation_index: 1, error_code: 'INVALID_DATA' } }, { status: 'success' }])
  t.same((await send(batch)).body, first.body)
  t.same((await send(batch.slice(0, 2))).body.results, first.body.results.slice(0, 1))
  t.same((await send([put(1, 'a', 'x', 1)])).body, success, 'a part of it stands in the dead letter')
  t.same(await applied(), ['3 PUT c'])
  t.equal((await app.powersync.deadLetters.list()).length, 1)
})

t.test('the ledger is bounded: the oldest are forgotten, those of the last upload never', async t => {
  const { app, send } = await audited(t, { upload: { deduplicate: { operations: 3, days: 1 } } })
  const remembered = async () => Object.keys((await app.mongo.db!.collection('powersync_ledger').findOne())?.['operations'])
  for (let id = 1; id <= 6; id++) await send([put(id, 'a')])
  t.same(await remembered(), ['1', '2', '3', '4', '5', '6'])
  await send([put(7, 'a')])
  t.same(await remembered(), ['5', '6', '7'])
  await send(Array.from({ length: 10 }, (_, index) => put(10 + index, 'a')))
  t.same((await remembered()).length, 10)
  t.match(await app.mongo.db!.collection('powersync_ledger').indexes(), [{}, { key: { updated_at: 1 }, expireAfterSeconds: 86_400 }])
})

t.test('several client transactions share one MongoDB transaction, with the ledger and without', async t => {
  const plain = { rows: collection({ schema: Row }) }
  for (const deduplicate of [true, false]) {
    const { app, send } = await audited(t, { collections: plain, upload: { deduplicate } })
    const commands: string[] = []
    app.mongo.client.on('commandStarted', ({ commandName }) => { commands.push(commandName) })
    const many = Array.from({ length: 100 }, (_, index) => put(index + 10, `row${index}`, 'x', Math.floor(index / 10)))
    t.same((await send(many)).body.results, Array(10).fill({ status: 'success' }))
    t.same(commands.splice(0), deduplicate ? ['find', 'update', 'update', 'commitTransaction'] : ['update', 'commitTransaction'])
    t.same((await send(many)).body.results, Array(10).fill({ status: 'success' }))
    t.same(commands.splice(0), deduplicate ? ['find', 'commitTransaction'] : ['update', 'commitTransaction'])
    t.same((await send([put(1000, 'one')])).body, success)
    t.same(commands.splice(0), deduplicate ? ['find', 'update', 'update', 'commitTransaction'] : ['update'])
  }
})

t.test('one that fails among several: the others are applied as if each had come alone', async t => {
  const { send, applied, rows } = await audited(t)
  const batch = [put(1, 'a', 'x', 1), put(2, 'b', 'x', 2), { ...put(3, 'bad', 'x', 3), data: { text: 5 } }, put(4, 'd', 'x', 4)]
  t.match((await send(batch)).body.results, [{ status: 'success' }, { status: 'success' }, { status: 'fatal_error' }, { status: 'success' }])
  t.same(await applied(), ['1 PUT a', '2 PUT b', '4 PUT d'])
  t.same((await rows()).map(({ _id }) => _id), ['a', 'b', 'd'])
})

t.test('more than a thousand operations in small transactions become several MongoDB transactions', async t => {
  const { app, send } = await audited(t, { collections: { rows: collection({ schema: Row }) } })
  const commits: string[] = []
  app.mongo.client.on('commandStarted', ({ commandName }) => { if (commandName === 'commitTransaction') commits.push(commandName) })
  const many = Array.from({ length: 1500 }, (_, index) => ({ op: 'DELETE', type: 'rows', id: `row${index}`, op_id: index, tx_id: Math.floor(index / 100) }))
  t.same((await send(many)).body.results, Array(15).fill({ status: 'success' }))
  t.equal(commits.length, 2)
})
