/** A server of this package, and two devices of a user, between a real MongoDB and a real PowerSync Service. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import fastifyMongodb from '@fastify/mongodb'
import type { ColumnsType, Schema as ClientSchema, TableOptions } from '@powersync/node'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { PowerSyncMongoOptions, User } from '../../index.js'
import type { mongodb } from '../../lib/bson.js'
import { createConnector } from '../../lib/client/index.js'
import { openClient, type Client } from '../e2e/client.js'
import { testServer } from '../support/server.js'
import { collections } from './collections.js'

const { BSON } = fastifyMongodb.mongodb
const { MONGO_URI, POWERSYNC_URL, HOST: host = '127.0.0.1', PORT: port = '3000' } = process.env

/** Why these tests cannot run; undefined if they can. */
export const obstacle = MONGO_URI && POWERSYNC_URL
  ? undefined
  : 'needs MONGO_URI, a MongoDB, and POWERSYNC_URL, a PowerSync Service that replicates from it: see CONTRIBUTING.md'

/** A command that restarts the PowerSync Service. */
export const restartCommand = process.env['POWERSYNC_RESTART']

/** Where devices find the server. */
export const backend = `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}/powersync`

type T = Pick<Test, 'teardown'>

/** The table of rejected changes. */
export const rejections = 'rejections'

/** A server of this package, where the PowerSync Service looks for its keys. */
export async function startServer (t: T, options: Partial<PowerSyncMongoOptions> = {}): Promise<FastifyInstance> {
  const app = await testServer(t, {
    prefix: '/powersync',
    powersyncUrl: POWERSYNC_URL,
    mongo: { url: MONGO_URI },
    collections,
    validators: 'apply',
    upload: { deadLetters: { mirror: rejections } },
    authenticate: ({ headers }): User | null => headers['x-user'] ? { id: String(headers['x-user']) } : null,
    ...options
  })
  await enablePostImages(app.mongo.db!)
  await app.listen({ host, port: Number(port) })
  return app
}

/** Before the first write: the service starts its replication again if it meets an update without a post-image. */
async function enablePostImages (db: mongodb.Db): Promise<void> {
  for (const [table, { name = table }] of Object.entries(collections)) {
    const collection = await db.collection(name).options().catch(() => undefined) ?? await db.createCollection(name)
    if ('changeStreamPreAndPostImages' in collection) continue
    await db.command({ collMod: name, changeStreamPreAndPostImages: { enabled: true } })
  }
}

/** A device, and what the server rejected of its writes. */
export interface Device extends Client {
  /** Of each rejected transaction: the code, and the rows that it would have changed. */
  rejections: Array<{ code: string, ids: string[] }>
  /** How often it asked for credentials. */
  credentials: number
}

interface OwnTable { columns?: Record<string, 'text' | 'integer' | 'real'>, options?: TableOptions }

/** Columns that differ from those that `client-schema` prints, and options that it does not print. */
const ownTables: Record<string, OwnTable> = {
  samples: { columns: { long_as_text: 'text' } },
  anything: { columns: { owner_id: 'text', text: 'text', whole: 'integer', real: 'real' } },
  ruled: { columns: { unknown_column: 'text' } },
  unknown_table: { columns: { owner_id: 'text', name: 'text' } },
  log: {}, // printed as insert-only, which would refuse on the device what the server is to refuse
  sums: { options: { trackPrevious: true } },
  versions: { options: { trackPrevious: true } },
  kept_versions: { options: { trackPrevious: true } },
  timed_fields: { options: { trackMetadata: true } },
  timed_rows: { options: { trackMetadata: true } }
}

/** The client schema that the command line prints for the collections, with the changes of `ownTables`. */
async function makeClientSchema (): Promise<ClientSchema> {
  const folder = await mkdtemp(join(import.meta.dirname, '..', '.readme-')) // where its import of the SDK is found
  const schema = await commandLine('client-schema', '--target', 'js', '--rejections', rejections)
  await writeFile(join(folder, 'schema.mjs'), schema)
  const { AppSchema } = await import(join(folder, 'schema.mjs')) as { AppSchema: ClientSchema }
  await rm(folder, { recursive: true })

  const { column, Schema, Table } = await import('@powersync/node')
  const changed = Object.entries(ownTables).map(([table, { columns = {}, options }]) => {
    const printed = AppSchema.props[table]?.columns.map(({ name, type }) => [name, { type }] as const) ?? []
    const own = Object.entries(columns).map(([name, type]) => [name, column[type]] as const)
    return new Table(Object.fromEntries([...printed, ...own]) as ColumnsType, options).copyWithName(table)
  })
  return new Schema([...AppSchema.tables.filter(({ name }) => !(name in ownTables)), ...changed])
}

