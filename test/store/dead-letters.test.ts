import fastifyMongodb from '@fastify/mongodb'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import {
  collection, PowerSyncFatalError, type CrudTransaction, type FailedOperation, type PowerSyncMongoOptions
} from '../../index.js'
import { DeadLetters } from '../../lib/store/dead-letters.js'
import type { DeadLetterSettings } from '../../types/index.js'
import { needs, testDatabase } from '../support/database.js'
import { keepLetter } from '../support/letters.js'
import { testServer, upload } from '../support/server.js'
import {
  commandError, cursor, delay, hang, startWireServer, writeErrors, type Document
} from '../support/wire-server.js'

const database = await testDatabase(t)
const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
t.teardown(() => client.close())
let databases = 0
/** A database of its own for one test, on the one server of this file. */
function fresh () {
  const db = client.db(`${database.database}_${++databases}`)
  if (database.kind === 'MONGO_URI') t.teardown(() => db.dropDatabase())
  return db
}

const user = { id: 'user1' }
const failed: FailedOperation = {
  error_code: 'INVALID_DATA',
  message: 'created_at: not a date',
  details: { path: 'created_at' },
  operation_index: 1
}

/** A transaction that has everything that one may have. */
const transaction = (id = '7', text = 'x'): CrudTransaction => ({
  id,
  clientId: 'phone',
  operations: [
    { op: 'PUT', table: 'lists', id: 'a', data: { text }, opId: '1', metadata: 'note', index: 0 },
    {
      op: 'PATCH',
      table: 'lists',
      id: 'b',
      data: { created_at: 'soon' },
      previous: { created_at: null },
      opId: '2',
      index: 1
    },
    { op: 'DELETE', table: 'todos', id: 'c', opId: '3', index: 2 }
  ]
})

t.test('a letter holds the whole transaction as uploaded, with reason, user, client, request and time', async t => {
  const db = fresh()
  const letters = new DeadLetters(db)
  await keepLetter(db, letters, transaction(), { failed, user, requestId: 'req-1' })
  const [letter] = await letters.list()
  t.match(letter, {
    _id: /^[0-9a-f]{32}$/,
    created_at: Date,
    user_id: 'user1',
    client_id: 'phone',
    transaction_id: '7',
    request_id: 'req-1',
    failed_operation: failed,
    attempts: 0,
    retried_at: null,
    mirror: null,
    tables: ['lists', 'todos'],
    operation_count: 3
  })
  t.same(letter?.operations, [
    {
      index: 0,
      op: 'PUT',
      table: 'lists',
      id: 'a',
      op_id: '1',
      data: '{"text":"x"}',
      previous: null,
      metadata: 'note'
    },
    {
      index: 1,
      op: 'PATCH',
      table: 'lists',
      id: 'b',
      op_id: '2',
      data: '{"created_at":"soon"}',
      previous: '{"created_at":null}',
      metadata: null
    },
    { index: 2, op: 'DELETE', table: 'todos', id: 'c', op_id: '3', data: null, previous: null, metadata: null }
  ])
})

t.test('the same transaction of the same user is one letter, of another user another', async t => {
  const db = fresh()
  const letters = new DeadLetters(db)
  for (const each of [user, user, { id: 'user2' }]) await keepLetter(db, letters, transaction(), { failed, user: each })
  t.same((await letters.list()).map(letter => letter.user_id), ['user2', 'user1'])
})

t.test('letters are listed from the latest, by page and by user, also without what was uploaded', async t => {
  const db = fresh()
  const letters = new DeadLetters(db)
  const ids = ['0', '1', '2', '3', '4']
  for (const id of ids) {
    await keepLetter(db, letters, transaction(id, 'secret'), { failed, user: { id: `user${Number(id) % 2}` } })
  }
  const of = (page: { transaction_id: string | null }[]) => page.map(letter => letter.transaction_id)
  t.same(
    of(await letters.list()),
    [...ids].reverse(),
    'in the order of their upload, however many there are in a millisecond'
  )
  const first = await letters.summaries({ limit: 2 })
  t.same(of(first), ['4', '3'])
  t.same(of(await letters.summaries({ after: first[1] })), ['2', '1', '0'])
  t.same(of(await letters.list({ user: 'user1' })), ['3', '1'])
  t.notMatch(JSON.stringify(await letters.summaries()), /secret/)
})

