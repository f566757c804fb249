import fastifyMongodb from '@fastify/mongodb'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, PowerSyncFatalError, type CrudTransaction, type FailedOperation, type PowerSyncMongoOptions } from '../../index.js'
import { DeadLetters, type DeadLetterSettings } from '../../lib/store/dead-letters.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { commandError, cursor, delay, hang, startWireServer, writeErrors, type Document } from '../support/wire-server.js'

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
const failed: FailedOperation = { error_code: 'INVALID_DATA', message: 'created_at: not a date', details: { path: 'created_at' }, operation_index: 1 }

/** A transaction that has everything that one may have. */
const transaction = (id = '7', text = 'x'): CrudTransaction => ({
  id,
  clientId: 'phone',
  operations: [
    { op: 'PUT', table: 'lists', id: 'a', data: { text }, opId: '1', metadata: 'note', index: 0 },
    { op: 'PATCH', table: 'lists', id: 'b', data: { created_at: 'soon' }, previous: { created_at: null }, opId: '2', index: 1 },
    { op: 'DELETE', table: 'todos', id: 'c', opId: '3', index: 2 }
  ]
})

t.test('a letter holds the whole transaction as uploaded, with reason, user, client, request and time', async t => {
  const letters = new DeadLetters(fresh())
  await letters.add(transaction(), failed, user, 'req-1', {})
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
    { index: 0, op: 'PUT', table: 'lists', id: 'a', op_id: '1', data: '{"text":"x"}', previous: null, metadata: 'note' },
    { index: 1, op: 'PATCH', table: 'lists', id: 'b', op_id: '2', data: '{"created_at":"soon"}', previous: '{"created_at":null}', metadata: null },
    { index: 2, op: 'DELETE', table: 'todos', id: 'c', op_id: '3', data: null, previous: null, metadata: null }
  ])
})

t.test('the same transaction of the same user is one letter, of another user another', async t => {
  const letters = new DeadLetters(fresh())
  for (const each of [user, user, { id: 'user2' }]) await letters.add(transaction(), failed, each, undefined, {})
  t.same((await letters.list()).map(letter => letter.user_id), ['user2', 'user1'])
  t.match(await letters.of(transaction(), user), { failed_operation: failed })
  t.equal(await letters.of(transaction('8'), user), null)
})

t.test('letters are listed from the latest, by page and by user, also without what was uploaded', async t => {
  const letters = new DeadLetters(fresh())
  const ids = ['0', '1', '2', '3', '4']
  for (const id of ids) await letters.add(transaction(id, 'secret'), failed, { id: `user${Number(id) % 2}` }, undefined, {})
  const of = (page: { transaction_id: string | null }[]) => page.map(letter => letter.transaction_id)
  t.same(of(await letters.list()), [...ids].reverse(), 'in the order of their upload, however many there are in a millisecond')
  const first = await letters.summaries({ limit: 2 })
  t.same(of(first), ['4', '3'])
  t.same(of(await letters.summaries({ after: first[1] })), ['2', '1', '0'])
  t.same(of(await letters.list({ user: 'user1' })), ['3', '1'])
  t.notMatch(JSON.stringify(await letters.summaries()), /secret/)
})

t.test('letters of one millisecond, from several processes, are neither left out nor repeated between pages', async t => {
  const db = fresh()
  t.context.now = Date.now
  Date.now = () => 1_700_000_000_000
  t.teardown(() => { Date.now = t.context.now })
  for (const id of ['1', '2', '3']) await new DeadLetters(db).add(transaction(id), failed, user, undefined, {})
  const letters = new DeadLetters(db)
  const seen: string[] = []
  for (let page = await letters.summaries({ limit: 1 }); page.length > 0; page = await letters.summaries({ limit: 1, after: page[0] })) seen.push(page[0]!.transaction_id!)
  t.same(seen.sort(), ['1', '2', '3'])
})

t.test('a letter is found by its id, or the beginning of it where that is enough', async t => {
  const db = fresh()
  await db.collection<{ _id: string, operations: [] }>(DeadLetters.collectionName).insertMany(['ab', 'abc', 'abd', 'f0'].map(_id => ({ _id, operations: [] })))
  const letters = new DeadLetters(db)
  t.match(await letters.get('f'), { _id: 'f0' })
  t.match(await letters.get('abd'), { _id: 'abd' })
  t.match(await letters.get('ab'), { _id: 'ab' }, 'a whole id is enough')
  await t.rejects(letters.get('a'), { code: 'FST_PSM_PARAMETER', message: /several dead letters begin with "a": give more/ })
  for (const id of ['', 'e', 'f0a', 'g']) t.equal(await letters.get(id), null)
})

