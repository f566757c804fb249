/** A server of this package, and two devices of a user, between a real MongoDB and a real PowerSync Service. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ColumnsType, Schema as ClientSchema, TableOptions } from '@powersync/node'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { PowerSyncMongoOptions, User } from '../../index.js'
import type { mongodb } from '../../lib/bson.js'
import { createConnector } from '../../lib/client/index.js'
import { openClient, type Client } from '../e2e/client.js'
import { testServer } from '../support/server.js'
import { collections } from './collections.js'

const { MONGO_URI: mongoUri = '', POWERSYNC_URL: powersyncUrl = '', HOST: host = '127.0.0.1', PORT: port = '3000' } = process.env

/** Why these tests cannot run; undefined if they can. */
export const obstacle = mongoUri && powersyncUrl
  ? undefined
  : 'needs the URLs of a MongoDB (MONGO_URI) and of a PowerSync Service that replicates from it (POWERSYNC_URL): see CONTRIBUTING.md'

/** A command that restarts the PowerSync Service. */
export const restartCommand = process.env['POWERSYNC_RESTART']

/** A server of this package where the PowerSync Service looks for its keys. The app's own session is a header. */
export async function startServer (t: Pick<Test, 'teardown'>, options: Partial<PowerSyncMongoOptions> = {}): Promise<FastifyInstance> {
  const app = await testServer(t, {
    prefix: '/powersync',
    powersyncUrl,
    mongo: { url: mongoUri },
    collections,
    validators: 'apply',
    authenticate: ({ headers }): User | null => typeof headers['x-user'] === 'string' ? { id: headers['x-user'] } : null,
    ...options
  })
  await enablePostImages(app.mongo.db!)
  await app.listen({ host, port: Number(port) })
  return app
}

/** Before the first write: the service starts its replication again if it meets an update without a post-image. */
async function enablePostImages (db: mongodb.Db): Promise<void> {
  const existing = new Map((await db.listCollections().toArray() as mongodb.CollectionInfo[]).map(({ name, options }) => [name, options]))
  for (const [table, { name = table }] of Object.entries(collections)) {
    if (!existing.has(name)) await db.createCollection(name)
    if (existing.get(name)?.['changeStreamPreAndPostImages']?.enabled) continue
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

/** Columns that differ from those that `client-schema` prints, and options that it does not print. */
const ownTables: Record<string, { columns?: Record<string, 'text' | 'integer' | 'real'>, options?: TableOptions }> = {
  samples: { columns: { long_as_text: 'text' } },
  anything: { columns: { owner_id: 'text', text: 'text', whole: 'integer', real: 'real' } },
  ruled: { columns: { unknown_column: 'text' } },
  unknown_table: { columns: { owner_id: 'text', name: 'text' } },
  sums: { options: { trackPrevious: true } },
  versions: { options: { trackPrevious: true } },
  kept_versions: { options: { trackPrevious: true } },
  timed_fields: { options: { trackMetadata: true } },
  timed_rows: { options: { trackMetadata: true } }
}

/** The client schema that the command line prints for the collections, with the changes of `ownTables`. */
async function makeClientSchema (): Promise<ClientSchema> {
  const folder = await mkdtemp(join(import.meta.dirname, '..', '.readme-')) // where its import of the SDK is found
  await writeFile(join(folder, 'schema.mjs'), await commandLine('client-schema', '--target', 'js'))
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
export async function twoDevices (t: Pick<Test, 'teardown'>, user: string = randomUUID()): Promise<{ user: string, a: Device, b: Device }> {
  const [a, b] = await Promise.all([openDevice(t, user), openDevice(t, user)])
  return { user, a, b }
}

async function openDevice (t: Pick<Test, 'teardown'>, user: string): Promise<Device> {
  const url = `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}/powersync`
  const rejections: Device['rejections'] = []
  const connector = createConnector({
    url,
    headers: () => ({ 'x-user': user }),
    onFatal: ({ transaction, failedOperation }) => {
      rejections.push({ code: failedOperation.error_code, ids: transaction.crud.map(({ id }) => id) })
    }
  })
  let credentials = 0
  const client = await openClient(t, {
    backend: url,
    session: user,
    appSchema: await (clientSchema ??= makeClientSchema()),
    connector: {
      uploadData: database => connector.uploadData(database),
      fetchCredentials: () => {
        credentials++
        return connector.fetchCredentials()
      }
    }
  })
  await client.connect()
  await client.database.waitForFirstSync(AbortSignal.timeout(30_000))
  return { ...client, rejections, get credentials () { return credentials } }
}

/** Waits until devices with an empty queue have all that MongoDB has now. */
export async function inSync (app: FastifyInstance, user: string, ...devices: Device[]): Promise<void> {
  // Checkpoints come in order and whole: a device that has the last row has all before it, and its own writes are back.
  const last = randomUUID()
  await app.mongo.db!.collection<{ _id: string }>('string_ids').insertOne({ _id: last, owner_id: user } as { _id: string })
  await Promise.all(devices.map(async device => {
    await until(`a device is in sync with the service: ${device.database.currentStatus.downloadError ?? 'no error'}`,
      async () => (await rows(device, 'SELECT id FROM string_ids WHERE id = ?', [last])).length === 1)
  }))
}

/** Looks again and again until it is so; throws when it takes too long. */
export async function until (condition: string, isSo: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!await isSo()) {
    if (performance.now() > end) throw new Error(`Not within ${seconds} s: ${condition}`)
    await sleep(100)
  }
}

/** The rows of a query, as plain objects. */
export async function rows (device: Client, sql: string, parameters: unknown[] = []): Promise<Array<Record<string, unknown>>> {
  return (await device.database.getAll<Record<string, unknown>>(sql, parameters)).map(row => ({ ...row }))
}
