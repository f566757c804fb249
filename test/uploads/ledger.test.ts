import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, type PowerSyncMongoOptions } from '../../index.js'
import { ObjectId } from '../../lib/bson.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { bulkWriteErrors, cursor, startWireServer, writeErrors } from '../support/wire-server.js'

const Row = Type.Object({ text: Type.Optional(Type.String()) })

const anyDatabase = await testDatabase(t)

/** A server that writes an audit row for each time that it applies an operation. */
async function audited (t: Test, options: Partial<PowerSyncMongoOptions> = {}, database?: string) {
  const uri = database ?? (await testDatabase(t)).uri
  const app = await testServer(t, {
    mongo: { url: uri, monitorCommands: true },
    authenticate: request => ({ id: String(request.headers['x-user'] ?? 'user1') }),
    collections: {
      rows: collection({
        schema: Row,
        transform: operation =>
          operation.id === 'bad'
            ? operation
            : [
                operation,
                {
                  op: 'PUT',
                  table: 'audit',
                  id: randomUUID(),
                  data: { text: `${operation.opId} ${operation.op} ${operation.id}` }
                }
              ]
      }),
      audit: collection({ schema: Row })
    },
    ...options
  })
  return {
    app,
    uri,
    send: (batch: object[], { client = 'phone', user = 'user1' } = {}) =>
      upload(app, { client_id: client, batch }, { headers: { 'x-user': user } }),
    applied: async () =>
      (await app.mongo.db!.collection('audit').find().toArray()).map(({ text }) => text as string).sort(),
    rows: () => app.mongo.db!.collection('rows').find().sort({ _id: 1 }).toArray()
  }
}

const put = (opId: number, id: string, text = 'x', transaction?: number) => ({
  op: 'PUT',
  type: 'rows',
  id,
  data: { text },
  op_id: opId,
  tx_id: transaction
})
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

t.test(
  'the same request many times at the same time is applied once',
  { skip: needs(anyDatabase, 'mongod', 'write conflicts between updates') },
  async t => {
    const { send, applied } = await audited(t)
    const batch = [put(1, 'a'), put(2, 'b'), put(3, 'c')]
    await send([put(0, 'first')])
    const answers = await Promise.all(Array.from({ length: 8 }, () => send(batch)))
    t.same(answers.map(({ status }) => status), Array(8).fill(200))
    t.same(await applied(), ['0 PUT first', '1 PUT a', '2 PUT b', '3 PUT c'])
  }
)

for (const [version, maxWireVersion] of [['7', 21], ['8', 25]] as const) {
  t.test(
    `of two requests at the same time the second starts again, and finds in the ledger what the first applied, on MongoDB ${version}`,
    async t => {
      let rival: Record<string, unknown> | undefined
      // What this request wants to write, another one has just written.
      const met = (page: object) => {
        rival = { _id: 'x', ...page, version: new ObjectId() }
        return {
          index: 0,
          code: 11000,
          errmsg: 'E11000 duplicate key error collection: test.powersync_ledger index: _id_ dup key: { _id: "x" }',
          keyPattern: { _id: 1 }
        }
      }
      const mongo = await startWireServer({
        maxWireVersion,
        on: {
          find: ({ collection }) => cursor(rival && collection === 'powersync_ledger' ? [rival] : []),
          update: ({ document }) => writeErrors([met((document['updates'] as [{ u: object }])[0].u)]),
          bulkWrite: ({ document }) =>
            bulkWriteErrors([met((document['ops'] as [{ updateMods: object }])[0].updateMods)])
        }
      })
      t.teardown(() => mongo.stop())
      const app = await testServer(t, { mongo: { url: mongo.uri }, collections: { rows: collection({ schema: Row }) } })
      mongo.reset()
      const send = () => upload(app, { client_id: 'phone', batch: [put(1, 'a'), put(2, 'b')] })
      t.same((await send()).body, success)
      t.ok(rival)
      t.same(
        mongo.commands.splice(0).map(({ name, collection }) => [name, collection]),
        [
          ['find', 'powersync_ledger'],
          ['find', 'powersync_dead_letters'],
          maxWireVersion >= 25 ? ['bulkWrite', undefined] : ['update', 'powersync_ledger'],
          ['abortTransaction', undefined],
          ['find', 'powersync_ledger'],
          ['commitTransaction', undefined]
        ],
        'what it read counts once that is committed, too'
      )
      t.same((await send()).body, success)
      t.same(mongo.commands, [], 'then the process knows it')
    }
  )
}

