/** One client of a soak: PowerSync's SDK on a SQLite file, its uploads going through a proxy that makes trouble. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { CrudEntry, CrudTransaction, PowerSyncBackendConnector, PowerSyncCredentials, PowerSyncDatabase } from '@powersync/node'
import type { Test } from 'tap'
import { startProxy, type Proxy } from '../support/tcp-proxy.js'
import { armFault } from './faults.js'
import { requestTimeout, tables, type Fault, type FaultKind, type Write } from './schedule.js'
import type { ClientHistory } from './checker.js'
import type { TransactionResult } from '../../index.js'

export interface SoakClientOptions {
  serverPort: number
  user: string
  /** Most client transactions in one request. */
  perRequest: number
  /** What happens to its requests, one after the other. */
  faults: Iterator<Fault, unknown>
  /** Called for each request that was answered with success. */
  onSuccess: () => void
}

export interface SoakClient {
  /** Commits one transaction to the local database. */
  write (transaction: Write[]): Promise<void>
  queued (): Promise<number>
  history (): Promise<ClientHistory>
  stats: ClientStats
  /** Why the last upload failed. */
  readonly uploadError: unknown
}

export interface ClientStats {
  requests: number
  /** Requests without a successful answer. */
  failed: number
  /** Faults that had their effect. */
  faults: Map<FaultKind, number>
}

export async function soakClient (t: Pick<Test, 'teardown'>, { serverPort, user, ...options }: SoakClientOptions): Promise<SoakClient> {
  const proxy = await startProxy({ target: { host: '127.0.0.1', port: serverPort } })
  t.teardown(() => proxy.stop())
  const database = await openDatabase(t)
  const clientId = await database.getClientId()
  const connector = new Connector(proxy, { clientId, user, ...options })
  const transactions: ClientHistory['transactions'] = []
  let lastId = 0

  await database.connect(connector, { retryDelayMs: 200, crudUploadThrottleMs: 10 })
  return {
    stats: connector.stats,
    get uploadError () { return database.currentStatus.uploadError },
    queued: async () => (await database.getUploadQueueStats()).count,
    async write (transaction) {
      await database.writeTransaction(async local => {
        for (const write of transaction) await local.execute(...sqlOf(write))
      })
      // The queue counts its operations from 1, and what was committed here is what it will say of them.
      const numbered = transaction.map(write => ({ ...write, opId: ++lastId }))
      for (const operation of numbered) connector.written.set(operation.opId, operation)
      transactions.push(numbered)
    },
    history: async () => ({ clientId, transactions, acknowledged: connector.acknowledged, queued: (await database.getUploadQueueStats()).count })
  }
}

async function openDatabase (t: Pick<Test, 'teardown'>): Promise<PowerSyncDatabase> {
  const { PowerSyncDatabase, Schema, Table, column } = await import('@powersync/node')
  const dbLocation = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  t.teardown(() => rm(dbLocation, { recursive: true }))
  const database = new PowerSyncDatabase({
    schema: new Schema(Object.fromEntries(tables.map(table => [table, new Table({ value: column.text, note: column.text })]))),
    // Of databases with the same file name in one process, whatever their folders, the SDK lets only one connect.
    database: { dbFilename: `${randomUUID()}.db`, dbLocation, readWorkerCount: 1, openWorker },
    logger: { log () {} }
  })
  t.teardown(() => database.close())
  await database.init()
  return database
}

/** The SDK's threads run JavaScript, without the TypeScript loaders of this process. */
function openWorker (...[file, options]: ConstructorParameters<typeof Worker>): Worker {
  return new Worker(file, { ...options, execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } })
}

class Connector implements PowerSyncBackendConnector {
  readonly stats: ClientStats = { requests: 0, failed: 0, faults: new Map() }
  readonly acknowledged = new Set<number>()
  readonly written = new Map<number, Write>()
  readonly #proxy: Proxy
  readonly #options: Omit<SoakClientOptions, 'serverPort'> & { clientId: string }
  #credentials: { endpoint: string, token: string, expiresAt: Date } | undefined

