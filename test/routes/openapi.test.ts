/** What @fastify/swagger makes of the routes is valid, complete, and true: of answers, and of its own examples. */
import fastifyMongodb from '@fastify/mongodb'
import fastifySwagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Type } from '@sinclair/typebox'
import { Ajv2020 } from 'ajv/dist/2020.js'
import Fastify, { type InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import powersyncMongo, { collection, type PowerSyncMongoOptions } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { keys } from '../support/server.js'

interface Media { schema: object, example?: unknown, examples?: Record<string, { value: unknown }> }

interface Operation {
  summary: string
  description: string
  tags: string[]
  security: object[]
  parameters?: Array<{ name: string, in: string }>
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, { description: string, content?: Record<string, Media> }>
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { securitySchemes?: object }
}

const database = await testDatabase(t)

async function server (t: Test, openapi: object, options: Partial<PowerSyncMongoOptions> = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySwagger, { openapi: { info: { title: 'test', version: '1' }, ...openapi } })
  await app.register(fastifyMongodb, { url: database.uri })
  const plugin: PowerSyncMongoOptions = {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    authenticate: request => {
      const id = request.headers['x-user']
      if (id === 'broken') throw new Error('the directory of users is down')
      return typeof id === 'string' ? { id } : null
    },
    checkpoints: true,
    collections: {
      lists: collection({ schema: Type.Object({ name: Type.String() }) }),
      flaky: collection({ schema: 'any', authorize: () => { throw new Error('down') } })
    },
    ...options,
    upload: { bodyLimit: 2048, ...options.upload }
  }
  await app.register(powersyncMongo, { ...plugin, name: 'one', prefix: '/one' })
  await app.register(powersyncMongo, { ...plugin, name: 'two', prefix: '/two' })
  await app.ready()
  return { app, document: app.swagger() as unknown as Document }
}

/** Each operation with its path, as in `GET /one/jwks`. */
const operationsOf = ({ paths }: Document): Array<[name: string, operation: Operation]> =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation
    ])
  )

const mediaOf = (content: Record<string, Media> = {}): Media[] => Object.values(content)
const examplesOf = ({ example, examples = {} }: Media): unknown[] => [
  ...(example === undefined ? [] : [example]),
  ...Object.values(examples).map(({ value }) => value)
]

const ajv = new Ajv2020({ strict: false, formats: { 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) } })

/** What a value has against a schema, and what of it the schema does not name. */
function faults (schema: object, value: unknown): unknown {
  const check = ajv.compile(closed(schema) as object)
  return check(value) ? [] : check.errors
}

/** The schema without room for what it does not name. */
function closed (schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Array.isArray(schema)
    ? schema.map(closed)
    : Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return 'properties' in schema && Object.keys(schema.properties as object).length > 0
    ? { ...inner, additionalProperties: false }
    : inner
}

const routes = [
  'GET /one/jwks',
  'GET /one/token',
  'POST /one/upload',
  'PUT /one/checkpoint',
  'GET /two/jwks',
  'GET /two/token',
  'POST /two/upload',
  'PUT /two/checkpoint'
]

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`the document is valid OpenAPI ${version}, and says all of each route`, async t => {
    const { document } = await server(t, { openapi: version })
    t.strictSame(await new Validator().validate(structuredClone(document) as unknown as Record<string, unknown>), {
      valid: true
    })
    t.strictSame(document.components.securitySchemes, {
      bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
    })
    t.strictSame(operationsOf(document).map(([name]) => name).sort(), [...routes].sort())
    for (const [name, { summary, description, tags, security, parameters, requestBody, responses }] of operationsOf(
      document
    )) {
      t.ok(summary && description, name)
      t.strictSame(tags, ['powersync'], name)
      t.strictSame(security, name.endsWith('/jwks') ? [] : [{ bearer: [] }], name)
      if (requestBody) {
        t.ok(mediaOf(requestBody.content).flatMap(examplesOf).length > 0, `${name} has an example of a body`)
      }
      if (name.endsWith('/upload')) t.match(parameters, [{ name: 'x-client-id', in: 'header' }])
      for (const [status, { description, content }] of Object.entries(responses)) {
        t.not(description, 'Default Response', `${name} ${status}`)
        if (/^\d+$/.test(status) && status !== '304') {
          t.ok(mediaOf(content).flatMap(examplesOf).length > 0, `${name} has an example of ${status}`)
        }
      }
    }
  })
}

t.test('a host\'s own security schemes stay, and its own security takes the place of the routes\'', async t => {
  const bearer = { type: 'http', scheme: 'bearer', description: 'the host\'s own' }
  const session = { type: 'apiKey', name: 'session', in: 'cookie' }
  const { document } = await server(t, { openapi: '3.1.0', components: { securitySchemes: { bearer, session } } }, {
    routes: {
      token: { schema: { security: [{ session: [] }] } },
      checkpoint: {
        config: { swaggerTransform: ({ url }: { url: string }) => ({ url, schema: { summary: 'another' } }) } as object
      }
    }
  })
  t.strictSame(document.components.securitySchemes, { bearer, session })
  t.strictSame(document.paths['/one/token']?.['get']?.security, [{ session: [] }])
  t.strictSame(document.paths['/one/upload']?.['post']?.security, [{ bearer: [] }])
  t.equal(document.paths['/one/checkpoint']?.['put']?.summary, 'another')
})

