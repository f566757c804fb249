import { createHash } from 'node:crypto'
import type { mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, User } from '../../types/index.js'
import type { CommandScope } from './transaction.js'

/** What became of an operation that was settled before. */
export type Settled = 'applied' | 'rejected'

export interface LedgerOptions {
  /** How many operations of a client database are remembered at least. */
  operations: number
  /** Days after the last upload of a client database until it is forgotten. */
  days: number
}

interface LedgerDocument {
  _id: string
  user_id: string
  client_id: string
  updated_at: Date
  /** `op_id` → hash of the operation; with `!` before it where it stands in a dead letter. */
  operations: Record<string, string>
}

/**
 * Remembers which operations of a client database were settled, so that one which is sent again, whole or in part or
 * among others, has no second effect. One small document per user and client, read and written in the MongoDB
 * transaction of the operations themselves: two uploads of one client conflict on it, and one of them starts again.
 *
 * An operation is known by its `op_id` and a hash of its content: a client database that was restored from a backup
 * gives old ids to new operations. Without `client_id` or `op_id` there is nothing to know it by, and no guessing.
 */
export class Ledger {
  static readonly collectionName = 'powersync_ledger'
  readonly #collection: mongodb.Collection<LedgerDocument>
  readonly #options: LedgerOptions

  constructor (db: mongodb.Db, options: LedgerOptions) {
    this.#collection = db.collection<LedgerDocument>(Ledger.collectionName)
    this.#options = options
  }

  /** Lets MongoDB forget clients that are gone. */
  async createIndexes (): Promise<void> {
    await this.#collection.createIndex({ updated_at: 1 }, { expireAfterSeconds: this.#options.days * 86_400 })
  }

  /** Opens the page of a client database, or of nobody when the client does not say which it is. */
  async open (user: User, clientId: string | undefined, scope: CommandScope): Promise<LedgerPage | undefined> {
    if (clientId === undefined) return undefined
    const _id = createHash('sha256').update(JSON.stringify([user.id, clientId])).digest('base64url')
    const document = await this.#collection.findOne({ _id }, { ...scope })
    return new LedgerPage(this.#collection, { _id, user_id: user.id, client_id: clientId }, document?.operations ?? {}, this.#options.operations)
  }
}

/** What is remembered of one client database, within one MongoDB transaction. */
export class LedgerPage {
  readonly #collection: mongodb.Collection<LedgerDocument>
  readonly #identity: Pick<LedgerDocument, '_id' | 'user_id' | 'client_id'>
  readonly #operations: Record<string, string>
  readonly #limit: number
  readonly #noted = new Map<string, string>()

  constructor (collection: mongodb.Collection<LedgerDocument>, identity: Pick<LedgerDocument, '_id' | 'user_id' | 'client_id'>, operations: Record<string, string>, limit: number) {
    this.#collection = collection
    this.#identity = identity
    this.#operations = operations
    this.#limit = limit
  }

  /** What became of an uploaded operation before; undefined when it is new. */
  settled (operation: CrudOperation): Settled | undefined {
    const key = keyOf(operation)
    const known = key === undefined ? undefined : this.#operations[key]
    if (known === undefined) return undefined
    const hash = hashOf(operation)
    return known === hash ? 'applied' : known === rejected(hash) ? 'rejected' : undefined
  }

  /** The operations of an uploaded transaction that are not settled yet. */
  pending (transaction: CrudTransaction): CrudTransaction {
    const operations = transaction.operations.filter(operation => this.settled(operation) === undefined)
    return operations.length === transaction.operations.length ? transaction : { ...transaction, operations }
  }

  /** Notes what becomes of uploaded operations when the MongoDB transaction commits. */
  note (operations: CrudOperation[], outcome: Settled): void {
    for (const operation of operations) {
      const key = keyOf(operation)
      if (key === undefined) continue
      const hash = hashOf(operation)
      this.#noted.set(key, outcome === 'applied' ? hash : rejected(hash))
    }
  }

  /** Writes what was noted, and forgets the oldest when there is twice as much as need be. */
  async save (scope: CommandScope): Promise<void> {
    if (this.#noted.size === 0) return
    const $set: Record<string, unknown> = { updated_at: new Date() }
    for (const [key, hash] of this.#noted) $set[`operations.${key}`] = hash
    const $unset: Record<string, true> = {}
    for (const key of this.#forgotten()) $unset[`operations.${key}`] = true
    const { _id, ...identity } = this.#identity
    await this.#collection.updateOne({ _id }, {
      $set,
      $setOnInsert: identity,
      ...Object.keys($unset).length && { $unset }
    }, { ...scope, upsert: true })
  }

  #forgotten (): string[] {
    // Integer keys come in ascending order, which is the client's.
    const old = Object.keys(this.#operations).filter(key => !this.#noted.has(key))
    const excess = old.length + this.#noted.size - this.#limit
    return excess > this.#limit ? old.slice(0, excess) : []
  }
}

/** As a field's name: `op_id` is an integer in every SDK, and what is not is hashed. */
function keyOf ({ opId }: CrudOperation): string | undefined {
  if (opId === undefined || /^\d{1,16}$/.test(opId)) return opId
  return createHash('sha256').update(opId).digest('base64url').slice(0, 22)
}

/** 128 bits of SHA-256 over what the client sent. */
function hashOf ({ op, table, id, data, previous, metadata }: CrudOperation): string {
  return createHash('sha256').update(JSON.stringify([op, table, id, data, previous, metadata])).digest('base64url').slice(0, 22)
}

const rejected = (hash: string) => `!${hash}`
