/**
 * A server with the plugin as a process of its own, so that it can be killed. Its parent forked it, gets `'ready'` when
 * it listens, and takes it along when it ends. For each operation that it applies it adds a row to the audit.
 *
 * Requests may ask it to kill itself, by the header `x-die`: `transaction` in the middle of the MongoDB transaction,
 * `answer` after the commit and before the answer.
 */
import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import powersyncMongo, { collection } from '../../index.js'
import { tables } from './schedule.js'
import type { AuditRow } from './checker.js'

process.on('disconnect', () => process.exit())

const start = Number(process.env['SOAK_START'])
let sequence = 0

const schema = Type.Object({ value: Type.Optional(Type.String()), note: Type.Optional(Type.String()) })
const app = Fastify({ forceCloseConnections: 'idle' })

await app.register(powersyncMongo, {
  authenticate: request => {
    const id = request.headers['x-session']
    return typeof id === 'string' ? { id } : null
  },
  collections: Object.fromEntries(tables.map(table => [table, collection({ schema })])),
  // Few are enough, and forgetting is a part of what is tried out here.
  upload: { deadline: 5000, deduplicate: process.env['SOAK_DEDUPLICATE'] === 'true' && { operations: 100 } },
  transform: async (operation, { request, session, db, existing }) => {
    const { client_id: clientId } = request?.body as { client_id: string }
    const { id, ...row }: AuditRow = {
      id: randomUUID(),
      clientId,
      opId: Number(operation.opId),
      mongoTransaction: `${session.id?.id.toString('hex')} ${session.serverSession.txnNumber}`,
      start,
      sequence: ++sequence,
      existed: await existing() !== null
    }
    await db.collection<Omit<AuditRow, 'id'> & { _id: string }>('audit').insertOne({ _id: id, ...row }, { session })
    if (request?.headers['x-die'] === 'transaction') die()
    return operation
  }
})

app.addHook('onSend', async (request: FastifyRequest) => {
  if (request.headers['x-die'] === 'answer' && request.method === 'POST') die()
})

/** The `kill -9` of a process by itself: nothing of what it had in hand is finished. */
function die (): void {
  process.kill(process.pid, 'SIGKILL')
}

process.on('SIGTERM', () => { app.close().then(() => process.exit()) })
await app.listen({ host: '127.0.0.1', port: Number(process.env['SOAK_PORT']) })
process.send?.('ready')
