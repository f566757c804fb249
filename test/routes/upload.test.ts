import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection, PowerSyncFatalError } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const uuid = '61d19021-0565-4686-acc4-3ea4f8c48839'

const collections = {
  lists: collection({
    schema: Type.Object({
      name: Type.String({ maxLength: 20 }),
      done: Type.Optional(bson.Boolean()),
      created_at: Type.Optional(bson.Date())
    })
  }),
  tags: collection({ id: 'uuid', schema: Type.Object({ name: Type.Optional(Type.String()) }) })
}

const database = await testDatabase(t)
const mongo = { url: database.uri }
const app = await testServer(t, { mongo, collections })
const db = app.mongo.db!
const stored = (id: string, name = 'lists') => db.collection<{ _id: string }>(name).findOne({ _id: id })
const put = (id: string, data: Record<string, unknown> = { name: 'Name' }, table = 'lists') => ({
  op: 'PUT',
  table,
  id,
  data
})
const letters = () => app.powersync.deadLetters.list()

t.test('the request of the CloudCode page is stored with its date as UTC', async t => {
  const { status, body } = await upload(app, {
    batch: [{ op: 'PUT', table: 'lists', id: uuid, data: { created_at: '2024-10-31 10:33:24', name: 'Name' } }]
  })
  t.equal(status, 200)
  t.same(body, { results: [{ status: 'success' }] })
  t.same(await stored(uuid), { _id: uuid, name: 'Name', done: null, created_at: new Date('2024-10-31T10:33:24Z') })
})

t.test('PUT sets every column of the schema and keeps what the schema does not know', async t => {
  await db
    .collection<{ _id: string }>('lists')
    .insertOne({ _id: 'put', name: 'Old', done: true, server_only: 1 } as { _id: string })
  t.equal((await upload(app, { batch: [put('put', { name: 'New' })] })).status, 200)
  t.same(await stored('put'), { _id: 'put', name: 'New', done: null, created_at: null, server_only: 1 })
})

t.test('PATCH changes the columns it has; of a missing document it changes nothing and succeeds', async t => {
  await upload(app, { batch: [put('patch', { name: 'Old', done: 0 })] })
  const { status, body } = await upload(app, {
    batch: [
      { op: 'PATCH', table: 'lists', id: 'patch', data: { done: 1, created_at: null } },
      { op: 'PATCH', table: 'lists', id: 'nobody', data: { done: 1 } }
    ]
  })
  t.equal(status, 200)
  t.same(body, { results: [{ status: 'success' }] })
  t.same(await stored('patch'), { _id: 'patch', name: 'Old', done: true, created_at: null })
  t.equal(await stored('nobody'), null)
})

t.test('an empty PATCH succeeds', async t => {
  t.same((await upload(app, { batch: [{ op: 'PATCH', table: 'lists', id: 'patch', data: {} }] })).body, {
    results: [{ status: 'success' }]
  })
  t.match(await stored('patch'), { name: 'Old' })
})

t.test('DELETE removes, and succeeds again when the document is gone', async t => {
  await upload(app, { batch: [put('delete')] })
  for (let time = 0; time < 2; time++) {
    t.same((await upload(app, { batch: [{ op: 'DELETE', table: 'lists', id: 'delete' }] })).body, {
      results: [{ status: 'success' }]
    })
    t.equal(await stored('delete'), null)
  }
})

t.test('an upload of nothing succeeds', async t => {
  t.same((await upload(app, { batch: [] })).body, { results: [] })
  t.same((await upload(app, { transactions: [{ crud: [] }] })).body, { results: [{ status: 'success' }] })
})

