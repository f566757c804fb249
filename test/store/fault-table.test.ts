/**
 * Each row of the table in docs/reliability.md: the answer, the database and the dead letters. The emulator holds the
 * data, and a proxy before it makes the faults; on a real MongoDB the faults are the same, so it is not needed here.
 */
import t from 'tap'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { collection, PowerSyncFatalError, type AuthorizeHook } from '../../index.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload, type UploadResponse } from '../support/server.js'
import type { Command } from '../support/wire-protocol.js'
import { startWireProxy, type Verdict } from '../support/wire-proxy.js'
import { commandError, type ServerError } from '../support/wire-replies.js'

const database = await testDatabase(t)
const skip = needs(database, 'emulator', 'a proxy that makes the faults')

type Fault = (command: Command) => Verdict

const put = (id: string, opId: number, data: object = { name: `secret of ${id}` }) => ({ op: 'PUT', table: 'lists', id, op_id: opId, data })
const transaction = [put('a', 1), put('b', 2), put('c', 3)]

async function setUp (t: Test, { authorize, deadline = 1500, clientOptions = {} }: { authorize?: AuthorizeHook, deadline?: number, clientOptions?: object } = {}) {
  let fault: Fault = () => undefined
  const proxy = await startWireProxy(database.uri, { judge: command => fault(command) })
  t.teardown(() => proxy.stop())
  const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
  t.teardown(() => client.close())
  const db = client.db()
  // Rows and letters of the tests before; with the ledger, or it would remember their operations.
  for (const name of ['lists', 'owned', 'powersync_dead_letters', 'powersync_ledger']) await db.collection(name).deleteMany({})
  const log: string[] = []
  const app = await testServer(t, {
    mongo: { url: proxy.uri, serverSelectionTimeoutMS: 400, heartbeatFrequencyMS: 500, minHeartbeatFrequencyMS: 50, ...clientOptions },
    upload: { deadline },
    ...authorize && { authorize },
    collections: {
      lists: collection({ schema: Type.Object({ name: Type.String() }) }),
      owned: collection({ schema: Type.Object({ name: Type.String(), owner_id: Type.String() }), owner: 'owner_id' })
    }
  }, { logger: { level: 'warn', stream: { write: line => { log.push(line) } } } })
  return {
    db,
    log,
    send: (operations: object[] = transaction) => upload(app, { client_id: 'phone', batch: operations }),
    make (next: Fault) { fault = next },
    rows: async () => (await db.collection('lists').find().sort({ _id: 1 }).toArray()).map(({ _id }) => String(_id)),
    letters: async () => await db.collection('powersync_dead_letters').find().toArray()
  }
}

/** Sends again as clients do: after a cut the driver may take a moment to connect. */
async function untilStored (send: () => Promise<UploadResponse>): Promise<UploadResponse> {
  for (let attempt = 1; ; attempt++) {
    const response = await send()
    if (response.status === 200 || attempt === 10) return response
    await new Promise(resolve => setTimeout(resolve, 300))
  }
}

/** A fault of one kind of command, each time or the first time only. */
function on (name: string, verdict: Verdict, { times = Infinity, collection }: { times?: number, collection?: string } = {}): Fault {
  let left = times
  return command => command.name === name && (collection === undefined || command.collection === collection) && left-- > 0 ? verdict : undefined
}

const refused = (error: ServerError, { abort = false } = {}): Verdict => ({ reply: commandError({ errmsg: 'about secret', ...error }), abort })
/** As a server answers when the second statement fails. */
const statementFails = (error: ServerError): Verdict => ({ reply: { ok: 1, n: 1, nModified: 0, writeErrors: [{ index: 1, errmsg: 'about secret', ...error }] } })
const transient = ['TransientTransactionError']
const writing = { collection: 'lists' }

const passing: Record<string, [Fault, Fault]> = Object.fromEntries(([
  ['a write conflict', 'update', refused({ code: 112, codeName: 'WriteConflict', labels: transient })],
  ['a write conflict without its label, at commit', 'commitTransaction', refused({ code: 112, codeName: 'WriteConflict' }, { abort: true })],
  ['a transaction that is gone', 'update', refused({ code: 251, codeName: 'NoSuchTransaction', labels: transient })],
  ['a member that is not primary any more', 'update', refused({ code: 10107, codeName: 'NotWritablePrimary', labels: transient })],
  ['an election', 'commitTransaction', refused({ code: 189, codeName: 'PrimarySteppedDown', labels: ['RetryableWriteError', 'UnknownTransactionCommitResult'] })],
  ['a shutdown', 'update', refused({ code: 91, codeName: 'ShutdownInProgress', labels: transient })],
  ['an interrupted operation', 'update', refused({ code: 11602, codeName: 'InterruptedDueToReplStateChange', labels: transient })],
  ['a connection that is cut before a write', 'update', { cut: 'before' }],
  ['a connection that is cut before the commit', 'commitTransaction', { cut: 'before' }]
] as const).map(([name, command, verdict]) => {
  const where = command === 'update' ? writing : {}
  return [name, [on(command, verdict, { ...where, times: 1 }), on(command, verdict, where)]]
}))