let clientSchema: Promise<ClientSchema> | undefined

/** What `powersync-mongo` prints for the collections of these tests. */
export async function commandLine (...parameters: string[]): Promise<string> {
  const program = join(import.meta.dirname, '..', '..', 'dist', 'lib', 'cli', 'main.js')
  const config = join(import.meta.dirname, 'collections.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...parameters, '--config', config])
  return stdout
}

/** Two devices of one user, in sync with the service, with this package's own connector. */
export async function twoDevices (t: T): Promise<{ user: string, a: Device, b: Device }> {
  const user = randomUUID()
  const [a, b] = await Promise.all([openDevice(t, user), openDevice(t, user)])
  return { user, a, b }
}

export async function openDevice (t: T, user: string): Promise<Device> {
  const rejections: Device['rejections'] = []
  const connector = createConnector({
    url: backend,
    headers: () => ({ 'x-user': user }),
    onFatal: ({ transaction, failedOperation }) => {
      rejections.push({ code: failedOperation.error_code, ids: transaction.crud.map(({ id }) => id) })
    }
  })
  let credentials = 0
  const client = await openClient(t, {
    backend,
    session: user,
    appSchema: await (clientSchema ??= makeClientSchema()),
    connector: {
      ...connector,
      fetchCredentials: () => {
        credentials++
        return connector.fetchCredentials()
      }
    }
  })
  const { database } = client
  await client.connect()
  await until('a device has synced', () => database.currentStatus.hasSynced === true)
  return {
    ...client,
    rejections,
    get credentials () { return credentials },
    drained: () => until('the upload queue is empty', async () => (await database.getUploadQueueStats()).count === 0)
  }
}

/** Waits until devices with an empty queue have all that MongoDB has now. */
export async function inSync (app: FastifyInstance, user: string, ...devices: Device[]): Promise<void> {
  // Checkpoints come in order and whole: a device with the last row has all before it, and its own writes are back.
  const last = randomUUID()
  await store(app, 'string_ids', { _id: last, owner_id: user })
  const sql = 'SELECT id FROM string_ids WHERE id = ?'
  const hasLast = async (device: Device) => (await rows(device, sql, [last])).length > 0
  await Promise.all(devices.map(device => until('a device is in sync', () => hasLast(device))))
}

/** Looks again and again until it is so; throws when it takes too long. */
export async function until (condition: string, isSo: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!await isSo()) {
    if (performance.now() > end) throw new Error(`Not within ${seconds} s: ${condition}`)
    await sleep(100)
  }
}

type Row = Record<string, unknown>

/** The rows of a query, as plain objects. */
export async function rows ({ database }: Client, sql: string, parameters: unknown[] = []): Promise<Row[]> {
  return (await database.getAll<Row>(sql, parameters)).map(row => ({ ...row }))
}

/** Writes a row to a device, in one client transaction. */
export async function insert ({ database }: Client, table: string, row: Row, verb = 'INSERT'): Promise<void> {
  const columns = Object.keys(row).map(column => `"${column}"`).join(', ')
  const values = Object.keys(row).map(() => '?').join(', ')
  await database.execute(`${verb} INTO ${table} (${columns}) VALUES (${values})`, Object.values(row))
}

/** Writes a document as the app's own server does. */
export async function store (app: FastifyInstance, collection: string, document: mongodb.Document): Promise<void> {
  await app.mongo.db!.collection(collection).insertOne(document)
}

type Documents = Map<string, mongodb.Document>

/** The documents of a user, by `_id` as text. Values are the driver's own types. */
export async function stored (app: FastifyInstance, name: string, user: string): Promise<Documents> {
  const collection = app.mongo.db!.collection(name)
  const documents = await collection.find({ owner_id: user }, { promoteValues: false }).toArray()
  return new Map(documents.map(document => [String(document._id), document]))
}

/** Canonical Extended JSON, which tells BSON types and digits. */
export function typed (value: unknown): string | undefined {
  return value === undefined ? undefined : BSON.EJSON.stringify({ value }, { relaxed: false })
}
