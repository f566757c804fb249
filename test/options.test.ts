import { generateKeyPairSync } from 'node:crypto'
import Fastify, { type FastifyRequest } from 'fastify'
import fastifyJwt from '@fastify/jwt'
import fastifyMongodb from '@fastify/mongodb'
import fastifySwagger from '@fastify/swagger'
import t, { type Test } from 'tap'
import { Kind, Type, type TSchema } from '@sinclair/typebox'
import powersyncMongo, {
  collection, developmentAuth, firstOf, generateKeys, powersyncOptions, type PowerSyncMongoOptions
} from '../index.js'
import { collectionOptions, pluginOptions } from '../lib/options/schema.js'
import { needs, testDatabase } from './support/database.js'
import { failPoints } from './support/fail-point.js'
import { keys, testServer, upload } from './support/server.js'
import { startWireServer } from './support/wire-server.js'

const database = await testDatabase(t)
const lists = collection({ schema: Type.Object({ name: Type.String() }) })
/** As one that was made long ago. */
const keptKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
const good: PowerSyncMongoOptions = {
  powersyncUrl: 'https://test.powersync.example',
  keys: { signing: keys.privateKey },
  mongo: { url: database.uri },
  authenticate: developmentAuth(),
  collections: { lists }
}

async function start (t: Test, options: object) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(powersyncMongo, { ...good, ...options } as PowerSyncMongoOptions)
  return app
}

/** Sets environment variables for one test. */
function environment (t: Test, variables: Record<string, string | undefined>) {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name]
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
    t.teardown(() => { if (before === undefined) delete process.env[name]; else process.env[name] = before })
  }
}

t.test('a mistake in the options stops the start with the option\'s name and what to do', async t => {
  environment(t, { POWERSYNC_URL: undefined, POWERSYNC_PRIVATE_KEY: undefined, MONGO_URI: undefined })
  const cases: [object, RegExp][] = [
    [{ colections: {} }, /option colections is unknown; did you mean collections\?/],
    [{ something: 1 }, /option something is unknown: expected one of authenticate, collections, prefix, name,/],
    [{ authenticate: undefined }, /option authenticate is missing: pass \(request\) =>/],
    [{ authenticate: 'jwt' }, /option authenticate is text: pass \(request\) =>/],
    [{ collections: undefined }, /option collections is missing: pass/],
    [{ collections: {} }, /option collections is an object: pass/],
    [
      { collections: { users: { ...lists, name: 'system.users' } } },
      /option collections\.users writes to "system\.users", which is reserved/
    ],
    [{ collections: { _powersync_checkpoints: lists } }, /reserved/],
    [{ collections: { powersync_dead_letters: lists } }, /reserved/],
    [{ collections: { a$b: lists } }, /reserved/],
    [{ authorize: true }, /option authorize is true: expected a function/],
    [{ updateBatch: {} }, /option updateBatch is an object: expected a function/],
    [{ upload: { authenticate: 'x' } }, /option upload\.authenticate is text: expected a function/],
    [{ token: { claims: {} } }, /option token\.claims is an object: expected a function/],
    [{ token: { expiresIn: 59 } }, /option token\.expiresIn is 59: expected an integer from 60 to 86400 seconds/],
    [{ token: { expiresIn: 86_401 } }, /option token\.expiresIn is 86401/],
    [{ token: { expiresIn: '5m' } }, /option token\.expiresIn is text/],
    [{ upload: { bodyLimit: 0 } }, /option upload\.bodyLimit is 0: expected an integer from 1024/],
    [{ upload: { maxOperations: 0.5 } }, /option upload\.maxOperations is 0\.5/],
    [{ upload: { deadline: 5 } }, /option upload\.deadline is 5: expected an integer from 100 to 600000 milliseconds/],
    [{ upload: { deduplicate: { days: 0.5 } } }, /option upload\.deduplicate\.days is 0\.5/],
    [{ upload: { maxConcurrent: 0 } }, /option upload\.maxConcurrent is 0/],
    [{ upload: { faults: { 13: 'ignore' } } }, /option upload\.faults\[13\] is "ignore"/],
    [{ upload: { requiresClientHandling: true } }, /option upload\.requiresClientHandling is true/],
    [{ powersyncUrl: undefined }, /option powersyncUrl is missing: set POWERSYNC_URL/],
    [{ powersyncUrl: 'powersync.example' }, /option powersyncUrl \(from powersyncUrl\) is not a URL/],
    [{ powersyncUrl: 'ftp://powersync.example' }, /is not a URL: expected one that starts with https/],
    [{ name: 'my app' }, /option name is text: expected letters, digits and _/],
    [{ keys: undefined }, /POWERSYNC_PRIVATE_KEY/],
    [{ keys: {} }, /keys\.signing/],
    [{ mongo: undefined }, /option mongo is missing: pass mongo\.url, set MONGO_URI/],
    [{ mongo: { name: 'other' } }, /option mongo names the connection other, which no/],
    [{ mongo: { url: '' } }, /option mongo\.url is text: expected a connection string/],
    [{ mongo: { url: database.uri, database: '' } }, /option mongo\.database is text: expected the name of a database/],
    [{ mongo: { name: '' } }, /option mongo\.name is text: expected the name of a connection/],
    [{ mongo: { url: 'localhost' } }, /option mongo\.url cannot be read/],
    [{ mongo: { url: 'mongodb://user:p@ss@w@rd:secret@host/db' } }, /option mongo\.url cannot be read/]
  ]
  for (const [options, message] of cases) {
    await t.rejects(start(t, options), { message, code: /^FST_PSM_/ })
  }
})

