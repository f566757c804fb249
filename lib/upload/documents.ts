import type { mongodb } from '../bson.js'
import type { AnyRow, CrudOperation, CrudTransaction, TransactionContext } from '../../types/index.js'
import type { CollectionRegistry } from '../collections/registry.js'

type Rows = Map<string, mongodb.Document | null>

/**
 * The documents that hooks ask for, as they stand between the operations of client transactions that are written together: what the database
 * holds, with the operations that were let through so far applied. Nothing is read until a hook asks; then all ids
 * that they have on that collection come in one `find`.
 */
export class TransactionDocuments {
  readonly #transactions: CrudTransaction[]
  readonly #collections: CollectionRegistry
  readonly #context: TransactionContext
  readonly #loaded = new Map<string, Rows>()
  readonly #written: CrudOperation[] = []
  /** A session runs one command at a time, so a hook's parallel questions have to queue. */
  #last: Promise<unknown> = Promise.resolve()

  constructor (transactions: CrudTransaction[], collections: CollectionRegistry, context: TransactionContext) {
    this.#transactions = transactions
    this.#collections = collections
    this.#context = context
  }

  /** The document of a row by its table and the client's id, or null. */
  async get (table: string, id: string): Promise<mongodb.Document | null> {
    const turn = this.#last.then(() => this.#get(table, id))
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Takes note of an operation that will be written. */
  add (operation: CrudOperation): void {
    this.#written.push(operation)
    const rows = this.#loaded.get(operation.table)
    if (rows?.has(operation.id)) this.#apply(operation, rows)
  }

  async #get (table: string, id: string) {
    const rows = this.#loaded.get(table)
    if (rows?.has(id)) return rows.get(id) as mongodb.Document | null
    const ids = new Set([id])
    if (!rows) {
      for (const { operations } of this.#transactions) {
        for (const operation of operations) if (operation.table === table) ids.add(operation.id)
      }
    }
    const loaded = await this.#load(table, ids)
    const all = rows ?? new Map<string, mongodb.Document | null>()
    for (const [key, document] of loaded) all.set(key, document)
    this.#loaded.set(table, all)
    return all.get(id) as mongodb.Document | null
  }

  async #load (table: string, ids: Set<string>): Promise<Rows> {
    const collection = this.#collections.find(table)
    const rows: Rows = new Map()
    const values: unknown[] = []
    for (const id of ids) {
      rows.set(id, null)
      const value = collection.tryId(id)
      if (value !== undefined) values.push(value)
    }
    const { db, session } = this.#context
    const filter: mongodb.Document = { _id: { $in: values } }
    const found = db.collection(collection.name).find(filter, { session })
    for await (const document of found) rows.set(collection.idText(document._id), document)
    for (const operation of this.#written) {
      if (operation.table === table && rows.has(operation.id)) this.#apply(operation, rows)
    }
    return rows
  }

  #apply (operation: CrudOperation, rows: Rows): void {
    const before = rows.get(operation.id) ?? null
    const collection = this.#collections.find(operation.table)
    const _id = before?.['_id'] ?? collection.tryId(operation.id)
    const after = {
      PUT: () => ({ ...collection.put === 'merge' ? before : null, ...collection.ownedBy(this.#context.user, operation.data as AnyRow), _id }),
      PATCH: () => before && { ...before, ...operation.data },
      DELETE: () => null
    }[operation.op]()
    rows.set(operation.id, after)
  }
}
