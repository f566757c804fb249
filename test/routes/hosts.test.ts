/** Hosts with settings of their own for the whole server: the routes start, and answer as on any other. */
import 'reflect-metadata'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { connect, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectSocket, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import { createGunzip, gunzipSync, gzipSync } from 'node:zlib'
import fastifyCompress from '@fastify/compress'
import fastifyRawBody from 'fastify-raw-body'
import fastifyMongodb from '@fastify/mongodb'
import fastifyResponseValidation from '@fastify/response-validation'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import Joi from 'joi'
import mongoose from 'mongoose'
import t, { type Test } from 'tap'
import { z } from 'zod'
import powersyncMongo, { collection, type PowerSyncMongoOptions } from '../../index.js'
import { keys } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const mongo = await startWireServer()
t.teardown(() => mongo.stop())

interface Host {
  serverOptions?: FastifyServerOptions
  prepare?: (app: FastifyInstance) => unknown
  options?: Partial<PowerSyncMongoOptions>
}

async function server (t: Test, { serverOptions = {}, prepare = () => {}, options = {} }: Host) {
  const app = Fastify(serverOptions)
  t.teardown(() => app.close())
  await prepare(app)
  await app.register(powersyncMongo, optionsOf(options))
  return app
}

function optionsOf (options: Partial<PowerSyncMongoOptions>): PowerSyncMongoOptions {
  return {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    mongo: { url: mongo.uri },
    authenticate: ({ headers }) => headers['authorization'] ? { id: 'user1' } : null,
    checkpoints: true,
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) },
    ...options
  }
}

const headers = { authorization: 'Bearer ann', 'content-type': 'application/json' }
const row = { op: 'PUT', type: 'lists', id: 'a', data: { name: 'x' } }
const upload = { method: 'POST', url: '/upload', headers, payload: { batch: [row] } } as const