/** The options of a schema: path, and what the check there is. */
function eachOption (schema: TSchema, path: string[], visit: (path: string[], schema: TSchema) => void): void {
  const part = (schema['anyOf'] as TSchema[] | undefined)?.find(each => each[Kind] === 'Object') ?? schema
  for (const [name, property] of Object.entries<TSchema>(part[Kind] === 'Object' ? part['properties'] : {})) {
    visit([...path, name], property)
    eachOption(property, [...path, name], visit)
  }
}

const at = (path: string[], value: unknown) => path.reduceRight<any>((inner, name) => ({ [name]: inner }), value)

t.test(
  'each option at each depth: a misspelt name, a wrong type, a value out of range stop the start with its name',
  async t => {
    let checked = 0
    const stops = async (path: string[], value: unknown, words: string) => {
      checked++
      const base =
        path[0] === 'keys' && path.length > 1
          ? { keys: { ...good.keys, ...at(path.slice(1), value) } }
          : at(path, value)
      const error = await start(t, base).then(() => undefined, (error: Error & { code: string }) => error)
      t.match(error?.code, /^FST_PSM_(?:OPTION|KEY)$/, path.join('.'))
      t.ok(error?.message.includes(words), `${words}: ${error?.message}`)
    }
    const seen: Array<[path: string[], schema: TSchema]> = []
    eachOption(pluginOptions, [], (path, schema) => seen.push([path, schema]))
    for (const [path, schema] of seen) {
      // Fastify checks its own route options, and the driver those of its client.
      if (path[0] === 'routes' && path.length > 2 && path[2] !== 'url') continue
      if (!(path[0] === 'mongo' && path.length > 1)) {
        const misspelt = `${path.at(-1)}x`
        await stops(
          [...path.slice(0, -1), misspelt],
          1,
          `option ${[...path.slice(0, -1), misspelt].join('.')} is unknown`
        )
      }
      await stops(path, Symbol('wrong'), `option ${path.join('.')}`)
      for (const value of schema['maximum'] === undefined
        ? []
        : [schema['minimum'] - 1, schema['maximum'] + 1, schema['minimum'] + 0.5, NaN]) {
        await stops(path, value, `option ${path.join('.')} is ${value}`)
      }
    }
    const schema = Type.Object({ name: Type.String(), owner_id: Type.String() })
    for (const [name, property] of Object.entries<TSchema>(collectionOptions.properties)) {
      const misspelt = `${name}x`
      const of = (more: object) => ({ lists: collection({ schema, ...more } as never) })
      await stops(
        ['collections'],
        of({ [misspelt]: 1 }),
        `option collections.lists.${misspelt} is unknown; did you mean ${name}?`
      )
      await stops(['collections'], of({ [name]: Symbol('wrong') }), `option collections.lists.${name}`)
      t.type(property, 'object')
    }
    t.ok(checked > 100)
  }
)

