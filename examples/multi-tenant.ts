/**
 * A database for each tenant, on one server and one connection. Each tenant has a registration, and a PowerSync
 * instance of its own, which replicates the tenant's database. A token of one tenant is good for nothing at another.
 *
 *     npx tsx multi-tenant.ts
 */
import fastifyMongodb from '@fastify/mongodb'
import Fastify from 'fastify'
import powersyncMongo, {
  collection, developmentAuth, generateKeys, powersyncToken, Type
} from 'fastify-powersync-mongo'
import { developmentMongoDB } from './mongodb.js'

/** In an app they come from configuration. A new one is there after the next start. */
const tenants = ['acme', 'globex']

const mongo = await developmentMongoDB({ database: 'tenants' })

const app = Fastify({ logger: { level: 'warn' } })
await app.register(fastifyMongodb, { url: mongo.uri })

const signing = process.env['POWERSYNC_PRIVATE_KEY'] ?? (await generateKeys()).privateKey

const collections = {
  todos: collection({
    schema: Type.Object({ description: Type.String(), created_by: Type.String() }),
    owner: 'created_by'
  })
}

for (const tenant of tenants) {
  await app.register(powersyncMongo, {
    name: tenant,
    prefix: `/${tenant}/powersync`,
    // The token's audience: what keeps the tenants' tokens apart.
    powersyncUrl: `https://${tenant}.powersync.example`,
    keys: { signing },
    // The host's connection, and the tenant's database on it.
    mongo: { database: `tenant_${tenant}` },
    // In an app: who is signed in, and belongs to this tenant.
    authenticate: developmentAuth(),
    // Only with a token: developmentAuth() would take everybody.
    upload: { authenticate: powersyncToken() },
    collections
  })
}

app.get<{ Params: { tenant: string } }>('/:tenant/todos', ({ params }, reply) => tenants.includes(params.tenant)
  ? app.mongo.client.db(`tenant_${params.tenant}`).collection('todos').find().toArray()
  : reply.callNotFound())

app.addHook('onClose', () => mongo.stop())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
console.log(`
${tenants.map(tenant => `curl '${url}/${tenant}/powersync/token?user_id=anna'`).join('\n')}
`)
