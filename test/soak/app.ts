/** A server with the plugin, in a process that kills itself. What it applies is in the history. */
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import powersyncMongo, { bson, collection, type RowOf } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import { appendToHistory, type Application } from './history.js'
import { longest, tables, type Life } from './schedule.js'

/** What a process tells its parent. */
export type ProcessMessage = { ready: true } | { failed: string }

export interface AppSettings {
  mongoUri: string
  powersyncUrl: string
  privateKey: string
  /** False takes the plugin's ledger away. */
  deduplicate: boolean
  /** Whether a hook appends to the history what is applied. */
  history: boolean
  life: Life | undefined
}

const schema = Type.Object({
  value: Type.Optional(Type.String({ maxLength: longest })),
  note: Type.Optional(Type.String()),
  amount: Type.Optional(bson.Int32())
})

type Row = RowOf<typeof schema>

/** @param from how the transactions come that this process applies */
export async function soakApp (from: Application['from']): Promise<FastifyInstance> {
  const { mongoUri, powersyncUrl, privateKey, deduplicate, history, life } = JSON.parse(
    process.env['SOAK_SETTINGS']!
  ) as AppSettings
  const app = Fastify({ forceCloseConnections: true })
  await app.register(fastifyMongodb, { url: mongoUri, monitorCommands: true, forceClose: true })
  if (life) endLife(app.mongo.client, life)
  app.mongo.client.on('commandFailed', ({ failure }) =>
    send({ failed: String((failure as { code?: number }).code ?? failure.name) })
  )

  await app.register(powersyncMongo, {
    powersyncUrl,
    keys: { signing: privateKey },
    authenticate: request => {
      const id = request.headers['x-session']
      return typeof id === 'string' ? { id } : null
    },
    collections: Object.fromEntries(Object.entries(tables).map(([table, name]) => [
      table, collection({ schema, name, ...table === 'counters' && { resolveConflict: additive<Row>(['amount']) } })
    ])),
    upload: { deadline: 10_000, deduplicate },
    ...history && {
      updateBatch: async (transaction, { db, session }, next) => {
        await next()
        await appendToHistory(db, session, transaction, from)
      }
    }
  })
  return app
}

/** `kill -9` of a process by itself: nothing of what it had in hand is finished. */
function endLife (client: FastifyInstance['mongo']['client'], { commands, commit, moment }: Life): void {
  let left = commands
  let last: number | undefined
  let spared = false
  const die = () => { if (!spared) process.kill(process.pid, 'SIGKILL') }
  process.on('message', () => { spared = true })
  client.on('commandStarted', ({ commandName, requestId }) => {
    if (--left > 0 || last !== undefined || (commit && commandName !== 'commitTransaction')) return
    last = requestId
    if (moment === 'before') die()
    // It is written to the socket before anything else gets its turn.
    if (moment === 'sent') setImmediate(die)
  })
  client.on('commandSucceeded', ({ requestId }) => { if (requestId === last) die() })
  client.on('commandFailed', ({ requestId }) => { if (requestId === last) die() })
}

export function send (message: ProcessMessage): void {
  process.send?.(message)
}