/** What each route answers, and how it refuses: what a client sees of the server. */
async function answers (app: FastifyInstance, slash = '') {
  const requests = [
    { url: '/jwks' },
    { url: '/token', headers },
    { url: '/token' },
    upload,
    { ...upload, headers: { 'content-type': 'application/json' } },
    { ...upload, payload: { batch: [{ ...row, data: { name: 5 } }] } },
    { ...upload, payload: 'not JSON' },
    { ...upload, payload: { batch: 5 } },
    { ...upload, headers: { ...headers, 'content-type': 'text/plain' } },
    { ...upload, payload: JSON.stringify({ batch: 'x'.repeat(5000) }) },
    { method: 'PUT', url: '/checkpoint', headers, payload: { client_id: 'phone' } },
    { method: 'PUT', url: '/checkpoint', headers, payload: {} }
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
  t.same(
    plain.map(({ status }) => status),
    [200, 200, 401, 200, 401, 200, 400, 400, 415, 413, 503, 400],
    'the scripted server has no checkpoints'
  )
  t.match(plain[5]?.body, {
    results: [{ status: 'fatal_error', message: /name/, failed_operation: { operation_index: 0 } }]
  })
  t.match(plain[8]?.body, { code: 'FST_PSM_MEDIA_TYPE', message: /expected application\/json, found text\/plain/ })

  const refuse = () => { throw new Error('the host\'s, and not for these routes') }
  const hosts: Record<string, Host> = {
    Zod: {
      prepare: app => {
        app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
        app.post(
          '/host',
          { schema: { body: z.object({ name: z.string() }), response: { 200: z.object({ name: z.string() }) } } },
          async ({ body }) => body
        )
      }
    },
    'compilers that know no JSON schema, as Joi\'s': {
      prepare: app => app.setValidatorCompiler(refuse).setSerializerCompiler(refuse)
    },
    'compilers as server options': {
      serverOptions: {
        schemaController: { compilersFactory: { buildValidator: () => refuse, buildSerializer: () => refuse } }
      }
    },
    'a strict Ajv': {
      serverOptions: { ajv: { customOptions: { strict: true, coerceTypes: 'array', removeAdditional: 'all' } } }
    },
    'a serialiser of replies': { prepare: app => app.setReplySerializer(payload => `host:${JSON.stringify(payload)}`) },
    'an error handler': {
      prepare: app => app.setErrorHandler((_error, _request, reply) => reply.code(500).send({ host: true }))
    },
    parsers: {
      prepare: app => {
        app.removeAllContentTypeParsers()
        app.addContentTypeParser(['application/json', 'text/plain'], { parseAs: 'string' }, refuse)
      }
    },
    'a small limit of bodies': { serverOptions: { bodyLimit: 10 } },
    Joi: {
      prepare: app => {
        app.setValidatorCompiler<Joi.Schema>(({ schema }) => data => {
          const { error, value } = schema.validate(data)
          return error ? { error } : { value }
        })
        app.post('/host', { schema: { body: Joi.object({ name: Joi.string() }) } }, async ({ body }) => body)
      }
    },
    'TypeBox\'s compiler': {
      prepare: app => {
        app.setValidatorCompiler(TypeBoxValidatorCompiler)
        app.post('/host', { schema: { body: Type.Object({ name: Type.String() }) } }, async ({ body }) => body)
      }
    },
    'validation of responses': { prepare: app => app.register(fastifyResponseValidation) },
    compression: { prepare: app => app.register(fastifyCompress, { threshold: 0 }) },
    'hooks that wrap payloads': {
      prepare: app => app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload }))
    },
    'a request that knows its user': {
      prepare: app =>
        app.decorateRequest('user').addHook('onRequest', async request => {
          request.setDecorator('user', { id: 'host' })
        })
    },
    'another spelling of paths': {
      serverOptions: {
        routerOptions: { caseSensitive: false },
        rewriteUrl: ({ url = '' }) => url.replace(/^\/v1\//, '/')
      }
    },
    'BSON values that are not promoted': {
      options: {
        mongo: {
          url: mongo.uri,
          promoteValues: false,
          promoteLongs: false,
          ignoreUndefined: true,
          serializeFunctions: true
        }
      }
    },
    'bigints and buffers': { options: { mongo: { url: mongo.uri, useBigInt64: true, promoteBuffers: true } } },
    'raw BSON': { options: { mongo: { url: mongo.uri, raw: true } } },
    'Mongoose\'s client': {
      prepare: async () => { await mongoose.connect(mongo.uri) },
      options: { mongo: { get client () { return mongoose.connection.getClient() as never } } }
    },
    'named connections, of which one is ours': {
      prepare: async app => {
        await app.register(fastifyMongodb, { name: 'first', url: `${mongo.uri}` })
        await app.register(fastifyMongodb, { name: 'second', url: `${mongo.uri}` })
      },
      options: { mongo: { name: 'second' } }
    }
  }
  t.teardown(() => mongoose.disconnect())
  const own = async (app: FastifyInstance) => {
    const responses = await Promise.all(
      [{ name: 'x' }, { name: { first: 'x' } }].map(payload => app.inject({ method: 'POST', url: '/host', payload }))
    )
    return responses.map(({ statusCode, headers, body }) => [statusCode, headers['content-type'], body])
  }
  for (const [name, host] of Object.entries(hosts)) {
    const app = await server(t, { ...host, options: { ...options, ...host.options } })
    t.same(await answers(app), plain, name)
    const bare = Fastify(host.serverOptions ?? {})
    t.teardown(() => bare.close())
    await host.prepare?.(bare)
    t.same(await own(app), await own(bare), `${name}: the host is as before`)
  }
})

t.test('what a client accepts is compressed, where the host does that', async t => {
  const app = await server(t, { prepare: app => app.register(fastifyCompress, { threshold: 0 }), options })
  const response = await app.inject({ url: '/jwks', headers: { 'accept-encoding': 'gzip' } })
  t.equal(response.headers['content-encoding'], 'gzip')
  t.same(JSON.parse(String(gunzipSync(response.rawPayload))), (await app.inject('/jwks')).json())
  const sent = {
    ...upload,
    headers: { ...headers, 'content-encoding': 'gzip' },
    payload: gzipSync(JSON.stringify(upload.payload))
  }
  t.same((await app.inject(sent)).json(), { results: [{ status: 'success' }] }, 'and what it sends is decompressed')
})

t.test('fastify-raw-body keeps no copy of uploads, but of the bodies of the host', async t => {
  const kept: unknown[] = []
  const app = await server(t, {
    prepare: async app => {
      await app.register(fastifyRawBody)
      app.addHook('onResponse', async request => { kept.push(request.rawBody) })
      app.post('/host', async () => ({}))
    }
  })
  t.equal((await app.inject(upload)).statusCode, 200)
  await app.inject({ method: 'POST', url: '/host', payload: { of: 'host' } })
  t.same(kept, [undefined, '{"of":"host"}'])
})