t.test(
  'letters of one millisecond, from several processes, are neither left out nor repeated between pages',
  async t => {
    const db = fresh()
    t.context.now = Date.now
    Date.now = () => 1_700_000_000_000
    t.teardown(() => { Date.now = t.context.now })
    for (const id of ['1', '2', '3']) await keepLetter(db, new DeadLetters(db), transaction(id), { failed, user })
    const letters = new DeadLetters(db)
    const seen: string[] = []
    for (
      let page = await letters.summaries({ limit: 1 });
      page.length > 0;
      page = await letters.summaries({ limit: 1, after: page[0] })
    ) { seen.push(page[0]!.transaction_id!) }
    t.same(seen.sort(), ['1', '2', '3'])
  }
)

t.test('a letter is found by its id, or the beginning of it where that is enough', async t => {
  const db = fresh()
  await db
    .collection<{ _id: string, operations: [] }>(DeadLetters.collectionName)
    .insertMany(['ab', 'abc', 'abd', 'f0'].map(_id => ({ _id, operations: [] })))
  const letters = new DeadLetters(db)
  t.match(await letters.get('f'), { _id: 'f0' })
  t.match(await letters.get('abd'), { _id: 'abd' })
  t.match(await letters.get('ab'), { _id: 'ab' }, 'a whole id is enough')
  await t.rejects(letters.get('a'), {
    code: 'FST_PSM_PARAMETER',
    message: /several dead letters begin with "a": give more/
  })
  for (const id of ['', 'e', 'f0a', 'g']) t.equal(await letters.get(id), null)
})

t.test(
  'a letter that MongoDB would not take is stored compressed, and read as any other, whatever the host has set on ' +
  'its client',
  async t => {
    const db = fresh()
    const odd = new fastifyMongodb.mongodb.MongoClient(database.uri, { promoteBuffers: true, promoteValues: false })
    t.teardown(() => odd.close())
    const letters = new DeadLetters(odd.db(db.databaseName))
    const text = 'secret '.repeat(1_500_000)
    for (const each of [transaction('7', text), transaction('8')]) await keepLetter(db, letters, each, { failed, user })
    const stored = await db.collection(DeadLetters.collectionName).find().sort({ created_at: 1 }).toArray()
    t.same(stored.map(({ operations }) => operations._bsontype ?? 'array'), ['Binary', 'array'])
    t.ok(stored[0]?.['operations'].length() < 1_000_000)
    const [plain, compressed] = await letters.list()
    t.match(plain, { attempts: 0, operation_count: 3, operations: [{ index: 0 }, { index: 1 }, { index: 2 }] })
    t.same(compressed?.operations, [
      { ...plain!.operations[0], data: JSON.stringify({ text }) },
      ...plain!.operations.slice(1)
    ])
    t.same((await letters.get(compressed!._id))?.operations, compressed?.operations)
  }
)

t.test('without a pipeline there is nothing to retry with', async t => {
  await t.rejects(new DeadLetters(fresh()).retry('a'), /without a pipeline/)
})

