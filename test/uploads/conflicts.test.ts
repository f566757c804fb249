import { createHook } from 'node:async_hooks'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection, type Conflict, type CrudOperation, type ResolveConflictHook } from '../../index.js'
import { Decimal128, Double, Long } from '../../lib/bson.js'
import { additive, fieldLevel, lastWriteWins, versioned } from '../../lib/rules/conflicts/index.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
const mongo = { url: database.uri, monitorCommands: true }
const Row = Type.Object({
  text: Type.Optional(Type.String()),
  at: Type.Optional(bson.Date()),
  owner_id: Type.Optional(Type.String())
})
const success = [{ status: 'success' }]

type Options = Omit<Parameters<typeof collection<typeof Row>>[0], 'schema'>

let tables = 0

/** A collection with these options, and what is in it. */
async function serverWith (
  t: Parameters<typeof testServer>[0],
  options: Options,
  plugin: Partial<Parameters<typeof testServer>[1]> = {}
) {
  const table = `rows${++tables}`
  const app = await testServer(t, {
    mongo,
    collections: { [table]: collection({ schema: Row, ...options }) },
    ...plugin
  })
  const rows = app.mongo.db!.collection<{ _id: string, [field: string]: unknown }>(table)
  return {
    app,
    table,
    rows,
    stored: async () => Object.fromEntries((await rows.find().toArray()).map(({ _id, ...row }) => [_id, row])),
    send: async (...operations: Array<[op: string, id: string, data?: object | undefined, rest?: object]>) =>
      (await upload(app, { batch: operations.map(([op, id, data, rest]) => ({ op, table, id, data, ...rest })) })).body
        .results
  }
}

t.test(
  'resolveConflict is asked for rows that exist, and gives what is written: the same, something else, or nothing',
  async t => {
    const asked: unknown[] = []
    const { rows, stored, send, table } = await serverWith(t, {
      resolveConflict: ({ table, operation, existing, previous }, { user }) => {
        asked.push([table, operation.op, operation.id, existing.text, previous?.at, operation.metadata, user.id])
        if (operation.op === 'PATCH' && operation.data.text === 'merge') {
          return { ...operation, data: { text: `${existing.text} and more` } }
        }
        return operation.data?.text === 'no' || operation.metadata === 'no' ? null : operation
      }
    })
    await rows.insertMany(['a', 'b', 'c', 'd', 'e'].map(_id => ({ _id, text: `old ${_id}` })))
    t.same(await send(
      ['PATCH', 'a', { text: 'new' }, { old: { at: '2024-10-31 10:33:24' } }],
      ['PATCH', 'a', { text: 'merge' }],
      ['PUT', 'b', { text: 'new' }],
      ['PATCH', 'c', { text: 'no' }],
      ['DELETE', 'd'],
      ['DELETE', 'e', undefined, { metadata: 'no' }],
      ['PUT', 'f', { text: 'not there yet' }],
      ['PATCH', 'none', { text: 'not there' }],
      ['DELETE', 'none']
    ), success)
    t.same(asked, [
      [table, 'PATCH', 'a', 'old a', new Date('2024-10-31T10:33:24Z'), undefined, 'anonymous'],
      [table, 'PATCH', 'a', 'new', undefined, undefined, 'anonymous'],
      [table, 'PUT', 'b', 'old b', undefined, undefined, 'anonymous'],
      [table, 'PATCH', 'c', 'old c', undefined, undefined, 'anonymous'],
      [table, 'DELETE', 'd', 'old d', undefined, undefined, 'anonymous'],
      [table, 'DELETE', 'e', 'old e', undefined, 'no', 'anonymous']
    ])
    t.same(await stored(), {
      a: { text: 'new and more' },
      b: { text: 'new', at: null, owner_id: null },
      c: { text: 'old c' },
      e: { text: 'old e' },
      f: { text: 'not there yet', at: null, owner_id: null }
    })
  }
)

t.test('all documents of an upload are loaded in one find, in the transaction; without the hook in none', async t => {
  for (const resolveConflict of [undefined, (({ operation }) => operation) satisfies ResolveConflictHook]) {
    // The storage is not what is measured.
    const { app, rows, send } = await serverWith(t, { resolveConflict, updateBatch: () => {} })
    await rows.insertMany(Array.from({ length: 1000 }, (_, index) => ({ _id: `r${index}`, text: 'old' })))
    const finds: unknown[] = []
    app.mongo.client.on('commandStarted', ({ commandName, command }) => {
      if (commandName === 'find') finds.push(command.autocommit)
    })
    t.same(
      await send(
        ...Array.from({ length: 1000 }, (_, index): [string, string, object] => ['PATCH', `r${index}`, { text: 'new' }])
      ),
      success
    )
    t.same(await send(['PATCH', 'r0', { text: 'alone' }]), success)
    t.same(finds, resolveConflict ? [false, false] : [], 'one for each upload')
  }
})