t.test('faults that pass', { skip }, async t => {
  for (const [name, [once, always]] of Object.entries(passing)) {
    await t.test(`${name}: once, it is not noticed`, async t => {
      const { send, make, rows, letters } = await setUp(t)
      make(once)
      t.match(await send(), { status: 200, body: { results: [{ status: 'success' }] } })
      t.same(await rows(), ['a', 'b', 'c'])
      t.same(await letters(), [])
    })

    await t.test(`${name}: for longer than the deadline, it is 503, and nothing is stored`, async t => {
      const { send, make, rows, letters, log } = await setUp(t)
      make(always)
      const { status, body } = await send()
      t.equal(status, 503)
      t.match(body.results, [{ status: 'retryable_error', retry_after_ms: 5000 }])
      t.same(await rows(), [])
      t.same(await letters(), [])
      t.notMatch(log.join('') + JSON.stringify(body), /secret/)
    })
  }
})

t.test('a commit whose answer is lost, for ever: 503, and sent again it is not applied again', { skip }, async t => {
  const { db, send, make, rows, letters } = await setUp(t)
  make(on('commitTransaction', { cut: 'after' }))
  t.match(await send(), { status: 503 })
  t.same(await rows(), ['a', 'b', 'c'], 'it was committed')
  await db.collection('lists').deleteOne({ _id: 'b' as never }) // somebody else, since
  make(() => undefined)
  t.match(await untilStored(send), { status: 200, body: { results: [{ status: 'success' }] } })
  t.same(await rows(), ['a', 'c'])
  t.same(await letters(), [])
})

const forTheOperator: Record<string, Fault> = {
  'a time-out of the server (50)': on('update', refused({ code: 50, codeName: 'MaxTimeMSExpired' }), writing),
  'missing permissions (13)': on('update', refused({ code: 13, codeName: 'Unauthorized' }), writing),
  'failed authentication (18)': on('update', refused({ code: 18, codeName: 'AuthenticationFailed' }), writing),
  'a standalone server (20)': on('update', refused({ code: 20, codeName: 'IllegalOperation' }), writing),
  'a full disk (14031)': on('update', refused({ code: 14031, codeName: 'OutOfDiskSpace' }), writing),
  'a full disk (quota)': on('update', refused({ code: 12501, codeName: 'Location12501' }), writing),
  'a statement that fails with an unknown code': on('update', statementFails({ code: 424_242 }), writing),
  'an unknown code without a name, at commit': on('commitTransaction', refused({ code: 424_242 }, { abort: true })),
  'a ledger that cannot be read': on('find', refused({ code: 424_242 }), { collection: 'powersync_ledger' })
}

t.test('faults that somebody has to mend', { skip }, async t => {
  const { send, make, rows, letters, log } = await setUp(t)
  for (const [name, fault] of Object.entries(forTheOperator)) {
    await t.test(`${name}: 503, nothing stored, no dead letter`, async t => {
      make(fault)
      const { status, body } = await send()
      t.equal(status, 503)
      t.match(body.results, [{ status: 'retryable_error', retry_after_ms: 5000 }])
      t.same(await rows(), [])
      t.same(await letters(), [])
      t.notMatch(log.join('') + JSON.stringify(body), /secret/)
    })
  }

  make(() => undefined)
  t.match(await send(), { status: 200, body: { results: [{ status: 'success' }] } })
  t.same(await rows(), ['a', 'b', 'c'], 'when it is mended, the same upload is stored')
  t.match(log.at(-1), /the head of an upload queue keeps failing/, 'and until then the log said that the queue is blocked')
})

t.test('a MongoDB that does not answer, and connections that are all in use: 503, nothing stored, no dead letter', { skip }, async t => {
  const { send, make, rows, letters } = await setUp(t, { clientOptions: { maxPoolSize: 1, waitQueueTimeoutMS: 200 } })
  make(command => command.collection === 'lists' ? { hang: true } : undefined)
  const [hanging, waiting] = await Promise.all([send(), new Promise(resolve => setTimeout(resolve, 300)).then(() => send([put('d', 9)]))])
  t.match(hanging, { status: 503, body: { results: [{ status: 'retryable_error' }] } })
  t.match(waiting, { status: 503, body: { results: [{ status: 'retryable_error' }] } })
  t.same(await rows(), [])
  t.same(await letters(), [])
  make(() => undefined)
  t.match(await untilStored(send), { status: 200 })
  t.same(await rows(), ['a', 'b', 'c'])
})

const invalidDocument = { errInfo: { details: { operatorName: '$jsonSchema', schemaRulesNotSatisfied: [{ operatorName: 'required', missingProperties: ['name'] }] } } }

