/**
 * Operations of older clients are lifted to the schemas of today, once, whatever became of them before the server
 * changed.
 */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import {
  collection, PowerSyncFatalError, type CollectionOptions, type CrudOperation, type PowerSyncMongoOptions
} from '../../index.js'
import { ObjectId } from '../../lib/bson.js'
import { testDatabase } from '../support/database.js'
import { randomBySeed } from '../support/random.js'
import { keptLog, testServer, upload } from '../support/server.js'

const { uri } = await testDatabase(t)
const user = 'anonymous'

type Steps = NonNullable<CollectionOptions['migrations']>

/** 1: `name`, `price` in euros. 2: `title` for `name`. 3: `cents` for `price`, and a title in capitals. */
const toTitle: Steps[number] = ({ data: { name, ...data }, ...operation }) => ({
  ...operation,
  data: { title: name, ...data }
})
const toCents: Steps[number] = ({ data: { price, title, ...data }, ...operation }) => ({
  ...operation,
  data: {
    cents: price === undefined ? undefined : price === null ? null : Number(price) * 100,
    title: typeof title === 'string' ? title.toUpperCase() : title,
    ...data
  }
})
const nothing: Steps[number] = operation => operation

const schemas = {
  1: Type.Object({ name: Type.Optional(Type.String({ maxLength: 5 })), price: Type.Optional(Type.Integer()) }),
  2: Type.Object({ title: Type.Optional(Type.String({ maxLength: 5 })), price: Type.Optional(Type.Integer()) }),
  3: Type.Object({ title: Type.Optional(Type.String({ maxLength: 5 })), cents: Type.Optional(Type.Integer()) })
}
const steps: Record<number, Steps> = { 1: {}, 2: { 2: toTitle }, 3: { 2: toTitle, 3: toCents } }

let tables = 0
const fresh = () => `goods${++tables}`

/** A server whose schemas are of a version. */
async function server (
  t: Test,
  table: string,
  version: keyof typeof schemas,
  { migrations = steps[version]!, ...options }: Partial<PowerSyncMongoOptions> & { migrations?: Steps } = {}
) {
  const app = await testServer(t, {
    mongo: { url: uri },
    collections: { [table]: collection({ schema: schemas[version], nulls: 'unset', migrations }) },
    ...options
  })
  return {
    app,
    send: (schemaVersion: number | undefined, ...batch: object[]) =>
      upload(app, {
        batch: batch.map(operation => ({ table, ...operation })),
        client_id: 'phone',
        ...(schemaVersion && { schema_version: schemaVersion })
      }),
    rows: () => app.mongo.db!.collection(table).find().sort({ _id: 1 }).toArray(),
    letters: async () => (await app.powersync.deadLetters.list()).filter(letter => letter.tables.includes(table))
  }
}

t.test('lifting 1 → 2 → 3 equals lifting by 1 → 3 at once, for 10 000 random operations', async t => {
  const random = randomBySeed(17)
  const column = () => random.pick([undefined, null, 'a', 'xyz', 'ß'])
  const price = () => random.pick([undefined, null, random.integer(-1000, 1000)])
  const operations = Array.from({ length: 10_000 }, (_, index) => ({
    op_id: index + 1,
    tx_id: Math.floor(index / 10),
    op: random.pick(['PUT', 'PUT', 'PATCH', 'PATCH', 'PATCH', 'DELETE']),
    id: `row${index}`,
    data: { name: column(), price: price() }
  }))
  const results = []
  for (const migrations of [steps[3]!, { 2: nothing, 3: operation => toCents(toTitle(operation)!) } satisfies Steps]) {
    const written: CrudOperation[] = []
    // In place of the database: it takes its time for so many.
    const { send } = await server(t, fresh(), 3, {
      migrations,
      updateBatch: async ({ operations }) => {
        written.push(...operations)
      }
    })
    t.equal((await send(1, ...operations)).status, 200)
    results.push(written.map(({ op, id, data }) => ({ op, id, data })))
  }
  t.equal(results[0]!.length, 10_000)
  t.strictSame(results[0], results[1])
  const known: Record<string, unknown> = { a: 'A', xyz: 'XYZ', ß: 'SS' }
  const expected = operations.map(({ op, id, data: { name, price } }) => ({
    op,
    id,
    title: op === 'DELETE' ? undefined : typeof name === 'string' ? known[name] : name,
    price
  }))
  for (const [index, { op, id, data }] of results[0]!.entries()) {
    const { title, price, ...rest } = expected[index]!
    const cents = op === 'DELETE' || price === undefined ? undefined : price === null ? null : price * 100
    if (
      op === rest.op &&
      id === rest.id &&
      (data?.['title'] ?? null) === (title ?? null) &&
      (data?.['cents'] ?? null) === (cents ?? null)
    ) { continue }
    return t.fail(`operation ${index}`, { found: { op, id, data }, expected: expected[index] })
  }
})