t.test('a note for the user is written with the letter, once, and goes with it', async t => {
  const db = fresh()
  const letters = new DeadLetters(db, { mirror: 'rejected' })
  const notes = db.collection('rejected')
  await keepLetter(db, letters, transaction('7', 'secret'), { failed, user })
  await keepLetter(
    db,
    letters,
    { operations: [{ op: 'DELETE', table: 'todos', id: 'c', index: 0 }] },
    { failed: { error_code: 'QUOTA', message: 'Too many' }, user }
  )
  const [first, second] = (await letters.list()).reverse()
  t.same(await notes.find().sort({ created_at: 1 }).toArray(), [
    {
      _id: first?._id,
      user_id: 'user1',
      created_at: first?.created_at,
      error_code: 'INVALID_DATA',
      message: failed.message,
      path: 'created_at',
      table: 'lists',
      row_id: 'b',
      op: 'PATCH',
      data: '{"created_at":"soon"}',
      operation_index: 1,
      operations:
        '[{"op":"PUT","table":"lists","id":"a","metadata":"note","data":{"text":"secret"}},{"op":"PATCH",' +
        '"table":"lists","id":"b","data":{"created_at":"soon"}},{"op":"DELETE","table":"todos","id":"c"}]',
      tables: ['lists', 'todos'],
      op_ids: ['1', '2', '3']
    },
    {
      _id: second?._id,
      user_id: 'user1',
      created_at: second?.created_at,
      error_code: 'QUOTA',
      message: 'Too many',
      path: null,
      table: null,
      row_id: null,
      op: null,
      data: null,
      operation_index: null,
      operations: '[{"op":"DELETE","table":"todos","id":"c"}]',
      tables: ['todos'],
      op_ids: []
    }
  ])
  await notes.deleteOne({ error_code: 'INVALID_DATA' })
  await keepLetter(db, letters, transaction('7', 'secret'), { failed, user })
  t.equal(await notes.countDocuments(), 1, 'what its user has deleted does not come back')

  t.equal(await new DeadLetters(db).discard(second!._id), true, 'also where nothing is known of the option')
  t.equal(await notes.countDocuments(), 0)
  t.same((await letters.list()).map(({ _id }) => _id), [first?._id])
  t.equal(await letters.discard(second!._id), false)
})

for (const [version, maxWireVersion] of [['7', 21], ['8', 25]] as const) {
  t.test(`letter, note and page are one MongoDB transaction, on MongoDB ${version}`, async t => {
    const mongo = await startWireServer({ maxWireVersion })
    t.teardown(() => mongo.stop())
    const commandsOf = async (settings: DeadLetterSettings, client: object) => {
      const app = await testServer(t, {
        mongo: { url: mongo.uri },
        upload: { deadLetters: settings },
        collections: { rows: collection({ schema: Type.Object({ text: Type.String() }) }) }
      })
      mongo.reset()
      t.match(
        (await upload(app, { ...client, batch: [{ op: 'PUT', type: 'rows', id: 'a', data: { text: 5 }, op_id: 1 }] }))
          .body.results,
        [{ status: 'fatal_error' }]
      )
      const sent = mongo.commands.map(({ name, collection, document }) => [
        name,
        collection ?? (document['nsInfo'] as Array<{ ns: string }> | undefined)?.map(({ ns }) => ns).join()
      ])
      t.match(mongo.commands.at(-1), { name: 'commitTransaction', document: { writeConcern: { w: 'majority' } } })
      return sent.slice(0, -1).map(([name, collection]) => `${name} ${collection}`.replaceAll(/test\.|powersync_/g, ''))
    }
    const bulkWrite = maxWireVersion >= 25
    t.same(await commandsOf({}, {}), ['find dead_letters', 'update dead_letters'])
    t.same(await commandsOf({ mirror: 'rejected' }, {}), [
      'find dead_letters',
      ...(bulkWrite ? ['bulkWrite dead_letters,rejected'] : ['update dead_letters', 'update rejected'])
    ])
    t.same(await commandsOf({ mirror: 'rejected' }, { client_id: 'phone' }), [
      // The upload, which finds the fault, and the rejection, which looks at the page again.
      'find ledger',
      'find dead_letters',
      'abortTransaction undefined',
      'find ledger',
      'find dead_letters',
      'find dead_letters',
      ...(bulkWrite
        ? ['bulkWrite ledger,dead_letters,rejected']
        : ['update ledger', 'update dead_letters', 'update rejected'])
    ])
  })
}

