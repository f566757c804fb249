/**
 * What the page at `/` (examples/web) needs beside fastify-powersync-mongo: its files, a look at what MongoDB holds, a
 * fault to switch on, and, as long as there is no PowerSync Service, something to connect to. For development only.
 */
import fastifyMongodb from '@fastify/mongodb'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import type { UpdateBatchHook } from 'fastify-powersync-mongo'
import { existsSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'

const { BSON: { EJSON } } = fastifyMongodb.mongodb

const files = fileURLToPath(new URL('./web/dist/', import.meta.url))

/** Whether the page is built: `npm start` does it. */
export const pageIsBuilt = existsSync(files)

let isBroken = false

/** Lets uploads fail while the page says so, as they do when something that a hook needs is down. */
export const failOnRequest: UpdateBatchHook = async (_transaction, _context, next) => {
  if (isBroken) throw new Error('The fault that was switched on in the page')
  await next()
}

/** @param hasService whether there is a PowerSync Service to connect to */
export async function page (app: FastifyInstance, { hasService }: { hasService: boolean }): Promise<void> {
  app.addHook('onRoute', route => { route.schema = { ...route.schema, hide: true } })
  if (pageIsBuilt) await app.register(fastifyStatic, { root: files })

  const { deadLetters } = app.powersync

  app.get('/page/state', async (_request, reply) => {
    const [todos, letters] = await Promise.all([
      app.mongo.db?.collection('todos').find().toArray(),
      deadLetters.list()
    ])
    // Extended JSON, which has the types that MongoDB stores.
    return reply.type('application/json').send(EJSON.stringify({ hasService, isBroken, todos, letters }, { relaxed: false }))
  })

  app.put<{ Body: { isBroken: boolean } }>('/page/fault', async request => {
    isBroken = request.body.isBroken
    return { isBroken }
  })

  app.post<{ Params: { id: string } }>('/page/dead-letters/:id/retry', async request => ({ result: await deadLetters.retry(request.params.id) }))
  app.delete<{ Params: { id: string } }>('/page/dead-letters/:id', async request => ({ discarded: await deadLetters.discard(request.params.id) }))

  await app.register(standInService, { prefix: '/page/service' })
}

/**
 * Takes the place of a PowerSync Service: keeps connections open and says nothing, so that the SDK uploads, but no
 * change of other devices ever comes down.
 */
async function standInService (app: FastifyInstance): Promise<void> {
  const streams = new Set<PassThrough>()

  app.post('/sync/stream', (_request, reply) => {
    const stream = new PassThrough()
    streams.add(stream)
    const keepAlive = () => stream.write('{"token_expires_in":3600}\n')
    keepAlive()
    const timer = setInterval(keepAlive, 20_000)
    stream.once('close', () => {
      clearInterval(timer)
      streams.delete(stream)
    })
    return reply.type('application/x-ndjson').send(stream)
  })

  app.get('/write-checkpoint2.json', () => ({ data: { write_checkpoint: '1' } }))

  app.addHook('preClose', async () => {
    for (const stream of streams) stream.end()
  })
}
