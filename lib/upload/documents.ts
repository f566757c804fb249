import { Long, ObjectId, UUID, type mongodb } from '../bson.js'
import type { Awaitable, CrudOperation, CrudTransaction, TransactionContext } from '../../types/index.js'
import type { CollectionRegistry, UserCollection, UserCollections } from '../collections/registry.js'

type Rows = Map<string, mongodb.Document | null>

/** A row that a hook saw: where the ids that it asks for next may come from. */
interface Seen { table: string, fields: Readonly<Record<string, unknown>> }

/** What one operation's hooks ask. */
export interface Questions {
  existing (table?: string, id?: string): Promise<mongodb.Document | null>
  owns (table: string, id: unknown): Promise<boolean>
}

/**
 * The documents that hooks ask for, as they stand between the operations of client transactions that are written
 * together: what the database holds, with the operations that were let through so far applied.
 *
 * Nothing is read until a hook asks. Then the documents of all operations on that collection come in one `find`; and
 * since hooks ask for the same of each operation, so do those of all ids that stand in the same field as the one that
 * is asked for: after `existing('lists', operation.data.list_id)`, the lists of all the other operations are there.
 */
export class TransactionDocuments {
  readonly #transactions: CrudTransaction[]
  readonly #collections: CollectionRegistry
  readonly #ofUser: UserCollections
  readonly #context: TransactionContext
  readonly #loaded = new Map<string, Rows>()
  readonly #written: CrudOperation[] = []
  readonly #followed = new Set<string>()
  /** Of the present client transaction: its DELETEs, and the rows that were there before them, by table and id. */
  readonly #deletes = new Set<CrudOperation>()
  readonly #deleted = new Map<string, mongodb.Document>()
  /** A session runs one command at a time, so a hook's parallel questions have to queue. */
  #last: Promise<unknown> = Promise.resolve()

  constructor (transactions: CrudTransaction[], collections: CollectionRegistry, ofUser: UserCollections, context: TransactionContext) {
    this.#transactions = transactions
    this.#collections = collections
    this.#ofUser = ofUser
    this.#context = context
  }

  /** The operations that follow are of another client transaction. */
  begin (): void {
    this.#deletes.clear()
    this.#deleted.clear()
  }

  /** For the hooks of one operation: documents of rows by their table and the client's id, or null, and whose they are. */
  for (operation: CrudOperation): Questions {
    const seen: Seen[] = [{ table: operation.table, fields: operation.data ?? {} }]
    const existing = (table = operation.table, id = operation.id) => {
      const turn = this.#last.then(async () => {
        const document = await this.#get(table, id, seen)
        if (document) seen.push({ table, fields: document })
        return document
      })
      this.#last = turn.catch(() => {})
      return turn
    }
    const owns = async (table: string, value: unknown): Promise<boolean> => {
      const id = idText(value)
      // Before the row is read: the answer must not tell whether it is there.
      const collection = this.#ofUser({ table, index: operation.index })
      if (id === undefined) return false
      const document = await existing(table, id) ?? this.#deleted.get(keyOf(table, id))
      if (!document || !collection.owns(document)) return false
      const { parent } = collection.shared
      return !parent || await owns(parent.table, document[parent.field])
    }
    return { existing, owns }
  }

  /** The document of an operation's own row: at once, if it is loaded. */
  of (operation: CrudOperation): Awaitable<mongodb.Document | null> {
    const rows = this.#loaded.get(operation.table)
    return rows?.has(operation.id) ? rows.get(operation.id) as mongodb.Document | null : this.for(operation).existing()
  }

  /** Takes note of an operation that will be written. */
  add (operation: CrudOperation): void {
    this.#written.push(operation)
    if (operation.op === 'DELETE') this.#deletes.add(operation)
    const rows = this.#loaded.get(operation.table)
    if (rows?.has(operation.id)) this.#apply(operation, rows)
  }

  async #get (table: string, id: string, seen: Seen[]): Promise<mongodb.Document | null> {
    const rows = this.#loaded.get(table)
    if (rows?.has(id)) return rows.get(id) as mongodb.Document | null
    const ids = new Set([id])
    if (!rows) for (const operation of this.#operationsOn(table)) ids.add(operation.id)
    for (const related of this.#fromTheSameFields(table, id, seen)) if (!rows?.has(related)) ids.add(related)
    const loaded = await this.#load(table, ids)
    const all = rows ?? new Map<string, mongodb.Document | null>()
    for (const [key, document] of loaded) all.set(key, document)
    this.#loaded.set(table, all)
    return all.get(id) as mongodb.Document | null
  }

  /** What the fields that an id was seen in hold elsewhere: in other operations on that table, and in documents that were loaded. */
  * #fromTheSameFields (target: string, id: string, seen: Seen[]): Generator<string> {
    for (const { table, fields } of seen) {
      const rows = this.#loaded.get(table)
      for (const field of Object.keys(fields)) {
        if (idText(fields[field]) !== id) continue
        const way = JSON.stringify([target, table, field, rows?.size])
        if (this.#followed.has(way)) continue
        this.#followed.add(way)
        for (const { data } of this.#operationsOn(table)) if (data) yield * idsIn(data[field])
        for (const document of rows?.values() ?? []) if (document) yield * idsIn(document[field])
      }
    }
  }

  * #operationsOn (table: string): Generator<CrudOperation> {
    for (const { operations } of this.#transactions) {
      for (const operation of operations) if (operation.table === table) yield operation
    }
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
    // Not one by one: the cursor would make promises for each.
    const found = await db.collection(collection.name).find(filter, { session }).toArray()
    for (const document of found) rows.set(collection.idText(document._id), document)
    for (const operation of this.#written) {
      if (operation.table === table && rows.has(operation.id)) this.#apply(operation, rows)
    }
    return rows
  }

  /** Like the storage: the row of another owner stays as it is, whatever was let through. */
  #apply (operation: CrudOperation, rows: Rows): void {
    const before = rows.get(operation.id) ?? null
    const collection = this.#ofUser(operation)
    if (before && !collection.owns(before)) return
    if (before && this.#deletes.has(operation)) this.#deleted.set(keyOf(operation.table, operation.id), before)
    rows.set(operation.id, after(operation, before, collection))
  }
}

const keyOf = (table: string, id: string): string => JSON.stringify([table, id])

function after (operation: CrudOperation, before: mongodb.Document | null, collection: UserCollection): mongodb.Document | null {
  switch (operation.op) {
    case 'PUT': {
      if (before && collection.createsOnly) return before
      const kept = collection.shared.put === 'merge' ? before : null
      return { ...kept, ...collection.owned(operation.data), _id: before?.['_id'] ?? collection.shared.tryId(operation.id) }
    }
    case 'PATCH': return before && { ...before, ...operation.data }
    case 'DELETE': return null
  }
}

function * idsIn (value: unknown): Generator<string> {
  const text = idText(value)
  if (text !== undefined) yield text
}

/** How a field's value would be asked for: ids are text at the client, whatever they are in documents. */
function idText (value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof ObjectId || value instanceof UUID || value instanceof Long ? String(value) : undefined
}