t.test('hooks that give plain values make no promise for each operation', async t => {
  const { send, rows } = await serverWith(t, {
    authorize: () => true,
    transform: operation => operation,
    resolveConflict: ({ operation }) => operation,
    updateBatch: () => {}
  })
  await rows.insertMany(Array.from({ length: 1000 }, (_, index) => ({ _id: `r${index}` })))
  const promisesFor = async (operations: number) => {
    let promises = 0
    const hook = createHook({ init: (_id, type) => { if (type === 'PROMISE') promises++ } }).enable()
    t.same(
      await send(
        ...Array.from({ length: operations }, (_, index): [string, string, object] => [
          'PATCH',
          `r${index}`,
          { text: 'new' }
        ])
      ),
      success
    )
    hook.disable()
    return promises
  }
  const few = await promisesFor(10)
  const many = await promisesFor(900)
  t.ok(many - few < 90, `${many} promises for 900 operations, ${few} for 10`)
})

t.test('existing and previous have the types of the schema, whichever the driver reads', async t => {
  const Types = Type.Object({
    long: bson.Long(),
    nullable: Type.Union([bson.Long(), Type.Null()]),
    either: Type.Optional(Type.Union([bson.Long(), Type.String()])),
    double: bson.Double(),
    int: bson.Int32(),
    decimal: bson.Decimal128(),
    json: bson.Json(
      Type.Object({ sizes: Type.Array(bson.Long()), name: Type.String(), at: Type.Optional(bson.Double()) })
    ),
    plain: Type.Optional(bson.Json(Type.Array(Type.Object({ name: Type.String() })))),
    hidden: Type.Optional(bson.Boolean())
  })
  const seen: Array<Conflict<Record<string, unknown>>> = []
  const table = `typed${++tables}`
  const app = await testServer(t, {
    mongo,
    collections: {
      [table]: collection({
        schema: Types,
        fields: { isHidden: 'hidden' },
        writable: Object.keys(Types.properties).filter(name => name !== 'hidden') as Array<'long'>,
        resolveConflict: conflict => { seen.push({ ...conflict }); return conflict.operation }
      })
    }
  })
  const rows = app.mongo.db!.collection<{ _id: string }>(table)
  const document = {
    long: 5,
    nullable: null,
    either: 6,
    double: 2,
    int: 3,
    decimal: Decimal128.fromString('1.50'),
    json: { sizes: [1, Long.fromString('9007199254740993')], name: 'x', at: 1 },
    plain: [{ name: 'x' }],
    more: 7
  }
  await rows.insertMany([
    { _id: 'a', ...document },
    {
      _id: 'b',
      ...document,
      long: Long.fromString('9007199254740993'),
      nullable: Long.fromNumber(8),
      double: 'two',
      json: { sizes: 'none', name: 'x' }
    },
    { _id: 'c', long: 'five', json: 'none' }
  ] as never)
  const old = {
    long: '9007199254740993',
    nullable: null,
    double: 2,
    int: 'three',
    decimal: '1.5',
    json: '{"sizes":[1],"name":"x"}',
    isHidden: 1,
    hidden: 0,
    unknown: 1
  }
  await upload(app, { batch: ['a', 'b', 'c'].map(id => ({ op: 'PATCH', table, id, data: {}, old })) })
  const of = (index: number) => seen[index]!
  t.same(of(0).existing, {
    _id: 'a',
    ...document,
    long: 5n,
    double: new Double(2),
    json: { sizes: [1n, 9007199254740993n], name: 'x', at: new Double(1) }
  })
  t.same(of(1).existing, {
    _id: 'b',
    ...document,
    long: 9007199254740993n,
    nullable: 8n,
    double: 'two',
    json: { sizes: 'none', name: 'x' }
  })
  t.same(of(2).existing, { _id: 'c', long: 'five', json: 'none' }, 'what others wrote stays as it is')
  t.same(of(0).previous, {
    long: 9007199254740993n,
    nullable: null,
    double: new Double(2),
    decimal: Decimal128.fromString('1.5'),
    json: { sizes: [1n], name: 'x' },
    hidden: true
  })
  t.same(of(0).decode('long', '12'), 12n)
  t.throws(() => of(0).decode('int', 'x'), { code: 'INVALID_DATA', details: { path: 'int' } })
})

