/**
 * Write-only mode: an identity provider's own tokens go to the PowerSync Service and to /upload; this server signs
 * nothing.
 */
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import powersyncMongo, { collection, jwtIssuers, type PowerSyncMongoOptions } from '../../index.js'
import { startIssuer } from '../support/issuer.js'
import { keys, upload } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const mongo = await startWireServer()
t.teardown(() => mongo.stop())

const off = { token: false, jwks: false } as const
const body = { batch: [{ op: 'PUT', type: 'lists', id: 'a', data: { name: 'x' } }] }

async function server (t: Test, options: Partial<PowerSyncMongoOptions>) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(powersyncMongo, {
    routes: off,
    mongo: { url: mongo.uri },
    authenticate: () => ({ id: 'user1' }),
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) },
    ...options
  })
  return app
}

t.test('the issuer\'s token uploads, without keys and without powersyncUrl', async t => {
  const issuer = await startIssuer(t, 'RS256')
  const users: unknown[] = []
  const app = await server(t, {
    authenticate: jwtIssuers({ issuers: issuer.url, audience: 'api' }),
    authorize: (_operation, { user }) => { users.push(user); return true }
  })
  const authorization = `Bearer ${await issuer.sign({ sub: 'ann', org: 'acme' })}`
  t.match(await upload(app, body, { headers: { authorization } }), {
    status: 200,
    body: { results: [{ status: 'success' }] }
  })
  t.match(users, [{ id: 'ann', sub: 'ann', org: 'acme', iss: issuer.url }], 'the user is what authenticate gives')
  t.equal((await upload(app, body)).status, 401)
  t.equal((await upload(app, body, { headers: { authorization: 'Bearer x' } })).status, 401)
})

t.test('there is nothing to sign or to publish', async t => {
  const app = await server(t, {})
  for (const url of ['/jwks', '/token']) t.equal((await app.inject(url)).statusCode, 404, url)
  t.same(app.powersync.jwks, { keys: [] })
  await t.rejects(app.powersync.signToken({ id: 'ann' }), {
    code: 'FST_PSM_OPTION',
    message: /option keys is missing: to sign tokens with the routes token and jwks off/
  })
})

t.test('variables for other servers do not matter', async t => {
  const before = { ...process.env }
  t.teardown(() => { process.env = before })
  Object.assign(process.env, { POWERSYNC_PRIVATE_KEY: 'no key', POWERSYNC_URL: '' })
  await t.resolves(server(t, {}))
})

t.test('a server with keys of its own signs for routes of the app, and takes these tokens', async t => {
  const app = await server(t, {
    authenticate: () => null,
    keys: { signing: keys.privateKey },
    powersyncUrl: 'https://test.powersync.example'
  })
  const { token } = await app.powersync.signToken({ id: 'ann' })
  t.equal((await upload(app, body, { headers: { authorization: `Bearer ${token}` } })).status, 200)
  t.equal(app.powersync.jwks.keys.length, 1)
})

t.test('with one of the two routes, keys and powersyncUrl are needed', async t => {
  const { POWERSYNC_PRIVATE_KEY: key, POWERSYNC_URL: url } = process.env
  delete process.env['POWERSYNC_PRIVATE_KEY']
  delete process.env['POWERSYNC_URL']
  t.teardown(() => { Object.assign(process.env, key && { POWERSYNC_PRIVATE_KEY: key }, url && { POWERSYNC_URL: url }) })
  for (const routes of [{ token: false }, { jwks: false }, {}] as const) {
    await t.rejects(server(t, { routes }), { code: 'FST_PSM_OPTION', message: /powersyncUrl is missing/ })
    await t.rejects(server(t, { routes, powersyncUrl: 'https://test.powersync.example' }), {
      code: 'FST_PSM_KEY',
      message: /POWERSYNC_PRIVATE_KEY is missing/
    })
  }
})