t.test('a typo in an access rule never means "allowed"', async t => {
  const schema = Type.Object({ name: Type.String(), owner_id: Type.String() })
  const of = (more: object) => ({ collections: { lists: collection({ schema, ...more } as never) } })
  const cases: [object, RegExp][] = [
    [of({ onwer: 'owner_id' }), /option collections\.lists\.onwer is unknown; did you mean owner\?/],
    [of({ authorise: () => false }), /collections\.lists\.authorise is unknown; did you mean authorize\?/],
    [of({ readOnly: ['name'] }), /collections\.lists\.readOnly is unknown; did you mean writable\?/],
    [{ db: 'app' }, /option db is unknown; did you mean mongo\?/],
    [{ keys: { secret: 'x' } }, /option keys\.secret is unknown: expected one of signing, published/],
    [of({ operation: ['PUT'] }), /collections\.lists\.operation is unknown; did you mean operations\?/],
    [of({ authorize: 'no' }), /collections\.lists\.authorize is text: expected a function/],
    [{ upload: { bodylimit: 1024 } }, /upload\.bodylimit is unknown; did you mean bodyLimit\?/],
    [{ token: { expiresin: 60 } }, /token\.expiresin is unknown; did you mean expiresIn\?/],
    [{ routes: { tokens: false } }, /routes\.tokens is unknown; did you mean token\?/],
    [{ routes: { upload: { onRequset: () => {} } } }, /routes\.upload\.onRequset is unknown; did you mean onRequest\?/],
    [{ collections: { lists: { schema } } }, /collections\.lists is an object: write collection\(\{ schema, … \}\)/],
    [{ collections: { lists: schema } }, /collections\.lists is a TypeBox schema: write collection\(\{ schema: /],
    [{ mongo: 'mongodb://localhost/app' }, /option mongo is text: pass \{ url: 'mongodb:/],
    [of({ operations: null }), /collections\.lists\.operations is null: expected an array of 'PUT'/],
    [of({ defaults: new Map() }), /collections\.lists\.defaults is a Map: expected \{ field: \(\) => value \}/],
    ...['a..b', '.a', 'a.', 'a\0b'].map((name): [object, RegExp] =>
      [of({ name }), /collections\.lists writes to .*, which is reserved, or no name of a collection: choose another/]),
    [of({ fields: { a: 5 } }), /collections\.lists\.fields\.a is 5: expected the name of a field/],
    [of({ fields: null }), /collections\.lists\.fields is null: expected \{ column: field \}/],
    [of({ schema: undefined }), /collections\.lists\.schema is missing: pass Type\.Object/],
    [of({ id: { type: 'string', patern: 'x' } }), /collections\.lists\.id\.patern is unknown; did you mean pattern\?/],
    [of({ id: { type: 'uuid', store: 'binary' } }), /collections\.lists\.id\.store is "binary": expected 'text' or/],
    [of({ id: { type: 'objectId', pattern: 'x' } }), /collections\.lists\.id\.pattern is unknown: expected one of type/],
    [of({ id: { decode: String } }), /collections\.lists\.id is of no known type/],
    [of({ id: null }), /collections\.lists\.id is of no known type/],
    [{ upload: new Map() }, /option upload is a Map: expected an object/],
    [{ upload: { faults: new Map([[13, 'reject']]) } }, /option upload\.faults is a Map/],
    [{ upload: { deduplicate: new Map() } }, /upload\.deduplicate is a Map: expected true, false or \{ days \}/],
    [{ mongo: new (class MongoClient {})() }, /option mongo is a MongoClient: pass \{ url: 'mongodb:/],
    [{ prefix: '' }, /option prefix is text: expected text that is not empty/]
  ]
  for (const [options, message] of cases) await t.rejects(start(t, options), { code: 'FST_PSM_OPTION', message })

  // The methods of a class are no properties of its object: its rules would be lost.
  class Lists {
    schema = schema
    authorize (): boolean { return false }
  }
  for (const [options, message] of [
    [undefined, /option collection\(\) is nothing: write collection\(\{ schema, … \}\)/],
    [schema, /option collection\(\) is a TypeBox schema: write collection\(\{ schema: /],
    [new Lists(), /option collection\(\) is a Lists: write/],
    [Object.assign(Object.create({ authorize: () => false }), { schema }), /option collection\(\) is an object: write/]
  ] as const) t.throws(() => collection(options as never), { code: 'FST_PSM_OPTION', message })
  await t.resolves(start(t, of({ defaults: { name: undefined }, owner: undefined, ...Object.create(null) })))
})

t.test('what is not given comes from the environment; nothing counts as not set', async t => {
  const [next, later] = [await generateKeys({ algorithm: 'ES256' }), await generateKeys({ algorithm: 'EdDSA' })]
  environment(t, {
    POWERSYNC_URL: ' https://env.powersync.example/ ',
    POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64,
    POWERSYNC_PUBLIC_KEY: '',
    POWERSYNC_PUBLISHED_KEYS: ` ${next.publicKeyBase64},\n${later.publicKeyBase64}, `,
    MONGO_URI: database.uri
  })
  const app = await start(t, { powersyncUrl: undefined, keys: undefined, mongo: undefined })
  t.match((await app.inject('/token?user_id=a')).json(), { powersync_url: 'https://env.powersync.example' })
  t.same((await app.inject('/jwks')).json(), { keys: [keys.publicKey, next.publicKey, later.publicKey] })

  environment(t, { POWERSYNC_PUBLISHED_KEYS: 'rubbish' })
  await t.rejects(start(t, { keys: undefined }), {
    code: 'FST_PSM_KEY',
    message: /POWERSYNC_PUBLISHED_KEYS\[0\] cannot be read as a key/
  })
})

t.test('developmentAuth refuses to start in production, wherever it is', async t => {
  environment(t, { NODE_ENV: 'production' })
  const known = () => ({ id: 'user1' })
  for (const options of [
    {},
    { authenticate: firstOf(known, developmentAuth()) },
    { authenticate: known, upload: { authenticate: developmentAuth() } }
  ]) {
    await t.rejects(start(t, options), {
      code: 'FST_PSM_OPTION',
      message: /developmentAuth\(\).*NODE_ENV is production/
    })
  }
  await t.resolves(start(t, { authenticate: known, keys: { signing: keptKey } }))
})

t.test(
  'a signing key that generateKeys() made at the start refuses to start in production, in whatever form it is given',
  async t => {
    const known = () => ({ id: 'user1' })
    const made = await generateKeys({ algorithm: 'ES256', kid: 'mine' })
    const { kid, alg, use, ...bare } = made.privateKey
    for (const signing of [made.privateKey, made.privateKeyBase64, bare]) {
      await t.resolves(start(t, { authenticate: known, keys: { signing } }))
    }
    environment(t, { NODE_ENV: 'production' })
    for (const signing of [made.privateKey, made.privateKeyBase64, bare]) {
      await t.rejects(start(t, { authenticate: known, keys: { signing } }), {
        code: 'FST_PSM_OPTION',
        message:
          /option keys\.signing was generated in this process, and NODE_ENV is production.*npx powersync-mongo generate-keys/
      })
    }
    await t.resolves(
      start(t, { authenticate: known, keys: { signing: keptKey, published: [made.publicKey] } }),
      'publishing one is no fault'
    )
  }
)

t.test('a plain http powersyncUrl refuses to start in production, but for this machine\'s own', async t => {
  const kept = { authenticate: () => ({ id: 'user1' }), keys: { signing: keptKey } }
  await t.resolves(start(t, { ...kept, powersyncUrl: 'http://powersync:8080' }))
  environment(t, { NODE_ENV: 'production' })
  for (const powersyncUrl of ['http://powersync:8080', 'http://10.0.0.1']) {
    await t.rejects(start(t, { ...kept, powersyncUrl }), {
      code: 'FST_PSM_OPTION',
      message: /option powersyncUrl \(from powersyncUrl\) is plain http, and NODE_ENV is production/
    })
  }
  for (const powersyncUrl of ['http://localhost:8080', 'http://127.0.0.1:8080', 'https://powersync.example']) {
    await t.resolves(start(t, { ...kept, powersyncUrl }))
  }
})

t.test('a MongoDB that cannot be used stops the start and says what to do, without the credentials', async t => {
  const standalone = await startWireServer({ topology: 'standalone' })
  t.teardown(() => standalone.stop())
  await t.rejects(start(t, { mongo: { url: standalone.uri, database: 'test' } }), {
    code: 'FST_PSM_MONGO',
    message: /standalone server.*--replSet/
  })

  const refusing = await startWireServer()
  await refusing.stop()
  const url = `mongodb://user:secret@127.0.0.1:${refusing.port}/test`
  await t.rejects(start(t, { mongo: { url, serverSelectionTimeoutMS: 200 } }), {
    code: 'FST_PSM_MONGO',
    message: new RegExp(
      `^fastify-powersync-mongo: MongoDB at 127\\.0\\.0\\.1:${refusing.port} cannot be reached: check`
    )
  })

  const client = new fastifyMongodb.mongodb.MongoClient(url, { serverSelectionTimeoutMS: 200 })
  t.teardown(() => client.close())
  await t.rejects(start(t, { mongo: { client } }), { code: 'FST_PSM_MONGO', message: /MongoDB cannot be reached/ })

  const unauthorised = await startWireServer({
    on: { saslStart: () => ({ ok: 0, code: 18, codeName: 'AuthenticationFailed', errmsg: 'Authentication failed.' }) }
  })
  t.teardown(() => unauthorised.stop())
  await t.rejects(start(t, { mongo: { url: `mongodb://user:secret@127.0.0.1:${unauthorised.port}/test` } }), {
    code: 'FST_PSM_MONGO',
    message: /refused the credentials/
  })
})

t.test(
  'a user that may not create the indexes stops the start with what to do',
  { skip: needs(database, 'failPoints', 'a refused index') },
  async t => {
    await failPoints(t, database.uri).on({ failCommands: ['createIndexes'], errorCode: 13 })
    await t.rejects(start(t, { mongo: { url: database.uri } }), {
      code: 'FST_PSM_MONGO',
      message:
        /indexes of powersync_(ledger|dead_letters) be read and changed \(Unauthorized\): give this server's user the role readWrite/
    })
    await t.rejects(start(t, { mongo: { url: database.uri }, upload: { deduplicate: false } }), {
      code: 'FST_PSM_MONGO',
      message: /indexes of powersync_dead_letters/
    })
  }
)

t.test('an index of the operator in the place of this package\'s stops the start with what to do', async t => {
  const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
  t.teardown(() => client.close())
  const db = client.db('indexed')
  await db.collection('powersync_dead_letters').createIndex({ user_id: 1, client_id: 1, sequence: 1 }, { unique: true })
  await t.rejects(start(t, { mongo: { client, database: 'indexed' } }), {
    code: 'FST_PSM_MONGO',
    message: /indexes of powersync_dead_letters .*\(Index\w+Conflict\): drop the index that is on the same fields/
  })
})

t.test('the host\'s own connection is used, by its name too, and stays open', async t => {
  for (const name of [undefined, 'main']) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifyMongodb, { url: database.uri, ...name && { name } })
    await app.register(powersyncMongo, { ...good, mongo: name ? { name } : undefined })
    t.equal(
      (await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: `host-${name}`, data: { name: 'n' } }] })).status,
      200
    )
    const db = name ? app.mongo[name]!.db! : app.mongo.db!
    t.match(await db.collection<{ _id: string }>('lists').findOne({ _id: `host-${name}` }), { name: 'n' })

    const twice = Fastify()
    t.teardown(() => twice.close())
    await twice.register(fastifyMongodb, { url: database.uri, ...name && { name } })
    await t.rejects(
      async () => {
        await twice.register(powersyncMongo, { ...good, mongo: { url: database.uri, ...(name && { name }) } })
      },
      { message: /has one already|exists already/ }
    )
  }
})

t.test('an existing client is used and stays the host\'s to close', async t => {
  const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
  t.teardown(() => client.close())
  const app = await start(t, { mongo: { client } })
  t.equal(
    (await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: 'client', data: { name: 'n' } }] })).status,
    200
  )
  await app.close()
  t.match(await client.db().collection<{ _id: string }>('lists').findOne({ _id: 'client' }), { name: 'n' })
})