t.test(
  'operations of each version arrive as today\'s, by body and by header; without one they count as today\'s',
  async t => {
    const table = fresh()
    const { app, send, rows } = await server(t, table, 3)
    await send(1, { op_id: 1, op: 'PUT', id: 'a', data: { name: 'one', price: 1 } })
    await send(2, { op_id: 2, op: 'PUT', id: 'b', data: { title: 'two', price: 2 } })
    await send(3, { op_id: 3, op: 'PUT', id: 'c', data: { title: 'three', cents: 300 } })
    await send(undefined, { op_id: 4, op: 'PUT', id: 'd', data: { title: 'four', cents: 400 } })
    const batch = [{ op_id: 5, table, op: 'PUT', id: 'e', data: { title: 'five', price: 5 } }]
    await upload(app, { batch, client_id: 'phone' }, { headers: { 'x-schema-version': '2' } })
    t.strictSame(await rows(), [
      { _id: 'a', title: 'ONE', cents: 100 },
      { _id: 'b', title: 'TWO', cents: 200 },
      { _id: 'c', title: 'three', cents: 300 },
      { _id: 'd', title: 'four', cents: 400 },
      { _id: 'e', title: 'FIVE', cents: 500 }
    ])
  }
)

t.test('a migration gets the operation as uploaded, frozen, and its columns that are undefined are absent', async t => {
  const table = fresh()
  const seen: unknown[] = []
  const migrations: Steps = {
    2: operation => {
      seen.push(operation)
      t.throws(() => { (operation.data as Record<string, unknown>)['name'] = 'x' })
      return {
        ...operation,
        data: { ...operation.data, title: operation.data['name'], name: undefined },
        previous: { ...operation.previous, title: 'before' },
        metadata: 'lifted'
      }
    }
  }
  const hooked: unknown[] = []
  const { send, rows } = await server(t, table, 2, {
    migrations,
    transform: operation => {
      hooked.push(operation)
      return operation
    }
  })
  await send(
    1,
    { op_id: 1, op: 'PUT', id: 'a', data: { name: 'one' } },
    { op_id: 2, op: 'DELETE', id: 'b', old: { name: 'two' } }
  )
  t.match(seen, [
    { op: 'PUT', table, id: 'a', opId: '1', index: 0, data: { name: 'one' } },
    { op: 'DELETE', table, id: 'b', opId: '2', index: 1, data: {}, previous: { name: 'two' } }
  ])
  t.match(hooked, [
    { data: { title: 'one' }, metadata: 'lifted' },
    { op: 'DELETE', data: undefined, previous: { name: 'two', title: 'before' } }
  ])
  t.strictSame(await rows(), [{ _id: 'a', title: 'one' }])
})