t.test('a letter that MongoDB would not take is stored compressed, and read as any other', async t => {
  const db = fresh()
  const large = transaction('7', 'secret '.repeat(10_000))
  const [plain, compressed] = [new DeadLetters(fresh()), new DeadLetters(db, { compressAbove: 2000 })]
  await plain.add(large, failed, user, undefined, {})
  await compressed.add(large, failed, user, undefined, {})
  await compressed.add(transaction('8'), failed, user, undefined, {})
  const stored = await db.collection(DeadLetters.collectionName).find().sort({ created_at: 1 }).toArray()
  t.same(stored.map(({ operations }) => operations._bsontype ?? 'array'), ['Binary', 'array'])
  t.ok(stored[0]?.['operations'].length() < 2000)
  const [, letter] = await compressed.list()
  t.same(letter?.operations, (await plain.list())[0]?.operations)
  t.same((await compressed.get(letter!._id))?.operations, letter?.operations)
})

t.test('reads letters whatever the host has set on its client', async t => {
  const odd = new fastifyMongodb.mongodb.MongoClient(database.uri, { promoteBuffers: true, promoteValues: false })
  t.teardown(() => odd.close())
  const letters = new DeadLetters(odd.db(fresh().databaseName), { compressAbove: 0 })
  await letters.add(transaction(), failed, user, undefined, {})
  t.match(await letters.list(), [{ attempts: 0, operation_count: 3, operations: [{ index: 0 }, { index: 1 }, { index: 2 }] }])
})

t.test('without a pipeline there is nothing to retry with', async t => {
  await t.rejects(new DeadLetters(fresh()).retry('a'), /without a pipeline/)
})

t.test('a note for the user is written with the letter, once, and goes with it', async t => {
  const db = fresh()
  const letters = new DeadLetters(db, { mirror: 'rejected' })
  const notes = db.collection('rejected')
  await letters.add(transaction('7', 'secret'), failed, user, undefined, {})
  await letters.add({ operations: [{ op: 'DELETE', table: 'todos', id: 'c', index: 0 }] }, { error_code: 'QUOTA', message: 'Too many' }, user, undefined, { signal: AbortSignal.timeout(5000) })
  const [first, second] = (await letters.list()).reverse()
  t.same(await notes.find().sort({ created_at: 1 }).toArray(), [
    { _id: first?._id, user_id: 'user1', created_at: first?.created_at, error_code: 'INVALID_DATA', message: failed.message, table: 'lists', row_id: 'b', tables: ['lists', 'todos'], op_ids: ['1', '2', '3'] },
    { _id: second?._id, user_id: 'user1', created_at: second?.created_at, error_code: 'QUOTA', message: 'Too many', table: null, row_id: null, tables: ['todos'], op_ids: [] }
  ])
  await notes.deleteOne({ error_code: 'INVALID_DATA' })
  await letters.add(transaction('7', 'secret'), failed, user, undefined, {})
  t.equal(await notes.countDocuments(), 1, 'what its user has deleted does not come back')

  t.equal(await new DeadLetters(db).discard(second!._id), true, 'also where nothing is known of the option')
  t.equal(await notes.countDocuments(), 0)
  t.same((await letters.list()).map(({ _id }) => _id), [first?._id])
  t.equal(await letters.discard(second!._id), false)
})

t.test('letter and note are one transaction, and one without a note is one command', async t => {
  const mongo = await startWireServer({ on: { update: ({ statements }) => ({ ok: 1, n: statements, nModified: 0, upserted: [{ index: 0, _id: 'x' }] }) } })
  const wire = new fastifyMongodb.mongodb.MongoClient(mongo.uri)
  t.teardown(async () => { await wire.close(); await mongo.stop() })
  const commands = () => mongo.commands.splice(0).map(({ name, collection, document }) => [name, collection, (document['writeConcern'] as { w?: string } | undefined)?.w])
  await new DeadLetters(wire.db(), { mirror: 'rejected' }).add(transaction(), failed, user, undefined, {})
  t.same(commands(), [['update', 'powersync_dead_letters', undefined], ['update', 'rejected', undefined], ['commitTransaction', undefined, 'majority']])
  await new DeadLetters(wire.db()).add(transaction(), failed, user, undefined, {})
  t.same(commands(), [['update', 'powersync_dead_letters', 'majority']])
})

