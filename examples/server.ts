/**
 * The backend of a todo app: users get tokens for PowerSync, their writes go to MongoDB. The app itself is at `/`.
 *
 * `npm start` runs it without any configuration: it makes up keys, starts a MongoDB of its own and takes everybody's
 * word for who they are. MONGO_URI, POWERSYNC_URL, POWERSYNC_PRIVATE_KEY, HOST and PORT replace these one by one.
 */
import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import Fastify from 'fastify'
import powersyncMongo, { developmentAuth, generateKeys } from 'fastify-powersync-mongo'
import { collections } from './collections.js'
import { developmentMongoDB } from './mongodb.js'
import { failOnRequest, page, pageIsBuilt, rejections } from './page.js'

const {
  HOST: host = '127.0.0.1',
  PORT: port = '3000',
  POWERSYNC_URL: powersyncUrl = 'http://localhost:8080',
  POWERSYNC_PRIVATE_KEY: privateKey
} = process.env

// Warnings and errors, as lines like the others.
const stream = {
  write (entry: string) {
    const { msg, err } = JSON.parse(entry) as { msg: string, err?: Error }
    console.error(`  ${err ? `${msg}: ${err.message}` : msg}`)
  }
}
const app = Fastify({ logger: { level: 'warn', stream } })

const mongo = await developmentMongoDB({ database: 'todos' }).catch(stop)
app.addHook('onClose', () => mongo.stop())

// Before the routes that it describes: those of this file are added at once.
await app.register(fastifySwagger, { openapi: { info: { title: 'The backend of a todo app', version: '1.0.0' } } })
app.register(fastifySwaggerUi, { routePrefix: '/docs' })

app.register(powersyncMongo, {
  prefix: '/powersync',
  powersyncUrl,
  keys: { signing: privateKey ?? (await generateKeys()).privateKey },
  mongo: { url: mongo.uri },
  authenticate: developmentAuth(),
  collections,
  // Rejected changes sync back to their users, who correct or discard them.
  upload: { deadLetters: { mirror: rejections } },
  updateBatch: failOnRequest,
  // For /docs: with developmentAuth() a query parameter says who is calling, and credentials are not needed.
  routes: {
    token: {
      schema: {
        security: [],
        querystring: { type: 'object', properties: { user_id: { type: 'string', examples: ['user1'] } } }
      }
    },
    upload: { schema: { security: [] } }
  }
})

app.register(page, { hasService: Boolean(process.env['POWERSYNC_URL']) })
app.addHook('onReady', async () => {
  await app.mongo
    .db!.collection('lists')
    .createIndex({ owner_id: 1, name: 1 }, { name: 'one_list_of_a_name', unique: true })
})

// The app's own routes use the same connection.
app.get('/lists', { schema: { summary: 'The lists as MongoDB has them', tags: ['stored'] } }, () =>
  app.mongo.db!.collection('lists').find().toArray()
)
app.get('/todos', { schema: { summary: 'The todos as MongoDB has them', tags: ['stored'] } }, () =>
  app.mongo.db!.collection('todos').find().toArray()
)

app.addHook('onResponse', async (request, reply) => {
  if (/^\/(powersync|lists|todos)\b/.test(request.url)) {
    console.log(`  ${request.method} ${request.url} ${reply.statusCode}`)
  }
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())

const url = await app.listen({ host, port: Number(port) }).catch(stop)
const address = url.replace('http://', '')

console.log(`
  The backend of a todo app, with PowerSync and MongoDB

  ${pageIsBuilt ? `See it work in a browser: ${url}/` : 'The page to see it work is not built: npm start builds it.'}

  MongoDB     ${mongo.description}
  PowerSync   ${process.env['POWERSYNC_URL'] ?? 'not needed: a stand-in syncs the page (for a real one, set POWERSYNC_URL)'}
  Keys        ${privateKey ? 'from POWERSYNC_PRIVATE_KEY' : 'made up for this run (to keep yours: npx powersync-mongo generate-keys)'}
  Users       anybody is whoever they say: for development only
  Tables      ${Object.keys(collections).join(', ')}: writes to any other are rejected

  JWKS        GET  ${url}/powersync/jwks
  Token       GET  ${url}/powersync/token?user_id=…
  Upload      POST ${url}/powersync/upload
  Stored      GET  ${url}/lists
              GET  ${url}/todos
  API docs    GET  ${url}/docs (OpenAPI, to read and to try out)

  Try it in another terminal: get a token, write a list, read it back:

  curl '${address}/powersync/token?user_id=8ea4310a-b7c0-4dd7-ae54-51d6e1596b83'

  curl -X POST ${address}/powersync/upload -H 'content-type: application/json' -d '{"batch":[{"op":"PUT","table":"lists","id":"61d19021-0565-4686-acc4-3ea4f8c48839","data":{"created_at":"2024-10-31 10:33:24","name":"Name","owner_id":"8ea4310a-b7c0-4dd7-ae54-51d6e1596b83"}}]}'

  curl ${address}/lists

  Ctrl-C stops everything.
`)

/** A start that fails for a reason outside this program: says which, stops what is running. */
async function stop (error: NodeJS.ErrnoException): Promise<never> {
  const reason = error.code === 'EADDRINUSE'
    ? `Port ${port} on ${host} is in use: stop what runs there, or take another, as in PORT=3001 npm start`
    : error.message
  console.error(reason.replaceAll(/^/gm, '  '))
  await app.close()
  process.exit(1)
}