t.test('a named connection of the host is not MONGO_URI\'s', async t => {
  const before = process.env['MONGO_URI']
  t.teardown(() => {
    if (before === undefined) delete process.env['MONGO_URI']
    else process.env['MONGO_URI'] = before
  })
  process.env['MONGO_URI'] = mongo.uri
  const other = new URL(mongo.uri)
  other.pathname = '/other'
  const { mongo: _mongo, ...rest } = optionsOf(options)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyMongodb, { name: 'other', url: other.href })
  await app.register(powersyncMongo, rest)
  t.equal(app.mongo['powersync']?.db?.databaseName, new URL(mongo.uri).pathname.slice(1))
  t.equal((await app.inject(upload)).statusCode, 200)
})

t.test('HTTP/2', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(powersyncMongo, optionsOf(options))
  await app.listen({ port: 0 })
  const session = connect(`http://localhost:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => session.close())
  const warnings: string[] = []
  const warned = ({ message }: Error) => { warnings.push(message) }
  process.on('warning', warned)
  t.teardown(() => process.off('warning', warned))
  t.match(await request(session, { ':path': '/jwks' }), [200, { keys: [{ kty: 'RSA' }] }])
  t.match(await request(session, { ':path': '/token', ...headers }), [200, { token: String }])
  const post = { ':path': '/upload', ':method': 'POST', ...headers }
  t.same(await request(session, post, JSON.stringify(upload.payload)), [200, { results: [{ status: 'success' }] }])
  t.match(await request(session, post, JSON.stringify({ batch: 'x'.repeat(5000) })), [
    413,
    { code: 'FST_PSM_TOO_LARGE' }
  ])
  t.match(await request(session, { ...post, authorization: '' }, '{}'), [401, { code: 'FST_PSM_UNAUTHORIZED' }])
  await setImmediate()
  t.strictSame(warnings, [], 'no header that HTTP/2 does not have')
})

async function request (
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string
): Promise<[status: unknown, body: unknown]> {
  const stream = session.request(headers)
  stream.end(body)
  const [answer] = await once(stream, 'response') as [OutgoingHttpHeaders]
  return [answer[':status'], JSON.parse(await text(stream))]
}

t.test('NestJS on Fastify', async t => {
  // By require: tap's loader does not find the files that NestJS looks for at run time.
  const require = createRequire(import.meta.url)
  const { Controller, Get, Module } = require('@nestjs/common') as typeof import('@nestjs/common')
  const { NestFactory } = require('@nestjs/core') as typeof import('@nestjs/core')
  const { FastifyAdapter } = require('@nestjs/platform-fastify') as typeof import('@nestjs/platform-fastify')
  class HostController {
    host () { return { host: true } }
  }
  Controller('host')(HostController)
  Get()(HostController.prototype, 'host', Object.getOwnPropertyDescriptor(HostController.prototype, 'host')!)
  class HostModule {}
  Module({ controllers: [HostController] })(HostModule)

  const nest = await NestFactory.create(HostModule, new FastifyAdapter(), { logger: false })
  t.teardown(() => nest.close())
  const app = nest.getHttpAdapter().getInstance() as unknown as FastifyInstance
  await app.register(powersyncMongo, optionsOf(options))
  await nest.init()
  await app.ready()
  t.same(await answers(app), await answers(await server(t, { options })))
  t.same((await app.inject('/host')).json(), { host: true })
})

t.test('paths may end with a slash on any router', async t => {
  const plain = await answers(await server(t, { options }))
  for (const serverOptions of [
    {},
    { ignoreTrailingSlash: true },
    { routerOptions: { ignoreTrailingSlash: true } },
    { exposeHeadRoutes: false }
  ]) {
    t.same(await answers(await server(t, { serverOptions, options }), '/'), plain)
  }
  const urls = {
    ...options,
    prefix: '/powersync',
    routes: { jwks: { url: '/api/auth/keys/' }, token: { url: '/' }, upload: { url: '/api/data' } }
  }
  const app = await server(t, { options: urls })
  for (const url of ['/powersync/api/auth/keys', '/powersync/api/auth/keys/']) {
    t.equal((await app.inject(url)).statusCode, 200, url)
  }
  for (const url of ['/powersync', '/powersync/']) t.equal((await app.inject({ url, headers })).statusCode, 200, url)
  for (const url of ['/powersync/api/data', '/powersync/api/data/']) {
    t.equal((await app.inject({ ...upload, url })).statusCode, 200, url)
  }
})

t.test('a body that the host decodes is read; one that nobody decodes is refused with its encoding', async t => {
  const encoded = {
    ...upload,
    headers: { ...headers, 'content-encoding': 'gzip' },
    payload: gzipSync(JSON.stringify(upload.payload))
  }
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

t.test('an encoding that changes nothing counts as none', async t => {
  const app = await server(t, {})
  for (const encoding of ['identity', 'Identity', '']) {
    const sent = { ...upload, headers: { ...headers, 'content-encoding': encoding } }
    t.equal((await app.inject(sent)).statusCode, 200, encoding)
  }
})

t.test('a hook of the host may read a body along, and one that reads it alone is named', async t => {
  const large = JSON.stringify({ ...upload.payload, ignored: 'x'.repeat(300_000) })
  const listening = async (prepare: Host['prepare']) => {
    const app = await server(t, {
      ...prepare && { prepare },
      options: { authenticate: async ({ headers: { authorization } }) => authorization ? { id: 'user1' } : null }
    })
    const url = `${await app.listen()}/upload`
    return async (headers: Record<string, string>) => {
      const response = await fetch(url, { method: 'POST', headers, body: large })
      return [response.status, await response.json()]
    }
  }
  const { authorization, ...anonymous } = headers
  let bytes = 0
  const along = await listening(app => app.addHook('preParsing', ({ raw }, _reply, payload, done) => {
    raw.on('data', (data: Buffer) => { if (raw.headers.authorization) bytes += data.length })
    done(null, payload)
  }))
  t.equal((await along(anonymous))[0], 401)
  t.equal((await along(anonymous))[0], 401, 'what is left of a body does not block its connection')
  t.same(await along(headers), [200, { results: [{ status: 'success' }] }])
  t.equal(bytes, large.length)
  const alone = await listening(app => app.addHook('onRequest', async ({ raw }) => { await text(raw) }))
  t.match(await alone(headers), [500, { message: /The body was read before .*express\.json\(\)/ }])
  t.equal((await alone(anonymous))[0], 401)
})

t.test('a client that hangs up gives back its room, also where the host decodes its body', async t => {
  const closed: Array<Promise<unknown>> = []
  const app = await server(t, {
    prepare: app => app.addHook('preParsing', async (_request, _reply, payload) => {
      const decoded = payload.pipe(createGunzip())
      decoded.once('data', () => socket.destroy())
      closed.push(once(decoded, 'close'))
      return decoded
    })
  })
  const { port } = new URL(await app.listen())
  const body = gzipSync(randomBytes(500_000))
  const socket = connectSocket(Number(port))
  const lines = ['POST /upload HTTP/1.1', 'host: x', 'content-type: application/json', 'authorization: Bearer ann']
  socket.write(`${lines.join('\r\n')}\r\ncontent-length: ${body.length}\r\n\r\n`)
  socket.write(body.subarray(0, 400_000))
  await once(socket, 'close')
  t.resolves(closed[0]!, 'what decodes the body is closed, which ends the wait for its rest')
})

t.test('what a host\'s hook throws, which may be no error, is answered as it is', async t => {
  const thrown: unknown[] = [
    { statusCode: 429, limit: 5 },
    Object.assign(new Error('slow down'), { statusCode: 429, headers: { 'retry-after': '60' } }),
    new Error('a fault')
  ]
  const app = await server(t, { prepare: app => app.addHook('onRequest', async () => { throw thrown[0] }) })
  t.same((await app.inject('/jwks')).json(), { statusCode: 429, limit: 5 })
  thrown.shift()
  const slow = await app.inject('/jwks')
  t.same(
    [slow.statusCode, slow.headers['retry-after'], slow.json()],
    [429, '60', { statusCode: 429, error: 'Too Many Requests', message: 'slow down' }]
  )
  thrown.shift()
  t.same((await app.inject('/jwks')).json(), { statusCode: 500, error: 'Internal Server Error', message: 'a fault' })

  const throwing = await server(t, {
    prepare: app => app.addHook('onRequest', async ({ query }, reply) => {
      const { code, ...properties } = query as { code?: string }
      if (code) reply.code(Number(code))
      throw Object.assign(new Error('no'), properties)
    })
  })
  for (const [query, status] of [['code=403', 403], ['status=401', 401], ['status=200', 500], ['code=201', 500]]) {
    t.equal((await throwing.inject(`/jwks?${query}`)).statusCode, status, `as Fastify answers: ${query}`)
  }
})
