/**
 * How a transaction is written, made one's own: what CloudCode users did by editing MongoDBStorage.updateBatch.
 * The hook wraps it for todos, to keep a history in the same MongoDB transaction, and replaces it for stock, where
 * clients upload how many they took, and the server counts.
 *
 *     npx tsx custom-update-batch.ts
 */
import Fastify from 'fastify'
import powersyncMongo, {
  collection, developmentAuth, generateKeys, PowerSyncFatalError, Type
} from 'fastify-powersync-mongo'
import { developmentMongoDB } from './mongodb.js'

const mongo = await developmentMongoDB({ database: 'shop' })

const app = Fastify({ logger: { level: 'warn' } })
app.addHook('onClose', () => mongo.stop())

await app.register(powersyncMongo, {
  prefix: '/powersync',
  powersyncUrl: process.env['POWERSYNC_URL'] ?? 'http://localhost:8080',
  keys: { signing: process.env['POWERSYNC_PRIVATE_KEY'] ?? (await generateKeys()).privateKey },
  mongo: { url: mongo.uri },
  authenticate: developmentAuth(),
  collections: {
    todos: collection({
      schema: Type.Object({ description: Type.String(), completed: Type.Optional(Type.Integer()) }),
      // Wraps: `next` is MongoDBStorage.updateBatch. With the session, all of it is one MongoDB transaction.
      updateBatch: async (transaction, { db, session, user }, next) => {
        await next()
        const entries = transaction.operations.map(({ op, id, data = null }) => ({
          op,
          todo: id,
          data,
          by: user.id,
          at: new Date()
        }))
        await db.collection('history').insertMany(entries, { session })
      }
    }),

    withdrawals: collection({
      schema: Type.Object({ product: Type.String(), count: Type.Integer({ minimum: 1 }) }),
      // Replaces: nothing is written but what is written here.
      updateBatch: async ({ operations }, { db, session }) => {
        for (const operation of operations) {
          const { index: operationIndex } = operation
          if (operation.op !== 'PUT') {
            throw new PowerSyncFatalError('FINAL', 'What was taken stays taken', { operationIndex })
          }
          const { product, count } = operation.data
          const { matchedCount } = await db.collection('stock').updateOne(
            { name: product, available: { $gte: count } },
            { $inc: { available: -count } },
            { session }
          )
          if (matchedCount === 0) {
            throw new PowerSyncFatalError('OUT_OF_STOCK', 'There are not as many left', { operationIndex })
          }
        }
      }
    })
  }
})

await app.mongo.db?.collection('stock').updateOne({ name: 'apples' }, { $set: { available: 10 } }, { upsert: true })

app.get('/stock', () => app.mongo.db?.collection('stock').find().toArray())
app.get('/history', () => app.mongo.db?.collection('history').find().toArray())

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
console.log(`
Take three apples, then look at what is left; and at ${url}/history after uploading todos:

curl -X POST ${url}/powersync/upload -H 'content-type: application/json' -d '{"batch":[{"op":"PUT","table":"withdrawals","id":"w1","data":{"product":"apples","count":3}}]}'
curl ${url}/stock
`)
