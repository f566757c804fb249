/**
 * Into a Fastify server that is there already: with its own @fastify/mongodb, its own @fastify/jwt, its own hooks and
 * error format, all of which stay as they are. Two registrations, since this company has two apps: one for everybody,
 * one for its staff, each with a PowerSync instance of its own.
 *
 *     npx tsx existing-backend.ts
 */
import fastifyJwt from '@fastify/jwt'
import fastifyMongodb from '@fastify/mongodb'
import Fastify from 'fastify'
import powersyncMongo, { collection, generateKeys, Type, type Authenticate } from 'fastify-powersync-mongo'
import { developmentMongoDB } from './mongodb.js'

const mongo = await developmentMongoDB({ database: 'shop' })

// ── What was there before ──────────────────────────────────────────────────────────────────────────────────────────
const app = Fastify({ logger: { level: 'warn' } })
await app.register(fastifyMongodb, { url: mongo.uri })
await app.register(fastifyJwt, { secret: process.env['JWT_SECRET'] ?? 'only for this example, which has no users' })

app.addHook('onSend', async (_request, reply) => { reply.header('x-served-by', 'shop') })

/** Stands in for a login. */
app.get<{ Querystring: { name: string, role: 'customer' | 'staff' } }>('/login', async ({ query }) =>
  ({ session: app.jwt.sign({ sub: query.name, role: query.role }) }))

app.get('/orders', () => app.mongo.db?.collection('orders').find().toArray())

// ── What is new ────────────────────────────────────────────────────────────────────────────────────────────────────
/** Whoever the host's own JWT says. `/upload` knows the bearers of PowerSync tokens besides. */
const signedIn: Authenticate = async request => {
  try {
    const { sub, role } = await request.jwtVerify<{ sub: string, role: 'customer' | 'staff' }>()
    return { id: sub, role }
  } catch {
    return null
  }
}

const staffOnly: Authenticate = async (request, context) => {
  const user = await signedIn(request, context)
  return user?.['role'] === 'staff' ? user : null
}

const privateKey = process.env['POWERSYNC_PRIVATE_KEY'] ?? (await generateKeys()).privateKey

// Without `mongo`, both use the host's connection.
await app.register(powersyncMongo, {
  name: 'shop',
  prefix: '/apps/shop',
  powersyncUrl: 'https://shop.powersync.example',
  keys: { signing: privateKey },
  authenticate: signedIn,
  collections: {
    orders: collection({
      schema: Type.Object({ item: Type.String(), customer: Type.String() }),
      owner: 'customer'
    })
  }
})

await app.register(powersyncMongo, {
  name: 'warehouse',
  prefix: '/apps/warehouse',
  // An audience of its own: a token for the shop is none for the warehouse.
  powersyncUrl: 'https://warehouse.powersync.example',
  keys: { signing: privateKey },
  authenticate: staffOnly,
  collections: {
    parcels: collection({ schema: Type.Object({ order: Type.String(), shelf: Type.Integer() }) })
  },
  // Fastify's own route options, for a route of this plugin.
  routes: { upload: { onSend: async (_request, reply) => { reply.header('x-app', 'warehouse') } } }
})

/** The app's own job, with what the routes use. */
app.get('/status', () => ({
  shop: { tables: app.powersync['shop']?.collections, ...app.powersync['shop']?.health() },
  warehouse: { tables: app.powersync['warehouse']?.collections, ...app.powersync['warehouse']?.health() }
}))

app.addHook('onClose', () => mongo.stop())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
console.log(`
Sign in, and get a token with the session that this gives:

curl '${url}/login?name=anna&role=customer'
curl ${url}/apps/shop/token -H 'authorization: Bearer <session>'
curl ${url}/status
`)
