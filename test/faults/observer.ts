/** Reads the database as a second client, and writes to it as another device does. */
import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { mongodb } from '../../lib/bson.js'
import { takenCode, type State, type Table, type Transaction, type Upload } from './shapes.js'

const tables: Table[] = ['lists', 'todos', 'counters', 'audited', 'queued', 'codes']
/** What hooks write beside: one document with an id of its own each time. */
const logs = ['visits', 'effects', 'outbox']

interface Row { _id: string, value?: string | null, n?: number | null }
interface Log { of: string }

export class Observer {
  readonly client: mongodb.MongoClient
  readonly #app: FastifyInstance
  readonly #db: mongodb.Db

  /** @param app a server of its own, which no fault reaches: it lists the dead letters */
  constructor (client: mongodb.MongoClient, app: FastifyInstance) {
    this.client = client
    this.#app = app
    this.#db = client.db()
  }

  async prepare (): Promise<void> {
    for (const name of [...tables, ...logs, 'powersync_ledger', 'powersync_dead_letters']) {
      await this.#db.createCollection(name).catch(alreadyThere)
    }
    await this.#db.collection('codes').createIndex({ code: 1 }, { unique: true })
    await this.#db
      .collection<Row & { code: string }>('codes')
      .insertOne({ _id: `taken-${randomBytes(4).toString('hex')}`, code: takenCode })
  }

  async seed ({ before }: Upload): Promise<void> {
    for (const [key, row] of Object.entries(before)) {
      const [table, id] = key.split('/') as [string, string]
      await this.#db.collection<Row>(table).insertOne({ _id: id, ...row as object })
    }
  }

  /** All rows and notes of an upload, as of one moment. */
  async state ({ user, transactions }: Upload): Promise<State> {
    const used = new Set(transactions.flatMap(({ operations }) => operations.map(({ table }) => table)))
    const session = this.client.startSession()
    try {
      session.startTransaction({ readConcern: { level: 'snapshot' } })
      const state: State = {}
      const ids = { $gte: `${user}-`, $lt: `${user}.` }
      for (const table of used) {
        const rows = await this.#db.collection<Row>(table).find({ _id: ids }, { session }).toArray()
        for (const { _id, value, n } of rows) state[`${table}/${_id}`] = { value, ...n !== undefined && { n } }
      }
      for (const log of logs) {
        if (!used.has(log === 'outbox' ? 'queued' : 'audited')) continue
        for (const { of } of await this.#db.collection<Log>(log).find({ of: ids }, { session }).toArray()) {
          state[`${log}/${of}`] = (state[`${log}/${of}`] as number | undefined ?? 0) + 1
        }
      }
      await session.commitTransaction()
      return state
    } finally {
      await session.endSession()
    }
  }

  /** Another device writes to the rows of applied transactions: what is applied again shows. */
  async overwrite (transactions: readonly Transaction[], state: State): Promise<void> {
    for (const { operations } of transactions) {
      for (const { table, id } of operations) {
        const row = { value: 'another device\'s', ...table === 'counters' && { n: 1000 } }
        await this.#db
          .collection<Row>(table)
          .replaceOne({ _id: id }, row, { upsert: true, bypassDocumentValidation: true })
        state[`${table}/${id}`] = row
      }
    }
  }

  /**
   * As MongoDB does with a transaction after a minute: nobody ends the one whose connection was lost before its commit.
   */
  async endTransactions (): Promise<void> {
    await this.client.db('admin').command({ killAllSessions: [] })
  }

  /** What the dead letters of an upload hold: of each its operations' ids. */
  async letters ({ user }: Upload): Promise<Array<{ code: string, ids: string[] }>> {
    const letters = await this.#app.powersync.deadLetters.list({ user })
    return letters.map(({ failed_operation: failed, operations }) => ({
      code: failed.error_code,
      ids: operations.map(({ op, table, id }) => `${op} ${table}/${id}`)
    }))
  }
}

function alreadyThere (error: unknown): void {
  if ((error as { code?: number }).code !== 48) throw error
}