t.test('expireAfterDays creates, changes and drops the TTL indexes of letters and notes', async t => {
  let existing: Document[] = []
  const mongo = await startWireServer({
    on: { listIndexes: () => cursor([{ v: 2, key: { _id: 1 }, name: '_id_' }, ...existing]) }
  })
  const wire = new fastifyMongodb.mongodb.MongoClient(mongo.uri)
  t.teardown(async () => { await wire.close(); await mongo.stop() })
  const changes = async (settings: DeadLetterSettings) => {
    mongo.commands.length = 0
    await new DeadLetters(wire.db(), settings).createIndexes()
    const [own, ...others] = mongo.commands
      .filter(({ name }) => ['createIndexes', 'dropIndexes', 'collMod'].includes(name))
      .map(({ name, document }) => [name, document[name], document['indexes'] ?? document['index']])
    t.match(own, ['createIndexes', 'powersync_dead_letters', [{ key: { user_id: 1, client_id: 1, sequence: 1 } }]])
    return others
  }
  const name = 'powersync_expiry_created_at'
  const index = { v: 2, key: { created_at: -1 }, name }
  const created = [{ key: { created_at: -1 }, name, expireAfterSeconds: 864_000 }]

  t.same(await changes({}), [])
  t.same(await changes({ expireAfterDays: 10, mirror: 'rejected' }), [
    ['createIndexes', 'powersync_dead_letters', created],
    ['createIndexes', 'rejected', created]
  ])
  mongo.script('listIndexes', commandError({ code: 26, codeName: 'NamespaceNotFound' }))
  t.same(
    await changes({ expireAfterDays: 10 }),
    [['createIndexes', 'powersync_dead_letters', created]],
    'before there is a collection'
  )

  existing = [{ ...index, expireAfterSeconds: 864_000 }]
  t.same(await changes({ expireAfterDays: 10 }), [])
  t.same(await changes({ expireAfterDays: 20 }), [
    ['dropIndexes', 'powersync_dead_letters', name],
    ['createIndexes', 'powersync_dead_letters', [{ ...created[0], expireAfterSeconds: 1_728_000 }]]
  ], 'without collMod, for which readWrite is not enough')
  t.same(await changes({}), [['dropIndexes', 'powersync_dead_letters', name]])
  mongo.script('dropIndexes', commandError({ code: 27, codeName: 'IndexNotFound' }))
  t.same(await changes({}), [['dropIndexes', 'powersync_dead_letters', name]], 'another process was faster')

  existing = [{ ...index, key: { created_at: 1 }, name: 'created_at_1', expireAfterSeconds: 5 }]
  t.same(await changes({}), [], 'an index of the app\'s own stays as it is')
  mongo.script('listIndexes', commandError({ code: 13, codeName: 'Unauthorized' }))
  await t.rejects(changes({}), { code: 13 })
})

t.test(
  'a mirror that is not one, or would refuse notes, stops the start, and is left as it is',
  { skip: needs(database, 'mongod', 'validators') },
  async t => {
    const db = fresh()
    const start = (mirror: string) =>
      testServer(t, {
        mongo: { client, database: db.databaseName },
        upload: { deadLetters: { mirror, expireAfterDays: 1 } },
        collections: { rows: collection({ schema: 'any' }) }
      })
    await db.collection('orders').insertOne({ created_at: new Date() })
    await db.createCollection('strict', { validator: { $jsonSchema: { required: ['total'] } } })
    await t.rejects(start('orders'), {
      code: 'FST_PSM_MONGO',
      message: /collection orders holds other documents than notes of dead letters: name a collection of its own/
    })
    await t.rejects(start('strict'), {
      code: 'FST_PSM_MONGO',
      message: /collection strict has a validator, which may refuse notes/
    })
    await db.createCollection('last', { capped: true, size: 100_000 })
    await t.rejects(start('last'), {
      code: 'FST_PSM_MONGO',
      message: /collection last is a capped collection, .*: name a collection of its own/
    })
    t.match(await db.collection('orders').indexes(), [{ name: '_id_' }])
    await db.collection('notes').insertOne({ error_code: 'X', op_ids: [], created_at: new Date() })
    await t.resolves(start('notes'))
  }
)