  constructor (proxy: Proxy, options: Omit<SoakClientOptions, 'serverPort'> & { clientId: string }) {
    this.#proxy = proxy
    this.#options = options
  }

  async fetchCredentials (): Promise<PowerSyncCredentials> {
    if (this.#credentials && this.#credentials.expiresAt.getTime() > Date.now() + 60_000) return this.#credentials
    const response = await fetch(`http://${this.#proxy.address}/token`, {
      headers: { 'x-session': this.#options.user }, signal: AbortSignal.timeout(10_000)
    })
    if (!response.ok) throw new Error(`/token answered ${response.status}`)
    const { token, powersync_url: endpoint, expires_at: expiresAt } = await response.json() as Record<'token' | 'powersync_url' | 'expires_at', string>
    this.#credentials = { endpoint, token, expiresAt: new Date(expiresAt) }
    return this.#credentials
  }

  async uploadData (database: Parameters<PowerSyncBackendConnector['uploadData']>[0]): Promise<void> {
    const transactions: CrudTransaction[] = []
    if (this.#options.perRequest === 1) {
      const transaction = await database.getNextCrudTransaction()
      if (transaction) transactions.push(transaction)
    } else {
      for await (const transaction of database.getCrudTransactions()) {
        if (transactions.push(transaction) === this.#options.perRequest) break
      }
    }
    const last = transactions.at(-1)
    if (!last) return
    await this.#upload(transactions)
    await last.complete()
  }

  async #upload (transactions: CrudTransaction[]): Promise<void> {
    const { token } = await this.fetchCredentials() as { token: string }
    const batch = transactions.flatMap(({ crud }) => crud)
    for (const entry of batch) this.#mustBeWritten(entry)
    const { clientId, faults, onSuccess } = this.#options
    const { value: fault } = faults.next() as IteratorYieldResult<Fault>
    const armed = armFault(this.#proxy, fault)
    this.stats.requests++
    let failure: unknown
    try {
      const response = await fetch(`http://${this.#proxy.address}/upload`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...armed.headers },
        body: JSON.stringify({ client_id: clientId, batch }),
        signal: AbortSignal.timeout(armed.hopeless ? requestTimeout : 10_000)
      })
      const { results } = await response.json() as { results?: TransactionResult[] }
      if (!response.ok) throw new Error(`/upload answered ${response.status} ${JSON.stringify(results)}`)
      if (results?.length !== transactions.length || results.some(({ status }) => status !== 'success')) {
        throw new Error(`/upload answered ${response.status} and ${JSON.stringify(results)}: nothing here is to be rejected`)
      }
      for (const entry of batch) this.acknowledged.add(entry.clientId)
      onSuccess()
    } catch (error) {
      failure = error
      this.stats.failed++
      throw error
    } finally {
      if (armed.ended(failure)) this.stats.faults.set(fault.kind, (this.stats.faults.get(fault.kind) ?? 0) + 1)
    }
  }

  /** Or the checker would be given another history than the server. */
  #mustBeWritten ({ clientId: opId, op, table, id, opData }: CrudEntry): void {
    const write = this.written.get(opId)
    const data = write && 'data' in write ? Object.entries(write.data).filter(([, value]) => value !== null) : []
    const same = write && write.op === op && write.table === table && write.id === id &&
      data.length === Object.values(opData ?? {}).filter(value => value !== null).length && data.every(([column, value]) => opData?.[column] === value)
    if (!same) throw new Error(`Operation ${opId} of the upload queue is not what was written: ${op} ${table} ${id}`)
  }
}

function sqlOf (write: Write): [string, Array<string | null>] {
  switch (write.op) {
    case 'PUT':
      return [`INSERT OR REPLACE INTO ${write.table} (id, value, note) VALUES (?, ?, ?)`, [write.id, write.data.value, write.data.note]]
    case 'PATCH': {
      const columns = Object.entries(write.data)
      return [`UPDATE ${write.table} SET ${columns.map(([column]) => `${column} = ?`).join(', ')} WHERE id = ?`, [...columns.map(([, value]) => value), write.id]]
    }
    case 'DELETE':
      return [`DELETE FROM ${write.table} WHERE id = ?`, [write.id]]
  }
}