t.test('a host with Swagger 2.0 gets the routes as well', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySwagger, { swagger: { info: { title: 'test', version: '1' } } })
  await app.register(powersyncMongo, {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    mongo: { url: database.uri },
    authenticate: () => null,
    collections: { lists: collection({ schema: 'any' }) }
  })
  await app.ready()
  t.strictSame(Object.keys((app.swagger() as unknown as Document).paths), ['/jwks', '/token', '/upload'])
})

t.test('answers are what the document says, in each of the ways in which a route can answer', async t => {
  const { app, document } = await server(t, { openapi: '3.1.0' })
  const user = { 'x-user': 'user1' }
  const json = { ...user, 'content-type': 'application/json' }
  const { etag } = (await app.inject('/one/jwks')).headers
  const list = { op: 'PUT', table: 'lists', id: 'l1', data: { name: 'Groceries' } }
  const flaky = { op: 'PUT', table: 'flaky', id: 'f1', data: {} }
  const bad = { ...list, id: 'l2', data: { name: 7 } }
  const upload = (payload: unknown, headers: object = json, prefix = 'one'): InjectOptions => ({
    method: 'POST',
    url: `/${prefix}/upload`,
    headers: { ...headers },
    payload: JSON.stringify(payload)
  })
  const checkpoint = (payload: unknown, headers: object = json): InjectOptions => ({
    method: 'PUT',
    url: '/one/checkpoint',
    headers: { ...headers },
    payload: JSON.stringify(payload)
  })

  const requests: Array<[route: string, status: number, request: InjectOptions]> = [
    ['GET /one/jwks', 200, { url: '/one/jwks' }],
    ['GET /one/jwks', 304, { url: '/one/jwks', headers: { 'if-none-match': String(etag) } }],
    ['GET /one/token', 200, { url: '/one/token', headers: user }],
    ['GET /one/token', 401, { url: '/one/token' }],
    ['GET /one/token', 503, { url: '/one/token', headers: { 'x-user': 'broken' } }],
    ['POST /one/upload', 200, upload({ batch: [list] })],
    ['POST /one/upload', 200, upload({ batch: [bad, { ...list, tx_id: 2 }] })],
    ['POST /two/upload', 200, upload({ batch: [bad, list] }, json, 'two')],
    ['POST /one/upload', 200, upload({ transactions: [{ crud: [flaky] }, { crud: [list] }] })],
    ['POST /one/upload', 400, upload({})],
    ['POST /one/upload', 401, upload({ batch: [] }, { 'content-type': 'application/json' })],
    ['POST /one/upload', 413, upload({ batch: [], x: 'x'.repeat(3000) })],
    ['POST /one/upload', 415, upload({ batch: [] }, { ...user, 'content-type': 'text/plain' })],
    ['POST /one/upload', 503, upload({ batch: [flaky] })],
    ['POST /one/upload', 503, upload({ batch: [] }, { ...json, 'x-user': 'broken' })],
    ['PUT /one/checkpoint', 200, checkpoint({ client_id: 'phone' })],
    ['PUT /one/checkpoint', 400, checkpoint({})],
    ['PUT /one/checkpoint', 401, checkpoint({ client_id: 'phone' }, { 'content-type': 'application/json' })],
    ['PUT /one/checkpoint', 413, checkpoint({ client_id: 'x'.repeat(5000) })],
    ['PUT /one/checkpoint', 415, checkpoint({}, { ...user, 'content-type': 'text/plain' })],
    ['PUT /one/checkpoint', 503, checkpoint({ client_id: 'phone' }, { ...json, 'x-user': 'broken' })]
  ]
  const operations = new Map(operationsOf(document))
  for (const [route, status, request] of requests) {
    const response = await app.inject(request)
    t.equal(response.statusCode, status, `${route}: ${response.payload}`)
    const documented = operations.get(route)?.responses[status]
    t.ok(documented, `${route} ${status} is in the document`)
    for (const { schema } of mediaOf(documented?.content)) {
      t.strictSame(faults(schema, response.json()), [], `${route} ${status}: ${response.payload}`)
    }
  }

  // None that the document has by its number is left out.
  const tried = new Set(requests.map(([route, status]) => `${route} ${status}`))
  const all = [...operations]
    .filter(([name]) => name.includes('/one/'))
    .flatMap(([name, { responses }]) =>
      Object.keys(responses)
        .filter(status => /^\d+$/.test(status))
        .map(status => `${name} ${status}`)
    )
  t.strictSame(all.filter(each => !tried.has(each)), [])
})

t.test('the examples are what their schemas say, and a server takes those of bodies', async t => {
  const { app, document } = await server(t, { openapi: '3.1.0' }, { upload: { bodyLimit: 65_536 } })
  for (const [name, { requestBody, responses }] of operationsOf(document)) {
    for (const media of [requestBody, ...Object.values(responses)].flatMap(each => mediaOf(each?.content))) {
      for (const example of examplesOf(media)) {
        t.strictSame(faults(media.schema, example), [], `${name}: ${JSON.stringify(example)}`)
      }
    }
    const [method, url] = name.split(' ') as ['POST', string]
    for (const payload of mediaOf(requestBody?.content).flatMap(examplesOf)) {
      const response = await app.inject({ method, url, headers: { 'x-user': 'user1' }, payload: payload as object })
      t.equal(response.statusCode, 200, name)
      for (const { status } of response.json().results ?? []) t.equal(status, 'success', `${name}: ${response.payload}`)
    }
  }
})