/** A server whose letters are retried, and what it needs to reject them first. */
async function server (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  let problem: Error | undefined = new PowerSyncFatalError('CLOSED', 'Closed for stocktaking')
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo: { client, database: fresh().databaseName },
    authenticate: () => ({ id: 'user1', role: 'editor' }),
    collections: {
      rows: collection({
        owner: 'owner_id',
        schema: Type.Object({ owner_id: Type.Optional(Type.String()), text: Type.Optional(Type.String()) })
      }),
      audit: collection({ schema: 'any' })
    },
    transform: (operation, { request, user }) => {
      seen.push([request === undefined, user, operation.index, operation.opId])
      if (problem && operation.id === 'b') throw problem
      return [operation, { op: 'PUT', table: 'audit', id: String(seen.length), data: { of: operation.id } }]
    },
    ...options
  })
  const db = app.mongo.db!
  const batch = [
    { op: 'PUT', type: 'rows', id: 'a', data: { text: 'secret' }, op_id: 1, tx_id: 5 },
    { op: 'PUT', type: 'rows', id: 'b', data: { text: 'secret' }, op_id: 2, tx_id: 5 }
  ]
  const send = (body: object = { client_id: 'phone', batch }) => upload(app, body)
  const { deadLetters } = app.powersync
  return {
    app,
    db,
    send,
    batch,
    seen,
    deadLetters,
    rows: () => db.collection('rows').find().sort({ _id: 1 }).toArray(),
    applied: async () => (await db.collection('audit').find().toArray()).map(({ of }) => of as string).sort(),
    fail: (error: Error | undefined) => { problem = error; seen.length = 0 },
    only: async () => (await deadLetters.list())[0]!
  }
}

t.test('retry runs a transaction again as its user, past the ledger, and removes the letter', async t => {
  const results: unknown[] = []
  const { send, seen, deadLetters, rows, applied, fail, only, db } = await server(t, {
    upload: { deadLetters: { mirror: 'rejected' } },
    onResult: ({ transaction, result }, { request }) => {
      if (!request) results.push([transaction.id, transaction.clientId, result.status])
    }
  })
  const first = await send()
  t.match(first.body.results, [
    { status: 'fatal_error', failed_operation: { error_code: 'CLOSED', operation_index: 1 } }
  ])
  const { _id } = await only()
  t.equal(await db.collection('rejected').countDocuments(), 1)

  fail(undefined)
  t.same(await deadLetters.retry(_id.slice(0, 12)), { status: 'success' })
  t.same(seen, [[true, { id: 'user1' }, 0, '1'], [true, { id: 'user1' }, 1, '2']])
  t.same(results, [['5', 'phone', 'success']])
  t.same(await rows(), [
    { _id: 'a', owner_id: 'user1', text: 'secret' },
    { _id: 'b', owner_id: 'user1', text: 'secret' }
  ])
  t.same(await applied(), ['a', 'b'])
  t.same(await deadLetters.list(), [])
  t.equal(await db.collection('rejected').countDocuments(), 0)

  t.equal(await deadLetters.retry(_id), null, 'a repeat does nothing')
  t.same(
    (await send()).body,
    first.body,
    'an answer is final: the client that sends it again hears the same, and nothing is applied twice'
  )
  t.same(await applied(), ['a', 'b'])
})

t.test('a transaction that is rejected again stays, with the new reason', async t => {
  const { send, deadLetters, rows, fail, only, db } = await server(t, {
    upload: { deadLetters: { mirror: 'rejected' } }
  })
  await send()
  const before = await only()
  for (const attempts of [1, 2]) {
    fail(new PowerSyncFatalError('QUOTA', 'Too many', { details: { limit: attempts } }))
    t.match(await deadLetters.retry(before._id), {
      status: 'fatal_error',
      requires_client_handling: false,
      failed_operation: { error_code: 'QUOTA', details: { limit: attempts }, operation_index: 1 }
    })
    t.match(await only(), {
      ...before,
      attempts,
      retried_at: Date,
      failed_operation: { error_code: 'QUOTA', details: { limit: attempts } }
    })
  }
  t.match(await db.collection('rejected').find().toArray(), [{ error_code: 'QUOTA', message: 'Too many', row_id: 'b' }])
  t.same(await rows(), [])
})

