import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import fastifyMongodb from '@fastify/mongodb'
import { collection, type PowerSyncMongoOptions } from '../../index.js'
import { applyValidators, compareValidators } from '../../lib/store/validators.js'
import { needs, testDatabase, withDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { commandError, cursor, startWireServer, type Document } from '../support/wire-server.js'

const collections = {
  lists: collection({ schema: Type.Object({ name: Type.String({ maxLength: 20 }) }) }),
  app_todos: collection({ name: 'todos', schema: Type.Object({ done: Type.Boolean() }) }),
  old_todos: collection({ name: 'todos', schema: Type.Object({ text: Type.String() }) }),
  free: collection({ schema: 'any' })
}
const lists = {
  $jsonSchema: {
    bsonType: 'object',
    required: ['name'],
    properties: { _id: { bsonType: 'string' }, name: { bsonType: 'string', maxLength: 20 } }
  }
}
const todos = {
  $or: [
    {
      $jsonSchema: {
        bsonType: 'object',
        required: ['done'],
        properties: { _id: { bsonType: 'string' }, done: { bsonType: 'bool' } }
      }
    },
    {
      $jsonSchema: {
        bsonType: 'object',
        required: ['text'],
        properties: { _id: { bsonType: 'string' }, text: { bsonType: 'string' } }
      }
    }
  ]
}
const enforced = { validationLevel: 'strict', validationAction: 'error' }

/** A MongoDB that says which collections it has, and takes commands about them. */
async function scripted (t: Test, existing: Record<string, Document>) {
  const mongo = await startWireServer({
    on: {
      listCollections: ({ document }) => {
        const { name } = document['filter'] as { name: string }
        return cursor(existing[name] ? [{ name, type: 'collection', options: existing[name] }] : [])
      }
    }
  })
  t.teardown(() => mongo.stop())
  const client = new fastifyMongodb.mongodb.MongoClient(mongo.uri)
  t.teardown(() => client.close())
  const changes = () =>
    mongo.commands
      .filter(({ name }) => name === 'create' || name === 'collMod')
      .map(({ document: { lsid, $db, $clusterTime, $readPreference, ...command } }) => command)
  return { mongo, db: client.db(), changes }
}

/** Without them the PowerSync Service starts its replication again at a quick change of a new row. */
const changeStreamPreAndPostImages = { enabled: true }

t.test('collections without validator get one: created, or changed, by exactly these commands', async t => {
  const { db, changes } = await scripted(t, { todos: {} })
  const differences = await applyValidators(db, collections)
  t.same(differences.map(({ name, action }) => [name, action]), [['lists', 'create'], ['todos', 'update']])
  t.same(changes(), [
    { create: 'lists', changeStreamPreAndPostImages, validator: lists, ...enforced },
    { collMod: 'todos', validator: todos, ...enforced }
  ])
})

t.test('what is as it should be is left alone, however its keys are ordered', async t => {
  const { $jsonSchema: { bsonType, ...rest } } = lists
  const { db, changes } = await scripted(t, {
    lists: { validator: { $jsonSchema: { ...rest, bsonType } } },
    todos: { validator: todos, ...enforced }
  })
  t.same(
    (await applyValidators(db, collections)).map(({ action, changes }) => [action, changes]),
    [
      ['none', []],
      ['none', []]
    ]
  )
  t.same(changes(), [])
})

t.test('a difference is told by path, and level and action count', async t => {
  const { db, changes } = await scripted(t, {
    lists: { validator: { $jsonSchema: { ...lists.$jsonSchema, required: ['name', 'age'], title: 'x' } } }
  })
  const [difference] = await compareValidators(db, { lists: collections.lists }, { level: 'moderate', action: 'warn' })
  t.same(difference!.changes, [
    '- validator.$jsonSchema.required: ["name","age"]',
    '+ validator.$jsonSchema.required: ["name"]',
    '- validator.$jsonSchema.title: "x"',
    '- validationLevel: "strict"',
    '+ validationLevel: "moderate"',
    '- validationAction: "error"',
    '+ validationAction: "warn"'
  ])
  t.same(changes(), [], 'comparing changes nothing')
})

t.test('level and action stay as the operator set them, unless the caller says otherwise', async t => {
  const relaxed = { validationLevel: 'moderate', validationAction: 'warn' }
  const { db, changes } = await scripted(t, { lists: { validator: {}, ...relaxed } })
  await applyValidators(db, { lists: collections.lists })
  t.same(changes(), [{ collMod: 'lists', validator: lists, ...relaxed }])
})

t.test('of processes that start at once, the second changes what the first created', async t => {
  const { mongo, db, changes } = await scripted(t, {})
  mongo.script('create', commandError({ code: 48, codeName: 'NamespaceExists' }))
  await applyValidators(db, { lists: collections.lists })
  t.same(changes(), [
    { create: 'lists', changeStreamPreAndPostImages, validator: lists, ...enforced },
    { collMod: 'lists', changeStreamPreAndPostImages, validator: lists, ...enforced }
  ])
})

t.test('a collection that a table without schema writes to has no validator', async t => {
  const { db, changes } = await scripted(t, {})
  t.same(await applyValidators(db, { lists: collections.lists, raw: collection({ name: 'lists', schema: 'any' }) }), [])
  t.same(changes(), [])
})

t.test('numbers compare as numbers on a client that gives BSON types', async t => {
  const { mongo } = await scripted(t, { lists: { validator: lists } })
  const client = new fastifyMongodb.mongodb.MongoClient(mongo.uri, { promoteValues: false })
  t.teardown(() => client.close())
  t.same((await compareValidators(client.db(), { lists: collections.lists })).map(({ action }) => action), ['none'])
})

t.test('the option validators: apply, check or nothing, at start', async t => {
  const start = (uri: string, validators: PowerSyncMongoOptions['validators']) =>
    testServer(t, { mongo: { url: uri }, collections: { lists: collections.lists }, validators })
  const missing = await scripted(t, {})
  /** Beside the collections that are missing, which each start creates. */
  const changes = () => missing.changes().filter(command => 'validator' in command)
  await start(missing.mongo.uri, false)
  t.same(changes(), [])
  await t.rejects(start(missing.mongo.uri, 'check'), {
    code: 'FST_PSM_MONGO',
    message:
      /validators of lists are not what the schemas say \(lists: \+ validator\.\$jsonSchema\.bsonType: "object".*apply-validators/
  })
  t.same(changes(), [])
  await start(missing.mongo.uri, 'apply')
  t.equal(changes().length, 1)
  const right = await scripted(t, { lists: { validator: lists } })
  await t.resolves(start(right.mongo.uri, 'check'))
  await t.rejects(start(right.mongo.uri, 'always' as never), {
    message: /option validators is "always": expected 'apply', 'check' or false/
  })

  for (const [mode, role] of [['apply', 'dbAdmin'], ['check', 'read']] as const) {
    const forbidden = await startWireServer({
      on: { listCollections: () => commandError({ code: 13, codeName: 'Unauthorized' }) }
    })
    t.teardown(() => forbidden.stop())
    await t.rejects(start(forbidden.uri, mode), {
      code: 'FST_PSM_MONGO',
      message: new RegExp(`\\(Unauthorized\\): give this server's user the role ${role}`)
    })
  }
})

t.test('a server that refuses to create, or that has no validators, stops the start with what to do', async t => {
  for (const [error, message] of [
    [{ code: 13, codeName: 'Unauthorized' }, /\(Unauthorized\): give this server's user the role dbAdmin/],
    [
      { code: 59, codeName: 'CommandNotFound' },
      /\(CommandNotFound\): use a MongoDB server, since this one has no validators, or set/
    ],
    [{ code: 11600, codeName: 'InterruptedAtShutdown' }, /\(InterruptedAtShutdown\): check that the server runs/]
  ] as const) {
    const { mongo } = await scripted(t, {})
    mongo.script('create', commandError(error))
    await t.rejects(
      testServer(t, { mongo: { url: mongo.uri }, collections: { lists: collections.lists }, validators: 'apply' }),
      { code: 'FST_PSM_MONGO', message }
    )
  }
})

const database = await testDatabase(t)
t.test('a real MongoDB enforces them', { skip: needs(database, 'mongod', '$jsonSchema and collMod') }, async t => {
  const app = await testServer(t, {
    mongo: { url: database.uri },
    collections: { lists: collections.lists },
    validators: 'apply'
  })
  const db = app.mongo.db!
  t.same((await compareValidators(db, { lists: collections.lists })).map(({ action }) => action), ['none'])
  t.equal(
    (await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: 'a', data: { name: 'x' } }] })).body.results[0]
      .status,
    'success'
  )
  await t.rejects(db.collection('lists').insertOne({ name: 5 }), { code: 121 })
})