t.test('a body that cannot be read is answered with 400 and what was expected, and nothing is written', async t => {
  const before = await db.collection('lists').countDocuments()
  const kept = (await letters()).length
  const cases: Record<string, [unknown, RegExp]> = {
    'not JSON': [
      '{"batch": secret',
      /^The body: expected an object with one of "batch".*found something that is not JSON$/
    ],
    'an empty body': ['', /^The body: expected an object/],
    'batch that is not an array': [{ batch: put('bad') }, /^batch: expected an array of operations, found an object$/],
    'op in lower case': [
      { batch: [{ ...put('bad'), op: 'put' }] },
      /^batch\[0\]\.op: expected "PUT", "PATCH" or "DELETE", found text$/
    ],
    'a numeric id': [
      { batch: [{ ...put('bad'), id: 5 }] },
      /^batch\[0\]\.id: expected the row's id as text, found a number$/
    ],
    'no id': [
      { batch: [{ op: 'PUT', table: 'lists', data: {} }] },
      /^batch\[0\]\.id: expected the row's id as text, found nothing$/
    ],
    'data that is an array': [
      { batch: [{ ...put('bad'), data: [] }] },
      /^batch\[0\]\.data: expected an object of columns, found an array$/
    ]
  }
  for (const [name, [body, message]] of Object.entries(cases)) {
    const response = await upload(app, body)
    t.equal(response.status, 400, name)
    t.match(response.body, { statusCode: 400, code: 'FST_PSM_BODY', message }, name)
  }
  const noBody = await app.inject({ method: 'POST', url: '/upload' })
  t.equal(noBody.statusCode, 400)
  const otherType = await app.inject({
    method: 'POST',
    url: '/upload',
    headers: { 'content-type': 'text/plain' },
    payload: '{}'
  })
  t.equal(otherType.statusCode, 415)
  t.equal(await db.collection('lists').countDocuments(), before)
  t.equal((await letters()).length, kept)
})

