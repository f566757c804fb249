/**
 * A client of a soak: PowerSync's SDK on a SQLite file. Its uploads go to one of the servers, through a proxy that
 * makes trouble.
 */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type {
  CrudEntry, CrudTransaction, PowerSyncBackendConnector, PowerSyncCredentials, PowerSyncDatabase
} from '@powersync/node'
import type { Test } from 'tap'
import { startProxy, type Proxy } from '../support/tcp-proxy.js'
import { armFault, connectionFaultsOf, requestTimeout, type ConnectionFault } from './connection-faults.js'
import { tables, type Write } from './schedule.js'
import type { ClientHistory, ClientStats, Operation, SoakClient, SoakClientOptions } from './client.js'
import type { TransactionResult } from '../../index.js'

export interface SdkClientOptions extends Omit<SoakClientOptions, 'otherOrder' | 'cuts'> {
  /** Most client transactions in one request. Default: by its number, 1 or 5. */
  perRequest?: number | undefined
  /** What happens to its requests, one after the other. Default: drawn from the seed. */
  faults?: Iterator<ConnectionFault, unknown> | undefined
}

export async function sdkClient (
  t: Pick<Test, 'teardown'>,
  { seed, number, user, ports, ...options }: SdkClientOptions
): Promise<SoakClient> {
  const { perRequest = number % 2 === 0 ? 1 : 5, faults = connectionFaultsOf(seed, number) } = options
  const proxy = await startProxy({ target: { host: '127.0.0.1', port: ports[number % 2]! } })
  t.teardown(() => proxy.stop())
  const database = await openDatabase(t)
  const clientId = await database.getClientId()
  const connector = new Connector(proxy, { clientId, user, perRequest, faults })
  const transactions: Operation[][] = []
  let lastId = 0

  await database.connect(connector, { retryDelayMs: 200, crudUploadThrottleMs: 10 })
  return {
    clientId,
    stats: connector.stats,
    queued: () => lastId - connector.acknowledged.size,
    async write (transaction) {
      // The queue counts its operations from 1.
      const numbered = transaction.map(write => ({ ...write, opId: ++lastId }))
      for (const operation of numbered) connector.written.set(operation.opId, operation)
      transactions.push(numbered)
      await database.writeTransaction(async local => {
        for (const write of transaction) await local.execute(...sqlOf(write))
      })
    },
    history: (): ClientHistory => ({
      clientId,
      transactions,
      acknowledged: connector.acknowledged,
      verdicts: new Map(),
      cuts: false
    }),
    stop: () => database.disconnect()
  }
}

async function openDatabase (t: Pick<Test, 'teardown'>): Promise<PowerSyncDatabase> {
  const { PowerSyncDatabase, Schema, Table, column } = await import('@powersync/node')
  const dbLocation = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  t.teardown(() => rm(dbLocation, { recursive: true }))
  const columns = { value: column.text, note: column.text, amount: column.integer }
  const database = new PowerSyncDatabase({
    schema: new Schema(
      Object.fromEntries(
        Object.keys(tables).map(table => [
          table,
          new Table(
            columns,
            table === 'counters' ? { trackPrevious: { columns: ['amount'], onlyWhenChanged: true } } : {}
          )
        ])
      )
    ),
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

interface ConnectorOptions {
  clientId: string
  user: string
  perRequest: number
  faults: Iterator<ConnectionFault, unknown>
}

class Connector implements PowerSyncBackendConnector {
  readonly stats: ClientStats = { requests: 0, faults: new Map(), lastError: '' }
  readonly acknowledged = new Set<number>()
  readonly written = new Map<number, Write>()
  readonly #proxy: Proxy
  readonly #options: ConnectorOptions
  #credentials: { endpoint: string, token: string, expiresAt: Date } | undefined

  constructor (proxy: Proxy, options: ConnectorOptions) {
    this.#proxy = proxy
    this.#options = options
  }

  async fetchCredentials (): Promise<PowerSyncCredentials> {
    if (this.#credentials && this.#credentials.expiresAt.getTime() > Date.now() + 60_000) return this.#credentials
    const response = await fetch(`http://${this.#proxy.address}/token`, {
      headers: { 'x-session': this.#options.user }, signal: AbortSignal.timeout(10_000)
    })
    if (!response.ok) throw new Error(`/token answered ${response.status}`)
    const {
      token,
      powersync_url: endpoint,
      expires_at: expiresAt
    } = (await response.json()) as Record<'token' | 'powersync_url' | 'expires_at', string>
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
    for (const { clientId } of transactions.flatMap(({ crud }) => crud)) this.acknowledged.add(clientId)
  }

  async #upload (transactions: CrudTransaction[]): Promise<void> {
    const { token } = await this.fetchCredentials() as { token: string }
    const batch = transactions.flatMap(({ crud }) => crud)
    for (const entry of batch) this.#mustBeWritten(entry)
    const { clientId, faults } = this.#options
    const { value: fault } = faults.next() as IteratorYieldResult<ConnectionFault>
    const armed = armFault(this.#proxy, fault)
    this.stats.requests++
    let failure: unknown
    try {
      const response = await fetch(`http://${this.#proxy.address}/upload`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ client_id: clientId, batch }),
        signal: AbortSignal.timeout(armed.hopeless ? requestTimeout : 10_000)
      })
      const { results } = await response.json() as { results?: TransactionResult[] }
      if (!response.ok || results?.length !== transactions.length) {
        throw new Error(`/upload answered ${response.status} ${JSON.stringify(results)}`)
      }
    } catch (error) {
      failure = error
      this.stats.lastError = String(error)
      throw error
    } finally {
      if (armed.ended(failure)) this.stats.faults.set(fault.kind, (this.stats.faults.get(fault.kind) ?? 0) + 1)
    }
  }

  /** Or the checker would be given another history than the server. */
  #mustBeWritten ({ clientId: opId, op, table, id, opData, previousValues }: CrudEntry): void {
    const write = this.written.get(opId)
    const data = write && 'data' in write ? Object.entries(write.data).filter(([, value]) => value !== null) : []
    const previous = write && 'previous' in write ? write.previous?.amount : undefined
    const same =
      write &&
      write.op === op &&
      write.table === table &&
      write.id === id &&
      previousValues?.['amount'] === previous &&
      data.length === Object.values(opData ?? {}).filter(value => value !== null).length &&
      data.every(([column, value]) => opData?.[column] === value)
    if (!same) throw new Error(`Operation ${opId} of the upload queue is not what was written: ${op} ${table} ${id}`)
  }
}

function sqlOf (write: Write): [string, Array<string | number | null>] {
  const columns = 'data' in write ? Object.entries(write.data) : []
  const names = columns.map(([name]) => name)
  const values = columns.map(([, value]) => value)
  switch (write.op) {
    case 'PUT':
      return [
        `INSERT OR REPLACE INTO ${write.table} (id, ${names.join(', ')}) VALUES (?${', ?'.repeat(names.length)})`,
        [write.id, ...values]
      ]
    case 'PATCH':
      return [
        `UPDATE ${write.table} SET ${names.map(name => `${name} = ?`).join(', ')} WHERE id = ?`,
        [...values, write.id]
      ]
    case 'DELETE':
      return [`DELETE FROM ${write.table} WHERE id = ?`, [write.id]]
  }
}