t.test('a misspelt option of mongo stops the start, where no connection is opened too', async t => {
  environment(t, { MONGO_URI: undefined })
  const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
  t.teardown(() => client.close())
  const host = Fastify()
  t.teardown(() => host.close())
  await host.register(fastifyMongodb, { url: database.uri })
  for (const [app, mongo, message] of [
    [Fastify(), { url: database.uri, databse: 'x' }, /mongo has databse, unknown to MongoDB's driver; did you mean datab/],
    [Fastify(), { client, databse: 'x' }, /option mongo\.databse is for a new connection, .*; did you mean database\?/],
    [host, { maxPoolSize: 5 }, /option mongo\.maxPoolSize is for a new connection, and this one is there already/],
    [Fastify(), { databse: 'x' }, /option mongo is missing/]
  ] as const) {
    const options = { ...good, mongo } as PowerSyncMongoOptions
    await t.rejects(async () => { await app.register(powersyncMongo, options) }, { code: 'FST_PSM_OPTION', message })
  }
})

t.test('a connection without a database asks for one', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyMongodb, { url: database.uri.replace(/\/[^/?]+\?/, '/?') })
  await t.rejects(
    async () => {
      await app.register(powersyncMongo, { ...good, mongo: undefined })
    },
    { message: /names no database: pass mongo\.database/ }
  )
})

