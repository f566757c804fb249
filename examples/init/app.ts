import Fastify from 'fastify'
import powersyncMongo, { developmentAuth } from 'fastify-powersync-mongo'
import { collections } from './powersync.config.js'

/** The server without its port, so that tests can use it. Keys and addresses come from `.env`. */
export const app = Fastify({ logger: { level: process.env['LOG_LEVEL'] ?? 'info' } })

app.register(powersyncMongo, {
  prefix: '/powersync',
  // For development only: everybody is who they say. It refuses to start with NODE_ENV=production.
  authenticate: developmentAuth(),
  collections
})
