/** Hosts with settings of their own for the whole server: the routes start, and answer as on any other. */
import { createGunzip, gzipSync } from 'node:zlib'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'
import { z } from 'zod'
import powersyncMongo, { collection, type PowerSyncMongoOptions } from '../../index.js'
import { keys } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const mongo = await startWireServer()
t.teardown(() => mongo.stop())

interface Host {
  serverOptions?: FastifyServerOptions
  prepare?: (app: FastifyInstance) => void
  options?: Partial<PowerSyncMongoOptions>
}

async function server (t: Test, { serverOptions = {}, prepare = () => {}, options = {} }: Host) {
  const app = Fastify(serverOptions)
  t.teardown(() => app.close())
  prepare(app)
  await app.register(powersyncMongo, {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    mongo: { url: mongo.uri },
    authenticate: ({ headers }) => headers['authorization'] ? { id: 'user1' } : null,
    checkpoints: true,
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) },
    ...options
  })
  return app
}

const headers = { authorization: 'Bearer ann', 'content-type': 'application/json' }
const row = { op: 'PUT', type: 'lists', id: 'a', data: { name: 'x' } }
const upload = { method: 'POST', url: '/upload', headers, payload: { batch: [row] } } as const

/** What each route answers, and how it refuses: what a client sees of the server. */
async function answers (app: FastifyInstance, slash = '') {
  const requests = [
    { url: '/jwks' }, { url: '/token', headers }, { url: '/token' }, upload, { ...upload, headers: { 'content-type': 'application/json' } },
    { ...upload, payload: { batch: [{ ...row, data: { name: 5 } }] } }, { ...upload, payload: 'not JSON' }, { ...upload, payload: { batch: 5 } },
    { ...upload, headers: { ...headers, 'content-type': 'text/plain' } }, { ...upload, payload: JSON.stringify({ batch: 'x'.repeat(5000) }) },
    { method: 'PUT', url: '/checkpoint', headers, payload: { client_id: 'phone' } }, { method: 'PUT', url: '/checkpoint', headers, payload: {} }
  ] as const
  const all = []
  for (const request of requests) {
    const response = await app.inject({ ...request, url: `${request.url}${slash}` })
    const body = response.json()
    if (body.token) Object.assign(body, { token: typeof body.token, expires_at: typeof body.expires_at })
    all.push({ status: response.statusCode, type: response.headers['content-type'], body })
  }
  return all
}

const options = { upload: { bodyLimit: 2048 } }

t.test('compilers, serialisers, parsers and error handlers of the host have no effect, and keep theirs', async t => {
  const plain = await answers(await server(t, { options }))
  t.same(plain.map(({ status }) => status), [200, 200, 401, 200, 401, 200, 400, 400, 415, 413, 503, 400], 'the scripted server has no checkpoints')
  t.match(plain[5]?.body, { results: [{ status: 'fatal_error', message: /name/, failed_operation: { operation_index: 0 } }] })
  t.match(plain[8]?.body, { code: 'FST_PSM_MEDIA_TYPE', message: /expected application\/json, found text\/plain/ })

  const refuse = () => { throw new Error('the host\'s, and not for these routes') }
  const hosts: Record<string, Host> = {
    Zod: {
      prepare: app => {
        app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
        app.post('/host', { schema: { body: z.object({ name: z.string() }), response: { 200: z.object({ name: z.string() }) } } }, async ({ body }) => body)
      }
    },
    'compilers that know no JSON schema, as Joi\'s': { prepare: app => app.setValidatorCompiler(refuse).setSerializerCompiler(refuse) },
    'compilers as server options': { serverOptions: { schemaController: { compilersFactory: { buildValidator: () => refuse, buildSerializer: () => refuse } } } },
    'a strict Ajv': { serverOptions: { ajv: { customOptions: { strict: true, coerceTypes: 'array', removeAdditional: 'all' } } } },
    'a serialiser of replies': { prepare: app => app.setReplySerializer(payload => `host:${JSON.stringify(payload)}`) },
    'an error handler': { prepare: app => app.setErrorHandler((_error, _request, reply) => reply.code(500).send({ host: true })) },
    parsers: {
      prepare: app => {
        app.removeAllContentTypeParsers()
        app.addContentTypeParser(['application/json', 'text/plain'], { parseAs: 'string' }, refuse)
      }
    },
    'a small limit of bodies': { serverOptions: { bodyLimit: 10 } }
  }
  for (const [name, host] of Object.entries(hosts)) {
    const app = await server(t, { ...host, options })
    t.same(await answers(app), plain, name)
    if (name === 'Zod') t.same((await app.inject({ method: 'POST', url: '/host', payload: { name: 5 } })).statusCode, 400)
  }
})