t.test('two registrations with two prefixes and two databases, beside the host\'s own jwt and JSON parser', async t => {
  const second = await testDatabase(t)
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorateRequest('user', '')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    done(null, { host: body })
  )
  app.post('/host', async request => request.body)
  await app.register(powersyncMongo, { ...good, prefix: '/one' })
  const secondOptions: PowerSyncMongoOptions = {
    ...good,
    prefix: '/two',
    powersyncUrl: 'https://two.powersync.example',
    mongo: { url: second.uri, name: 'two' }
  }
  await app.register(powersyncMongo, { ...secondOptions, name: 'two' })

  const batch = [{ op: 'PUT', table: 'lists', id: 'twice', data: { name: 'n' } }]
  t.equal((await upload(app, { batch }, { url: '/two/upload' })).status, 200)
  t.equal(await app.mongo.db!.collection<{ _id: string }>('lists').countDocuments({ _id: 'twice' }), 0)
  t.equal(await app.mongo['two']!.db!.collection<{ _id: string }>('lists').countDocuments({ _id: 'twice' }), 1)
  t.match((await app.inject('/one/token?user_id=a')).json(), { powersync_url: 'https://test.powersync.example' })
  t.match((await app.inject('/two/token?user_id=a')).json(), { powersync_url: 'https://two.powersync.example' })
  t.same(app.powersync['two']!.collections, ['lists'])
  t.equal((await app.inject('/jwks')).statusCode, 404)
  t.match(
    (
      await app.inject({ method: 'POST', url: '/host', headers: { 'content-type': 'application/json' }, payload: '{}' })
    ).json(),
    { host: '{}' }
  )

  const foreign = await app.powersync['two']!.signToken({ id: 'a' })
  const closed = await testServer(t, { mongo: good.mongo!, collections: good.collections, authenticate: () => null })
  t.equal(
    (await upload(closed, { batch }, { headers: { authorization: `Bearer ${foreign.token}` } })).status,
    401,
    'a token for another audience'
  )
})

