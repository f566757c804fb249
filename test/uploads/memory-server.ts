/**
 * A server with the plugin in a process of its own, small in memory: memory-server.ts <mongo> <key>. Tells its parent
 * `{ url }`.
 */
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import powersyncMongo, { bson, collection } from '../../index.js'

const [url = '', signing = ''] = process.argv.slice(2)
const app = Fastify()
await app.register(powersyncMongo, {
  powersyncUrl: 'https://test.powersync.example',
  keys: { signing },
  mongo: { url },
  authenticate: () => ({ id: 'user1' }),
  collections: {
    rows: collection({
      schema: Type.Object({
        text: Type.Optional(Type.String()),
        json: Type.Optional(bson.Json(Type.Record(Type.String(), Type.Any())))
      })
    })
  }
})
process.send?.({ url: await app.listen({ host: '127.0.0.1', port: 0 }) })
process.on('message', () => process.send?.({ mebibytes: process.resourceUsage().maxRSS / 1024 }))
process.on('disconnect', () => process.exit())