t.test('a page that another process has changed since is read again, at one retry', async t => {
  const { app, uri, send, applied } = await audited(t)
  const other = await audited(t, {}, uri)
  await send([put(1, 'a')])
  await other.send([put(1, 'a'), put(2, 'b')])
  const commands: string[] = []
  app.mongo.client.on('commandStarted', ({ commandName }) => { commands.push(commandName) })
  t.same((await send([put(2, 'b'), put(3, 'c')])).body, success)
  t.same(await applied(), ['1 PUT a', '2 PUT b', '3 PUT c'])
  t.same(commands.filter(name => name.endsWith('Transaction')), ['abortTransaction', 'commitTransaction'])
})

t.test(
  'a page has a new version with every commit that settles something, and its operations are one value',
  async t => {
    const { app, send } = await audited(t)
    const page = async () => (await app.mongo.db!.collection('powersync_ledger').findOne())!
    await send([put(1, 'a'), put(2, 'b')])
    const first = await page()
    t.match(first, {
      user_id: 'user1',
      client_id: 'phone',
      version: ObjectId,
      updated_at: Date,
      sequence: 0,
      operations: { sub_type: 0 },
      rejections: [],
      letters: []
    })
    t.equal(first['operations'].length() % 2, 0)
    const bytes = first['operations'].length() / 2
    await send([put(1, 'a'), put(2, 'b')])
    t.same(await page(), first, 'an upload that is sent again writes nothing')
    await send([put(3, 'c')])
    const second = await page()
    t.notSame(second['version'], first['version'])
    t.equal(second['operations'].length(), 3 * bytes)
    await send([{ ...put(4, 'bad'), data: { text: 5 } }])
    t.match(await page(), {
      sequence: 1,
      rejections: [{ number: 1, reason: { error_code: 'INVALID_DATA' } }],
      letters: [{ _id: (await app.powersync.deadLetters.list())[0]!._id, rows: [String] }]
    })
  }
)

t.test(
  'the first request of a client many times at the same time is applied once',
  { skip: needs(anyDatabase, 'mongod', 'write conflicts between updates') },
  async t => {
    const { send, applied } = await audited(t)
    const answers = await Promise.all(Array.from({ length: 8 }, () => send([put(1, 'a'), put(2, 'b')])))
    t.same(answers.map(({ status }) => status), Array(8).fill(200))
    t.same(await applied(), ['1 PUT a', '2 PUT b'])
  }
)

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
  t.same(
    (await send([put(2, 'b', 'before', 7), { op: 'DELETE', type: 'rows', id: 'b', op_id: 2 }])).body.results.length,
    2
  )
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
  t.match(first.body.results, [
    { status: 'fatal_error', failed_operation: { operation_index: 1, error_code: 'INVALID_DATA' } },
    { status: 'success' }
  ])
  t.same((await send(batch)).body, first.body)
  t.same((await send(batch.slice(0, 2))).body.results, first.body.results.slice(0, 1))
  t.match((await send([put(0, 'z', 'x', 0), ...batch])).body.results, [
    { status: 'success' },
    { status: 'fatal_error', failed_operation: { operation_index: 1 } },
    { status: 'success' }
  ])
  const part = (await send([put(1, 'a', 'x', 1)])).body.results
  t.match(
    part,
    [{ status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', operation_index: undefined } }],
    'a part of it is rejected as well: none of its operations is the one that failed'
  )
  t.match(
    (await send([batch[1]!])).body.results,
    [{ failed_operation: { operation_index: 0 } }],
    'the operation that failed is named by its place in this upload'
  )
  t.same(await applied(), ['0 PUT z', '3 PUT c'])
  t.equal((await app.powersync.deadLetters.list()).length, 1)
})

