/** What hooks may do and give; whose fault an error is; that no hook can change what was uploaded. */
import t, { type Test } from 'tap'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import type { FastifyServerOptions } from 'fastify'
import { Type } from '@sinclair/typebox'
import {
  collection, MongoDBStorage, PowerSyncFatalError, type CollectionOptions, type PowerSyncMongoOptions
} from '../../index.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const schema = Type.Object({
  name: Type.String(),
  tags: Type.Optional(Type.Array(Type.String())),
  owner_id: Type.Optional(Type.String())
})

async function fixture (
  t: Test,
  options: Partial<CollectionOptions<typeof schema>>,
  plugin: Partial<PowerSyncMongoOptions> = {}
) {
  const mongo = await testDatabase(t)
  const lines: any[] = []
  const logger: FastifyServerOptions['logger'] = {
    level: 'error',
    stream: {
      write: (line: string) => {
        lines.push(JSON.parse(line))
      }
    }
  }
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri, { monitorCommands: true }).connect()
  t.teardown(() => client.close())
  const commands: string[] = []
  client.on('commandStarted', ({ commandName }) => { commands.push(commandName) })
  const db = client.db()
  const app = await testServer(
    t,
    {
      collections: {
        lists: collection({ schema, ...options }),
        secret: collection({ schema, authorize: () => false })
      },
      ...plugin,
      mongo: { client, database: mongo.database }
    },
    { logger }
  )
  const put = (data: object = { name: 'n' }, opId = 1) =>
    upload(app, { client_id: 'c', batch: [{ op_id: opId, tx_id: opId, op: 'PUT', type: 'lists', id: 'x', data }] })
  const lists = db.collection<{ _id: string } & mongodb.Document>('lists')
  return { app, db, lists, lines, commands, put }
}

t.test('a transform that gives nothing fails the upload and loses nothing; the log names it', async t => {
  for (const transform of [() => {}, async () => {}]) {
    const { put, lines, lists } = await fixture(t, { transform: transform as any })
    t.equal((await put()).status, 503)
    t.match(lines, [{ err: { hook: 'transform', table: 'lists', reason: /gave nothing/ } }])
    t.equal(await lists.countDocuments(), 0)
  }
})

