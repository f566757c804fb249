import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import fastifyMongodb from '@fastify/mongodb'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { collection, developmentAuth, generateKeys, type PowerSyncMongoOptions } from '../../index.js'
import { powersyncMongo, powersyncMongoIn } from '../support/command-line.js'
import { needs, testDatabase } from '../support/database.js'
import { keys, testServer } from '../support/server.js'
import { serviceKeys } from '../support/service-keys.js'
import { commandError, startWireServer, type WireServerOptions } from '../support/wire-server.js'

const collections = { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }
const database = await testDatabase(t)
const backend = await startWireServer()
t.teardown(() => backend.stop())

/** What MongoDB says of a user with the role readWrite on `test`, or with these actions. */
const connectionStatus =
  (
    actions = ['find', 'insert', 'update', 'remove', 'createIndex', 'createCollection'],
    resource: object = { db: 'test', collection: '' }
  ) =>
    () => ({
      ok: 1,
      authInfo: {
        authenticatedUsers: [{ user: 'app', db: 'admin' }],
        authenticatedUserPrivileges: [
          { resource: { cluster: true }, actions: ['listDatabases'] },
          { resource, actions }
        ]
      }
    })

/** Runs the doctor with these variables alone, and gives what it found by check. */
async function doctor (t: Test, variables: Record<string, string | undefined>, ...args: string[]) {
  const { code, stdout, stderr } = await powersyncMongoIn({ env: { ...variables } }, 'doctor', '--json', ...args)
  t.equal(stderr, '')
  for (const secret of [keys.privateKeyBase64, keys.privateKey.d, 'pass-word']) {
    t.notOk(stdout.includes(secret), 'nothing secret is printed')
  }
  const { ok, findings } = JSON.parse(stdout) as {
    ok: boolean
    findings: Array<{ check: string, status: string, found: string, fix?: string }>
  }
  t.equal(code, ok ? 0 : 1)
  for (const { status, fix } of findings) {
    t.equal(
      fix !== undefined && fix !== '',
      status === 'problem' || status === 'warning',
      'it says what to do where there is something to do'
    )
  }
  return { code, findings: Object.fromEntries(findings.map(({ check, ...finding }) => [check, finding])) }
}