t.test(
  'documents that break the new rules are counted and named before they are applied, without their values',
  { skip: needs(database, 'mongod', '$jsonSchema in queries') },
  async t => {
    const client = new fastifyMongodb.mongodb.MongoClient(withDatabase(database.uri, `${database.database}_b`))
    t.teardown(() => client.close())
    const db = client.db()
    await db.collection<{ _id: string | number, name: unknown }>('lists').insertMany([
      { _id: 'good', name: 'x' },
      { _id: 'bad', name: 5 },
      { _id: 7, name: 'y' }
    ])
    t.match(await compareValidators(db, { lists: collections.lists }), [
      { action: 'update', breaking: { count: 2, ids: ['bad', '7'] } }
    ])

    let log = ''
    const stream = { write: (line: string) => { log += line } }
    await testServer(
      t,
      {
        mongo: { url: withDatabase(database.uri, db.databaseName) },
        collections: { lists: collections.lists },
        validators: 'apply'
      },
      { logger: { stream } }
    )
    t.match(log, /"collection":"lists","documents":2,"msg":"documents break the rules of their collection's validator/)
    t.match(
      await compareValidators(db, { lists: collections.lists }),
      [{ action: 'none', breaking: { count: 0, ids: [] } }],
      'as it should be, it is not searched again'
    )
  }
)
