/**
 * The servers that are measured, each in a process of its own: node --import tsx bench/server.ts <kind> <mongo>
 * <collections> Tells its parent `{ port }`, answers `memory` with the most MiB that it has had, and ends with its
 * parent.
 */
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { generateKeys, powersyncMongo } from './package.js'
import { collectionsOf } from './schema.js'
import type { UploadedOperation } from './uploads.js'

const [kind = '', mongo = '', collections = '1'] = process.argv.slice(2)

const bodyLimit = 16 * 1024 * 1024
const app = Fastify({ bodyLimit })

const kinds: Record<string, () => Promise<unknown>> = {
  plugin: () => addPlugin({}),
  /** Its hook asks for the current document of each operation. */
  existing: () => addPlugin({ authorize: async (_operation, { existing }) => { await existing(); return true } }),
  'hand-written': () => addRoute(writeInTransaction),
  'per-operation': () => addRoute(writeEach),
  async static () {
    const { publicKey } = await generateKeys()
    const body = Buffer.from(JSON.stringify({ keys: [publicKey] }))
    const headers = {
      'cache-control': 'public, max-age=300',
      etag: '"of 43 letters and digits, as a SHA-256 would be"',
      'content-type': 'application/json; charset=utf-8'
    }
    app.get('/jwks', (_request, reply) => reply.headers(headers).send(body))
  }
}

async function addPlugin (hooks: Pick<Parameters<typeof powersyncMongo>[1], 'authorize'>): Promise<void> {
  const { privateKey } = await generateKeys()
  await app.register(powersyncMongo, {
    mongo: { url: mongo },
    powersyncUrl: 'https://bench.powersync.example',
    keys: { signing: privateKey },
    authenticate: () => ({ id: 'user1' }),
    upload: { bodyLimit, maxOperations: 100_000 },
    collections: collectionsOf(Number(collections)),
    ...hooks
  })
}

type Write = (client: mongodb.MongoClient, batch: UploadedOperation[]) => Promise<void>

/** What people write instead: nothing is checked, converted or remembered. */
async function addRoute (write: Write): Promise<void> {
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo).connect()
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    done(null, JSON.parse(body as string))
  })
  app.post('/upload', async request => {
    const { batch } = request.body as { batch: UploadedOperation[] }
    await write(client, batch)
    return { results: [{ status: 'success' }] }
  })
}

async function writeInTransaction (client: mongodb.MongoClient, batch: UploadedOperation[]): Promise<void> {
  const byTable = new Map<string, mongodb.AnyBulkWriteOperation[]>()
  for (const operation of batch) {
    const writes = byTable.get(operation.type)
    if (writes) writes.push(writeOf(operation))
    else byTable.set(operation.type, [writeOf(operation)])
  }
  await client.withSession(session => session.withTransaction(async () => {
    for (const [table, writes] of byTable) await client.db().collection(table).bulkWrite(writes, { session })
  }, { writeConcern: { w: 'majority' } }))
}

function writeOf ({ op, id: _id, data = {} }: UploadedOperation): mongodb.AnyBulkWriteOperation {
  const filter = { _id } as mongodb.Document
  return op === 'DELETE'
    ? { deleteOne: { filter } }
    : { updateOne: { filter, update: { $set: data }, upsert: op === 'PUT' } }
}

/** As PowerSync's demo backends do it. */
async function writeEach (client: mongodb.MongoClient, batch: UploadedOperation[]): Promise<void> {
  for (const { op, type, id: _id, data = {} } of batch) {
    const collection = client.db().collection<{ _id: string }>(type)
    if (op === 'DELETE') await collection.deleteOne({ _id })
    else await collection.updateOne({ _id }, { $set: data }, { upsert: op === 'PUT' })
  }
}

await kinds[kind]?.()
await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.({ port: (app.server.address() as AddressInfo).port })
process.on('message', message => {
  if (message === 'memory') process.send?.({ mebibytes: process.resourceUsage().maxRSS / 1024 })
})
process.on('disconnect', () => process.exit())