t.test('a client is forgotten deduplicate.days after its last upload', async t => {
  const { app, uri } = await audited(t, { upload: { deduplicate: { days: 1 } } })
  const expiry = async () =>
    (await app.mongo.db!.collection('powersync_ledger').indexes()).find(
      ({ name }) => name === 'powersync_expiry_updated_at'
    )
  t.match(await expiry(), { key: { updated_at: -1 }, expireAfterSeconds: 86_400 })
  await audited(t, { upload: { deduplicate: { days: 2 } } }, uri)
  t.match(await expiry(), { expireAfterSeconds: 172_800 }, 'on an existing database, too')
})

t.test('several client transactions share one MongoDB transaction, with the ledger and without', async t => {
  const plain = { rows: collection({ schema: Row }) }
  for (const deduplicate of [true, false]) {
    const { app, send } = await audited(t, { collections: plain, upload: { deduplicate } })
    const commands: string[] = []
    app.mongo.client.on('commandStarted', ({ commandName }) => { commands.push(commandName) })
    // MongoDB 8 takes the page and the rows in one command.
    const both =
      (await app.mongo.db!.command({ hello: 1 }))['maxWireVersion'] >= 25 ? ['bulkWrite'] : ['update', 'update']
    commands.length = 0
    const many = Array.from({ length: 100 }, (_, index) => put(index + 10, `row${index}`, 'x', Math.floor(index / 10)))
    t.same((await send(many)).body.results, Array(10).fill({ status: 'success' }))
    t.same(
      commands.splice(0),
      deduplicate ? ['find', 'find', ...both, 'commitTransaction'] : ['update', 'commitTransaction']
    )
    t.same((await send(many)).body.results, Array(10).fill({ status: 'success' }))
    t.same(commands.splice(0), deduplicate ? [] : ['update', 'commitTransaction'])
    t.same((await send([put(1000, 'one')])).body, success)
    t.same(commands.splice(0), deduplicate ? [...both, 'commitTransaction'] : ['update'])
  }
})

t.test('one that fails among several: the others are applied as if each had come alone', async t => {
  const { send, applied, rows } = await audited(t)
  const batch = [
    put(1, 'a', 'x', 1),
    put(2, 'b', 'x', 2),
    { ...put(3, 'bad', 'x', 3), data: { text: 5 } },
    put(4, 'd', 'x', 4)
  ]
  t.match((await send(batch)).body.results, [
    { status: 'success' },
    { status: 'success' },
    { status: 'fatal_error' },
    { status: 'success' }
  ])
  t.same(await applied(), ['1 PUT a', '2 PUT b', '4 PUT d'])
  t.same((await rows()).map(({ _id }) => _id), ['a', 'b', 'd'])
})

t.test('more than a thousand operations in small transactions become several MongoDB transactions', async t => {
  const { app, send } = await audited(t, { collections: { rows: collection({ schema: Row }) } })
  const commits: string[] = []
  app.mongo.client.on('commandStarted', ({ commandName }) => {
    if (commandName === 'commitTransaction') commits.push(commandName)
  })
  const many = Array.from({ length: 1500 }, (_, index) => ({
    op: 'DELETE',
    type: 'rows',
    id: `row${index}`,
    op_id: index,
    tx_id: Math.floor(index / 100)
  }))
  t.same((await send(many)).body.results, Array(15).fill({ status: 'success' }))
  t.equal(commits.length, 2)
})