t.test('an operation that is none, or on an unknown table, is the fault of the hook that gives it', async t => {
  const wrong: Array<[object, RegExp]> = [
    [{ table: 'nope' }, /on a table that is not one of the server's collections/],
    [{ op: 'put' }, /whose op is not PUT, PATCH or DELETE/],
    [{ tabel: 'secret' }, /the unknown property "tabel"; did you mean table\?/],
    [{ data: undefined }, /whose data is nothing: expected an object/],
    [{ data: 'name' }, /whose data is text: expected an object/],
    [{ data: ['name'] }, /whose data is an array: expected an object/],
    [{ data: new Map([['name', 'n']]) }, /whose data is a Map: expected an object/]
  ]
  for (const [change, reason] of wrong) {
    const hooks: Record<string, Partial<CollectionOptions<typeof schema>>> = {
      transform: { transform: operation => ({ ...operation, ...change }) as typeof operation },
      updateBatch: {
        updateBatch: async (transaction, _context, next) => {
          const operations = transaction.operations.map(each => ({ ...each, ...change }) as typeof each)
          await next({ ...transaction, operations })
        }
      }
    }
    for (const [hook, options] of Object.entries(hooks)) {
      const { put, lines, lists, db } = await fixture(t, options)
      t.equal((await put()).status, 503, hook)
      t.match(lines, [{ err: { hook, reason } }])
      t.equal(await lists.countDocuments() + await db.collection('powersync_dead_letters').countDocuments(), 0)
    }
  }
})

t.test('a PUT clears what it lacks, whoever left that out, and keeps what its user cannot write', async t => {
  type Put = { op: 'PUT', data: Record<string, unknown> }
  const left = <Given extends object>(given: Given): Given => {
    const { op, data: { tags, ...data } } = given as unknown as Put
    return op === 'PUT' ? { ...given, data } : given
  }
  const hooks: Array<Partial<CollectionOptions<typeof schema>>> = [
    { transform: operation => left(operation) },
    { resolveConflict: ({ operation }) => left(operation) },
    {
      updateBatch: async (transaction, _context, next) =>
        await next({ ...transaction, operations: transaction.operations.map(left) })
    }
  ]
  for (const hook of hooks) {
    for (const nulls of ['store', 'unset'] as const) {
      const { put, lists } = await fixture(t, { ...hook, nulls, writable: ['name', 'tags'] })
      await lists.insertOne({ _id: 'x', name: 'old', tags: ['old'], owner_id: 'ann', more: 1 })
      t.equal((await put({ name: 'new', tags: ['new'] })).status, 200)
      const cleared = nulls === 'store' && { tags: null }
      t.strictSame(await lists.findOne({ _id: 'x' }), { _id: 'x', name: 'new', ...cleared, owner_id: 'ann', more: 1 })
    }
    const { put, lists } = await fixture(t, { ...hook, defaults: { tags: () => ['none'] } })
    await lists.insertOne({ _id: 'x', name: 'old', tags: ['old'] })
    t.equal((await put({ name: 'new', tags: ['new'] })).status, 200)
    t.match(await lists.findOne({ _id: 'x' }), { name: 'new', tags: ['none'] }, 'a default in place of null')
  }
})

t.test('a PUT of a transform has the required fields that the server does not set', async t => {
  const name = () => 'new'
  for (const [options, status] of [
    [{}, 503],
    [{ defaults: { name: () => null as never } }, 503],
    [{ owner: 'name' }, 200],
    [{ writable: ['tags'] }, 200],
    [{ defaults: { name, tags: () => ['never'], owner_id: () => 'ann' } }, 200]
  ] as const) {
    const { put, lines, lists } = await fixture(t, {
      ...options, transform: operation => ({ ...operation, data: { tags: ['a'] } }) as unknown as typeof operation
    })
    t.equal((await put('owner' in options || 'writable' in options ? {} : undefined)).status, status)
    const reason = /gave a PUT without the required field "name"/
    t.match(lines, status === 503 ? [{ err: { hook: 'transform', table: 'lists', reason } }] : [])
    const given = 'defaults' in options && { name: 'new', owner_id: 'ann' }
    if (status === 200) t.match(await lists.findOne({ _id: 'x' }), { tags: ['a'], ...given })
  }
})

t.test('an operation whose data is no object is the app\'s fault, and the log names the hook', async t => {
  for (const data of [undefined, null, 'text', ['a'], new Map([['name', 'a']])]) {
    const broken = (operation: object) => ({ ...operation, data }) as any
    const hooks: Record<string, Partial<CollectionOptions<typeof schema>>> = {
      transform: { transform: broken },
      resolveConflict: { resolveConflict: ({ operation }) => broken(operation) },
      updateBatch: {
        updateBatch: async (transaction, _context, next) =>
          next({ ...transaction, operations: transaction.operations.map(broken) })
      }
    }
    for (const [hook, options] of Object.entries(hooks)) {
      const { put, lines, lists } = await fixture(t, options)
      await lists.insertOne({ _id: 'x', name: 'before' })
      t.equal((await put()).status, 503)
      t.match(lines, [{ err: { hook, reason: /whose data is/ } }])
      t.same(await lists.find().toArray(), [{ _id: 'x', name: 'before' }])
    }
  }
})

t.test('an updateBatch that does not wait for next fails the upload; the log names it', async t => {
  const hooks: Array<CollectionOptions<typeof schema>['updateBatch']> = [
    async (_transaction, _context, next) => { next() },
    (_transaction, _context, next) => { next() },
    // Its write fails, which nobody sees.
    async (_transaction, { db, session }, next) => {
      next()
      await db.collection('other').findOne({}, { session })
      next()
    }
  ]
  for (const updateBatch of hooks) {
    const { put, lines, lists } = await fixture(t, { updateBatch })
    await lists.createIndex({ name: 1 }, { unique: true })
    await lists.insertOne({ _id: 'other', name: 'taken' })
    for (const name of ['free', 'taken']) t.equal((await put({ name })).status, 503)
    t.match(lines, [1, 2].map(() => ({ err: { hook: 'updateBatch', reason: /ended before next did/ } })))
    t.equal(await lists.countDocuments(), 1)
  }
})

t.test('parts that an updateBatch passes on at once are written one after the other', async t => {
  const { app, lists } = await fixture(t, {
    updateBatch: async (transaction, _context, next) => {
      await Promise.all(transaction.operations.map(each => next({ ...transaction, operations: [each] })))
    }
  })
  const batch = ['a', 'b', 'c'].map((name, index) =>
    ({ op_id: index, tx_id: 1, op: 'PUT', type: 'lists', id: 'x', data: { name } }))
  t.equal((await upload(app, { client_id: 'c', batch })).status, 200)
  t.match(await lists.find().toArray(), [{ _id: 'x', name: 'c' }])
})

t.test('operations are frozen, all the way down', async t => {
  const changes: Array<(operation: any) => void> = [
    operation => { operation.id = 'other' },
    operation => { operation.table = 'secret' },
    operation => { operation.data.name = 'other' },
    operation => { operation.data.tags.push('other') },
    operation => { operation.previous.name = 'other' }
  ]
  for (const change of changes) {
    for (const hook of ['authorize', 'transform'] as const) {
      const { app, lists, lines } = await fixture(t, {
        [hook]: (operation: any) => {
          change(operation)
          return hook === 'authorize' ? true : operation
        }
      })
      const { status } = await upload(app, {
        client_id: 'c',
        batch: [{ op_id: 1, op: 'PUT', type: 'lists', id: 'x', data: { name: 'n', tags: ['a'] }, old: { name: 'o' } }]
      })
      t.equal(status, 503)
      t.match(lines, [{ err: { hook, cause: { type: 'TypeError' } } }])
      t.equal(await lists.countDocuments(), 0)
    }
  }
})

t.test('a transaction is frozen for updateBatch and for onResult', async t => {
  const seen: string[] = []
  const { put } = await fixture(t, {
    updateBatch: async (transaction, _context, next) => {
      try { (transaction as any).operations.push({}) } catch { seen.push('updateBatch') }
      await next()
    },
    onResult: ({ transaction }) => {
      try {
        ;(transaction.operations[0] as any).data.name = 'other'
      } catch {
        seen.push('onResult')
      }
    }
  })
  t.equal((await put()).status, 200)
  t.same(seen, ['updateBatch', 'onResult'])
})

t.test('what a transform moves to another table is authorised there', async t => {
  const { put, db } = await fixture(t, { transform: operation => ({ ...operation, table: 'secret' }) })
  t.match((await put()).body, {
    results: [{ status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }]
  })
  t.equal(await db.collection('secret').countDocuments(), 0)
})

t.test('an updateBatch may pass on copies of operations whose transfer was allowed, and no others', async t => {
  const ways = [['bob', true, 'next'], ['eve', false, 'next'], ['bob', true, 'own'], ['eve', false, 'own']] as const
  for (const [to, allowed, way] of ways) {
    const options: Partial<CollectionOptions<typeof schema>> = {
      owner: 'owner_id',
      authorizeTransfer: operation => operation.data.owner_id === 'bob'
    }
    const { app, lists } = await fixture(t, {
      ...options,
      updateBatch: async (transaction, context, next) => {
        const changed = {
          ...transaction,
          operations: structuredClone(transaction.operations).map(
            operation => ({ ...operation, data: { owner_id: to } }) as typeof operation
          )
        }
        if (way === 'next') return await next(changed)
        const storage = new MongoDBStorage(context.db, { lists: collection({ schema, ...options }) })
        await storage.updateBatch(changed, context)
      }
    }, { authenticate: () => ({ id: 'ann' }) })
    await lists.insertOne({ _id: 'x', name: 'n', owner_id: 'ann' })
    const { body } = await upload(app, {
      client_id: 'c',
      batch: [{ op_id: 1, op: 'PATCH', type: 'lists', id: 'x', data: { owner_id: 'bob' } }]
    })
    t.equal(body['results'][0].status, allowed ? 'success' : 'fatal_error', way)
    t.equal((await lists.findOne({ _id: 'x' }))?.['owner_id'], allowed ? 'bob' : 'ann')
  }
})

t.test('hooks may give copies of operations that leave the owner to the server', async t => {
  const owned = Type.Object({ name: Type.String(), owner_id: Type.String() })
  type Hooks = Partial<CollectionOptions<typeof owned>>
  const ways: Hooks[] = [
    { transform: operation => ({ ...operation }) },
    { resolveConflict: ({ operation }) => ({ ...operation }) },
    { updateBatch: async (transaction, _context, next) => next({ ...transaction }) }
  ]
  for (const way of ways) {
    const owners: Array<Hooks['owner']> = ['owner_id', user => ({ owner_id: user.id })]
    for (const owner of owners) {
      const lists = collection({ schema: owned, owner, ...way })
      const { put, db } = await fixture(t, {}, { collections: { lists }, authenticate: () => ({ id: 'ann' }) })
      t.match((await put()).body, { results: [{ status: 'success' }] })
      t.match((await put({ name: 'm' }, 2)).body, { results: [{ status: 'success' }] })
      t.same(await db.collection('lists').find().toArray(), [{ _id: 'x', name: 'm', owner_id: 'ann' }])
    }
  }
})

t.test('an error of MongoDB that a hook\'s own query gives is retryable, whatever its code', async t => {
  const failures: Record<string, (db: mongodb.Db, session: mongodb.ClientSession) => Promise<unknown>> = {
    2: (db, session) => db.collection('other').find({ $and: 1 } as object, { session }).toArray(),
    11000: (db, session) => db.collection<{ _id: string }>('other').insertOne({ _id: 'there' }, { session }),
    121: (db, session) => db.collection('valid').insertOne({ a: 1 }, { session })
  }
  for (const [code, fail] of Object.entries(failures)) {
    const { put, db, lines } = await fixture(t, {
      authorize: async (_operation, { db, session }) => {
        await fail(db, session)
        return true
      }
    })
    await db.collection<{ _id: string }>('other').insertOne({ _id: 'there' })
    await db.createCollection('valid', { validator: { b: { $exists: true } } })
    const { status, body } = await put()
    t.equal(status, 503, `code ${code}`)
    t.match(body, { results: [{ status: 'retryable_error' }] })
    t.match(lines, [{ err: { hook: 'authorize', table: 'lists', cause: { code: Number(code) } } }])
    t.equal(await db.collection('powersync_dead_letters').countDocuments(), 0)
  }
})

t.test('in an updateBatch a write may be at fault for its data: no query, and no error of something else', async t => {
  type Failure = (db: mongodb.Db, session: mongodb.ClientSession) => Promise<unknown>
  const failures: Record<string, Failure> = {
    'a query': (db, session) => db.collection('other').find({ $and: 1 } as object, { session }).toArray(),
    'a call of another service': async () => { throw Object.assign(new Error('2 UNKNOWN'), { code: 2 }) },
    'a thing with a code': async () => { throw { code: 11000 } } // eslint-disable-line no-throw-literal
  }
  const there: Failure = (db, session) =>
    db.collection<{ _id: string }>('other').insertOne({ _id: 'there' }, { session })
  const updateBatchOf = (fail: Failure): CollectionOptions<typeof schema>['updateBatch'] =>
    async (_transaction, { db, session }, next) => {
      await next()
      await fail(db, session)
    }
  for (const [name, fail] of Object.entries(failures)) {
    const { put, lines } = await fixture(t, { updateBatch: updateBatchOf(fail) })
    t.equal((await put()).status, 503, name)
    t.match(lines, [{ err: { hook: 'updateBatch', reason: /failed/ } }])
  }
  const writes: Record<string, Failure> = {
    there,
    'several at once': (db, session) =>
      db.collection<{ _id: string }>('other').insertMany([{ _id: 'there' }], { session }),
    'on several collections': (db, session) => db.client.bulkWrite([
      { name: 'insertOne', namespace: `${db.databaseName}.other`, document: { _id: 'there' as never } }
    ], { session })
  }
  for (const [name, write] of Object.entries(writes)) {
    const { put, db } = await fixture(t, { updateBatch: updateBatchOf(write) })
    const { maxWireVersion } = await db.command({ hello: 1 })
    if (name === 'on several collections' && maxWireVersion < 25) continue // older than MongoDB 8.0
    await db.collection<{ _id: string }>('other').insertOne({ _id: 'there' })
    t.match((await put()).body, { results: [{ failed_operation: { error_code: 'DUPLICATE_KEY' } }] }, name)
  }
})

t.test('a hook that catches an error of MongoDB gets one 503, and the log names it and why', async t => {
  const swallow = async (db: mongodb.Db, session: mongodb.ClientSession) => {
    try { await db.collection<{ _id: string }>('other').insertOne({ _id: 'there' }, { session }) } catch {}
  }
  const hooks: Record<string, Partial<CollectionOptions<typeof schema>>> = {
    authorize: { authorize: async (_operation, { db, session }) => { await swallow(db, session); return true } },
    transform: { transform: async (operation, { db, session }) => { await swallow(db, session); return operation } },
    updateBatch: {
      updateBatch: async (_transaction, { db, session }, next) => {
        await swallow(db, session)
        await next()
      }
    }
  }
  for (const [hook, options] of Object.entries(hooks)) {
    const { put, db, lines, commands } = await fixture(t, options)
    await db.collection<{ _id: string }>('other').insertOne({ _id: 'there' })
    commands.length = 0
    t.equal((await put()).status, 503, hook)
    t.match(lines, [
      { err: { type: 'HookError', hook, reason: /caught an error of MongoDB, which ended the transaction/ } }
    ])
    t.ok(commands.filter(command => command === 'insert').length <= 2, 'it is tried twice at most')
  }
})

t.test('a hook that never ends holds no document beyond the deadline', async t => {
  let hangs = true
  const { put, lists } = await fixture(t, {
    updateBatch: async (_transaction, _context, next) => {
      await next()
      if (hangs) await new Promise(() => {})
    }
  }, { upload: { deadline: 2000 } })
  t.equal((await put({ name: 'first' })).status, 503)
  hangs = false
  t.equal((await put({ name: 'second' }, 2)).status, 200)
  t.match(await lists.find().toArray(), [{ name: 'second' }])
})

t.test('a rejection without a code is an error of the app: nothing is rejected, and the log says why', async t => {
  for (const code of [undefined, '', 42] as string[]) {
    const { app, put, lines } = await fixture(t, { authorize: () => { throw new PowerSyncFatalError(code, 'no') } })
    t.equal((await put()).status, 503)
    t.match(lines, [{ err: { hook: 'authorize', cause: { reason: /PowerSyncFatalError: the code is not text, or empty/ } } }])
    t.same(await app.powersync.deadLetters.list(), [])
  }
})

t.test('details of a rejection that are no JSON still give an answer, the same each time', async t => {
  const circle: Record<string, unknown> = {}
  circle['circle'] = circle
  const all: Array<[Record<string, unknown>, object | undefined]> = [
    [{ left: 5n, long: 2n ** 60n, at: new Date(0), none: undefined }, {
      left: 5, long: '1152921504606846976', at: '1970-01-01T00:00:00.000Z'
    }],
    [circle, undefined]
  ]
  for (const [details, expected] of all) {
    const options = {
      authorize: () => { throw new PowerSyncFatalError('QUOTA', 'The quota is used up', { details }) }
    }
    const { app, put } = await fixture(t, options)
    const first = await put()
    t.equal(first.status, 200)
    t.same(first.body['results'][0].failed_operation.details, expected)
    const [letter] = await app.powersync.deadLetters.list()
    t.same(letter!.failed_operation.details, expected)
    t.same((await put()).body, first.body)
  }
})

t.test('a fault of requiresClientHandling keeps nothing; the log names it', async t => {
  const fail = () => { throw new Error('of the app') }
  for (const requiresClientHandling of [fail, async () => fail()]) {
    const { app, lines, db } = await fixture(t, {}, { upload: { requiresClientHandling } })
    const crud = [{ op_id: 1, op: 'PUT', type: 'lists', id: 'x', data: { name: 5 } }]
    const { body } = await upload(app, { client_id: 'c', transactions: [{ crud }] })
    t.match(body, { results: [{ status: 'retryable_error' }] })
    t.match(lines, [{ err: { hook: 'requiresClientHandling' } }])
    t.equal(await db.collection('powersync_dead_letters').countDocuments(), 0)
  }
})