t.test('a first registration may have a name; a second needs one that is not taken', async t => {
  const app = await start(t, { name: 'first', mongo: { url: database.uri, name: 'first' } })
  t.same(app.powersync['first']!.collections, ['lists'])
  await t.rejects(
    async () => {
      await app.register(powersyncMongo, { ...good, prefix: '/x', name: 'first' })
    },
    { message: /option name is taken/ }
  )
  const unnamed = await start(t, {})
  await t.rejects(
    async () => {
      await unnamed.register(powersyncMongo, { ...good, prefix: '/x' })
    },
    { message: /option name is missing: this server has fastify-powersync-mongo already/ }
  )
})

t.test('it works in a host with @fastify/jwt of its own, before or after', async t => {
  const before = Fastify()
  t.teardown(() => before.close())
  await before.register(fastifyJwt, { secret: 'host' })
  await before.register(powersyncMongo, good)
  t.equal((await before.inject('/token?user_id=a')).statusCode, 200)
  const after = await start(t, {})
  await after.register(fastifyJwt, { secret: 'host' })
  t.ok(after.jwt.sign({ a: 1 }))
})

t.test('scopes of a host with @fastify/jwt may have a registration each, and its object stays as it is', async t => {
  const host = Fastify()
  t.teardown(() => host.close())
  await host.register(fastifyJwt, { secret: 'host' })
  const own = Object.keys(host.jwt)
  const authenticate = ({ server: { jwt }, headers }: FastifyRequest) =>
    jwt.verify<{ id: string }>(headers.authorization!)
  for (const prefix of ['/a', '/b']) {
    await host.register(async scope => { await scope.register(powersyncMongo, { ...good, authenticate }) }, { prefix })
  }
  const headers = { authorization: host.jwt.sign({ id: 'a' }) }
  for (const prefix of ['/a', '/b']) {
    t.equal((await host.inject({ url: `${prefix}/token`, headers })).statusCode, 200, 'authenticate sees that object')
  }
  t.same(Object.keys(host.jwt), own)
})

