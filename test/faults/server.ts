/** The server under test, and which of its commands failed. */
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import powersyncMongo, { bson, collection, type UploadOptions } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import type { mongodb } from '../../lib/bson.js'
import { keys } from '../support/server.js'
import { appName, deadline, injected } from './fault.js'

/** Who sent a command that failed, or what it was about. */
type Place = 'ledger' | 'letters' | 'hook' | 'data' | 'commit' | 'abort' | 'start'

/** A command as it was sent. */
export interface Sent {
  name: string
  place: Place
  /** Names of the collections that it writes to. */
  writes: string[]
}

export interface ServerOptions {
  name?: string
  /** Milliseconds that the start waits for MongoDB. */
  patience?: number
  upload?: UploadOptions
}

export interface Server {
  app: FastifyInstance
  /** Commands since `reset`, in order. */
  sent: Sent[]
  /** Those of them that a fault met. */
  hits: Sent[]
  reset: () => void
  upload: (user: string, body: object) => Promise<{ status: number, body: Record<string, any> }>
  close: () => Promise<void>
}

const row = { value: Type.String() }

const collections = {
  lists: collection({ schema: Type.Object(row) }),
  todos: collection({ schema: Type.Object(row) }),
  codes: collection({ schema: Type.Object({ ...row, code: Type.String() }) }),
  counters: collection({ schema: Type.Object({ ...row, n: bson.Int32() }), resolveConflict: additive(['n']) }),
  audited: collection({
    schema: Type.Object(row),
    async authorize ({ id }, { db, session, existing }) {
      await db.collection('settings').findOne({}, { session })
      await existing()
      await db.collection('visits').insertOne({ of: id }, { session })
      return true
    },
    transform: operation => [
      operation,
      { op: 'PUT', table: 'effects', id: crypto.randomUUID(), data: { of: operation.id } }
    ]
  }),
  effects: collection({ schema: Type.Object({ of: Type.String() }) }),
  queued: collection({
    schema: Type.Object(row),
    async updateBatch ({ operations }, { db, session }, next) {
      await db.collection('outbox').insertMany(operations.map(({ id }) => ({ of: id })), { session })
      await next()
    }
  })
}

export function connect (uri: string, name: string, patience = 10_000): mongodb.MongoClient {
  return new fastifyMongodb.mongodb.MongoClient(uri, {
    appName: name,
    monitorCommands: true,
    serverSelectionTimeoutMS: patience,
    heartbeatFrequencyMS: 500,
    minHeartbeatFrequencyMS: 50
  })
}

/** @throws what stops the start */
export async function startServer (
  uri: string,
  { name = appName, patience, upload }: ServerOptions = {}
): Promise<Server> {
  const client = connect(uri, name, patience)
  const { sent, hits } = watched(client)
  const app = Fastify()
  const close = async () => {
    await app.close()
    await client.close()
  }
  try {
    await app.register(powersyncMongo, {
      powersyncUrl: 'https://test.powersync.example',
      keys: { signing: keys.privateKey },
      mongo: { client },
      authenticate: ({ headers }) => ({ id: String(headers['x-user']) }),
      upload: { deadline, ...upload },
      collections
    })
    await app.ready()
  } catch (error) {
    await close()
    throw error
  }
  return {
    app,
    sent,
    hits,
    reset () {
      sent.length = 0
      hits.length = 0
    },
    async upload (user, body) {
      const response = await app.inject({ method: 'POST', url: '/upload', headers: { 'x-user': user }, payload: body })
      return { status: response.statusCode, body: response.json() }
    },
    close
  }
}

function watched (client: mongodb.MongoClient): Pick<Server, 'sent' | 'hits'> {
  const sent: Sent[] = []
  const hits: Sent[] = []
  const open = new Map<number, Sent>()
  client.on('commandStarted', ({ commandName: name, command, requestId }) => {
    const collections = collectionsOf(name, command)
    const started = { name, place: placeOf(name, collections), writes: name === 'find' ? [] : collections }
    sent.push(started)
    open.set(requestId, started)
  })
  client.on('commandSucceeded', ({ requestId, reply }) => {
    const started = open.get(requestId)!
    open.delete(requestId)
    if (isRefusal(reply)) hits.push(started)
  })
  client.on('commandFailed', ({ requestId, failure }) => {
    const started = open.get(requestId)!
    open.delete(requestId)
    if (failure.name !== 'MongoServerError' || failure.message.includes(injected)) hits.push(started)
  })
  return { sent, hits }
}

/** What a command that ran has not done: made durable, or got past a validator. */
function isRefusal (reply: unknown): boolean {
  const { writeConcernError, writeErrors = [], cursor } = Object(reply) as mongodb.Document
  return Boolean(writeConcernError) || [...writeErrors, ...cursor?.firstBatch ?? []].some(({ code }) => code === 121)
}

function placeOf (name: string, collections: string[]): Place {
  if (name === 'commitTransaction') return 'commit'
  if (name === 'abortTransaction') return 'abort'
  if (!['find', 'insert', 'update', 'delete', 'bulkWrite'].includes(name)) return 'start'
  if (collections.every(each => each.startsWith('powersync_'))) {
    return collections.includes('powersync_dead_letters') ? 'letters' : 'ledger'
  }
  // Data are what the plugin and `updateBatch` write; what is read for hooks, and what they write, is theirs.
  return name === 'find' || collections.includes('visits') ? 'hook' : 'data'
}

function collectionsOf (name: string, command: mongodb.Document): string[] {
  if (name !== 'bulkWrite') return [String(command[name])]
  return (command['nsInfo'] as Array<{ ns: string }>).map(({ ns }) => ns.slice(ns.indexOf('.') + 1))
}
