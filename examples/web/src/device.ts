/** A device: a user, a SQLite database, its connection. All of it is what any PowerSync app has. */
import { column, PowerSyncDatabase, Schema, Table } from '@powersync/web'
import { createConnector, createRejections, rejectionColumns, type Fetch } from 'fastify-powersync-mongo/client'
import { readServer } from './server.js'

const schema = new Schema({
  lists: new Table({ name: column.text, owner_id: column.text, created_at: column.text }),
  todos: new Table({
    list_id: column.text,
    description: column.text,
    completed: column.integer,
    created_at: column.text,
    created_by: column.text,
    completed_at: column.text,
    completed_by: column.text
  }),
  // What each way to resolve a conflict needs to be told: docs/conflicts.md.
  notes: new Table({ text: column.text, modified_at: column.text }),
  contacts: new Table({ name: column.text, phone: column.text }, { trackMetadata: true }),
  products: new Table({ name: column.text, stock: column.integer }, { trackPrevious: true }),
  documents: new Table({ text: column.text, version: column.integer }, { trackPrevious: true }),
  invoices: new Table({ total: column.integer }),
  /** The server has no such collection. */
  drafts: new Table({ text: column.text }),
  rejections: new Table(rejectionColumns(column))
})

/** Where build.ts puts the SDK's worker. */
declare const workerUrl: string

export type Row = Record<string, string | number | null>

export interface QueuedOperation {
  op_id: number
  tx_id: number
  op: string
  table: string
  id: string
  data: Row | undefined
}

/** What the server answered to one transaction. */
export interface Answer {
  id: number
  at: Date
  /** 0 when there was none. */
  httpStatus: number
  status: string
  code?: string | undefined
  message?: string | undefined
  operations: Operation[]
}

interface Operation { op: string, type: string, id: string }
interface Result { status: string, message?: string, failed_operation?: { error_code: string, message: string } }

export class Device {
  readonly database: PowerSyncDatabase
  /** What the server refused of this user. */
  readonly rejections
  /** Those of this visit, the latest first. */
  answers: Answer[] = []
  readonly #connector

  /** @param onAnswer called after each answer of the server to an upload */
  constructor (readonly name: string, readonly user: string, onAnswer: () => void) {
    this.database = new PowerSyncDatabase({
      schema,
      database: { dbFilename: `${name.toLowerCase()}.db`, worker: workerUrl },
      sync: { worker: workerUrl }
    })
    this.rejections = createRejections(this.database)
    this.#connector = createConnector({
      url: '/powersync',
      fetchCredentials: async () => {
        // The server of this example takes everybody's word for who they are.
        const response = await fetch(`/powersync/token?user_id=${user}`)
        if (!response.ok) throw new Error(`/powersync/token: ${response.status}`)
        const {
          token,
          powersync_url: url,
          expires_at: end
        } = (await response.json()) as Record<'token' | 'powersync_url' | 'expires_at', string>
        const { hasService } = await readServer()
        return { endpoint: hasService ? url : `${location.origin}/page/service`, token, expiresAt: new Date(end) }
      },
      fetch: observed((url, init) => fetch(url, init), answers => {
        this.answers = [...answers.reverse(), ...this.answers].slice(0, 20)
        onAnswer()
      })
    })
  }

  /** Whether it is switched off; the same in all tabs, and after a reload. */
  get isOffline (): boolean {
    return localStorage.getItem(`offline ${this.name}`) === 'yes'
  }

  async setOffline (offline: boolean): Promise<void> {
    localStorage.setItem(`offline ${this.name}`, offline ? 'yes' : 'no')
    await this.connectOrNot()
  }

  /** Connecting starts to upload at once. It lasts until the server is there, so nothing waits for it. */
  async connectOrNot (): Promise<void> {
    if (this.isOffline) await this.database.disconnect()
    else this.database.connect(this.#connector, { retryDelayMs: 2000, crudUploadThrottleMs: 200 })
  }

  async queue (): Promise<QueuedOperation[]> {
    const queue = await this.database.getAll<{ id: number, tx_id: number, data: string }>(
      'SELECT id, tx_id, data FROM ps_crud ORDER BY id'
    )
    return queue.map(({ id, tx_id: txId, data }) => {
      const { op, type, id: row, data: columns } = JSON.parse(data) as Operation & { data?: Row }
      return { op_id: id, tx_id: txId, op, table: type, id: row, data: columns }
    })
  }

  async insert (table: string, columns: Row): Promise<string> {
    const row = { id: crypto.randomUUID(), ...columns }
    const names = Object.keys(row)
    await this.database.execute(
      `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
      Object.values(row)
    )
    return row.id
  }

  addTodo (columns: Row): Promise<string> {
    return this.insert('todos', {
      completed: 0,
      created_at: new Date().toISOString(),
      created_by: this.user,
      ...columns
    })
  }
}

let answered = 0

/** Notes what the server answers to uploads, for the page to show. */
function observed (next: Fetch, note: (answers: Answer[]) => void): Fetch {
  return async (url, init) => {
    const { transactions } = JSON.parse(init.body ?? '{}') as { transactions?: Array<{ crud: Operation[] }> }
    if (!transactions) return await next(url, init)
    const toAnswers = (httpStatus: number, results: Result[] = []): Answer[] =>
      transactions.map(({ crud }, position) => ({
        id: ++answered,
        at: new Date(),
        httpStatus,
        status: results[position]?.status ?? (httpStatus ? 'error' : 'no answer'),
        code: results[position]?.failed_operation?.error_code,
        message: results[position]?.failed_operation?.message ?? results[position]?.message,
        operations: crud
      }))
    try {
      const response = await next(url, init)
      const body = await response.json() as { results?: Result[] }
      note(toAnswers(response.status, body.results))
      return { ok: response.ok, status: response.status, json: async () => body }
    } catch (error) {
      note(toAnswers(0))
      throw error
    }
  }
}