t.test('a passing fault in a retry is reported, and the letter stays as it is', async t => {
  for (const mirror of [undefined, 'rejected']) {
    const { send, deadLetters, rows, fail, only } = await server(t, { upload: { deadLetters: { mirror } } })
    await send()
    const before = await only()
    const fault = new Error('the session store is down')
    fail(fault)
    await t.rejects(deadLetters.retry(before._id), { name: 'HookError', cause: fault })
    t.same(await only(), before)
    t.same(await rows(), [])
  }
})

t.test('hooks may be told more of the user, and the transaction may be repaired', async t => {
  const { send, batch, seen, deadLetters, rows, fail, only } = await server(t)
  await send({ batch: batch.map(({ op, type, id, data }) => ({ op, type, id, data })) })
  const { _id } = await only()
  t.same(await deadLetters.retry(_id, {
    user: { role: 'editor', id: 'somebody else' },
    edit: transaction => ({ ...transaction, operations: transaction.operations.filter(({ id }) => id === 'a') })
  }), { status: 'success' })
  t.same(seen.at(-1), [true, { id: 'user1', role: 'editor' }, 0, undefined])
  t.same((await rows()).map(row => row['_id']), ['a'])
  fail(undefined)
})

t.test(
  'retries of one letter at the same time apply it once',
  { skip: needs(database, 'mongod', 'write conflicts between deletes') },
  async t => {
    const { send, deadLetters, applied, fail, only } = await server(t)
    await send()
    fail(undefined)
    const { _id } = await only()
    const results = await Promise.all([1, 2, 3].map(() => deadLetters.retry(_id)))
    t.same(results.filter(result => result !== null), [{ status: 'success' }])
    t.same(await applied(), ['a', 'b'])
  }
)

t.test('an onResult that fails changes nothing', async t => {
  const { send, deadLetters, fail, only } = await server(t, { onResult: () => { throw new Error('metrics are down') } })
  await send()
  fail(undefined)
  t.same(await deadLetters.retry((await only())._id), { status: 'success' })
})

/** A server whose MongoDB holds one letter and answers as scripted. */
async function scripted (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const letter = {
    _id: 'f0',
    user_id: 'user1',
    client_id: null,
    transaction_id: null,
    sequence: null,
    mirror: null,
    failed_operation: { error_code: 'X', message: 'x', operation_index: 0 },
    operations: ['a', 'b'].map((id, index) => ({
      index,
      op: 'PUT',
      table: 'rows',
      id,
      op_id: null,
      data: '{"text":"x"}',
      previous: null,
      metadata: null
    })),
    rows: [],
    since: []
  }
  const mongo = await startWireServer({ maxWireVersion: 21, on: { find: () => cursor([letter]) } })
  const app = await testServer(t, {
    mongo: { url: mongo.uri },
    collections: { rows: collection({ schema: Type.Object({ text: Type.String() }) }) },
    ...options
  })
  t.teardown(() => mongo.stop())
  mongo.reset()
  return {
    mongo,
    retry: () => app.powersync.deadLetters.retry('f0'),
    commands: () => mongo.commands.splice(0).map(({ name, collection }) => [name, collection])
  }
}

const letterCommand = (name: string) => [name, 'powersync_dead_letters']
const rowCommand = ['update', 'rows']
const abort = ['abortTransaction', undefined]

t.test('the letter is removed in the MongoDB transaction that applies it', async t => {
  const { retry, commands } = await scripted(t)
  t.same(await retry(), { status: 'success' })
  t.same(commands(), [
    letterCommand('find'),
    letterCommand('find'),
    rowCommand,
    letterCommand('delete'),
    ['commitTransaction', undefined]
  ])
})