t.test('expireAfterDays creates, changes and drops the TTL indexes of letters and notes', async t => {
  let existing: Document[] = []
  const mongo = await startWireServer({ on: { listIndexes: () => cursor([{ v: 2, key: { _id: 1 }, name: '_id_' }, ...existing]) } })
  const wire = new fastifyMongodb.mongodb.MongoClient(mongo.uri)
  t.teardown(async () => { await wire.close(); await mongo.stop() })
  const changes = async (settings: DeadLetterSettings) => {
    mongo.commands.length = 0
    await new DeadLetters(wire.db(), settings).createIndexes()
    return mongo.commands.filter(({ name }) => name !== 'listIndexes').map(({ name, document }) => [name, document[name], document['indexes'] ?? document['index']])
  }
  const index = { v: 2, key: { created_at: 1 }, name: 'created_at_1' }
  const created = [{ key: { created_at: 1 }, name: 'created_at_1', expireAfterSeconds: 864_000 }]

  t.same(await changes({}), [])
  t.same(await changes({ expireAfterDays: 10, mirror: 'rejected' }), [['createIndexes', 'powersync_dead_letters', created], ['createIndexes', 'rejected', created]])
  mongo.script('listIndexes', commandError({ code: 26, codeName: 'NamespaceNotFound' }))
  t.same(await changes({ expireAfterDays: 10 }), [['createIndexes', 'powersync_dead_letters', created]], 'before there is a collection')

  existing = [{ ...index, expireAfterSeconds: 864_000 }]
  t.same(await changes({ expireAfterDays: 10 }), [])
  t.same(await changes({ expireAfterDays: 20 }), [['collMod', 'powersync_dead_letters', { name: 'created_at_1', expireAfterSeconds: 1_728_000 }]])
  t.same(await changes({}), [['dropIndexes', 'powersync_dead_letters', 'created_at_1']])
  mongo.script('dropIndexes', commandError({ code: 27, codeName: 'IndexNotFound' }))
  t.same(await changes({}), [['dropIndexes', 'powersync_dead_letters', 'created_at_1']], 'another process was faster')

  existing = [index]
  t.same(await changes({}), [], 'an index that expires nothing')
  mongo.script('listIndexes', commandError({ code: 13, codeName: 'Unauthorized' }))
  await t.rejects(changes({}), { code: 13 })
})

/** A server whose letters are retried, and what it needs to reject them first. */
async function server (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  let problem: Error | undefined = new PowerSyncFatalError('CLOSED', 'Closed for stocktaking')
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo: { client, database: fresh().databaseName },
    authenticate: () => ({ id: 'user1', role: 'editor' }),
    collections: {
      rows: collection({ owner: 'owner_id', schema: Type.Object({ owner_id: Type.Optional(Type.String()), text: Type.Optional(Type.String()) }) }),
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
    onResult: ({ transaction, result }, { request }) => { if (!request) results.push([transaction.id, transaction.clientId, result.status]) }
  })
  t.match((await send()).body.results, [{ status: 'fatal_error', failed_operation: { error_code: 'CLOSED', operation_index: 1 } }])
  const { _id } = await only()
  t.equal(await db.collection('rejected').countDocuments(), 1)

  fail(undefined)
  t.same(await deadLetters.retry(_id.slice(0, 12)), { status: 'success' })
  t.same(seen, [[true, { id: 'user1' }, 0, '1'], [true, { id: 'user1' }, 1, '2']])
  t.same(results, [['5', 'phone', 'success']])
  t.same(await rows(), [{ _id: 'a', owner_id: 'user1', text: 'secret' }, { _id: 'b', owner_id: 'user1', text: 'secret' }])
  t.same(await applied(), ['a', 'b'])
  t.same(await deadLetters.list(), [])
  t.equal(await db.collection('rejected').countDocuments(), 0)

  t.equal(await deadLetters.retry(_id), null, 'a repeat does nothing')
  t.match((await send()).body.results, [{ status: 'success' }], 'the client that sends it again hears that it is applied')
  t.same(await applied(), ['a', 'b'])
})

