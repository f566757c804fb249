/** What PowerSync's reference write API promises its clients, one test for each behaviour: see docs/reliability.md. */
import t from 'tap'
import type { Test } from 'tap'
import { Type } from '@sinclair/typebox'
import {
  collection, PowerSyncFatalError, type CrudTransaction, type FailedOperation, type PowerSyncMongoOptions, type User
} from '../../index.js'
import { needs, testDatabase } from '../support/database.js'
import { failPoints } from '../support/fail-point.js'
import { testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
let servers = 0

/** A server, and a client that sends as the reference connector does. */
async function setUp (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const name = `rows_${++servers}`
  const user = `user${servers}`
  const log: string[] = []
  const app = await testServer(t, {
    mongo: { url: database.uri },
    authenticate: request => request.headers.authorization === 'Bearer session' ? { id: user } : null,
    collections: { rows: collection({ name, schema: Type.Object({ text: Type.String({ maxLength: 5 }) }) }) },
    ...options
  }, { logger: { level: 'warn', stream: { write: line => { log.push(line) } } } })
  const db = app.mongo.db!
  return {
    app,
    log,
    send: (
      transactions: unknown,
      {
        headers = { authorization: 'Bearer session' },
        ...fields
      }: { headers?: Record<string, string>; [field: string]: unknown } = {}
    ) => upload(app, { transactions, ...fields }, { headers }),
    rows: async () => (await db.collection(name).find().sort({ _id: 1 }).toArray()).map(({ _id }) => String(_id)),
    letters: async () => await app.powersync.deadLetters.list({ user })
  }
}

const put = (id: string, text: unknown = 'text') => ({
  id,
  op: 'PUT',
  table: 'rows',
  transaction_id: 1,
  op_data: { text },
  previous_values: null,
  metadata: null
})
const transaction = (...ids: string[]) => ({ crud: ids.map(id => put(id)) })
const bad = { crud: [put('x'), put('y', 'too long'), put('z')] }
const succeeded = { status: 'success' }
const failed = (operation: Partial<FailedOperation> = {}, { byClient = false } = {}) => ({
  status: 'fatal_error',
  requires_client_handling: byClient,
  failed_operation: operation
})

t.test('each transaction by itself and in order, one result each', async t => {
  const { send, rows } = await setUp(t)
  const { status, body } = await send([
    transaction('a', 'b'),
    { transaction_id: 7, crud: [put('a', 'later')] },
    { transaction_id: 8, crud: [{ ...put('b'), op: 'DELETE' }] }
  ])
  t.equal(status, 200)
  t.same(body, { results: [succeeded, succeeded, succeeded] })
  t.same(await rows(), ['a'])
})

t.test('1 to 50 transactions: none, 51 and other shapes are 400, and nothing is stored', async t => {
  const { send, rows } = await setUp(t)
  const many = (count: number) => Array.from({ length: count }, (_, index) => transaction(`row${index}`))
  for (const body of [
    [],
    many(51),
    'text',
    [[]],
    [{}],
    [{ crud: 'text' }],
    [{ crud: [{ ...put('a'), op: 'INSERT' }] }],
    [{ crud: [{ ...put('a'), id: 5 }] }]
  ]) {
    t.match(await send(body), { status: 400, body: { code: 'FST_PSM_BODY', message: /expected/ } })
  }
  t.same(await rows(), [])
  t.match(await send(many(50)), { status: 200 })
  t.equal((await rows()).length, 50)
})

t.test('those behind a failure are not attempted', async t => {
  const { send, rows } = await setUp(t)
  const { body } = await send([transaction('a'), bad, transaction('b'), transaction('c')])
  t.match(body.results, [
    succeeded,
    failed({ error_code: 'INVALID_DATA', operation_index: 1, details: { path: 'text' } }),
    { status: 'not_attempted' },
    { status: 'not_attempted' }
  ])
  t.same(await rows(), ['a'])
})

t.test('in the containers of clients that read the status alone, those behind a failure are applied', async t => {
  for (const container of ['batch', 'operations']) {
    const { app, rows, letters } = await setUp(t)
    const queue = [transaction('a'), bad, transaction('b')].flatMap(({ crud }, index) =>
      crud.map(operation => ({ ...operation, transaction_id: index }))
    )
    const { status, body } = await upload(app, { [container]: queue }, { headers: { authorization: 'Bearer session' } })
    t.equal(status, 200)
    t.match(body.results, [succeeded, failed({ operation_index: 1 }), succeeded])
    t.same(await rows(), ['a', 'b'])
    t.equal((await letters()).length, 1)
  }
})

t.test('a policy that the client sends is ignored', async t => {
  for (const policy of ['skip', 'stop', 'anything']) {
    const { send } = await setUp(t)
    t.match((await send([bad, transaction('b')], { on_fatal_error: policy, onFatalError: policy })).body.results, [
      failed(),
      { status: 'not_attempted' }
    ])
  }
})

t.test(
  'a rejected transaction is kept once, whole, with its user and the request, however often it is sent',
  async t => {
    const { send, letters } = await setUp(t)
    await send([bad], { client_id: 'phone' })
    await send([bad], { client_id: 'phone' })
    t.match(await letters(), [
      {
        user_id: `user${servers}`,
        client_id: 'phone',
        request_id: /./,
        failed_operation: { error_code: 'INVALID_DATA', operation_index: 1 },
        operations: [{ id: 'x' }, { id: 'y' }, { id: 'z' }]
      }
    ])
    t.equal((await letters()).length, 1)
  }
)

/** Which of them writes a transaction depends on what it has, and on the version of MongoDB. */
const writes = { failCommands: ['insert', 'update', 'delete', 'bulkWrite'] }

t.test(
  'the answer does not come before the rejected transaction is kept; if it cannot be kept, it is not rejected',
  { skip: needs(database, 'failPoints', 'a refused write') },
  async t => {
    const { send, letters } = await setUp(t)
    const faults = failPoints(t, database.uri)
    await faults.on({ ...writes, errorCode: 13 })
    t.match((await send([bad, transaction('a')])).body.results, [
      { status: 'retryable_error' },
      { status: 'not_attempted' }
    ])
    t.same(await letters(), [])
  }
)

t.test('a handler of outcomes that throws, rejects or hangs changes nothing', async t => {
  const handlers: Array<NonNullable<PowerSyncMongoOptions['onResult']>> = [
    () => {
      throw new Error('in a handler')
    },
    async () => {
      throw new Error('in a handler')
    },
    () => new Promise(() => {})
  ]
  for (const onResult of handlers) {
    const { send, rows, letters, log } = await setUp(t, { onResult, upload: { deadline: 1000 } })
    t.match(await send([transaction('a'), bad]), { status: 200, body: { results: [succeeded, failed()] } })
    t.same(await rows(), ['a'])
    t.equal((await letters()).length, 1)
    t.match(log.join(''), /onResult failed; the upload is not affected/)
  }
})

t.test('what is left to the client always stops, is kept nowhere, and tells the handler whose it is', async t => {
  const asked: Array<{ failed: FailedOperation, transaction: CrudTransaction, user: User }> = []
  const { send, rows, letters } = await setUp(t, {
    upload: { requiresClientHandling: (failed, transaction, user) => asked.push({ failed, transaction, user }) > 0 }
  })
  t.match((await send([bad, transaction('b')])).body.results, [
    failed({ operation_index: 1 }, { byClient: true }),
    { status: 'not_attempted' }
  ])
  t.same(await rows(), [])
  t.same(await letters(), [])
  t.match(asked, [
    {
      failed: { error_code: 'INVALID_DATA' },
      transaction: { operations: [{ id: 'x' }, { id: 'y' }, { id: 'z' }] },
      user: { id: `user${servers}` }
    }
  ])
})

t.test('a classifier that fails makes the transaction one to send again, and stops', async t => {
  const { send, letters } = await setUp(t, {
    upload: {
      requiresClientHandling: () => {
        throw new Error('in a classifier')
      }
    }
  })
  t.match((await send([bad, transaction('b')])).body.results, [
    { status: 'retryable_error', retry_after_ms: 5000 },
    { status: 'not_attempted' }
  ])
  t.same(await letters(), [])
})

t.test('not authorised: UNAUTHORIZED for its operation, and nothing of its transaction is stored', async t => {
  const { send, rows } = await setUp(t, { authorize: ({ id }) => id !== 'b' })
  t.match((await send([transaction('a', 'b')])).body.results, [
    failed({ error_code: 'UNAUTHORIZED', operation_index: 1 })
  ])
  t.same(await rows(), [])
})

t.test('an error that an app throws to be tried again stays one, with what to wait', async t => {
  let broken = true
  const { send, rows, letters } = await setUp(t, {
    authorize: () => {
      if (broken) throw new Error('try again')
      return true
    }
  })
  t.match(await send([transaction('a'), transaction('b')]), {
    status: 200,
    body: { results: [{ status: 'retryable_error', retry_after_ms: 5000 }, { status: 'not_attempted' }] }
  })
  t.same(await letters(), [])
  broken = false
  t.match((await send([transaction('a'), transaction('b')])).body.results, [succeeded, succeeded])
  t.same(await rows(), ['a', 'b'])
})

t.test('an app\'s own error keeps its code, message, details and operation', async t => {
  const { send } = await setUp(t, {
    updateBatch: () => {
      throw new PowerSyncFatalError('QUOTA_EXCEEDED', 'Enough', { details: { limit: 100 }, operationIndex: 1 })
    }
  })
  t.match((await send([transaction('a', 'b')])).body.results, [
    failed({ error_code: 'QUOTA_EXCEEDED', message: 'Enough', details: { limit: 100 }, operation_index: 1 })
  ])
})

t.test('a table without schema: SCHEMA_MISMATCH for its operation, kept once', async t => {
  const { send, letters } = await setUp(t)
  t.match((await send([{ crud: [{ ...put('a'), table: 'unknown' }] }])).body.results, [
    failed({ error_code: 'SCHEMA_MISMATCH', operation_index: 0 })
  ])
  t.equal((await letters()).length, 1)
})

t.test(
  'a database that refuses the credentials, is lost at commit, or cannot be reached: to be sent again, kept nowhere',
  { skip: needs(database, 'failPoints', 'its faults') },
  async t => {
    const own = await testDatabase(t, { ownServer: true })
    const { send, rows, letters } = await setUp(t, {
      mongo: { url: own.uri, serverSelectionTimeoutMS: 200 },
      upload: { deadline: 1000 }
    })
    const faults = failPoints(t, own.uri)
    const retryable = {
      status: 200,
      body: { results: [{ status: 'retryable_error', retry_after_ms: 5000 }, { status: 'not_attempted' }] }
    }
    const batch = [transaction('a', 'b'), transaction('c')]

    await faults.on({ ...writes, errorCode: 18 })
    t.match(await send(batch), retryable, 'credentials')
    await faults.on({ failCommands: ['commitTransaction'], closeConnection: true })
    const { body } = await send(batch)
    t.match(
      body,
      { results: [{ status: 'retryable_error' }, { status: 'retryable_error' }] },
      'lost at commit: nobody knows what became of the two that shared it'
    )
    t.notOk(body.results[0].failed_operation, 'which is no operation\'s fault')
    t.same(await rows(), [])
    t.same(await letters(), [])
    await faults.off()
    await own.stop()
    t.match(await send(batch), retryable, 'not there')
  }
)

t.test('nobody: 401 before anything is read', async t => {
  const { send, rows } = await setUp(t)
  for (const authorization of ['', 'Bearer other', 'Bearer a.b.c']) {
    t.match(await send([transaction('a')], { headers: { authorization } }), {
      status: 401,
      body: { code: 'FST_PSM_UNAUTHORIZED' }
    })
  }
  t.same(await rows(), [])
})