t.test('paths may end with a slash on any router', async t => {
  const plain = await answers(await server(t, { options }))
  for (const serverOptions of [{}, { ignoreTrailingSlash: true }, { routerOptions: { ignoreTrailingSlash: true } }, { exposeHeadRoutes: false }]) {
    t.same(await answers(await server(t, { serverOptions, options }), '/'), plain)
  }
  const urls = { ...options, prefix: '/powersync', routes: { jwks: { url: '/api/auth/keys/' }, token: { url: '/' }, upload: { url: '/api/data' } } }
  const app = await server(t, { options: urls })
  for (const url of ['/powersync/api/auth/keys', '/powersync/api/auth/keys/']) t.equal((await app.inject(url)).statusCode, 200, url)
  for (const url of ['/powersync', '/powersync/']) t.equal((await app.inject({ url, headers })).statusCode, 200, url)
  for (const url of ['/powersync/api/data', '/powersync/api/data/']) t.equal((await app.inject({ ...upload, url })).statusCode, 200, url)
})

t.test('a body that the host decodes is read; one that nobody decodes is refused with its encoding', async t => {
  const encoded = { ...upload, headers: { ...headers, 'content-encoding': 'gzip' }, payload: gzipSync(JSON.stringify(upload.payload)) }
  const refused = await (await server(t, {})).inject(encoded)
  t.equal(refused.statusCode, 415)
  t.match(refused.json(), { code: 'FST_PSM_MEDIA_TYPE', message: /expected none, found gzip/ })

  const app = await server(t, {
    prepare: app => app.addHook('preParsing', async (request, _reply, payload) => {
      if (request.headers['content-encoding'] !== 'gzip') return payload
      delete request.headers['content-encoding']
      delete request.headers['content-length']
      return payload.pipe(createGunzip())
    }),
    options
  })
  t.same((await app.inject(encoded)).json(), { results: [{ status: 'success' }] })
  const bomb = await app.inject({ ...encoded, payload: gzipSync(JSON.stringify({ batch: 'x'.repeat(5000) })) })
  t.equal(bomb.statusCode, 413, 'what counts is what comes out')
  t.equal((await app.inject({ ...encoded, payload: 'not gzip' })).statusCode, 400)
})

t.test('what a host\'s hook throws, which may be no error, is answered as it is', async t => {
  const thrown: unknown[] = [{ statusCode: 429, limit: 5 }, Object.assign(new Error('slow down'), { statusCode: 429, headers: { 'retry-after': '60' } }), new Error('a fault')]
  const app = await server(t, { prepare: app => app.addHook('onRequest', async () => { throw thrown[0] }) })
  t.same((await app.inject('/jwks')).json(), { statusCode: 429, limit: 5 })
  thrown.shift()
  const slow = await app.inject('/jwks')
  t.same([slow.statusCode, slow.headers['retry-after'], slow.json()], [429, '60', { statusCode: 429, error: 'Too Many Requests', message: 'slow down' }])
  thrown.shift()
  t.same((await app.inject('/jwks')).json(), { statusCode: 500, error: 'Internal Server Error', message: 'a fault' })
})