t.test('a transaction that is rejected again stays, with the new reason', async t => {
  const { send, deadLetters, rows, fail, only, db } = await server(t, { upload: { deadLetters: { mirror: 'rejected' } } })
  await send()
  const before = await only()
  for (const attempts of [1, 2]) {
    fail(new PowerSyncFatalError('QUOTA', 'Too many', { details: { limit: attempts } }))
    t.match(await deadLetters.retry(before._id), { status: 'fatal_error', requires_client_handling: false, failed_operation: { error_code: 'QUOTA', details: { limit: attempts }, operation_index: 1 } })
    t.match(await only(), { ...before, attempts, retried_at: Date, failed_operation: { error_code: 'QUOTA', details: { limit: attempts } } })
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
    await t.rejects(deadLetters.retry(before._id), fault)
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

t.test('retries of one letter at the same time apply it once', { skip: needs(database, 'mongod', 'write conflicts between deletes') }, async t => {
  const { send, deadLetters, applied, fail, only } = await server(t)
  await send()
  fail(undefined)
  const { _id } = await only()
  const results = await Promise.all([1, 2, 3].map(() => deadLetters.retry(_id)))
  t.same(results.filter(result => result !== null), [{ status: 'success' }])
  t.same(await applied(), ['a', 'b'])
})

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
    mirror: null,
    failed_operation: { error_code: 'X', message: 'x', operation_index: 0 },
    operations: ['a', 'b'].map((id, index) => ({ index, op: 'PUT', table: 'rows', id, op_id: null, data: '{"text":"x"}', previous: null, metadata: null }))
  }
  const mongo = await startWireServer({ on: { find: () => cursor([letter]) } })
  const app = await testServer(t, {
    mongo: { url: mongo.uri },
    collections: { rows: collection({ schema: Type.Object({ text: Type.String() }) }) },
    ...options
  })
  t.teardown(() => mongo.stop())
  mongo.reset()
  return { mongo, retry: () => app.powersync.deadLetters.retry('f0'), commands: () => mongo.commands.splice(0).map(({ name, collection }) => [name, collection]) }
}

const letterCommand = (name: string) => [name, 'powersync_dead_letters']
const rowCommand = ['update', 'rows']

t.test('the letter is removed in the MongoDB transaction that applies it', async t => {
  const { retry, commands } = await scripted(t)
  t.same(await retry(), { status: 'success' })
  t.same(commands(), [letterCommand('find'), letterCommand('delete'), rowCommand, ['commitTransaction', undefined]])
})

t.test('a fault whose operation MongoDB does not name is found out one by one', async t => {
  const { mongo, retry, commands } = await scripted(t)
  const duplicate = { code: 11000, codeName: 'DuplicateKey', errmsg: 'E11000 duplicate key error index: text_1 dup key' }
  mongo.script('update', commandError(duplicate), { ok: 1, n: 1, nModified: 1 }, commandError(duplicate))
  t.match(await retry(), { status: 'fatal_error', failed_operation: { error_code: 'DUPLICATE_KEY', operation_index: 1 } })
  t.same(commands(), [
    letterCommand('find'), letterCommand('delete'), rowCommand, ['abortTransaction', undefined],
    letterCommand('delete'), rowCommand, rowCommand, ['abortTransaction', undefined],
    letterCommand('update')
  ])
})

t.test('the operator\'s rules for MongoDB\'s faults hold for retries, too', async t => {
  const { mongo, retry } = await scripted(t, { upload: { faults: { 13: 'reject', 11000: 'retry' } } })
  mongo.script('update', commandError({ code: 13, codeName: 'Unauthorized' }), commandError({ code: 13, codeName: 'Unauthorized' }))
  t.match(await retry(), { status: 'fatal_error', failed_operation: { error_code: 'UNCLASSIFIED_ERROR' } })
  mongo.script('update', writeErrors([{ index: 0, code: 11000, errmsg: 'E11000 index: text_1 dup key' }]))
  await t.rejects(retry(), { code: 11000 })
})

t.test('a write conflict starts a retry again; one that finds the letter gone applies nothing', async t => {
  const { mongo, retry, commands } = await scripted(t)
  mongo.script('delete', commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] }), { ok: 1, n: 0 })
  t.equal(await retry(), null)
  t.same(commands().map(([name]) => name), ['find', 'delete', 'abortTransaction', 'delete', 'commitTransaction'])
})

t.test('a retry ends at the deadline', async t => {
  const { mongo, retry } = await scripted(t, { upload: { deadline: 200 } })
  mongo.script('update', hang())
  await t.rejects(retry(), { name: 'DeadlineError' })
  mongo.script('find', delay(10))
  t.same(await retry(), { status: 'success' })
})

t.test('a MongoDB that does not let the indexes be read stops the start', async t => {
  const mongo = await startWireServer({ on: { listIndexes: () => commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }) } })
  t.teardown(() => mongo.stop())
  await t.rejects(testServer(t, { mongo: { url: mongo.uri }, collections: { rows: collection({ schema: 'any' }) } }), {
    code: 'FST_PSM_MONGO', message: /indexes of powersync_dead_letters be read and changed \(Unauthorized\): give this server's user the role readWrite/
  })
})

t.test('options that make no sense stop the start', async t => {
  const cases: [object, RegExp][] = [
    [{ expireAfterDays: 0 }, /option upload\.deadLetters\.expireAfterDays is 0: expected an integer from 1 to 3650 days/],
    [{ mirror: '' }, /option upload\.deadLetters\.mirror is "": expected the name of a collection of yours/],
    [{ mirror: 5 }, /mirror is a number/],
    [{ mirror: 'system.users' }, /mirror is "system\.users"/],
    [{ mirror: 'powersync_dead_letters' }, /mirror is/],
    [{ mirror: '_powersync_checkpoints' }, /mirror is/],
    [{ mirror: 'a$b' }, /mirror is/]
  ]
  for (const [deadLetters, message] of cases) {
    await t.rejects(server(t, { upload: { deadLetters } as PowerSyncMongoOptions['upload'] }), { code: 'FST_PSM_OPTION', message })
  }
})