t.test('without schema, previous is as it was sent', async t => {
  const seen: unknown[] = []
  const table = `any${++tables}`
  const app = await testServer(t, {
    mongo,
    collections: {
      [table]: collection({
        schema: 'any',
        resolveConflict: ({ operation, previous }) => {
          seen.push(previous)
          return operation
        }
      })
    }
  })
  await app.mongo.db!.collection<{ _id: string }>(table).insertOne({ _id: 'a' })
  t.same(
    (await upload(app, { batch: [{ op: 'PATCH', table, id: 'a', data: { n: 1 }, old: { n: 0, $set: 1, text: 'x' } }] }))
      .body.results,
    success
  )
  t.same(seen, [{ n: 0, text: 'x' }])
})

t.test('the hook for all collections comes first; what it drops, the collection\'s own is not asked about', async t => {
  const seen: unknown[] = []
  const { rows, stored, send } = await serverWith(t, {
    resolveConflict: async ({ operation }) => { seen.push(['own', operation.data?.text]); return operation }
  }, {
    resolveConflict: async ({ operation }) => {
      seen.push(['all', operation.data?.['text']])
      return operation.op === 'PATCH' && operation.data['text'] !== 'drop'
        ? { ...operation, data: { text: 'changed' } }
        : null
    }
  })
  await rows.insertMany([{ _id: 'a', text: 'old' }, { _id: 'b', text: 'old' }])
  t.same(await send(['PATCH', 'a', { text: 'new' }], ['PATCH', 'b', { text: 'drop' }]), success)
  t.same(seen, [['all', 'new'], ['own', 'changed'], ['all', 'drop']])
  t.same(await stored(), { a: { text: 'changed' }, b: { text: 'old' } })
})

t.test(
  'what gives no operation on its row, or what cannot be written, is the app\'s fault: to be tried again, not lost',
  async t => {
    const results: Record<string, (operation: CrudOperation) => unknown> = {
      nothing: () => undefined,
      'another row': operation => ({ ...operation, id: 'b' }),
      'another table': operation => ({ ...operation, table: 'others' }),
      'an operator': operation => ({ ...operation, data: { $inc: 1 } })
    }
    for (const [name, give] of Object.entries(results)) {
      const { app, rows, stored, table } = await serverWith(t, {
        resolveConflict: (({ operation }) => give(operation)) as ResolveConflictHook<any>
      })
      await rows.insertMany([{ _id: 'a', text: 'old' }, { _id: 'b', text: 'old' }])
      t.match(
        await upload(app, { batch: [{ op: 'PATCH', table, id: 'a', data: { text: 'new' } }] }),
        { status: 503, body: { results: [{ status: 'retryable_error' }] } },
        name
      )
      t.same(await stored(), { a: { text: 'old' }, b: { text: 'old' } })
    }
  }
)

t.test('the owner\'s rules hold: the hook does not see rows of others, and cannot give one away', async t => {
  const asked: unknown[] = []
  const { rows, stored, send } = await serverWith(t, {
    owner: 'owner_id',
    authorizeTransfer: operation => operation.data.owner_id === 'friend',
    resolveConflict: ({ operation }) => {
      asked.push(operation.id)
      return operation.op === 'PATCH' && operation.data.text?.startsWith('to ')
        ? { ...operation, data: { owner_id: operation.data.text.slice(3) } }
        : operation
    }
  })
  await rows.insertMany([
    { _id: 'theirs', text: 'x', owner_id: 'somebody' },
    { _id: 'mine', text: 'x', owner_id: 'anonymous' }
  ])
  t.match(await send(['PUT', 'theirs', { text: 'y' }]), [
    { status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }
  ])
  t.same(await send(['PATCH', 'theirs', { text: 'y' }], ['DELETE', 'theirs']), success)
  t.match(await send(['PATCH', 'mine', { text: 'to enemy' }]), [
    { status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }
  ])
  t.same(asked, ['mine'])
  t.same(await send(['PATCH', 'mine', { text: 'to friend' }]), success)
  t.same(await stored(), { theirs: { text: 'x', owner_id: 'somebody' }, mine: { text: 'x', owner_id: 'friend' } })
})

