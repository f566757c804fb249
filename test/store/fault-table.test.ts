/** Each row of the table in docs/reliability.md: the answer, the database and the dead letters. */
import t, { type Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { collection, PowerSyncFatalError, type AuthorizeHook } from '../../index.js'
import type { mongodb } from '../../lib/bson.js'
import { needs, testDatabase } from '../support/database.js'
import { failPoints, type FailPoint } from '../support/fail-point.js'
import { testServer, upload, type UploadResponse } from '../support/server.js'

const database = await testDatabase(t)
const skip = needs(database, 'failPoints', 'the faults')

const appName = 'server'
const put = (id: string, opId: number, data: object = { name: `secret of ${id}` }) => ({
  op: 'PUT',
  table: 'lists',
  id,
  op_id: opId,
  data
})
const transaction = [put('a', 1), put('b', 2), put('c', 3)]

async function setUp (
  t: Test,
  {
    authorize,
    deadline = 20_000,
    clientOptions = {}
  }: { authorize?: AuthorizeHook, deadline?: number, clientOptions?: object } = {}
) {
  const faults = failPoints(t, database.uri)
  const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
  t.teardown(() => client.close())
  const db = client.db()
  // Rows and letters of the tests before; with the ledger, or it would remember their operations.
  await forget('lists', 'owned')
  const log: string[] = []
  const app = await testServer(t, {
    mongo: {
      url: database.uri,
      appName,
      serverSelectionTimeoutMS: 5000,
      heartbeatFrequencyMS: 500,
      minHeartbeatFrequencyMS: 50,
      ...clientOptions
    },
    upload: { deadline },
    ...authorize && { authorize },
    collections: {
      lists: collection({ schema: Type.Object({ name: Type.String() }) }),
      owned: collection({ schema: Type.Object({ name: Type.String(), owner_id: Type.String() }), owner: 'owner_id' })
    }
  }, { logger: { level: 'warn', stream: { write: line => { log.push(line) } } } })

  async function forget (...names: string[]) {
    for (const name of [...names, 'powersync_dead_letters', 'powersync_ledger']) {
      await db.collection(name).deleteMany({})
    }
  }

  return {
    db,
    log,
    send: (operations: object[] = transaction) => upload(app, { client_id: 'phone', batch: operations }),
    /** Makes the server's own commands fail. */
    fail: (fault: Omit<FailPoint, 'appName'>) => faults.on({ appName, ...fault }),
    mend: () => faults.off(),
    forget,
    rows: async () => (await db.collection('lists').find().sort({ _id: 1 }).toArray()).map(({ _id }) => String(_id)),
    letters: async () => await db.collection('powersync_dead_letters').find().toArray()
  }
}

/** Sends again as clients do: MongoDB may hold a transaction that nobody ended for a while. */
async function untilStored (send: () => Promise<UploadResponse>): Promise<UploadResponse> {
  for (;;) {
    const response = await send()
    if (response.status === 200) return response
    await new Promise(resolve => setTimeout(resolve, 300))
  }
}

/** Which of them writes a transaction depends on what it has, and on the version of MongoDB. */
const writes = { failCommands: ['update', 'delete', 'bulkWrite'] }
const commits = { failCommands: ['commitTransaction'] }
const transient = { errorLabels: ['TransientTransactionError'] }

const passing: Record<string, FailPoint> = {
  'a write conflict': { ...writes, errorCode: 112, ...transient },
  'a write conflict without its label, at commit': { ...commits, errorCode: 112, errorLabels: [] },
  'a transaction that is gone': { ...writes, errorCode: 251, ...transient },
  'a member that is not primary any more': { ...writes, errorCode: 10107, ...transient },
  'an election': { ...commits, errorCode: 189, errorLabels: ['RetryableWriteError', 'UnknownTransactionCommitResult'] },
  'a shutdown': { ...writes, errorCode: 91, ...transient },
  'an interrupted operation': { ...writes, errorCode: 11602, ...transient },
  'a connection that is cut before a write': { ...writes, closeConnection: true },
  'a connection that is cut before the commit': { ...commits, closeConnection: true }
}

t.test('faults that pass', { skip }, async t => {
  for (const [name, fault] of Object.entries(passing)) {
    await t.test(`${name}: once, it is not noticed`, async t => {
      const { send, fail, rows, letters } = await setUp(t)
      await fail({ ...fault, times: 1 })
      t.match(await send(), { status: 200, body: { results: [{ status: 'success' }] } })
      t.same(await rows(), ['a', 'b', 'c'])
      t.same(await letters(), [])
    })

    await t.test(`${name}: for longer than the deadline, it is 503, and nothing is stored`, async t => {
      const { send, fail, mend, rows, letters, log } = await setUp(t, { deadline: 1500 })
      await fail(fault)
      const { status, body } = await send()
      t.equal(status, 503)
      t.match(body.results, [{ status: 'retryable_error', retry_after_ms: 5000 }])
      t.same(await rows(), [])
      t.same(await letters(), [])
      t.notMatch(log.join('') + JSON.stringify(body), /secret/)
      await mend()
      t.match(
        await untilStored(send),
        { body: { results: [{ status: 'success' }] } },
        'once it has passed, it is stored'
      )
      t.same(await rows(), ['a', 'b', 'c'])
    })
  }
})

t.test(
  'a commit whose outcome is not known, for ever: 503, and sent again it is not applied again',
  { skip },
  async t => {
    const { db, send, fail, mend, rows, letters } = await setUp(t, { deadline: 1500 })
    await fail({
      ...commits,
      writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' },
      errorLabels: ['UnknownTransactionCommitResult']
    })
    t.match(await send(), { status: 503 })
    t.same(await rows(), ['a', 'b', 'c'], 'it was committed')
    await db.collection('lists').deleteOne({ _id: 'b' as never }) // somebody else, since
    await mend()
    t.match(await untilStored(send), { status: 200, body: { results: [{ status: 'success' }] } })
    t.same(await rows(), ['a', 'c'])
    t.same(await letters(), [])
  }
)

const forTheOperator: Record<string, FailPoint> = {
  'a time-out of the server (50)': { ...writes, errorCode: 50 },
  'missing permissions (13)': { ...writes, errorCode: 13 },
  'failed authentication (18)': { ...writes, errorCode: 18 },
  'a standalone server (20)': { ...writes, errorCode: 20 },
  'a full disk (14031)': { ...writes, errorCode: 14031 },
  'a full disk (quota)': { ...writes, errorCode: 12501 },
  'a write that fails with an unknown code': { ...writes, errorCode: 424_242 },
  'an unknown code without a name, at commit': { ...commits, errorCode: 424_242 },
  'a ledger that cannot be read': { failCommands: ['find'], errorCode: 424_242 }
}

t.test('faults that somebody has to mend', { skip }, async t => {
  const { send, fail, mend, rows, letters, log } = await setUp(t, { deadline: 1500 })
  for (const [name, fault] of Object.entries(forTheOperator)) {
    await t.test(`${name}: 503, nothing stored, no dead letter`, async t => {
      await fail(fault)
      const { status, body } = await send()
      t.equal(status, 503)
      t.match(body.results, [{ status: 'retryable_error', retry_after_ms: 5000 }])
      t.same(await rows(), [])
      t.same(await letters(), [])
      t.notMatch(log.join('') + JSON.stringify(body), /secret/)
    })
  }

  await mend()
  t.match(await untilStored(send), { status: 200, body: { results: [{ status: 'success' }] } })
  t.same(await rows(), ['a', 'b', 'c'], 'when it is mended, the same upload is stored')
  t.match(
    log.at(-1),
    /the head of an upload queue keeps failing/,
    'and until then the log said that the queue is blocked'
  )
})

t.test(
  'a MongoDB that does not answer, and connections that are all in use: 503, nothing stored, no dead letter',
  { skip },
  async t => {
    const { send, fail, mend, rows, letters } = await setUp(t, {
      deadline: 1500,
      clientOptions: { maxPoolSize: 1, waitQueueTimeoutMS: 200 }
    })
    await fail({ ...writes, blockTimeMS: 5000 })
    const [hanging, waiting] = await Promise.all([
      send(),
      new Promise(resolve => setTimeout(resolve, 300)).then(() => send([put('d', 9)]))
    ])
    t.match(hanging, { status: 503, body: { results: [{ status: 'retryable_error' }] } })
    t.match(
      waiting,
      { status: 503, body: { code: 'FST_PSM_UNAVAILABLE' } },
      'no more uploads are worked on than there are connections'
    )
    t.same(await rows(), [])
    t.same(await letters(), [])
    await mend()
    t.match(await untilStored(send), { status: 200 })
    t.same(await rows(), ['a', 'b', 'c'])
  }
)

const tooLong = { $jsonSchema: { properties: { name: { bsonType: 'string', maxLength: 20 } } } }

/** What is wrong with the second of three rows. */
const inTheData: Record<string, { prepare: (db: mongodb.Db) => Promise<unknown>, bad: object, expected: object }> = {
  'a unique index': {
    prepare: db => db.collection('lists').createIndex({ name: 1 }, { unique: true }),
    bad: { name: 'secret of a' },
    expected: { error_code: 'DUPLICATE_KEY', details: { index: 'name_1', fields: ['name'] } }
  },
  'a validator': {
    prepare: db => db.command({ collMod: 'lists', validator: tooLong }),
    bad: { name: 'a secret that is too long' },
    // SecantusDB does not say which rule it was in the answer to bulkWrite; faults.test.ts has what MongoDB says.
    expected: { error_code: 'DOCUMENT_VALIDATION_FAILURE', details: { failures: Array } }
  }
}

t.test('faults of the data', { skip }, async t => {
  const { db, send, forget, rows, letters, log } = await setUp(t)
  for (const [name, { prepare, bad, expected }] of Object.entries(inTheData)) {
    await t.test(`${name}: rejected for good, nothing stored, one dead letter with the whole transaction`, async t => {
      await prepare(db)
      const operations = [put('a', 1), put('b', 2, bad), put('c', 3)]
      const { status, body } = await send(operations)
      t.equal(status, 200)
      t.match(body.results, [
        {
          status: 'fatal_error',
          requires_client_handling: false,
          failed_operation: { operation_index: 1, ...expected }
        }
      ])
      t.same(await rows(), [])
      const [letter, ...others] = await letters()
      t.same(others, [])
      t.match(letter, {
        client_id: 'phone',
        failed_operation: { operation_index: 1, ...expected },
        operations: [{ id: 'a' }, { id: 'b' }, { id: 'c' }]
      })
      t.notMatch(log.join('') + JSON.stringify(body), /secret/)

      await db.collection('lists').drop()
      await db.createCollection('lists')
      t.same((await send(operations)).body, body, 'sent again, it gets the same answer, though it could be stored now')
      t.same(await rows(), [])
      t.equal((await letters()).length, 1)
      await forget()
    })
  }
})

t.test('what the server itself finds wrong', { skip }, async t => {
  const { db, send, forget, rows, letters } = await setUp(t, {
    authorize: ({ id }) => {
      if (id === 'forbidden') return false
      if (id === 'quota') throw new PowerSyncFatalError('QUOTA_EXCEEDED', 'Enough')
      if (id === 'bug') throw new TypeError('a bug in a hook')
      return true
    }
  })
  await db.collection('owned').insertOne({ _id: 'theirs' as never, name: 'x', owner_id: 'somebody else' })
  const rejected: Record<string, [object, object]> = {
    'a value that does not fit its schema': [
      put('b', 2, { name: 5 }),
      { error_code: 'INVALID_DATA', details: { path: 'name' } }
    ],
    'an unknown column': [put('b', 2, { name: 'x', other: 1 }), { error_code: 'SCHEMA_MISMATCH' }],
    'an unknown table': [{ ...put('b', 2), table: 'other' }, { error_code: 'SCHEMA_MISMATCH' }],
    'authorize refuses': [put('forbidden', 2), { error_code: 'UNAUTHORIZED' }],
    'another owner': [{ ...put('theirs', 2), table: 'owned' }, { error_code: 'UNAUTHORIZED' }],
    'a hook throws PowerSyncFatalError': [put('quota', 2), { error_code: 'QUOTA_EXCEEDED' }]
  }
  for (const [name, [operation, expected]] of Object.entries(rejected)) {
    await t.test(`${name}: rejected for good, nothing stored, one dead letter`, async t => {
      t.match(await send([put('a', 1), operation, put('c', 3)]), {
        status: 200,
        body: { results: [{ status: 'fatal_error', failed_operation: { operation_index: 1, ...expected } }] }
      })
      t.same(await rows(), [])
      t.match(await letters(), [{ failed_operation: expected, operations: [{ id: 'a' }, {}, { id: 'c' }] }])
      await forget()
    })
  }
  t.match(
    await send([put('a', 1), put('bug', 2)]),
    { status: 503, body: { results: [{ status: 'retryable_error' }] } },
    'a bug in a hook'
  )
  t.same(await rows(), [])
  t.same(await letters(), [])
})

t.test('a dead letter that cannot be stored: 503, nothing stored; when it can, it is', { skip }, async t => {
  const { send, fail, mend, rows, letters } = await setUp(t, { deadline: 1500 })
  const bad = [put('a', 1), put('b', 2, { name: 5 })]
  await fail({ ...writes, errorCode: 14031 })
  t.match(await send(bad), { status: 503, body: { results: [{ status: 'retryable_error' }] } })
  t.same(await letters(), [])
  await mend()
  t.match(await send(bad), { status: 200, body: { results: [{ status: 'fatal_error' }] } })
  t.same(await rows(), [])
  t.equal((await letters()).length, 1)
})