const inTheData: Record<string, { error: ServerError, expected: object }> = {
  'a unique index': {
    error: { code: 11000, errmsg: 'E11000 duplicate key error collection: test.lists index: name_1 dup key: { name: "secret" }', keyPattern: { name: 1 } },
    expected: { error_code: 'DUPLICATE_KEY', details: { index: 'name_1', fields: ['name'] } }
  },
  'a validator': { error: { code: 121, ...invalidDocument }, expected: { error_code: 'DOCUMENT_VALIDATION_FAILURE', details: { failures: [{ path: 'name', rule: 'required' }] } } },
  ...Object.fromEntries([10334, 17419, 17420].map(code => [`a document that is too large (${code})`, { error: { code }, expected: { error_code: 'INVALID_DATA', message: /16 MiB/ } }])),
  ...Object.fromEntries([2, 52, 56, 57, 17280].map(code => [`a value or a name that MongoDB refuses (${code})`, { error: { code }, expected: { error_code: 'INVALID_DATA', message: /refuses a value or a name/ } }]))
}

t.test('faults of the data', { skip }, async t => {
  const { db, send, make, rows, letters, log } = await setUp(t)
  for (const [name, { error, expected }] of Object.entries(inTheData)) {
    await t.test(`${name}: rejected for good, nothing stored, one dead letter with the whole transaction`, async t => {
      make(on('update', statementFails(error), writing))
      const { status, body } = await send()
      t.equal(status, 200)
      t.match(body.results, [{ status: 'fatal_error', requires_client_handling: false, failed_operation: { operation_index: 1, ...expected } }])
      t.same(await rows(), [])
      const [letter, ...others] = await letters()
      t.same(others, [])
      t.match(letter, { client_id: 'phone', failed_operation: { operation_index: 1, ...expected }, operations: [{ id: 'a' }, { id: 'b' }, { id: 'c' }] })
      t.notMatch(log.join('') + JSON.stringify(body), /secret/)

      make(() => undefined)
      t.same((await send()).body, body, 'sent again, it gets the same answer')
      t.same(await rows(), [])
      t.equal((await letters()).length, 1)
      for (const name of ['powersync_dead_letters', 'powersync_ledger']) await db.collection(name).deleteMany({})
    })
  }
})

t.test('what the server itself finds wrong', { skip }, async t => {
  const { db, send, rows, letters } = await setUp(t, {
    authorize: ({ id }) => {
      if (id === 'forbidden') return false
      if (id === 'quota') throw new PowerSyncFatalError('QUOTA_EXCEEDED', 'Enough')
      if (id === 'bug') throw new TypeError('a bug in a hook')
      return true
    }
  })
  await db.collection('owned').insertOne({ _id: 'theirs' as never, name: 'x', owner_id: 'somebody else' })
  const rejected: Record<string, [object, object]> = {
    'a value that does not fit its schema': [put('b', 2, { name: 5 }), { error_code: 'INVALID_DATA', details: { path: 'name' } }],
    'an unknown column': [put('b', 2, { name: 'x', other: 1 }), { error_code: 'SCHEMA_MISMATCH' }],
    'an unknown table': [{ ...put('b', 2), table: 'other' }, { error_code: 'SCHEMA_MISMATCH' }],
    'authorize refuses': [put('forbidden', 2), { error_code: 'UNAUTHORIZED' }],
    'another owner': [{ ...put('theirs', 2), table: 'owned' }, { error_code: 'UNAUTHORIZED' }],
    'a hook throws PowerSyncFatalError': [put('quota', 2), { error_code: 'QUOTA_EXCEEDED' }]
  }
  for (const [name, [operation, expected]] of Object.entries(rejected)) {
    await t.test(`${name}: rejected for good, nothing stored, one dead letter`, async t => {
      t.match(await send([put('a', 1), operation, put('c', 3)]), { status: 200, body: { results: [{ status: 'fatal_error', failed_operation: { operation_index: 1, ...expected } }] } })
      t.same(await rows(), [])
      t.match(await letters(), [{ failed_operation: expected, operations: [{ id: 'a' }, {}, { id: 'c' }] }])
      for (const name of ['powersync_dead_letters', 'powersync_ledger']) await db.collection(name).deleteMany({})
    })
  }
  t.match(await send([put('a', 1), put('bug', 2)]), { status: 503, body: { results: [{ status: 'retryable_error' }] } }, 'a bug in a hook')
  t.same(await rows(), [])
  t.same(await letters(), [])
})

t.test('a dead letter that cannot be stored: 503, nothing stored; when it can, it is', { skip }, async t => {
  const { send, make, rows, letters } = await setUp(t)
  const bad = [put('a', 1), put('b', 2, { name: 5 })]
  make(on('update', refused({ code: 14031 }), { collection: 'powersync_dead_letters' }))
  t.match(await send(bad), { status: 503, body: { results: [{ status: 'retryable_error' }] } })
  t.same(await letters(), [])
  make(() => undefined)
  t.match(await send(bad), { status: 200, body: { results: [{ status: 'fatal_error' }] } })
  t.same(await rows(), [])
  t.equal((await letters()).length, 1)
})
