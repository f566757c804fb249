/** Reads what the server applied. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { mongodb } from '../../lib/bson.js'
import { tables } from './schedule.js'
import type { AuditRow, Rows } from './checker.js'

type Stored = Omit<AuditRow, 'id'> & { _id: string }

/**
 * Collects the audit while the soak runs, and takes what it has out of the database: in each transaction the emulator
 * copies all documents that there are.
 */
export class Audit {
  /** By their ids: read twice is not applied twice, which would have an id of its own. */
  readonly #rows = new Map<string, AuditRow>()
  readonly #client: mongodb.MongoClient
  readonly #collection: mongodb.Collection<Stored>

  constructor (db: mongodb.Db) {
    this.#client = db.client
    this.#collection = db.collection<Stored>('audit')
  }

  get rows (): AuditRow[] {
    return [...this.#rows.values()]
  }

  /** How many operations were applied. */
  get size (): number {
    return this.#rows.size
  }

  forget (): void {
    this.#rows.clear()
  }

  /** Now and then, until the signal. */
  async harvestUntil (signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.harvest()
      await sleep(500, undefined, { signal }).catch(() => {})
    }
  }

  async harvest (): Promise<void> {
    const found = await this.#collection.find().toArray()
    if (found.length === 0) return
    // In a transaction, as everything here: the emulator loses a lone delete that meets the commit of another transaction.
    await this.#client.withSession(session => session.withTransaction(() =>
      this.#collection.deleteMany({ _id: { $in: found.map(({ _id }) => _id) } }, { session })))
    for (const { _id: id, ...row } of found) this.#rows.set(id, { id, ...row })
  }
}

/** The rows that clients wrote, as the database holds them. */
export async function rowsOf (db: mongodb.Db): Promise<Rows> {
  const entries = await Promise.all(tables.map(async table => {
    const documents = await db.collection<{ _id: string, value: string | null, note: string | null }>(table).find().toArray()
    return [table, Object.fromEntries(documents.map(({ _id, value, note }) => [_id, { value, note }]))] as const
  }))
  return Object.fromEntries(entries) as Rows
}
