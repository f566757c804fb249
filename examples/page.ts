/**
 * What the page at `/` (examples/web) needs beside fastify-powersync-mongo: its files, a look at what MongoDB holds, a
 * fault to switch on, and, as long as there is no PowerSync Service, a stand-in for one. For development only.
 */
import fastifyMongodb from '@fastify/mongodb'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { UpdateBatchHook } from 'fastify-powersync-mongo'
import { existsSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'

const { BSON: { EJSON } } = fastifyMongodb.mongodb

const files = fileURLToPath(new URL('./web/dist/', import.meta.url))

/** Whether the page is built: `npm start` does it. */
export const pageIsBuilt = existsSync(files)

/** The table of a user's rejected changes. */
export const rejections = 'rejections'

let isBroken = false

/** Lets uploads fail while the page says so, as they do when something that a hook needs is down. */
export const failOnRequest: UpdateBatchHook = async (_transaction, _context, next) => {
  if (isBroken) throw new Error('The fault that was switched on in the page')
  await next()
}

/** `hasService`: whether there is a PowerSync Service to connect to. */
export const page: FastifyPluginAsync<{ hasService: boolean }> = async (app, { hasService }) => {
  app.addHook('onRoute', route => { route.schema = { ...route.schema, hide: true } })
  if (pageIsBuilt) await app.register(fastifyStatic, { root: files })

  const { deadLetters } = app.powersync

  app.get('/page/state', async (_request, reply) => {
    const [documents, letters] = await Promise.all([readDocuments(app), deadLetters.list()])
    // Extended JSON, which has the types that MongoDB stores.
    return reply
      .type('application/json')
      .send(EJSON.stringify({ hasService, isBroken, documents, letters }, { relaxed: false }))
  })

  app.put<{ Body: { isBroken: boolean } }>('/page/fault', async request => {
    isBroken = request.body.isBroken
    return { isBroken }
  })

  if (!hasService) await app.register(standInService, { prefix: '/page/service' })
}

type Documents = Record<string, Array<Record<string, unknown>>>

async function readDocuments (app: FastifyInstance): Promise<Documents> {
  const found = await Promise.all(
    app.powersync.collections.map(
      async table => [table, await app.mongo.db!.collection(table).find().toArray()] as const
    )
  )
  return Object.fromEntries(found)
}

/**
 * Takes the place of a PowerSync Service: passes on to every device whatever MongoDB holds, the whole of it after each
 * change, to anybody but for rejected changes. The real one sends what changed, and only to those who may see it.
 * Its protocol: https://docs.powersync.com/architecture/powersync-protocol
 */
const standInService: FastifyPluginAsync = async app => {
  interface Connection { clientId: string, user: unknown, stream: PassThrough, writeCheckpoint?: string | undefined }
  const connections = new Set<Connection>()
  /** All that MongoDB held when it was last looked at: a bucket with a new name whenever that changes. */
  let bucket = { content: '', ...bucketOf({}) }

  app.post<{ Body: { client_id: string } }>('/sync/stream', async (request, reply) => {
    const [, claims = ''] = String(request.headers.authorization).split('.')
    const { sub: user } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { sub?: unknown }
    const connection: Connection = { clientId: request.body.client_id, user, stream: new PassThrough() }
    await look()
    connections.add(connection)
    connection.stream.once('close', () => connections.delete(connection))
    send(connection)
    return reply.type('application/x-ndjson').send(connection.stream)
  })

  // A device shows what the server has once its own uploads are in it.
  app.get<{ Querystring: { client_id: string } }>('/write-checkpoint2.json', async request => {
    const writeCheckpoint = String(Date.now())
    await look()
    for (const connection of connections) {
      if (connection.clientId !== request.query.client_id) continue
      connection.writeCheckpoint = writeCheckpoint
      send(connection)
    }
    return { data: { write_checkpoint: writeCheckpoint } }
  })

  let looking = Promise.resolve()
  const timer = setInterval(() => {
    if (connections.size > 0) look().catch(() => {}) // MongoDB may be away for a while
  }, 500)
  app.addHook('preClose', async () => {
    clearInterval(timer)
    for (const { stream } of connections) stream.end()
    await looking.catch(() => {})
  })

  /** Reads MongoDB, one time after the other, and tells all devices when there is something new. */
  function look (): Promise<void> {
    looking = looking.catch(() => {}).then(async () => {
      const documents = await readDocuments(app)
      documents[rejections] = await app.mongo.db!.collection(rejections).find().toArray()
      const content = EJSON.stringify(documents)
      if (content === bucket.content) return
      bucket = { content, ...bucketOf(documents) }
      for (const connection of connections) send(connection)
    })
    return looking
  }

  function send ({ stream, user, writeCheckpoint }: Connection): void {
    const { name, last, operations } = bucket
    const own = operations.filter(({ owner }) => owner === undefined || owner === user)
    const rows = own.map(({ operation }) => operation)
    const data = { bucket: name, after: '0', next_after: last, has_more: false, data: rows }
    stream.write(
      line({
        checkpoint: {
          last_op_id: last,
          write_checkpoint: writeCheckpoint,
          buckets: [{ bucket: name, checksum: 0, priority: 3 }]
        }
      })
    )
    stream.write(line({ data }))
    stream.write(line({ checkpoint_complete: { last_op_id: last } }))
  }
}

const line = (value: object): string => `${JSON.stringify(value)}\n`

function bucketOf (documents: Documents) {
  // Greater than all numbers before, those of an earlier server too.
  const first = Date.now() * 1000
  const rows = Object.entries(documents).flatMap(([table, rows]) => rows.map(row => ({ table, row })))
  const operations = rows.map(({ table, row: { _id: id, ...fields } }, position) => {
    const columns = Object.entries(fields).map(([name, value]) => [name, toSQLite(value)])
    const operation = {
      op_id: String(first + position),
      op: 'PUT',
      object_type: table,
      object_id: String(id),
      checksum: 0,
      data: JSON.stringify(Object.fromEntries(columns))
    }
    return { operation, owner: table === rejections ? fields['user_id'] : undefined }
  })
  const last = String(first + operations.length)
  return { name: `all-${first}`, last, operations }
}

/** A value as the service gives it to devices. */
function toSQLite (value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value)
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}
