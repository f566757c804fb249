import t, { type Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import fc from 'fast-check'
import { Type } from '@sinclair/typebox'
import { tableName, uploadBody, type UploadShape } from '../../bench/uploads.js'
import {
  collection, MongoDBStorage, type Collections, type CrudOperation, type PowerSyncMongoOptions
} from '../../index.js'
import { bytesOf, mostBytesOf, Statements, type Statement } from '../../lib/store/statements.js'
import { testServer, upload } from '../support/server.js'
import { bulkWriteErrors, commandError, startWireServer, writeErrors } from '../support/wire-server.js'

const { Binary, Decimal128, Double, Int32, Long, MongoClient, ObjectId, UUID } = fastifyMongodb.mongodb

/** MongoDB 7.0, and 8.0, which has the command bulkWrite. */
const versions = { 7: 21, 8: 25 }

const Row = Type.Object({ text: Type.Optional(Type.String()) })

/** A MongoDB that acknowledges everything, and an app on it. */
async function setUp (
  t: Test,
  maxWireVersion: number,
  collections: Collections,
  options: Partial<PowerSyncMongoOptions> = {}
) {
  const mongo = await startWireServer({ maxWireVersion })
  t.teardown(() => mongo.stop())
  const app = await testServer(t, { mongo: { url: mongo.uri }, collections, ...options })
  mongo.reset() // of what the start asked for
  return { mongo, app, names: () => mongo.commands.splice(0).map(({ name }) => name) }
}

for (const [version, maxWireVersion] of Object.entries(versions)) {
  t.test(
    `the commands of an upload on MongoDB ${version}: their number does not depend on that of operations and transactions`,
    async t => {
      const any = collection({ schema: 'any' })
      const { app, names } = await setUp(
        t,
        maxWireVersion,
        Object.fromEntries(Array.from({ length: 4 }, (_, index) => [tableName(index), any]))
      )
      const send = async (shape: UploadShape) => {
        const { body } = await upload(app, uploadBody(shape))
        t.ok(body['results'].every(({ status }: { status: string }) => status === 'success'))
        return names()
      }
      const times = (count: number, name: string): string[] => Array<string>(count).fill(name)

      const bulkWrite = maxWireVersion >= 25
      t.same(await send({ operations: 1 }), ['update'], 'a lone operation, no ledger')
      t.same(await send({ operations: 1, withDeletes: 1 }), ['delete'], 'a lone delete, no ledger')
      const first = { operations: 1, clientId: 'phone', run: 'first' }
      t.same(
        await send(first),
        ['find', 'find', ...(bulkWrite ? ['bulkWrite'] : ['update', 'update']), 'commitTransaction'],
        'of a client that is new to the process, its page and its letters are read'
      )
      t.same(await send(first), [], 'what is settled already needs no command')
      t.same(
        await send({ operations: 1, clientId: 'phone', run: 'second' }),
        [...(bulkWrite ? ['bulkWrite'] : ['update', 'update']), 'commitTransaction'],
        'a lone operation and the ledger'
      )
      for (const operations of [40, 1000]) {
        for (const transactions of [1, 40]) {
          for (const [collections, withDeletes] of [[1, 0], [1, 1], [3, 0], [4, 2], [4, 4]] as const) {
            const shape = { operations, transactions, collections, withDeletes }
            const each = [...times(collections, 'update'), ...times(withDeletes, 'delete')]
            const writes = bulkWrite && each.length > 1 ? ['bulkWrite'] : each
            t.same((await send(shape)).sort(), [...writes, 'commitTransaction'].sort(), JSON.stringify(shape))
            const run = JSON.stringify(shape)
            const withLedger = bulkWrite ? ['bulkWrite'] : [...each, 'update']
            t.same(
              (await send({ ...shape, run, clientId: 'phone' })).sort(),
              [...withLedger, 'commitTransaction'].sort(),
              `${run} and the ledger`
            )
          }
        }
      }
    }
  )
}

const put = (table: string, id: string, text = 'x') => ({ op: 'PUT', table, id, data: { text } })
const remove = (table: string, id: string) => ({ op: 'DELETE', table, id })

t.test('bulkWrite has the operations in the client\'s order, all of them in one MongoDB transaction', async t => {
  const { mongo, app } = await setUp(t, 25, {
    a: collection({ schema: Row }),
    b: collection({ schema: Row, put: 'replace', owner: { field: 'text' } })
  })
  t.same(
    (
      await upload(app, {
        batch: [
          put('a', '1'),
          remove('b', '1'),
          { op: 'PATCH', table: 'a', id: '1', data: { text: 'y' } },
          put('b', '1')
        ]
      })
    ).body['results'],
    [{ status: 'success' }]
  )
  const [{ document, database }] = mongo.commands as [(typeof mongo.commands)[number]]
  t.equal(database, 'admin')
  const anonymous = { $eq: 'anonymous', $not: { $type: 'array' } }
  t.match(document, {
    bulkWrite: 1,
    ops: [
      { update: 0, filter: { _id: '1' }, updateMods: { $set: { text: 'x' } }, multi: false, upsert: true },
      { delete: 1, filter: { _id: '1', text: anonymous }, multi: false },
      { update: 0, filter: { _id: '1' }, updateMods: { $set: { text: 'y' } }, multi: false, upsert: false },
      {
        update: 1,
        filter: { _id: '1', text: anonymous },
        updateMods: { text: 'anonymous' },
        multi: false,
        upsert: true
      }
    ],
    nsInfo: [{ ns: 'test.a' }, { ns: 'test.b' }],
    ordered: true,
    errorsOnly: true,
    startTransaction: true,
    autocommit: false
  })
})

const duplicate = (index: string) => ({
  code: 11000,
  errmsg: `E11000 duplicate key error collection: test.b index: ${index} dup key: { text: "secret" }`,
  keyPattern: { text: 1, other: -1 },
  keyValue: { text: 'secret' }
})

t.test('a failure of bulkWrite names its operation, and nothing is written a second time to find it', async t => {
  const { mongo, app, names } = await setUp(t, 25, {
    a: collection({ schema: Row }),
    b: collection({ schema: Row, owner: { field: 'text' } })
  })
  const send = () => upload(app, { batch: [put('a', '1'), remove('a', '2'), put('b', '1')] })

  mongo.script('bulkWrite', bulkWriteErrors([{ index: 2, ...duplicate('text_1_other_-1') }]))
  t.match((await send()).body['results'], [
    {
      failed_operation: {
        error_code: 'DUPLICATE_KEY',
        operation_index: 2,
        details: { index: 'text_1_other_-1', fields: ['text', 'other'] }
      }
    }
  ])
  t.same(
    names(),
    ['bulkWrite', 'abortTransaction', 'find', 'update', 'commitTransaction'],
    'the dead letter is looked for and written'
  )

  mongo.script('bulkWrite', bulkWriteErrors([{ index: 2, ...duplicate('_id_') }]))
  t.match(
    (await send()).body['results'],
    [{ failed_operation: { error_code: 'UNAUTHORIZED', operation_index: 2 } }],
    'a row of another owner'
  )
  names()

  mongo.script('bulkWrite', bulkWriteErrors([{ index: 0, ...duplicate('_id_') }]))
  t.match((await send()).body['results'], [{ status: 'success' }], 'two uploads that create one document')
  t.same(names(), ['bulkWrite', 'abortTransaction', 'bulkWrite', 'commitTransaction'])
})

t.test('a MongoDB that turns out not to have bulkWrite gets the commands of old, from then on', async t => {
  for (const error of [{ code: 59, codeName: 'CommandNotFound' }, { code: 115, codeName: 'CommandNotSupported' }]) {
    const { mongo, app, names } = await setUp(t, 25, { a: collection({ schema: Row }), b: collection({ schema: Row }) })
    const send = async () =>
      t.match((await upload(app, { batch: [put('a', '1'), put('b', '1')] })).body['results'], [{ status: 'success' }])
    mongo.script('bulkWrite', commandError(error))
    await send()
    t.same(names(), ['bulkWrite', 'abortTransaction', 'update', 'update', 'commitTransaction'])
    await send()
    t.same(names(), ['update', 'update', 'commitTransaction'])
  }
})

t.test('what is larger than a command may be is sent in parts, of which each failure names its operation', async t => {
  const { mongo, app } = await setUp(t, 21, { a: collection({ schema: Row }) })
  const megabytes = 'x'.repeat(7 * 1024 * 1024)
  const operations = ['1', '2', '3'].map((id, index) => ({ ...put('a', id, megabytes), index }) as CrudOperation)
  const send = () => app.powersync.upload([{ operations }], { id: 'user1' })
  t.match(await send(), [{ status: 'success' }])
  t.same(
    mongo.commands.map(({ name, statements }) => [name, statements]),
    [
      ['update', 2],
      ['update', 1],
      ['commitTransaction', 0]
    ]
  )
  mongo.script('update', { ok: 1, n: 2 }, writeErrors([{ index: 0, ...duplicate('text_1') }]))
  t.match(await send(), [{ failed_operation: { error_code: 'DUPLICATE_KEY', operation_index: 2 } }])

  mongo.reset()
  const statement: Statement = { collection: 'a', row: 'x', filter: { _id: 'x' }, change: undefined, upsert: false }
  await new Statements(app.mongo.db!, { bulkWrite: false }).send(
    [Array<Statement>(200_001).fill(statement)],
    'fewest',
    { session: app.mongo.client.startSession() }
  )
  t.same(
    mongo.commands.map(({ name, statements }) => [name, statements]),
    [
      ['delete', 100_000],
      ['delete', 100_000],
      ['delete', 1]
    ]
  )
})

t.test('without a session', async t => {
  const { mongo, app, names } = await setUp(t, 25, { a: collection({ schema: Row }) })
  const storage = new MongoDBStorage(app.mongo.db!, { a: collection({ schema: Row, put: 'replace', nulls: 'unset' }) })
  const write = (...operations: object[]) =>
    storage.updateBatch(
      { operations: operations.map((operation, index) => ({ ...operation, index }) as CrudOperation) },
      { user: { id: 'user1' } }
    )

  await write({ ...put('a', '1'), data: {} })
  await write(remove('a', '1'))
  t.same(mongo.commands.map(({ name, document, txnNumber }) => [name, document['writeConcern'], typeof txnNumber]), [
    ['update', { w: 'majority' }, 'number'], ['delete', { w: 'majority' }, 'number']
  ], 'a lone write is one that the driver may send again')
  names()

  await write(put('a', '1'), put('a', '2'))
  t.match(
    mongo.commands.map(({ document }) => document),
    [{ update: 'a', ordered: true, writeConcern: { w: 'majority' }, startTransaction: undefined }]
  )
  mongo.script('update', writeErrors([{ index: 1, ...duplicate('text_1') }]))
  const error = await write(put('a', '1'), put('a', '2')).then(() => undefined, (error: unknown) => error)
  t.match(error, {
    name: 'WriteError',
    position: 1,
    place: { collection: 'a' },
    cause: { code: 11000, keyPattern: { text: 1 } }
  })
})

t.test('the bound on the size of a value holds for every value', async t => {
  const types = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.integer(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array().map(bytes => Buffer.from(bytes)),
    fc.uint8Array().map(bytes => new Binary(bytes)),
    fc.constantFrom<unknown>(
      new ObjectId(),
      new UUID(),
      Long.fromNumber(5),
      Decimal128.fromString('5.5'),
      new Double(5),
      new Int32(5),
      /^regular expression$/i,
      new Map([['key', 'value']])
    )
  )
  const { value } = fc.letrec(tie => ({
    value: fc.oneof(
      { maxDepth: 3 },
      types,
      fc.array(tie('value'), { maxLength: 12 }),
      fc.dictionary(
        fc.string().map(key => key.replaceAll('\0', '')),
        tie('value')
      )
    )
  }))
  t.doesNotThrow(() => fc.assert(fc.property(value, value => bytesOf({ value }) <= mostBytesOf({ value }))))
})

t.test('the host\'s BSON options do not change how errors are read', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const client = new MongoClient(mongo.uri, { promoteValues: false })
  t.teardown(() => client.close())
  const app = await testServer(t, { mongo: { client }, collections: { a: collection({ schema: Row }) } })
  mongo.script('update', writeErrors([{ index: 1, ...duplicate('text_1') }]))
  t.match((await upload(app, { batch: [put('a', '1'), put('a', '2')] })).body['results'], [
    { failed_operation: { error_code: 'DUPLICATE_KEY', operation_index: 1, details: { fields: ['text', 'other'] } } }
  ])
})
