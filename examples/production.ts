/**
 * A server as it is in production: users of an identity provider, rows that belong to them, MongoDB's validators, and
 * limits. It is configured by the environment alone, and says what is missing:
 *
 *     NODE_ENV=production npx tsx production.ts
 *
 * Without NODE_ENV and ISSUER it runs on stand-ins, offline, and prints how to sign in:
 *
 *     npx tsx production.ts
 */
import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import fastifyRateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import powersyncMongo, { bson, collection, jwtIssuers, Type, type AuthorizeHook } from 'fastify-powersync-mongo'

// Only to try it out: leave this and stand-ins.ts out of an app of yours.
if (process.env['NODE_ENV'] !== 'production' && !process.env['ISSUER']) await (await import('./stand-ins.js')).standIn()

const {
  /** What your provider's tokens have as `iss`, and what they have as `aud` for this API. */
  ISSUER: issuer = '',
  AUDIENCE: audience = '',
  /** Where your web app is. */
  APP_ORIGIN: origin = false,
  /** Addresses of the proxy in front, as in 10.0.0.0/8: what it says of a client's address is believed. */
  TRUST_PROXY: trustProxy = false,
  VALIDATORS: validators,
  HOST: host = '127.0.0.1',
  PORT: port = '3000'
} = process.env

const app = Fastify({ logger: true, trustProxy })

await app.register(fastifyHelmet)
await app.register(fastifyCors, { origin, methods: ['GET', 'POST'] })
await app.register(fastifyRateLimit, { global: false })

// For one address. A client that is refused tries again every 5 s: fewer than 12 in a minute would never let it
// through.
const rateLimit = { max: 120, timeWindow: '1 minute' }

/** A todo stands in a list of its owner's, before and after. */
const inOwnList: AuthorizeHook = async ({ op, data }, { user, existing }) => {
  if (op === 'DELETE' || data['list_id'] === undefined) return true
  const list = await existing('lists', String(data['list_id']))
  return list?.['owner_id'] === user.id || 'There is no such list'
}

// POWERSYNC_URL, POWERSYNC_PRIVATE_KEY, POWERSYNC_PUBLISHED_KEYS and MONGO_URI are read by the plugin itself.
await app.register(powersyncMongo, {
  prefix: '/powersync',
  authenticate: jwtIssuers({ issuers: issuer, audience }),
  validators: validators === 'off' ? false : 'apply',
  collections: {
    lists: collection({
      id: 'uuid',
      schema: Type.Object({
        owner_id: Type.String(),
        name: Type.String({ minLength: 1, maxLength: 200 }),
        archived: Type.Optional(bson.Boolean()),
        created_at: Type.Optional(bson.Date())
      }),
      owner: 'owner_id',
      // All else is the server's own: a value that a client sends for it is left out.
      writable: ['name', 'archived'],
      defaults: { created_at: () => new Date() }
    }),
    todos: collection({
      id: 'uuid',
      schema: Type.Object({
        owner_id: Type.String(),
        list_id: Type.String(),
        description: Type.String({ minLength: 1, maxLength: 2000 }),
        completed: Type.Optional(bson.Boolean())
      }),
      owner: 'owner_id',
      authorize: inOwnList
    })
  },
  routes: {
    token: { config: { rateLimit } },
    upload: { config: { rateLimit } }
  }
})

/** For a load balancer: 503 once the server is closing. */
app.get('/health', async (_request, reply) => {
  const health = app.powersync.health()
  return reply.code(health.accepting ? 200 : 503).send(health)
})

// Uploads that are running are finished first.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close().then(() => process.exit()))

await app.listen({ host, port: Number(port) })
