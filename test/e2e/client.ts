/** A client as apps have it: PowerSync's SDK on a local SQLite file, and a connector for this package's routes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type {
  PowerSyncBackendConnector, PowerSyncCredentials, PowerSyncDatabase, Schema as ClientSchema, TableOptions
} from '@powersync/node'
import type { Test } from 'tap'
import type { TransactionResult } from '../../index.js'

/** What a column means to the server; SQLite itself knows text, integer and real only. */
export type ColumnKind = 'text' | 'uuid' | 'date' | 'boolean' | 'double'

/** The tables of the todo app in examples/server.ts, with users and lists known by UUIDs. */
export const tables: Record<string, Record<string, ColumnKind>> = {
  lists: { name: 'text', owner_id: 'uuid', created_at: 'date' },
  todos: {
    list_id: 'uuid',
    description: 'text',
    completed: 'boolean',
    estimate: 'double',
    created_at: 'date',
    created_by: 'uuid',
    completed_at: 'date',
    completed_by: 'uuid'
  }
}

/** For a test's options, `{ skip: await sdkMissing() }`: false where the SDK runs, else why it does not. */
export async function sdkMissing (): Promise<string | false> {
  try {
    await import('@powersync/node')
    const driver: string = 'better-sqlite3' // as a variable, since it has no types
    const { default: Database } = await import(driver) as { default: new (file: string) => { close (): void } }
    new Database(':memory:').close() // loads what was compiled for this platform
    return false
  } catch (error) {
    return `needs @powersync/node and better-sqlite3, which did not install: ${(error as Error).message.split('\n')[0]}`
  }
}

/** One call of `/upload`, as the connector saw it. */
interface Upload {
  status: number
  results: TransactionResult[]
  /** `op_id` of the operations in it. */
  operations: number[]
}

export interface ClientOptions {
  /** URL of the Fastify server, with the plugin's prefix. */
  backend: string
  /** What the app itself signs in with. */
  session: string
  /** Options of all tables. */
  track?: Pick<TableOptions, 'trackPrevious' | 'trackMetadata'>
  /** In place of the tables of the todo app. */
  appSchema?: ClientSchema
  /** Folder of a database that is opened again. Default: a new one. */
  dbLocation?: string
  /** In place of one that uploads one client transaction at a time; `uploads` and `results` then stay empty. */
  connector?: PowerSyncBackendConnector
}

export interface Client {
  database: PowerSyncDatabase
  /** Folder of its file. */
  dbLocation: string
  /** What came of each call of `/upload` that was answered. */
  uploads: Upload[]
  /** The results among them, of one client transaction each. */
  results (): TransactionResult[]
  /** Starts syncing. Other than in an app, delays are short. */
  connect (): Promise<void>
  /** Waits until everything is uploaded; throws after 15 s with the reason. */
  drained (): Promise<void>
}

export async function openClient (
  t: Pick<Test, 'teardown'>,
  { backend, session, track, appSchema, dbLocation: given, connector: own }: ClientOptions
): Promise<Client> {
  const { PowerSyncDatabase, Schema, Table, column } = await import('@powersync/node')
  const columnTypes = {
    text: column.text,
    uuid: column.text,
    date: column.text,
    boolean: column.integer,
    double: column.real
  }
  const schema =
    appSchema ??
    new Schema(
      Object.fromEntries(
        Object.entries(tables).map(([table, columns]) => [
          table,
          new Table(Object.fromEntries(Object.entries(columns).map(([name, kind]) => [name, columnTypes[kind]])), track)
        ])
      )
    )

  const dbLocation = given ?? await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  t.teardown(() => rm(dbLocation, { recursive: true, force: true }))
  const database = new PowerSyncDatabase({
    schema,
    // Of databases with the same file name, in whatever folders, the SDK syncs one at a time.
    database: { dbFilename: `${basename(dbLocation)}.db`, dbLocation, readWorkerCount: 1, openWorker },
    logger: { log () {} } // It prints each failed attempt; the status has the last one.
  })
  t.teardown(() => database.close())
  await database.init()

  const connector = new Connector(backend, session)
  return {
    database,
    dbLocation,
    uploads: connector.uploads,
    results: () => connector.uploads.flatMap(({ results }) => results),
    connect: () => database.connect(own ?? connector, { retryDelayMs: 100, crudUploadThrottleMs: 10 }),
    drained: () => drained(database)
  }
}

/** Uploads one client transaction at a time, in the manner of https://docs.powersync.com/client-sdk-references/node. */
class Connector implements PowerSyncBackendConnector {
  readonly uploads: Upload[] = []
  readonly #backend: string
  readonly #session: string

  constructor (backend: string, session: string) {
    this.#backend = backend
    this.#session = session
  }

  async fetchCredentials (): Promise<PowerSyncCredentials> {
    const response = await fetch(`${this.#backend}/token`, { headers: { 'x-session': this.#session } })
    if (!response.ok) throw new Error(`/token answered ${response.status}`)
    const {
      token,
      powersync_url: endpoint,
      expires_at: expiresAt
    } = (await response.json()) as Record<'token' | 'powersync_url' | 'expires_at', string>
    return { endpoint, token, expiresAt: new Date(expiresAt) }
  }

  async uploadData (database: Parameters<PowerSyncBackendConnector['uploadData']>[0]): Promise<void> {
    const transaction = await database.getNextCrudTransaction()
    if (!transaction) return
    const { token } = await this.fetchCredentials()
    const response = await fetch(`${this.#backend}/upload`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ batch: transaction.crud, client_id: await database.getClientId() })
    })
    const { results = [] } = await response.json() as { results?: TransactionResult[] }
    this.uploads.push({
      status: response.status,
      results,
      operations: transaction.crud.map(({ clientId }) => clientId)
    })
    if (!response.ok) throw new Error(`/upload answered ${response.status}`)
    await transaction.complete()
  }
}

/**
 * The SDK's threads run JavaScript: tap's TypeScript loaders, which they would inherit, make them start ten times
 * slower.
 */
function openWorker (...[file, options]: ConstructorParameters<typeof Worker>): Worker {
  return new Worker(file, { ...options, execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } })
}

async function drained (database: PowerSyncDatabase): Promise<void> {
  const end = performance.now() + 15_000
  for (;;) {
    const { count } = await database.getUploadQueueStats()
    if (count === 0) return
    if (performance.now() > end) {
      throw new Error(`The client still has ${count} operations to upload`, {
        cause: database.currentStatus.uploadError
      })
    }
    await sleep(20)
  }
}