async function listen (t: Test, handler: RequestListener): Promise<string> {
  const server = createServer(handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An app as it should be, and a PowerSync Service in front of it. */
async function setUp (t: Test, options: Partial<PowerSyncMongoOptions> = {}, audience?: string) {
  let jwksUrl = ''
  const service = Fastify({ forceCloseConnections: true })
  t.teardown(() => service.close())
  const checker = () => serviceKeys(async () => await (await fetch(jwksUrl)).json() as never, audience ?? url, Date.now)
  service.post('/sync/stream', async (request, reply) => {
    const code = await checker().connect(request.headers.authorization!.replace('Token ', ''))
    return code === 'ok'
      ? reply.send('{"token_expires_in":60}\n')
      : reply.code(401).send({ error: { code: `PSYNC_${code}`, status: 401 } })
  })
  const url = await service.listen({ host: '127.0.0.1', port: 0 })
  const app = await testServer(t, {
    collections,
    mongo: { url: backend.uri },
    prefix: '/powersync',
    powersyncUrl: url,
    authenticate: () => null,
    ...options
  })
  const server = `${await app.listen({ host: '127.0.0.1', port: 0 })}/powersync`
  jwksUrl = `${server}/jwks`
  return {
    service: url,
    server,
    variables: { POWERSYNC_URL: url, POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64, NODE_ENV: 'production' }
  }
}

t.test('a set-up as it should be has nothing to fix', async t => {
  const mongo = await startWireServer({ on: { connectionStatus: connectionStatus() } })
  t.teardown(() => mongo.stop())
  const { variables, server, service } = await setUp(t)
  const { code, findings } = await doctor(
    t,
    {
      ...variables,
      POWERSYNC_PUBLISHED_KEYS: (await generateKeys({ algorithm: 'ES256', kid: 'next' })).publicKeyBase64,
      MONGO_URI: mongo.uri
    },
    '--url',
    server
  )
  t.equal(code, 0)
  t.strictSame(Object.entries(findings).filter(([, { status }]) => status !== 'ok'), [])
  t.match(findings, {
    environment: {
      found: 'POWERSYNC_URL, POWERSYNC_PRIVATE_KEY, POWERSYNC_PUBLISHED_KEYS, MONGO_URI set, NODE_ENV=production'
    },
    keys: { found: `RS256, kid ${keys.publicKey.kid}; further keys: next` },
    'powersync-url': { found: `${service}, the audience of tokens` },
    jwks: { found: `keys published at ${server}/jwks: 1, the signing key among them` },
    token: { found: `${server}/token rejects requests without credentials` },
    'server-clock': { found: 'the server and this machine have the same time' },
    service: { found: `${service} accepts this app's tokens` },
    mongodb: { found: 'reached, database test' },
    'replica-set': { found: 'replica set rs0' },
    'mongodb-version': { found: 'MongoDB 8.0.0' },
    permissions: {
      found: 'this user may read and write test, and create indexes; validators: \'apply\' needs dbAdmin as well'
    },
    'mongodb-clock': { found: 'MongoDB and this machine have the same time' }
  })
  t.same(
    mongo.commands
      .filter(({ name }) => !['buildInfo', 'connectionStatus', 'endSessions', 'ping'].includes(name))
      .map(({ name }) => name),
    [],
    'nothing is written'
  )
})

t.test('in words, each finding is a line, and what to do is below it', async t => {
  const file = join(t.testdir({}), '.env')
  await writeFile(file, `POWERSYNC_URL=http://powersync:8080/\nPOWERSYNC_PRIVATE_KEY=${keys.privateKeyBase64}\n`)
  const closed = await startWireServer()
  await closed.stop()
  const url = `http://127.0.0.1:${closed.port}`
  const { code, stdout } = await powersyncMongoIn({ env: { POWERSYNC_URL: url } }, 'doctor', '--env', file)
  t.equal(code, 1)
  t.equal(
    stdout,
    `warning  environment      POWERSYNC_URL, POWERSYNC_PRIVATE_KEY set, NODE_ENV not set
                          → set NODE_ENV=production for real users: it rejects settings that are for development only
ok       keys             RS256, kid ${keys.publicKey.kid}
ok       powersync-url    ${url}, the audience of tokens
skipped  jwks             pass --url to check the running server
problem  service          ${url} cannot be reached (ECONNREFUSED)
                          → check that POWERSYNC_URL is the URL of a running PowerSync instance, and that the network leads to it
skipped  mongodb          set MONGO_URI or pass --uri

1 problem, 1 warning
`
  )

  const { variables, server } = await setUp(t)
  const healthy = await powersyncMongoIn({ env: variables }, 'doctor', '--url', server)
  t.equal(healthy.code, 0)
  t.match(healthy.stdout, /\n\n0 problems, 0 warnings\n$/)
})

t.test('the environment', async t => {
  t.match((await doctor(t, {})).findings, {
    environment: { status: 'warning', found: 'no variable set, NODE_ENV not set' },
    keys: { status: 'problem', found: 'POWERSYNC_PRIVATE_KEY is missing', fix: /generate-keys/ },
    'powersync-url': { status: 'problem', found: 'option powersyncUrl is missing', fix: /set POWERSYNC_URL/ },
    service: { status: 'skipped' },
    mongodb: { status: 'skipped' }
  })
  const other = await generateKeys({ algorithm: 'ES256' })
  t.match(
    (
      await doctor(t, {
        POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64,
        POWERSYNC_PUBLIC_KEY: other.publicKeyBase64,
        POWERSYNC_URL: 'http://powersync.invalid'
      })
    ).findings,
    {
      keys: { status: 'problem', found: /POWERSYNC_PUBLIC_KEY is not the public half/ },
      'powersync-url': { status: 'warning', found: 'http://powersync.invalid is plain http' }
    }
  )
})

t.test('the keys that the server publishes', async t => {
  const other = await generateKeys({ algorithm: 'ES256' })
  const { variables, server } = await setUp(t, { keys: { signing: other.privateKey } })
  const { findings } = await doctor(t, variables, '--url', `${server}/`)
  t.match(findings, {
    jwks: {
      status: 'problem',
      found: `${server}/jwks does not have the key of POWERSYNC_PRIVATE_KEY, kid ${keys.publicKey.kid}`,
      fix: /the server runs with another key/
    },
    service: {
      status: 'problem',
      found: /rejects this app's tokens \(S2101\)/,
      fix: /set its JWKS URI to this server's \/jwks/
    }
  })
  t.match(
    (await doctor(t, { ...variables, POWERSYNC_PRIVATE_KEY: undefined }, '--url', server)).findings['jwks'],
    { status: 'ok', found: `keys published at ${server}/jwks: 1` },
    'without keys to compare with'
  )

  const { d, ...forged } = other.privateKey
  let requests = 0
  const cases: [name: string, handler: RequestListener, found: RegExp, fix: RegExp][] = [
    ['404', (_, response) => response.writeHead(404).end(), /answered 404/, /prefix to --url/],
    ['401', (_, response) => response.writeHead(401).end(), /answered 401/, /let everybody read \/jwks/],
    ['403', (_, response) => response.writeHead(403).end(), /answered 403/, /let everybody read/],
    [
      'a redirect',
      (_, response) => response.writeHead(302, { location: '/login' }).end(),
      /answered 302/,
      /without a redirect/
    ],
    ['503', (_, response) => response.writeHead(503).end(), /answered 503/, /server's log/],
    ['HTML', (_, response) => response.end('<html>'), /does not answer a key set/, /check for a proxy/],
    ['no keys', (_, response) => response.end('{"keys":[]}'), /does not answer a key set/, /prefix/],
    ['null as a key', (_, response) => response.end('{"keys":[null]}'), /does not answer a key set/, /prefix/],
    [
      'a private key',
      (_, response) => response.end(JSON.stringify({ keys: [other.privateKey] })),
      /shows the private half/,
      /replace that key now/
    ],
    [
      'a key that cannot be imported',
      (_, response) => response.end(JSON.stringify({ keys: [keys.publicKey, { ...forged, x: 'AA' }] })),
      /key 1 of .* cannot be read as a key/,
      /refuse all keys/
    ],
    [
      'one key, then another',
      (_, response) => response.end(JSON.stringify({ keys: [requests++ % 2 ? keys.publicKey : other.publicKey] })),
      /different keys from one request to the next/,
      /the same POWERSYNC_PRIVATE_KEY/
    ],
    [
      'another key of the same kid',
      (_, response) => response.end(JSON.stringify({ keys: [{ ...other.publicKey, kid: keys.publicKey.kid }] })),
      /does not have the key/,
      /another key/
    ]
  ]
  for (const [name, handler, found, fix] of cases) {
    const { findings } = await doctor(t, variables, '--url', await listen(t, handler))
    t.match(findings['jwks'], { status: 'problem', found, fix }, name)
  }
  t.match((await doctor(t, variables, '--url', 'http://127.0.0.1:1')).findings, {
    jwks: { status: 'problem', found: /cannot be reached/ },
    token: undefined
  })
})

t.test('keys by plain http, or late, are a warning', async t => {
  const { variables } = await setUp(t)
  const body = JSON.stringify({ keys: [keys.publicKey] })
  const late = await listen(t, (_, response) => { setTimeout(() => response.end(body), 3050) })
  t.match((await doctor(t, variables, '--url', late)).findings['jwks'], {
    status: 'warning',
    found: /after 3\d\d\d ms/
  })

  // A name that is not this machine's by itself, on a server that is.
  const real = globalThis.fetch
  t.teardown(() => { globalThis.fetch = real })
  globalThis.fetch = async (input, init) =>
    real(String(input).replace('http://api.example', late.replace(/\d+$/, '') + port), init)
  const port = new URL(await listen(t, (_, response) => response.end(body))).port
  t.match((await doctor(t, variables, '--url', 'http://api.example')).findings['jwks'], {
    status: 'warning',
    found: /by plain http/
  })
})

t.test('who gets a token', async t => {
  const { variables } = await setUp(t)
  const jwks = JSON.stringify({ keys: [keys.publicKey] })
  const tokenAnswers = (handler: RequestListener): Promise<string> =>
    listen(t, (request, response) => (request.url === '/jwks' ? response.end(jwks) : handler(request, response)))
  const finding = async (url: string) => (await doctor(t, variables, '--url', url)).findings['token']
  t.match(await finding(await tokenAnswers((_, response) => response.end('{"token":"eyJ"}'))), {
    status: 'problem',
    found: /gives tokens to strangers/
  })
  // As of a server that answers every path with its app's page.
  for (const body of ['{}', 'null', '<html>']) {
    t.match(await finding(await tokenAnswers((_, response) => response.end(body))), {
      status: 'problem',
      found: /answered 200 to a request without credentials: expected 401/
    })
  }
  t.match(await finding(await tokenAnswers((_, response) => response.writeHead(404).end())), { status: 'skipped' })
  t.match(await finding(await tokenAnswers((_, response) => response.writeHead(500).end())), {
    status: 'problem',
    found: /answered 500/
  })
  t.match(await finding(await tokenAnswers((_, response) => response.destroy())), {
    status: 'problem',
    found: /cannot be reached \(UND_ERR_SOCKET\)/
  })
  const { server } = await setUp(t, { authenticate: developmentAuth() })
  t.match(await finding(server), { status: 'problem', found: /developmentAuth\(\) is on/ })
})

t.test('the clocks of server and MongoDB', async t => {
  const { variables } = await setUp(t)
  const body = JSON.stringify({ keys: [keys.publicKey] })
  const clocks = async (seconds: number, headers: Record<string, string> = {}) => {
    const time = () => new Date(Date.now() + seconds * 1000)
    const url = await listen(t, (_, response) =>
      response.writeHead(200, { date: time().toUTCString(), ...headers }).end(body)
    )
    const mongo = await startWireServer({ hello: { localTime: time() } })
    t.teardown(() => mongo.stop())
    const { findings } = await doctor(t, { ...variables, MONGO_URI: mongo.uri }, '--url', url)
    return [findings['server-clock'], findings['mongodb-clock']]
  }
  t.match(await clocks(0), [{ status: 'ok' }, { status: 'ok' }])
  t.match(await clocks(30), [
    { status: 'warning', found: /^the server is (29|30) s ahead of this machine/ },
    { status: 'warning', found: /^MongoDB is (2\d|30) s ahead/ }
  ])
  t.match(await clocks(-100), [
    { status: 'problem', found: /^the server is 10\d s behind this machine/, fix: /NTP/ },
    { status: 'problem' }
  ])
  t.match((await clocks(-100, { age: '100' }))[0], { status: 'ok' }, 'a copy from a cache')
  const timeless = await listen(t, (_, response) => {
    response.sendDate = false
    response.end(body)
  })
  const mongo = await startWireServer({ hello: { localTime: undefined } })
  t.teardown(() => mongo.stop())
  t.match((await doctor(t, { ...variables, MONGO_URI: mongo.uri }, '--url', timeless)).findings, {
    'server-clock': { status: 'skipped' },
    'mongodb-clock': { status: 'skipped' }
  })
})

t.test('the PowerSync Service', async t => {
  const { variables, server } = await setUp(t, {}, 'another-audience')
  t.match((await doctor(t, variables, '--url', server)).findings['service'], {
    status: 'problem',
    found: /\(S2105\)/,
    fix: /add POWERSYNC_URL to its audiences/
  })
  const cases: [handler: RequestListener, found: RegExp, fix: RegExp][] = [
    [
      (_, response) => response.writeHead(401).end('{"error":{"code":"PSYNC_S2204"}}'),
      /S2204/,
      /make its JWKS URI reachable/
    ],
    [(_, response) => response.writeHead(401).end('{"error":{"code":"PSYNC_S2999"}}'), /S2999/, /service's log/],
    [(_, response) => response.writeHead(401).end('who are you'), /answered 401/, /POWERSYNC_URL is the URL/],
    [(_, response) => response.writeHead(404).end(), /answered 404/, /POWERSYNC_URL is the URL/],
    [(_, response) => response.destroy(), /cannot be reached \(UND_ERR_SOCKET\)/, /network/]
  ]
  for (const [handler, found, fix] of cases) {
    t.match((await doctor(t, { ...variables, POWERSYNC_URL: await listen(t, handler) })).findings['service'], {
      status: 'problem',
      found,
      fix
    })
  }
})

t.test('MongoDB', async t => {
  const { variables } = await setUp(t)
  const findings = async (options: WireServerOptions, change = (uri: string) => uri) => {
    const mongo = await startWireServer(options)
    t.teardown(() => mongo.stop())
    return (await doctor(t, variables, '--uri', change(mongo.uri))).findings
  }
  const unauthorized = () => commandError({ code: 13, codeName: 'Unauthorized' })
  t.match(await findings({ topology: 'standalone' }), {
    'replica-set': { status: 'problem', found: /^a standalone server/, fix: /--replSet/ }
  })
  t.match(await findings({ topology: 'mongos' }), {
    'replica-set': { status: 'problem', found: 'a sharded cluster', fix: /PowerSync needs one/ }
  })
  t.match(await findings({ on: { buildInfo: () => ({ ok: 1, version: '5.0.31' }) } }), {
    'mongodb-version': { status: 'problem', found: 'MongoDB 5.0.31' }
  })
  t.match(await findings({ on: { buildInfo: unauthorized, connectionStatus: unauthorized } }), {
    'mongodb-version': { status: 'skipped', found: /Unauthorized/ },
    permissions: { status: 'skipped', found: /Unauthorized/ }
  })
  t.match(
    await findings({
      on: { connectionStatus: () => ({ ok: 1, authInfo: { authenticatedUsers: [], authenticatedUserPrivileges: [] } }) }
    }),
    { permissions: { status: 'warning', found: 'MongoDB has no access control' } }
  )
  t.match(await findings({ on: { connectionStatus: connectionStatus(['find', 'insert']) } }), {
    permissions: {
      status: 'problem',
      found: 'this user may not update, remove, createIndex, createCollection in test.powersync_ledger',
      fix: 'give it the role readWrite on test'
    }
  })
  t.match(await findings({ on: { connectionStatus: connectionStatus(undefined, { db: 'other', collection: '' }) } }), {
    permissions: { status: 'problem' }
  })
  t.match(
    await findings({
      on: { connectionStatus: connectionStatus(undefined, { db: 'test', collection: 'powersync_ledger' }) }
    }),
    { permissions: { status: 'problem', found: /powersync_dead_letters/ } }
  )
  t.match(
    await findings({
      on: {
        connectionStatus: connectionStatus(
          ['find', 'insert', 'update', 'remove', 'createIndex', 'createCollection', 'collMod'],
          { anyResource: true }
        )
      }
    }),
    { permissions: { status: 'ok', found: /create indexes$/ } }
  )
  t.match(await findings({}, uri => uri.replace('/test', '/')), {
    mongodb: { status: 'problem', found: 'the connection string names no database' }
  })

  const login = {
    on: { saslStart: () => ({ ok: 0, code: 18, codeName: 'AuthenticationFailed', errmsg: 'Authentication failed.' }) }
  }
  t.match(await findings(login, uri => uri.replace('//', '//app:pass-word@')), {
    mongodb: { status: 'problem', found: 'MongoDB refused the credentials' },
    'replica-set': undefined
  })
  t.match((await doctor(t, variables, '--uri', 'localhost:pass-word')).findings['mongodb'], {
    status: 'problem',
    found: 'the connection string cannot be read'
  })
  const gone = await startWireServer()
  await gone.stop()
  t.match((await doctor(t, variables, '--uri', gone.uri.replace('//', '//app:pass-word@'))).findings['mongodb'], {
    status: 'problem',
    found: /cannot be reached/
  })
})

t.test('a database as the tests have it is reached', async t => {
  const database = await testDatabase(t)
  const { findings } = await doctor(t, {}, '--uri', database.uri)
  t.match(findings, {
    mongodb: { status: 'ok', found: `reached, database ${database.database}` },
    'replica-set': { status: 'ok' }
  })
})

t.test(
  'collections: whether they are there, with post-images, and with ids that clients reach',
  { skip: needs(database, 'mongod', 'post-images') },
  async t => {
    const cwd = t.testdir({
      'powersync.config.mjs': `
    import { collection, Type } from ${JSON.stringify(new URL('../../index.js', import.meta.url).href.replace(/index\.js$/, 'dist/index.js'))}
    export const collections = { doctored: collection({ schema: Type.Object({}) }) }
  `
    })
    const client = new fastifyMongodb.mongodb.MongoClient(database.uri)
    t.teardown(() => client.close())
    const db = client.db()
    const finding = async () => {
      const { stdout } = await powersyncMongoIn({ cwd, env: { MONGO_URI: database.uri } }, 'doctor', '--json')
      return (JSON.parse(stdout) as { findings: Array<{ check: string }> }).findings.find(
        ({ check }) => check === 'collections'
      )
    }
    t.match(await finding(), {
      status: 'warning',
      found: 'not there yet: doctored',
      fix: /creates them with post-images/
    })
    await db.createCollection('doctored')
    t.match(await finding(), {
      status: 'problem',
      found: 'without post-images: doctored',
      fix: /changeStreamPreAndPostImages/
    })
    await db.command({ collMod: 'doctored', changeStreamPreAndPostImages: { enabled: true } })
    t.match(await finding(), { status: 'ok', found: '1 tables, all with post-images' })
    await db.collection('doctored').insertOne({})
    t.match(await finding(), { status: 'warning', found: /whose _id is an ObjectId/ })
    await db.dropCollection('doctored')
    await db.createCollection('doctored', { collation: { locale: 'en', strength: 2 } })
    t.match(await finding(), { status: 'problem', found: /default collation "en"/, fix: /copy its documents/ })
  }
)

t.test('arguments that make no sense', async t => {
  t.match(await powersyncMongo('doctor', '--url', 'api.example.com'), { code: 2, stderr: /--url is not a URL/ })
  t.match(await powersyncMongo('doctor', '--url', 'ftp://api.example.com'), { code: 2, stderr: /--url is not a URL/ })
})