t.test('routes can be left out, and take Fastify\'s route options', async t => {
  const seen: string[] = []
  const app = await start(t, {
    routes: {
      jwks: false,
      token: { config: { rateLimit: 1 }, onRequest: async () => { seen.push('onRequest') } },
      upload: {
        preParsing: [
          async () => {
            seen.push('preParsing')
          }
        ],
        preHandler: async () => {
          seen.push('preHandler')
        }
      }
    }
  })
  t.equal((await app.inject('/jwks')).statusCode, 404)
  t.equal((await app.inject('/token?user_id=a')).statusCode, 200)
  t.equal((await upload(app, { batch: [] })).status, 200)
  t.same(seen, ['onRequest', 'preParsing', 'preHandler'])
})

t.test('routes have the paths that clients know', async t => {
  const app = await start(t, { prefix: '/api', routes: { token: { url: '/auth/token' }, upload: { url: '/data' } } })
  t.equal((await app.inject('/api/auth/token?user_id=a')).statusCode, 200)
  t.equal((await upload(app, { batch: [] }, { url: '/api/data' })).status, 200)
  t.equal((await app.inject('/api/token?user_id=a')).statusCode, 404)
  t.equal((await app.inject('/api/jwks')).statusCode, 200)
})

t.test('powersyncOptions gives back what it gets, typed', async t => {
  const app = await start(
    t,
    powersyncOptions({
      ...good,
      collections: { lists },
      authorize: ({ table, op }) => table === 'lists' && op === 'PUT'
    })
  )
  t.match((await upload(app, { batch: [{ op: 'PUT', table: 'lists', id: 'typed', data: { name: 'n' } }] })).body, {
    results: [{ status: 'success' }]
  })
})

t.test('the schemas of the routes feed OpenAPI', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'test', version: '1' },
      components: { securitySchemes: { session: { type: 'apiKey', name: 'session', in: 'cookie' } } }
    }
  })
  await app.register(powersyncMongo, {
    ...good,
    prefix: '/powersync',
    routes: { token: { schema: { security: [{ session: [] }] } } }
  })
  await app.ready()
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, any>> }
  t.same(Object.keys(paths), ['/powersync/jwks', '/powersync/token', '/powersync/upload'])
  t.match(paths['/powersync/token']!['get'], {
    summary: /token/,
    security: [{ session: [] }],
    responses: { 200: {}, '4XX': {} }
  })
  t.match(paths['/powersync/upload']!['post'].requestBody.content['application/json'].schema.properties.batch, {
    anyOf: [{ type: 'array' }, { type: 'null' }]
  })
})
