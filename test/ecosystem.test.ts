/** Beside the plugins of Fastify's own that a server in production has. */
import fastifyCookie from '@fastify/cookie'
import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import fastifyRateLimit from '@fastify/rate-limit'
import fastifySession from '@fastify/session'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import powersyncMongo, { collection, type Authenticate, type PowerSyncMongoOptions, type User } from '../index.js'
import { keys } from './support/server.js'
import { startWireServer } from './support/wire-server.js'

declare module 'fastify' {
  interface Session { userId?: string }
}

const mongo = await startWireServer()
t.teardown(() => mongo.stop())

async function server (
  t: Test,
  prepare: (app: FastifyInstance) => unknown,
  authenticate: Authenticate,
  routes: PowerSyncMongoOptions['routes'] = {}
) {
  const app = Fastify()
  t.teardown(() => app.close())
  await prepare(app)
  await app.register(powersyncMongo, {
    prefix: '/powersync',
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    mongo: { url: mongo.uri },
    authenticate,
    routes,
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }
  })
  return app
}

const upload = {
  method: 'POST',
  url: '/powersync/upload',
  headers: { 'content-type': 'application/json' },
  payload: '{"batch":[]}'
} as const

t.test(
  '@fastify/rate-limit: who sends every 5 s is served, a flood is 429 before anybody is authenticated',
  async t => {
    const real = Date.now
    let offset = 0
    Date.now = () => real() + offset
    t.teardown(() => { Date.now = real })

    let asked = 0
    const rateLimit = { max: 30, timeWindow: '1 minute' }
    const app = await server(t, app => app.register(fastifyRateLimit, { global: false }), () => {
      asked++
      return { id: 'user1' }
    }, { token: { config: { rateLimit } }, upload: { config: { rateLimit } } })

    for (let request = 0; request < 30; request++, offset += 5000) {
      t.equal((await app.inject(upload)).statusCode, 200)
      t.equal((await app.inject('/powersync/token')).statusCode, 200)
    }
    offset += 60_000
    asked = 0
    const statuses: number[] = []
    for (let request = 0; request < 40; request++) statuses.push((await app.inject(upload)).statusCode)
    t.same(statuses, [...Array(30).fill(200), ...Array(10).fill(429)])
    t.equal(asked, 30)
    t.match((await app.inject(upload)).headers, { 'retry-after': /^\d+$/ })
    t.equal((await app.inject('/powersync/jwks')).statusCode, 200, 'the PowerSync Service is not limited')
  }
)

t.test('@fastify/cors: a browser may ask for tokens and upload, and reads refusals too', async t => {
  const origin = 'https://app.example.com'
  const app = await server(t, app => app.register(fastifyCors, { origin, methods: ['GET', 'POST'] }), () => null)
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: '/powersync/upload',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type'
    }
  })
  t.equal(preflight.statusCode, 204)
  t.match(preflight.headers, {
    'access-control-allow-origin': origin,
    'access-control-allow-headers': 'authorization,content-type',
    'access-control-allow-methods': /POST/
  })
  for (const request of [upload, { url: '/powersync/token' }]) {
    const response = await app.inject({ ...request, headers: { ...'headers' in request && request.headers, origin } })
    t.equal(response.statusCode, 401)
    t.equal(response.headers['access-control-allow-origin'], origin)
  }
})

t.test('@fastify/helmet: every answer has its headers, and stays what it is', async t => {
  const app = await server(t, app => app.register(fastifyHelmet), () => ({ id: 'user1' }))
  for (const request of [upload, { url: '/powersync/token' }, { url: '/powersync/jwks' }]) {
    const response = await app.inject(request)
    t.equal(response.statusCode, 200)
    t.match(response.headers, {
      'x-content-type-options': 'nosniff',
      'strict-transport-security': /max-age/,
      'content-type': /^application\/json/
    })
  }
  t.match((await app.inject('/powersync/jwks')).headers, { 'cache-control': 'public, max-age=300' })
})

t.test('a host that decorates request.user', async t => {
  const app = await server(t, app => {
    app.decorateRequest('user')
    app.addHook('onRequest', async request => {
      if (request.headers['x-user']) request.setDecorator('user', { id: String(request.headers['x-user']) })
    })
  }, request => request.getDecorator<User | null>('user'))
  t.equal((await app.inject(upload)).statusCode, 401)
  t.equal((await app.inject({ ...upload, headers: { ...upload.headers, 'x-user': 'user1' } })).statusCode, 200)
})

t.test('@fastify/session: whoever is signed in there', async t => {
  const app = await server(t, async app => {
    await app.register(fastifyCookie)
    await app.register(fastifySession, {
      secret: 'a secret of at least thirty-two characters',
      cookie: { secure: false }
    })
    app.post('/login', async request => {
      request.session.userId = 'user1'
      return {}
    })
  }, request => request.session.userId ? { id: request.session.userId } : null)
  t.equal((await app.inject('/powersync/token')).statusCode, 401)
  const [cookie] = (await app.inject({ method: 'POST', url: '/login' })).cookies
  const cookies = { [cookie!.name]: cookie!.value }
  t.equal((await app.inject({ url: '/powersync/token', cookies })).statusCode, 200)
  t.equal((await app.inject({ ...upload, cookies })).statusCode, 200)
})