t.test('a PUT that leaves the row as it is has no conflict', async t => {
  const asked: string[] = []
  const { rows, stored, send } = await serverWith(t, {
    operations: ['PUT', 'DELETE'],
    resolveConflict: ({ operation }) => {
      asked.push(operation.op)
      return operation
    }
  })
  await rows.insertOne({ _id: 'a', text: 'old' })
  t.same(await send(['PUT', 'a', { text: 'new' }]), success)
  t.same(await stored(), { a: { text: 'old' } })
  t.same(await send(['DELETE', 'a']), success)
  t.same(asked, ['DELETE'])
})

t.test('what transform makes is resolved where it goes, one operation after the other', async t => {
  const seen: unknown[] = []
  const table = `rows${++tables}`
  const app = await testServer(t, {
    mongo,
    collections: {
      [table]: collection({
        schema: Row,
        resolveConflict: ({ operation, existing }) => {
          seen.push(existing.text)
          return operation
        }
      }),
      drafts: collection({
        schema: Row,
        transform: operation => operation.op === 'PUT'
          ? ['first', 'second'].map(text => ({ op: 'PATCH', table, id: operation.id, data: { text } }))
          : operation
      })
    }
  })
  const rows = app.mongo.db!.collection<{ _id: string, text: string }>(table)
  await rows.insertOne({ _id: 'a', text: 'old' })
  t.same((await upload(app, { batch: [{ op: 'PUT', table: 'drafts', id: 'a', data: {} }] })).body.results, success)
  t.same(seen, ['old', 'first'])
  t.same(await rows.find().toArray(), [{ _id: 'a', text: 'second' }])
})

t.test(
  'what the hook saw still holds when its operation is written',
  { skip: needs(database, 'mongod', 'write conflicts') },
  async t => {
    let asked = 0
    let meet = () => {}
    const both = new Promise<void>(resolve => { meet = resolve })
    const table = `races${++tables}`
    const app = await testServer(t, {
      mongo,
      collections: {
        [table]: collection({
          schema: Row,
          resolveConflict: async ({ operation, existing }) => {
            if (++asked === 2) meet()
            await both
            return operation.op === 'PATCH'
              ? { ...operation, data: { text: `${existing.text}${operation.data.text}` } }
              : operation
          }
        })
      }
    })
    const rows = app.mongo.db!.collection<{ _id: string, text: string }>(table)
    await rows.insertOne({ _id: 'a', text: '' })
    const patch = async (text: string) =>
      (await upload(app, { batch: [{ op: 'PATCH', table, id: 'a', data: { text } }] })).body.results
    t.same(await Promise.all([patch('x'), patch('y')]), [success, success])
    t.ok(asked >= 3, 'the one that came second was asked again')
    t.ok(['xy', 'yx'].includes((await rows.findOne())!.text))
  }
)

t.test('options of the helpers are closed', async t => {
  for (const [helper, given, message] of [
    [additive, 'stock', /option additive is text: expected an array with one or more fields/],
    [additive, [], /option additive is an array: expected an array with one or more fields/],
    [additive, [undefined], /option additive\[0\] is nothing: expected the name of a field/],
    [lastWriteWins, 'text', /option lastWriteWins is text: expected an object/],
    [lastWriteWins, undefined, /option lastWriteWins is nothing: expected an object/],
    [lastWriteWins, { feld: 'text' }, /option lastWriteWins\.feld is unknown; did you mean field\?/],
    [fieldLevel, {}, /option fieldLevel\.metadata is missing/],
    [versioned, { field: 'text', onstale: 'keep' }, /option versioned\.onstale is unknown; did you mean onStale\?/],
    [versioned, { field: 'text', onStale: 'drop' }, /option versioned\.onStale is "drop": expected 'reject' or 'keep'/]
  ] as Array<[(options: any) => unknown, unknown, RegExp]>) {
    t.throws(() => helper(given), { code: 'FST_PSM_OPTION', message })
  }
})

t.test('a field that a helper needs has to be in the schema', async t => {
  const needy: ResolveConflictHook<any> = Object.assign(() => null, { fields: ['nothing'] })
  await t.rejects(serverWith(t, { resolveConflict: needy }), {
    code: 'FST_PSM_OPTION',
    message: /collections\.rows\d+\.resolveConflict needs "nothing", which is not a field of the schema/
  })
  await t.resolves(
    testServer(t, { mongo, collections: { free: collection({ schema: 'any', resolveConflict: needy }) } })
  )
})
