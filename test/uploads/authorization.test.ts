import t from 'tap'
import { Type, type TObject } from '@sinclair/typebox'
import {
  bson, collection, throughParent, type CollectionOptions, type Conflict, type User
} from '../../index.js'
import { ObjectId } from '../../lib/bson.js'
import { testDatabase } from '../support/database.js'
import { keptLog, testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
const mongo = { url: database.uri }

const Row = Type.Object({
  text: Type.Optional(Type.String()),
  role: Type.Optional(Type.String()),
  owner_id: Type.Optional(Type.String()),
  org_id: Type.Optional(bson.ObjectId())
})
type Rules = Partial<CollectionOptions<typeof Row>>

const org = ['507f1f77bcf86cd799439011', '507f1f77bcf86cd799439012'] as const
const success = [{ status: 'success' }]
const unauthorized = (details = {}) => [
  { status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED', ...details } }
]

let number = 0

/** A collection with these rules, and what each user does with it. */
async function serverWith (t: Parameters<typeof testServer>[0], rules: Rules, schema: TObject = Row) {
  const table = `rows${number++}`
  const app = await testServer(t, {
    mongo,
    collections: { [table]: collection({ schema, ...rules as Partial<CollectionOptions> }) },
    authenticate: request => JSON.parse(String(request.headers['x-user'])) as User,
    token: { claims: ({ org, admin, banned, fields }) => ({ org, admin, banned, fields }) }
  })
  const rows = app.mongo.db!.collection<{ _id: string, [field: string]: unknown }>(table)
  return {
    app,
    table,
    rows,
    row: async (id: string) => {
      const { _id, ...row } = await rows.findOne({ _id: id }) ?? {}
      return _id && row
    },
    as: async (
      user: Record<string, unknown>,
      ...operations: Array<[op: string, id: string, data?: Record<string, unknown>]>
    ) =>
      (
        await upload(
          app,
          { batch: operations.map(([op, id, data]) => ({ op, table, id, data })) },
          { headers: { 'x-user': JSON.stringify(user) } }
        )
      ).body.results
  }
}

const alice = { id: 'alice', org: org[0] }
const bob = { id: 'bob', org: org[1] }

for (const [name, owner, mine, theirs] of [
  ['the user\'s id', 'owner_id', { owner_id: 'alice' }, { owner_id: 'bob' }],
  [
    'a value of the user',
    { field: 'org_id', value: (user: User) => user['org'] },
    { org_id: new ObjectId(org[0]) },
    { org_id: new ObjectId(org[1]) }
  ],
  ['several fields', ['owner_id', { field: 'org_id', value: (user: User) => user['org'] }],
    { owner_id: 'alice', org_id: new ObjectId(org[0]) }, { owner_id: 'alice', org_id: new ObjectId(org[1]) }],
  ['a function of the user', (user: User) => ({ owner_id: user.id, org_id: new ObjectId(String(user['org'])) }),
    { owner_id: 'alice', org_id: new ObjectId(org[0]) }, { owner_id: 'bob', org_id: new ObjectId(org[0]) }]
] as Array<[string, Rules['owner'], Record<string, unknown>, Record<string, unknown>]>) {
  t.test(`owner: ${name} is set on insert and a condition of every write`, async t => {
    const { rows, row, as } = await serverWith(t, { owner })
    t.match(await as(alice, ['PUT', 'mine', { text: 'new', owner_id: 'bob', org_id: org[1] }]), success)
    t.match(await row('mine'), { text: 'new', ...mine })
    t.match(await as(alice, ['PATCH', 'mine', { text: 'patched' }]), success)
    t.match(await row('mine'), { text: 'patched', ...mine })

    await rows.insertOne({ _id: 'theirs', text: 'x', ...theirs })
    for (const id of ['theirs', 'missing']) {
      t.match(await as(alice, ['PATCH', id, { text: 'y' }]), success, 'as if it were not there')
      t.match(await as(alice, ['DELETE', id]), success)
    }
    t.match(await as(alice, ['PUT', 'theirs', { text: 'y' }]), unauthorized({ operation_index: 0 }))
    t.match(await as(alice, ['PUT', 'b', {}], ['PUT', 'theirs', { text: 'y' }]), unauthorized({ operation_index: 1 }))
    const [field] = Object.keys(mine).reverse() as [string]
    t.match(
      await as(alice, ['PATCH', 'mine', { [field]: field === 'org_id' ? org[1] : 'bob' }]),
      unauthorized({ details: { path: field } })
    )
    t.match(await as(alice, ['PATCH', 'mine', { [field]: null }]), unauthorized({ details: { path: field } }))
    t.same(await rows.find().sort({ _id: 1 }).toArray(), [
      { _id: 'mine', role: null, owner_id: 'bob', org_id: new ObjectId(org[1]), ...mine, text: 'patched' },
      { _id: 'theirs', text: 'x', ...theirs }
    ])

    t.match(await as(alice, ['DELETE', 'mine']), success)
    t.equal(await row('mine'), undefined)
  })
}

t.test('owner: an array that contains the user is another value, as in the streams', async t => {
  for (const resolveConflict of [undefined, ({ operation }: Conflict<any>) => operation]) {
    const { rows, as } = await serverWith(t, { owner: 'owner_id', ...resolveConflict && { resolveConflict } })
    const shared = ['a', 'b'].map(_id => ({ _id, text: 'x', owner_id: ['alice', 'bob'] }))
    await rows.insertMany(shared)
    t.match(await as(alice, ['PATCH', 'a', { text: 'y' }], ['DELETE', 'b']), success)
    t.match(await as(alice, ['PUT', 'a', { text: 'y' }]), unauthorized())
    t.same(await rows.find().toArray(), shared)
  }
})

t.test('owner: a user without the value has no rows, not those that have none', async t => {
  const orphan = { _id: 'orphan', text: 'x', org_id: null }
  for (const value of [undefined, null, '', 'no ObjectId', { $ne: null }, [org[0]], true]) {
    const { rows, as } = await serverWith(t, { owner: { field: 'org_id', value: user => user['org'] } })
    await rows.insertMany([orphan, { _id: 'other', text: 'x', org_id: new ObjectId(org[0]) }])
    for (const operation of [
      ['PATCH', 'orphan', { text: 'y' }],
      ['DELETE', 'orphan'],
      ['PUT', 'orphan', {}],
      ['PUT', 'new', {}],
      ['DELETE', 'other']
    ] as const) {
      t.match(
        await as({ id: 'alice', org: value }, [...operation]),
        unauthorized({ operation_index: 0 }),
        `${operation[0]} with ${JSON.stringify(value)}`
      )
    }
    t.equal(await rows.countDocuments({ text: 'x' }), 2)
  }
  const { rows, as } = await serverWith(t, { owner: { field: 'role', claim: 'org' } })
  await rows.insertOne({ _id: 'empty', text: 'x', role: '' })
  t.match(await as({ id: 'alice', org: '' }, ['PATCH', 'empty', { text: 'y' }]), unauthorized())
})

t.test('owner: what a function cannot mean makes the upload wait: it never means every row', async t => {
  class Rights { get owner_id () { return 'alice' } }
  const wrong: Record<string, unknown> = {
    'a Promise': async () => ({ owner_id: 'alice' }),
    'a Map': () => new Map([['owner_id', 'alice']]),
    'a Rights': () => new Rights(),
    'an array': () => ['owner_id'],
    nothing: () => {},
    'a boolean': () => true,
    'a ThroughParentRule': () => throughParent('lists', 'owner_id'),
    'a Promise: expected a value': { field: 'owner_id', value: async () => 'alice' },
    'user.constructor was read': { field: 'owner_id', claim: 'constructor' }
  }
  for (const schema of [Row, 'any'] as const) {
    for (const [words, owner] of Object.entries(wrong)) {
      const { lines, logger } = keptLog('error')
      const table = `rows${number++}`
      const rules = { schema, owner } as CollectionOptions
      const app = await testServer(t, { mongo, collections: { [table]: collection(rules) } }, { logger })
      const rows = app.mongo.db!.collection<{ _id: string, text?: string }>(table)
      await rows.insertOne({ _id: 'theirs', text: 'x' })
      const batch = [
        { op: 'PATCH', table, id: 'theirs', data: { text: 'y' } }, { op: 'PUT', table, id: 'new', data: { text: 'y' } }
      ]
      t.equal((await upload(app, { batch })).status, 503, words)
      t.match(lines.join(), words)
      t.same(await rows.find().toArray(), [{ _id: 'theirs', text: 'x' }])
    }
  }
})

t.test('owner: a function may leave a user all rows, or none', async t => {
  const { row, as } = await serverWith(t, {
    owner: user => (user['banned'] ? null : user['admin'] ? {} : { owner_id: user.id })
  })
  const admin = { id: 'root', admin: true }
  await as(alice, ['PUT', 'a', { text: 'new' }])
  t.match(
    await as(admin, ['PATCH', 'a', { text: 'by admin', owner_id: 'bob' }], ['PUT', 'b', { owner_id: 'bob' }]),
    success
  )
  t.match(await row('a'), { text: 'by admin', owner_id: 'bob' })
  t.match(await row('b'), { owner_id: 'bob' })
  t.match(await as({ id: 'bob', banned: true }, ['PUT', 'c', {}]), unauthorized())
})

t.test(
  'owner: an owner field need not be sent, be it named by a function; a field that is not there makes the upload wait',
  async t => {
    const schema = Type.Object({ text: Type.String(), owner_id: Type.String() })
    const app = await testServer(t, {
      mongo,
      collections: {
        strict: collection({ schema, owner: user => ({ owner_id: user.id }) }),
        untyped: collection({ schema: 'any', owner: user => ({ anything: user.id }) }),
        wrong: collection({ schema, owner: (user => ({ nothing: user.id })) as Rules['owner'] & (() => never) })
      }
    })
    const put = (table: string) => upload(app, { batch: [{ op: 'PUT', table, id: 'a', data: { text: 'x' } }] })
    t.match((await put('strict')).body.results, success)
    t.match((await put('untyped')).body.results, success)
    t.match((await put('wrong')), { status: 503, body: { results: [{ status: 'retryable_error' }] } })
    t.same(await app.mongo.db!.collection('strict').find().toArray(), [{ _id: 'a', text: 'x', owner_id: 'anonymous' }])
    t.same(await app.mongo.db!.collection('untyped').find().toArray(), [{ _id: 'a', text: 'x', anything: 'anonymous' }])
  }
)

t.test('authorizeTransfer: a row goes to another owner only if it says so, and only a row of one\'s own', async t => {
  const asked: unknown[] = []
  const { app, table, rows, row, as } = await serverWith(t, {
    owner: 'owner_id',
    authorizeTransfer: async (operation, { existing }) => {
      asked.push([operation.id, operation.data.owner_id, (await existing())?.['owner_id']])
      return operation.data.owner_id === 'bob' || (operation.data.owner_id === 'eve' ? 'Not to Eve' : false)
    }
  })
  await rows.insertMany([{ _id: 'a', owner_id: 'alice' }, { _id: 'b', owner_id: 'bob' }])
  t.match(
    await as(alice, ['PATCH', 'a', { owner_id: 'eve' }]),
    unauthorized({ message: 'Not to Eve', operation_index: 0 })
  )
  t.match(
    await as(alice, ['PATCH', 'a', { owner_id: 'mallory' }]),
    unauthorized({ message: 'The row may not be given to another owner' })
  )
  t.match(
    await as(
      alice,
      ['PATCH', 'a', { text: 'x' }],
      ['PATCH', 'a', { owner_id: 'bob' }],
      ['PATCH', 'a', { text: 'too late' }]
    ),
    success
  )
  t.match(await row('a'), { text: 'x', owner_id: 'bob' })
  t.match(await as(alice, ['PATCH', 'b', { owner_id: 'bob', text: 'y' }]), success)
  t.match(await as(alice, ['PUT', 'c', { owner_id: 'bob' }]), success)
  t.match(await row('c'), { owner_id: 'alice' }, 'what one creates is one\'s own')
  t.same(await row('b'), { owner_id: 'bob' }, 'the old owner is still a condition')
  t.same(asked, [['a', 'eve', 'alice'], ['a', 'mallory', 'alice'], ['a', 'bob', 'alice'], ['b', 'bob', 'bob']])

  const user = { headers: { 'x-user': JSON.stringify(alice) } }
  t.match(
    (await upload(app, { batch: [{ op: 'PATCH', table, id: 'c', data: { owner_id: 'alice' } }] }, user)).body.results,
    success
  )
  t.equal(asked.length, 4, 'to oneself it is no transfer')
})

t.test('nulls: a default of null for a field that clients cannot write is stored, or left out, like any', async t => {
  for (const nulls of ['store', 'unset'] as const) {
    const { row, as } = await serverWith(t, { nulls, writable: ['text'], defaults: { role: () => null } })
    t.match(await as(alice, ['PUT', 'a', { text: 'x' }]), success)
    t.same(await row('a'), { text: 'x', ...nulls === 'store' && { role: null } })
  }
})

t.test('writable: other fields are refused by name, and a PUT leaves them as they are', async t => {
  for (const nulls of ['store', 'unset'] as const) {
    const { rows, row, as } = await serverWith(t, {
      nulls,
      owner: 'owner_id',
      writable: user => user['admin'] ? true : ['text'],
      defaults: { role: () => 'member', text: () => 'untitled' }
    })
    t.match(await as(alice, ['PUT', 'a', { owner_id: 'alice' }]), success)
    t.match(await row('a'), { text: 'untitled', role: 'member', owner_id: 'alice' })
    await rows.updateOne({ _id: 'a' }, { $set: { role: 'editor' } })
    t.match(await as(alice, ['PUT', 'a', { text: 'replaced', role: null }]), success)
    t.match(await row('a'), { text: 'replaced', role: 'editor', owner_id: 'alice' })
    t.match(await as(alice, ['PATCH', 'a', { text: 'patched' }]), success)

    const refused = unauthorized({
      message: 'role is not this user\'s to write: expected no value, found one',
      details: { path: 'role' },
      operation_index: 0
    })
    t.match(await as(alice, ['PUT', 'a', { role: 'admin' }]), refused)
    t.match(await as(alice, ['PATCH', 'a', { role: 'admin' }]), refused)
    t.match(await as(alice, ['PATCH', 'a', { role: null }]), refused)
    t.match(await row('a'), { text: 'patched', role: 'editor' })
    t.match(await as({ id: 'alice', admin: true }, ['PATCH', 'a', { role: 'admin' }]), success)
    t.match(await row('a'), { text: 'patched', role: 'admin' })
  }
})

t.test('writable: of a list, what nobody may write is left out, of columns without schema too', async t => {
  const { row, as } = await serverWith(t, { owner: 'owner_id', writable: ['text'], defaults: { role: () => 'member' } })
  t.match(
    await as(
      alice,
      ['PUT', 'a', { text: 'x', role: 'admin', owner_id: 'bob' }],
      ['PATCH', 'a', { role: 'admin', text: 'y' }]
    ),
    success
  )
  t.match(await row('a'), { text: 'y', role: 'member', owner_id: 'alice' })
  t.match(
    await as(alice, ['PATCH', 'a', { owner_id: 'bob' }]),
    unauthorized(),
    'the owner is not given away in silence'
  )
  const app = await testServer(t, {
    mongo,
    collections: { any_listed: collection({ schema: 'any', writable: ['text'] }) }
  })
  t.match(
    (await upload(app, { batch: [{ op: 'PUT', table: 'any_listed', id: 'a', data: { text: 'x', level: 9 } }] })).body
      .results,
    success
  )
  t.same(await app.mongo.db!.collection('any_listed').findOne(), { _id: 'a', text: 'x' })
})

t.test('writable: of columns without schema too', async t => {
  const { app, table } = await serverWith(t, {})
  await app.close()
  const second = await testServer(t, {
    mongo,
    collections: {
      [table]: collection({
        schema: 'any',
        owner: user => ({ owner_id: user.id }),
        writable: user => (user.id === 'admin' ? true : ['text'])
      }),
      stored: collection({ schema: Row, unknownFields: 'store', writable: () => ['text', 'role'] })
    }
  })
  const patch = async (data: Record<string, unknown>, to = table) =>
    (await upload(second, { batch: [{ op: 'PUT', table: to, id: 'a', data }] })).body.results
  t.match(await patch({ text: 'x', owner_id: 'somebody' }), success)
  t.match(await patch({ text: 'x', level: 9 }), unauthorized({ details: { path: 'level' } }))
  t.match(await patch({ text: 'x', level: 9 }, 'stored'), unauthorized({ details: { path: 'level' } }))
  t.same(await second.mongo.db!.collection(table).find().toArray(), [{ _id: 'a', text: 'x', owner_id: 'anonymous' }])
})

t.test('writable: more kinds of users than are kept at a time; a mistake in it makes the upload wait', async t => {
  const fields = ['text', 'a', 'b', 'c', 'd', 'e', 'f']
  const { row, as } = await serverWith(
    t,
    { writable: user => user['fields'] as ['text'] },
    Type.Object(Object.fromEntries(fields.map(field => [field, Type.Optional(Type.String())])))
  )
  for (let kind = 0; kind < 2 ** fields.length; kind++) {
    const own = fields.filter((_, bit) => kind & 1 << bit)
    const result = await as({ id: 'alice', fields: own }, ['PUT', 'a', { text: `kind ${kind}` }])
    t.match(result, own.includes('text') ? success : unauthorized())
  }
  t.match(await row('a'), { text: 'kind 127' })
  for (const mistake of [['nothing'], 'text', false]) {
    t.match(
      await as({ id: 'alice', fields: mistake }, ['PUT', 'b', {}]),
      [{ status: 'retryable_error' }],
      String(mistake)
    )
  }
})

t.test('what a transform sets is the server\'s: it may be any field', async t => {
  const { row, as } = await serverWith(t, {
    writable: () => ['text'],
    defaults: { role: () => 'member', org_id: () => new ObjectId(org[0]) },
    transform: operation =>
      operation.op === 'PUT'
        ? { ...operation, data: { ...operation.data, role: 'set', org_id: new ObjectId(org[1]) } }
        : operation
  })
  t.match(await as(alice, ['PUT', 'a', { text: 'x' }]), success)
  t.same(await row('a'), { text: 'x', role: 'set', org_id: new ObjectId(org[1]) })
})

t.test('operations: what is not listed is refused', async t => {
  const { rows, as } = await serverWith(t, { operations: ['PUT', 'PATCH'] })
  await rows.insertOne({ _id: 'a', text: 'x' })
  t.match(
    await as(alice, ['PATCH', 'a', { text: 'y' }], ['DELETE', 'a']),
    unauthorized({ operation_index: 1, message: 'DELETE is not allowed on this table' })
  )
  t.match(await as(alice, ['DELETE', 'missing']), unauthorized(), 'the same answer whether or not the row exists')
  t.same(await rows.find().toArray(), [{ _id: 'a', text: 'x' }])
})

t.test('operations: without PATCH, a PUT creates rows and never changes one', async t => {
  for (const put of ['merge', 'replace'] as const) {
    for (const nulls of ['store', 'unset'] as const) {
      const seen: unknown[] = []
      const { row, as } = await serverWith(t, {
        put,
        nulls,
        operations: ['PUT'],
        owner: 'owner_id',
        authorize: async (_operation, { existing }) => {
          seen.push((await existing())?.['text'])
          return true
        }
      })
      const first = { text: 'first', owner_id: 'alice', ...nulls === 'store' && { role: null, org_id: null } }
      t.match(await as(alice, ['PUT', 'a', { text: 'first' }], ['PUT', 'a', { text: 'second', role: 'x' }]), success)
      t.same(await row('a'), first)
      t.match(await as(alice, ['PUT', 'a', { text: 'third' }]), success)
      t.match(await as(bob, ['PUT', 'a', { text: 'fourth' }]), unauthorized())
      t.same(await row('a'), first)
      t.same(seen, [undefined, 'first', 'first', 'first'])
    }
  }
})

t.test('rules that cannot work stop the start', async t => {
  const wrong: Array<[Record<string, unknown>, RegExp]> = [
    [{ owner: ['owner_id', 'nobody'] }, /collections\.rows\.owner names "nobody", which is not in the schema/],
    [{ owner: { field: 'owner_id', value: 'id' } }, /collections\.rows\.owner is invalid: expected 'field'/],
    [{ owner: { field: 'owner_id', clam: 'org' } }, /collections\.rows\.owner is invalid/],
    [{ owner: [null] }, /collections\.rows\.owner is invalid/],
    [{ owner: [] }, /collections\.rows\.owner is invalid: .* one or more of them in an array/],
    [{ owner: [[]] }, /collections\.rows\.owner is invalid/],
    [{ owner: { field: 'owner_id', claim: 5 } }, /collections\.rows\.owner is invalid/],
    [{ owner: { field: 'owner_id', claim: '' } }, /collections\.rows\.owner is invalid/],
    [{ owner: { field: 'owner_id', claim: 'org', parent: 'rows' } }, /collections\.rows\.owner is invalid/],
    [
      { owner: ['owner_id', { field: 'owner_id', claim: 'org' }] },
      /collections\.rows\.owner names "owner_id" twice: a field holds one value, so keep one of the rules/
    ],
    [{ writable: 5 }, /collections\.rows\.writable is 5: expected an array of fields, or a function/],
    [{ writable: ['nobody'] }, /collections\.rows\.writable names "nobody"/],
    [
      { writable: () => true, put: 'replace' },
      /collections\.rows\.put is replace, which would drop the fields that writable keeps: use merge, or leave writable out/
    ],
    [{ operations: ['INSERT'] }, /collections\.rows\.operations\[0\] is "INSERT": expected 'PUT', 'PATCH' or 'DELETE'/],
    [
      { owner: 'owner_id', authorizeTransfer: true },
      /collections\.rows\.authorizeTransfer is true: expected a function/
    ],
    [{ authorizeTransfer: () => true }, /collections\.rows\.authorizeTransfer needs an owner field/]
  ]
  for (const [rules, message] of wrong) {
    await t.rejects(
      testServer(t, { mongo, collections: { rows: collection({ schema: Row, ...rules } as CollectionOptions) } }),
      { code: 'FST_PSM_OPTION', message }
    )
  }
})