t.test(
  'an operation that can never be stored is rejected for good, with its place and reason, and kept as a dead letter',
  async t => {
    const before = await db.collection('lists').countDocuments()
    const cases: Record<string, [unknown, { error_code: string, message: RegExp, details?: object }]> = {
      'an unknown table': [
        put('bad', {}, 'users'),
        { error_code: 'SCHEMA_MISMATCH', message: /not one of the server's collections/, details: { table: 'users' } }
      ],
      'a table of the system': [
        put('bad', {}, 'system.users'),
        { error_code: 'SCHEMA_MISMATCH', message: /collections/ }
      ],
      'a table named like a property of objects': [
        put('bad', {}, '__proto__'),
        { error_code: 'SCHEMA_MISMATCH', message: /collections/ }
      ],
      'a column $set': [put('bad', { name: 'n', $set: { a: 1 } }), { error_code: 'INVALID_DATA', message: /\$set/ }],
      'a column with a dot': [put('bad', { name: 'n', 'a.b': 1 }), { error_code: 'INVALID_DATA', message: /a\.b/ }],
      'a column _id': [put('bad', { name: 'n', _id: 'x' }), { error_code: 'INVALID_DATA', message: /_id/ }],
      'a column id': [put('bad', { name: 'n', id: 'x' }), { error_code: 'INVALID_DATA', message: /id/ }],
      'a column __proto__': [
        '{"batch":[{"op":"PUT","table":"lists","id":"bad","data":{"name":"n","__proto__":{"polluted":true}}}]}',
        { error_code: 'INVALID_DATA', message: /__proto__/ }
      ],
      'an unknown column': [
        put('bad', { name: 'n', nmae: 'x' }),
        { error_code: 'SCHEMA_MISMATCH', message: /nmae/, details: { path: 'nmae' } }
      ],
      'a date "soon"': [
        put('bad', { name: 'n', created_at: 'soon' }),
        { error_code: 'INVALID_DATA', message: /created_at/, details: { path: 'created_at' } }
      ],
      'a boolean "yes"': [
        put('bad', { name: 'n', done: 'yes' }),
        { error_code: 'INVALID_DATA', message: /done/, details: { path: 'done' } }
      ],
      'text that is too long': [
        put('bad', { name: 'n'.repeat(21) }),
        { error_code: 'INVALID_DATA', message: /name/, details: { path: 'name' } }
      ],
      'a required column that is missing': [
        put('bad', { done: 1 }),
        { error_code: 'INVALID_DATA', message: /name/, details: { path: 'name' } }
      ],
      'a required column that is cleared': [
        { op: 'PATCH', table: 'lists', id: 'bad', data: { name: null } },
        { error_code: 'INVALID_DATA', message: /name/, details: { path: 'name' } }
      ],
      'an empty id, which a row can have': [put(''), { error_code: 'INVALID_DATA', message: /id/ }],
      'an id in upper case where it is a uuid': [
        put(uuid.toUpperCase(), {}, 'tags'),
        { error_code: 'INVALID_DATA', message: /id/ }
      ]
    }
    for (const [name, [operation, failure]] of Object.entries(cases)) {
      const kept = (await letters()).length
      const { status, body } = await upload(app, typeof operation === 'string' ? operation : { batch: [operation] })
      t.equal(status, 200, name)
      t.match(
        body.results,
        [
          {
            status: 'fatal_error',
            requires_client_handling: false,
            failed_operation: { operation_index: 0, ...failure }
          }
        ],
        name
      )
      t.equal((await letters()).length, kept + 1, name)
    }
    t.equal(await db.collection('lists').countDocuments(), before)
    t.equal(await db.collection('tags').countDocuments(), 0)
    t.equal(await db.collection('users').countDocuments(), 0)
    t.notOk('polluted' in {})
  }
)

t.test(
  'one bad operation among five: none is stored, one dead letter holds all five, the next transaction is applied',
  async t => {
    const kept = new Set((await letters()).map(({ _id }) => _id))
    const operation = (id: string, transaction: number, data: Record<string, unknown> = { name: 'Name' }) => ({
      op: 'PUT',
      type: 'lists',
      id,
      data,
      tx_id: transaction,
      op_id: transaction * 10
    })
    const body = {
      client_id: 'phone',
      batch: [
        operation('five-0', 1),
        operation('five-1', 1),
        operation('five-2', 1, { name: 'Name', created_at: 'soon' }),
        operation('five-3', 1),
        operation('five-4', 1),
        operation('next', 2)
      ]
    }
    const response = await upload(app, body)
    t.equal(response.status, 200)
    t.match(response.body.results, [
      {
        status: 'fatal_error',
        failed_operation: {
          operation_index: 2,
          error_code: 'INVALID_DATA',
          message: /created_at/,
          details: { path: 'created_at' }
        }
      },
      { status: 'success' }
    ])
    for (let index = 0; index < 5; index++) t.equal(await stored(`five-${index}`), null)
    t.match(await stored('next'), { name: 'Name' })

    const added = (await letters()).filter(({ _id }) => !kept.has(_id))
    t.match(added, [
      {
        user_id: 'anonymous',
        client_id: 'phone',
        transaction_id: '1',
        request_id: /req-/,
        created_at: Date,
        failed_operation: { operation_index: 2 }
      }
    ])
    t.equal(added.length, 1)
    t.same(added[0]?.operations.map(({ op, table, id, op_id: opId, data }) => [op, table, id, opId, JSON.parse(data!)]),
      body.batch.slice(0, 5).map(({ op, type, id, op_id: opId, data }) => [op, type, id, String(opId), data]))

    await upload(app, body)
    t.equal((await letters()).length, kept.size + 1, 'the same upload again leaves no second letter')
  }
)

t.test('a client that sends transactions is stopped by the first failure', async t => {
  const { status, body } = await upload(app, {
    transactions: [{ crud: [put('stop-0')] }, { crud: [put('stop-1', { name: 5 })] }, { crud: [put('stop-2')] }]
  })
  t.equal(status, 200)
  t.match(body.results, [{ status: 'success' }, { status: 'fatal_error' }, { status: 'not_attempted' }])
  t.match(await stored('stop-0'), { name: 'Name' })
  t.equal(await stored('stop-2'), null)
})

t.test(
  'a passing fault: 503 for batch, 200 with the result for transactions, nothing stored, no dead letter, the rest ' +
  'not attempted',
  async t => {
    const failing = await testServer(t, {
      mongo,
      collections,
      authorize: operation => {
        if (operation.id === 'retry-1') throw new Error('the session store is down: secret')
        return true
      }
    })
    const kept = (await letters()).length
    const batch = [0, 1, 2].map(index => ({ ...put(`retry-${index}`), tx_id: index }))
    const results = [
      { status: 'success' },
      { status: 'retryable_error', retry_after_ms: 5000, message: /send it again/ },
      { status: 'not_attempted' }
    ]
    const asBatch = await upload(failing, { batch })
    t.equal(asBatch.status, 503)
    t.equal(asBatch.headers['retry-after'], '5')
    t.match(asBatch.body.results, results)
    t.notMatch(JSON.stringify(asBatch.body), /secret/)
    const asTransactions = await upload(failing, { transactions: batch.map(operation => ({ crud: [operation] })) })
    t.equal(asTransactions.status, 200)
    t.match(asTransactions.body.results, results)
    t.match(await stored('retry-0'), { name: 'Name' })
    t.equal(await stored('retry-1'), null)
    t.equal(await stored('retry-2'), null)
    t.equal((await letters()).length, kept)
  }
)

t.test('a body over the limit is answered with 413 and the limit', async t => {
  const small = await testServer(t, { mongo, collections, upload: { bodyLimit: 2048, maxOperations: 3 } })
  const large = await upload(small, { batch: [put('large', { name: 'n'.repeat(3000) })] })
  t.equal(large.status, 413)
  t.match(large.body, { code: 'FST_PSM_TOO_LARGE', message: /larger than 2048 bytes.*upload\.bodyLimit/ })
  const many = await upload(small, { batch: [1, 2, 3, 4].map(index => put(`many-${index}`)) })
  t.equal(many.status, 413)
  t.match(many.body, { code: 'FST_PSM_TOO_LARGE', message: /4 operations.*takes 3.*upload\.maxOperations/ })
  t.equal(await stored('large'), null)
  t.equal(await stored('many-1'), null)
})

t.test('the body may be larger than Fastify\'s own limit of 1 MiB', async t => {
  const wide = await testServer(t, {
    mongo,
    collections: { notes: collection({ schema: Type.Object({ text: Type.String() }) }) }
  })
  const { status } = await upload(wide, { batch: [put('wide', { text: 'n'.repeat(2 * 1024 * 1024) }, 'notes')] })
  t.equal(status, 200)
  t.equal((await stored('wide', 'notes') as { text?: string } | null)?.text?.length, 2 * 1024 * 1024)
})

t.test('who is nobody is answered with 401 before the body is read', async t => {
  const closed = await testServer(t, { mongo, collections, authenticate: () => null })
  const { status, body } = await upload(closed, 'not JSON')
  t.equal(status, 401)
  t.match(body, { code: 'FST_PSM_UNAUTHORIZED', message: /Nobody is signed in/ })
  t.equal((await upload(closed, { batch: [put('nobody')] })).status, 401)
  t.equal(await stored('nobody'), null)
})

t.test('the bearer of a token of this server may upload, as that user', async t => {
  const users: string[] = []
  const closed = await testServer(t, {
    mongo,
    collections,
    authenticate: () => null,
    onResult: (_outcome, { user }) => {
      users.push(user.id)
    }
  })
  const { token } = await closed.powersync.signToken({ id: 'user1' })
  for (const scheme of ['Bearer', 'Token', 'bearer']) {
    t.equal(
      (await upload(closed, { batch: [put('token')] }, { headers: { authorization: `${scheme} ${token}` } })).status,
      200
    )
  }
  t.same(users, ['user1', 'user1', 'user1'])
  t.equal(
    (await upload(closed, { batch: [put('token')] }, { headers: { authorization: `Bearer ${token}x` } })).status,
    401
  )
})

t.test('a hook that refuses for good gives its own code', async t => {
  const strict = await testServer(t, {
    mongo,
    collections,
    transform: () => {
      throw new PowerSyncFatalError('QUOTA_EXCEEDED', 'A list holds at most 100 todos', { details: { limit: 100 } })
    }
  })
  const { status, body } = await upload(strict, { batch: [put('quota-0'), put('quota-1')] })
  t.equal(status, 200)
  t.same(body.results, [{
    status: 'fatal_error',
    requires_client_handling: false,
    failed_operation: {
      error_code: 'QUOTA_EXCEEDED',
      message: 'A list holds at most 100 todos',
      details: { limit: 100 },
      operation_index: 0
    },
    message: 'A list holds at most 100 todos'
  }])
})