t.test('a fault whose operation MongoDB does not name is found out one by one', async t => {
  const { mongo, retry, commands } = await scripted(t)
  const duplicate = {
    code: 11000,
    codeName: 'DuplicateKey',
    errmsg: 'E11000 duplicate key error index: text_1 dup key'
  }
  mongo.script(
    'update',
    commandError(duplicate),
    commandError(duplicate),
    { ok: 1, n: 1, nModified: 1 },
    commandError(duplicate)
  )
  t.match(await retry(), {
    status: 'fatal_error',
    failed_operation: { error_code: 'DUPLICATE_KEY', operation_index: 1 }
  })
  const attempt = [letterCommand('find'), rowCommand, abort]
  t.same(commands(), [
    letterCommand('find'),
    ...attempt,
    ...attempt,
    letterCommand('find'),
    rowCommand,
    rowCommand,
    abort,
    letterCommand('update')
  ])
})

t.test('the operator\'s rules for MongoDB\'s faults hold for retries, too', async t => {
  const { mongo, retry } = await scripted(t, { upload: { faults: { 13: 'reject', 11000: 'retry' } } })
  mongo.script('update', ...Array.from({ length: 3 }, () => commandError({ code: 13, codeName: 'Unauthorized' })))
  t.match(await retry(), { status: 'fatal_error', failed_operation: { error_code: 'UNCLASSIFIED_ERROR' } })
  mongo.script('update', writeErrors([{ index: 0, code: 11000, errmsg: 'E11000 index: text_1 dup key' }]))
  await t.rejects(retry(), { code: 11000 })
})

t.test('a write conflict starts a retry again; one that finds the letter gone applies nothing', async t => {
  const { mongo, retry, commands } = await scripted(t)
  mongo.script('update', ({ answer }) => {
    mongo.script('find', cursor([]))
    answer(commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] }))
  })
  t.equal(await retry(), null)
  t.same(commands().map(([name]) => name), ['find', 'find', 'update', 'abortTransaction', 'find', 'commitTransaction'])
})

t.test('a retry ends at the deadline', async t => {
  const { mongo, retry } = await scripted(t, { upload: { deadline: 200 } })
  mongo.script('update', hang())
  await t.rejects(retry(), { name: 'DeadlineError' })
  mongo.script('find', delay(10))
  t.same(await retry(), { status: 'success' })
})

t.test('a MongoDB that does not let the indexes be read stops the start', async t => {
  for (const name of ['powersync_ledger', 'powersync_dead_letters']) {
    const mongo = await startWireServer({
      on: {
        listIndexes: ({ collection }) =>
          collection === name ? commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }) : undefined
      }
    })
    t.teardown(() => mongo.stop())
    await t.rejects(
      testServer(t, { mongo: { url: mongo.uri }, collections: { rows: collection({ schema: 'any' }) } }),
      {
        code: 'FST_PSM_MONGO',
        message: new RegExp(
          `indexes of ${name} be read and changed \\(Unauthorized\\): give this server's user the role readWrite`
        )
      }
    )
  }
})

t.test('options that make no sense stop the start', async t => {
  const cases: [object, RegExp][] = [
    [
      { expireAfterDays: 0 },
      /option upload\.deadLetters\.expireAfterDays is 0: expected an integer from 1 to 3650 days/
    ],
    [{ mirror: '' }, /option upload\.deadLetters\.mirror is text: expected the name of a collection of yours/],
    [{ mirror: 5 }, /mirror is 5: /],
    [{ mirror: 'system.users' }, /mirror is text: expected the name/],
    [{ mirror: 'powersync_dead_letters' }, /mirror is/],
    [{ mirror: '_powersync_checkpoints' }, /mirror is/],
    [{ mirror: 'a$b' }, /mirror is/]
  ]
  for (const [deadLetters, message] of cases) {
    await t.rejects(server(t, { upload: { deadLetters } as PowerSyncMongoOptions['upload'] }), {
      code: 'FST_PSM_OPTION',
      message
    })
  }
})