t.test('null drops an operation, and what is left keeps its place', async t => {
  const migrations: Steps = { 2: operation => operation.data['name'] === 'old' ? null : operation }
  const { send, rows, letters } = await server(t, fresh(), 2, { migrations })
  t.equal((await send(1, { op_id: 1, op: 'PUT', id: 'a', data: { name: 'old' } })).status, 200)
  const { body } = await send(
    1,
    { op_id: 2, tx_id: 2, op: 'PUT', id: 'b', data: { name: 'old' } },
    { op_id: 3, tx_id: 2, op: 'PUT', id: 'c', data: { title: 'too long' } }
  )
  t.match(body.results, [
    { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', operation_index: 1 } }
  ])
  t.same((await letters()).map(({ operations }) => operations.map(({ id }) => id)), [['b', 'c']])
  t.same(await rows(), [])
})

t.test('the same without deduplication', async t => {
  const { send, rows } = await server(t, fresh(), 2, {
    upload: { deduplicate: false },
    migrations: { 2: operation => (operation.id === 'a' ? null : toTitle(operation)) }
  })
  t.equal((await send(1, { op: 'PUT', id: 'a', data: {} })).status, 200)
  t.equal((await send(1, { op: 'PUT', id: 'b', data: { name: 'one' } })).status, 200)
  t.strictSame(await rows(), [{ _id: 'b', title: 'one' }])
})

t.test('a copy that arrives after the server was updated is known, and not applied again', async t => {
  const table = fresh()
  const operation = { op_id: 1, op: 'PUT', id: 'a', data: { name: 'one' } }
  const first = await server(t, table, 1)
  await first.send(1, operation)
  await first.app.mongo.db!.collection(table).updateOne({ _id: 'a' as never }, { $set: { name: 'other' } })
  const { send, rows } = await server(t, table, 3)
  t.equal((await send(1, operation)).status, 200)
  t.strictSame(await rows(), [{ _id: 'a', name: 'other' }])
})

for (const sent of [2, undefined]) {
  t.test(
    `a letter of ${sent ? 'version 2' : 'a client that sends no version'}, run again when the server is at 3, is lifted`,
    async t => {
      const table = fresh()
      let refused = true
      const second = await server(t, table, 2, { authorize: () => !refused })
      t.equal((await second.send(sent, { op_id: 1, op: 'PUT', id: 'a', data: { title: 'one', price: 7 } })).status, 200)
      refused = false
      const { app, letters, rows } = await server(t, table, 3)
      const [letter] = await letters()
      t.match(letter, { schema_version: 2, operations: [{ data: '{"title":"one","price":7}' }] })
      t.match(await app.powersync.deadLetters.retry(letter!._id), { status: 'success' })
      t.strictSame(await rows(), [{ _id: 'a', title: 'ONE', cents: 700 }])
      t.same(await letters(), [])
    }
  )
}

t.test('a letter that is older than the server lifts stays, and the retry says why', async t => {
  const table = fresh()
  const first = await server(t, table, 1)
  await first.send(1, { op_id: 1, op: 'PUT', id: 'a', data: { name: 'too long' } })
  const { app, letters, rows } = await server(t, table, 3, { migrations: { 3: toCents } })
  const [letter] = await letters()
  await t.rejects(app.powersync.deadLetters.retry(letter!._id), {
    code: 'FST_PSM_SCHEMA_VERSION',
    message: /schema version 1: this server takes versions 2 to 3/
  })
  t.equal((await letters()).length, 1)
  const edit = () => ({ operations: [{ op: 'PUT' as const, table, id: 'a', index: 0, data: { title: 'one' } }] })
  t.match(await app.powersync.deadLetters.retry(letter!._id, { edit }), { status: 'success' })
  t.strictSame(await rows(), [{ _id: 'a', title: 'one' }])
})

t.test(
  'a letter of version 1 that its user settles at version 2: a column is the same under its new name, and what was ' +
  'changed since stays',
  async t => {
    const table = fresh()
    const upload = { deadLetters: { mirror: `${table}_rejections` } }
    const schema = schemas[1]
    const first = await server(t, table, 1, { upload })
    await first.send(
      1,
      { op_id: 1, tx_id: 1, op: 'PUT', id: 'a', data: { name: 'one', price: 'much' } },
      { op_id: 2, tx_id: 2, op: 'PATCH', id: 'a', data: { name: 'two' } }
    )
    const [letter] = await first.letters()
    const { send, rows, letters } = await server(t, table, 1, {
      upload,
      collections: {
        [table]: collection({ schema, nulls: 'unset', fields: { title: 'name' }, migrations: { 2: toTitle } })
      }
    })
    const { status } = await send(
      2,
      { op_id: 3, tx_id: 3, op: 'PUT', id: 'a', data: { title: 'one', price: 5 } },
      { op_id: 4, tx_id: 3, table: `${table}_rejections`, op: 'DELETE', id: letter!._id }
    )
    t.equal(status, 200)
    t.strictSame(await rows(), [{ _id: 'a', name: 'two', price: 5 }])
    t.same(await letters(), [])
  }
)

t.test('the same with a letter that is older than the server lifts', async t => {
  const table = fresh()
  const upload = { deadLetters: { mirror: `${table}_rejections` } }
  const first = await server(t, table, 1, { upload })
  await first.send(1, { op_id: 1, op: 'PUT', id: 'a', data: { name: 'one', price: 'much' } })
  const [letter] = await first.letters()
  const { send, rows, letters } = await server(t, table, 3, { upload, migrations: { 3: toCents } })
  await send(
    3,
    { op_id: 2, tx_id: 2, op: 'PUT', id: 'a', data: { title: 'ONE', cents: 5 } },
    { op_id: 3, tx_id: 2, table: `${table}_rejections`, op: 'DELETE', id: letter!._id }
  )
  t.strictSame(await rows(), [{ _id: 'a', title: 'ONE', cents: 5 }])
  t.same(await letters(), [])
})

t.test(
  'a version that is too old: nothing is acknowledged, nothing is kept, and it is applied once the server takes it',
  async t => {
    const table = fresh()
    const { app, send, rows, letters } = await server(t, table, 3, { migrations: { 3: toCents } })
    const operation = { op_id: 1, op: 'PUT', table, id: 'a', data: { name: 'one' } }
    for (let time = 0; time < 5; time++) {
      const { status, headers, body } = await send(1, operation)
      t.match({ status, headers }, { status: 503, headers: { 'retry-after': '5' } })
      t.match(body, {
        results: [
          {
            status: 'retryable_error',
            error_code: 'UPDATE_NEEDED',
            message: 'Update the app: it is of schema version 1, and the server takes 2 to 3',
            retry_after_ms: 5000
          }
        ]
      })
    }
    const transactions = [{ crud: [operation] }, { crud: [{ ...operation, op_id: 2 }] }]
    const { status, body } = await upload(app, { client_id: 'phone', schema_version: 1, transactions })
    t.equal(status, 200)
    t.match(body.results, [{ status: 'retryable_error', error_code: 'UPDATE_NEEDED' }, { status: 'not_attempted' }])
    t.same([await rows(), await letters()], [[], []])
    const updated = await server(t, table, 3)
    t.equal((await updated.send(1, operation)).status, 200)
    t.strictSame(await rows(), [{ _id: 'a', title: 'ONE' }])
  }
)

t.test('a client that is ahead of the server waits', async t => {
  const table = fresh()
  const operation = { op_id: 1, op: 'PUT', id: 'a', data: { title: 'one' } }
  for (const version of [1, 2] as const) {
    const { send, rows, letters } = await server(t, table, version)
    const { status, body } = await send(3, operation)
    t.equal(status, 503)
    t.match(body.results, [
      { status: 'retryable_error', error_code: undefined, message: /^Send the upload again when the server is updated/ }
    ])
    t.same([await rows(), await letters()], [[], []])
  }
  const { send, rows } = await server(t, table, 3)
  t.equal((await send(3, operation)).status, 200)
  t.equal((await rows()).length, 1)
})

t.test('transactions that the app uploads itself have a version each', async t => {
  const table = fresh()
  const { app, rows } = await server(t, table, 3)
  const transaction = (id: string, schemaVersion: number, data: Record<string, unknown>) => ({
    clientId: 'job',
    schemaVersion,
    operations: [{ op: 'PUT' as const, table, id, index: 0, data }]
  })
  t.match(
    await app.powersync.upload([transaction('a', 1, { name: 'one' }), transaction('b', 3, { title: 'three' })], {
      id: user
    }),
    [{ status: 'success' }, { status: 'success' }]
  )
  t.strictSame(await rows(), [{ _id: 'a', title: 'ONE' }, { _id: 'b', title: 'three' }])
})

const wrong: Record<string, (operation: Parameters<Steps[number]>[0]) => unknown> = {
  throws: () => { throw new Error('a bug') },
  'gives nothing': () => undefined,
  'gives a promise': async operation => operation,
  'gives another table': operation => ({ ...operation, table: 'other' }),
  'gives another id': operation => ({ ...operation, id: 'other' }),
  'gives another op': operation => ({ ...operation, op: 'DELETE' }),
  'gives a Date': operation => ({ ...operation, data: { title: new Date() } }),
  'gives a class in an object': operation => ({ ...operation, data: { title: [{ id: new ObjectId() }] } })
}
for (const [name, migration] of Object.entries(wrong)) {
  t.test(`a migration that ${name}: the server is at fault, and the client sends it again`, async t => {
    const { lines, logger } = keptLog('error')
    const table = fresh()
    let isMended = false
    const app = await testServer(t, {
      mongo: { url: uri },
      collections: {
        [table]: collection({
          schema: schemas[2],
          migrations: { 2: operation => (isMended ? toTitle : migration)(operation) as ReturnType<Steps[number]> }
        })
      }
    }, { logger })
    const body = {
      client_id: 'phone',
      schema_version: 1,
      batch: [{ op_id: 1, table, op: 'PUT', id: 'a', data: { name: 'one' } }]
    }
    t.match(await upload(app, body), { status: 503, body: { results: [{ status: 'retryable_error' }] } })
    t.match(lines.join(''), `migrations[2] of ${table}`)
    isMended = true
    t.equal((await upload(app, body)).status, 200)
    t.match(await app.mongo.db!.collection(table).find().toArray(), [{ title: 'one' }])
  })
}

t.test('what a migration makes of a client\'s wrong value is the client\'s', async t => {
  const { send } = await server(t, fresh(), 3)
  t.match((await send(2, { op_id: 1, op: 'PUT', id: 'a', data: { price: 'cheap' } })).body.results, [
    { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', details: { path: 'cents' } } }
  ])
})

t.test('a migration that throws a PowerSyncFatalError rejects the transaction', async t => {
  const migrations: Steps = { 2: () => { throw new PowerSyncFatalError('GONE', 'No such goods any more') } }
  const { send, letters } = await server(t, fresh(), 2, { migrations })
  const { status, body } = await send(1, { op_id: 1, op: 'PUT', id: 'a', data: {} })
  t.equal(status, 200)
  t.match(body.results, [{ status: 'fatal_error', failed_operation: { error_code: 'GONE', operation_index: 0 } }])
  t.match(await letters(), [{ schema_version: 1 }])
})

t.test('a table that is not the server\'s is rejected at any version', async t => {
  const { app } = await server(t, fresh(), 2)
  const { body } = await upload(app, { schema_version: 1, batch: [{ op: 'PUT', table: 'other', id: 'a', data: {} }] })
  t.match(body.results, [{ status: 'fatal_error', failed_operation: { error_code: 'SCHEMA_MISMATCH' } }])
})

t.test('versions of all collections together leave none out', async t => {
  const schema = schemas[1]
  const start = (collections: Record<string, Steps>) =>
    testServer(t, {
      mongo: { url: uri },
      collections: Object.fromEntries(
        Object.entries(collections).map(([table, migrations]) => [table, collection({ schema, migrations })])
      )
    })
  await start({ [fresh()]: { 4: nothing, 6: nothing }, [fresh()]: { 5: nothing } })
  await t.rejects(start({ goods: { 4: nothing, 6: nothing } }), {
    code: 'FST_PSM_OPTION',
    message:
      /has no migration to version 5, and one to version 6: add \{ migrations: \{ 5: operation => operation \} \}/
  })
  for (const [key, message] of [
    ['1', /collections\.goods\.migrations\[1\] is unknown/],
    ['two', /collections\.goods\.migrations\.two is unknown/]
  ] as const) {
    await t.rejects(start({ goods: { [key]: nothing } as Steps }), { code: 'FST_PSM_OPTION', message })
  }
  await t.rejects(start({ goods: { 2: 'rename' as never } }), {
    message: /collections\.goods\.migrations\[2\] is text: expected a function/
  })
})
