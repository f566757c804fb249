import { BSON, Long, ObjectId, reading, UUID, type mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction } from '../../types/index.js'
import { deepFreeze } from './freeze.js'
import { applyPlan, ownedBy, rowOf, type Plan } from './plan.js'
import type { CollectionRegistry, RegisteredCollection, UserCollection, UserCollections } from './registry.js'

type Document = mongodb.Document | null

/** A row that a hook saw: where the ids that it asks for next may come from. */
interface Seen { collection: string, fields: Readonly<Record<string, unknown>> }

/** Where documents are read: in a MongoDB transaction, if there is one. */
interface Reads { db: mongodb.Db, session?: mongodb.ClientSession | undefined }

/** What one operation's hooks may ask. */
export interface Questions {
  existing (table?: string, id?: string): Promise<Document>
  /** Whether a document is the user's, through its parents too. Undefined: as far as is known, but a row on the way is missing. */
  owns (collection: UserCollection, document: mongodb.Document): Promise<boolean | undefined>
  /** The same of the row that a field's value names; one that this client transaction deleted counts as it was. */
  holds (table: string, id: unknown): Promise<boolean | undefined>
}

/**
 * The documents that hooks ask for, as they stand between the operations of client transactions that are written
 * together: what MongoDB has, with the plans so far applied. A row is a document: two tables over one collection share it.
 *
 * Nothing is read until a hook asks. Then the documents of all operations on that collection come in one `find`; and
 * since hooks ask for the same of each operation, so do those of all ids that stand in the same field as the one that
 * is asked for: after `existing('lists', operation.data.list_id)`, the lists of all the other operations are there.
 */
export class Rows {
  readonly #documents = new Map<string, Document>()
  /** Collections of which the documents of all operations are there. */
  readonly #loaded = new Set<string>()
  readonly #plans: Plan[] = []
  readonly #followed = new Set<string>()
  /** Of the present client transaction: its deletes, and the documents that they met. */
  readonly #deletes = new Set<Plan>()
  readonly #deleted = new Map<string, mongodb.Document>()
  /** A session runs one command at a time, so that parallel questions of a hook have to queue. */
  #last: Promise<unknown> = Promise.resolve()

  constructor (
    private readonly transactions: readonly CrudTransaction[],
    private readonly collections: CollectionRegistry,
    private readonly ofUser: UserCollections,
    private readonly context: Reads
  ) {}

  /** The operations that follow are of another client transaction. */
  begin (): void {
    this.#deletes.clear()
    this.#deleted.clear()
  }

  /** For the hooks of one operation: documents by table and the client's id, or null, and whether they are the user's. */
  for (operation: CrudOperation): Questions {
    const seen: Seen[] = [{ collection: this.collections.get(operation).name, fields: operation.data ?? {} }]
    const existing = (table = operation.table, id = operation.id) => {
      const turn = this.#last.then(async () => {
        const collection = this.collections.find(table)
        const document = await this.#get(collection, id, seen)
        if (document) seen.push({ collection: collection.name, fields: document })
        return document
      })
      this.#last = turn.catch(() => {})
      return turn
    }
    const owns = async (collection: UserCollection, document: mongodb.Document): Promise<boolean | undefined> => {
      if (!collection.owns(document)) return false
      for (const { parent, field } of collection.shared.parents) {
        const held = await holds(parent, document[field])
        if (!held) return held
      }
      return true
    }
    const holds = async (table: string, value: unknown): Promise<boolean | undefined> => {
      const id = idText(value)
      // Before the row is read: the answer must not tell whether it is there.
      const collection = this.ofUser({ table, index: operation.index })
      if (id === undefined) return false
      const document = await existing(table, id) ?? this.#deleted.get(rowOfId(collection.shared, id) ?? '')
      return document ? owns(collection, document) : undefined
    }
    return { existing, owns, holds }
  }

  /** The document of an operation's own row, if it is loaded. */
  loaded (operation: CrudOperation): Document | undefined {
    const row = rowOfId(this.collections.get(operation), operation.id)
    return row === undefined ? null : this.#documents.get(row)
  }

  /** Takes note of what will be written. */
  add (plan: Plan): void {
    this.#plans.push(plan)
    if (plan.change.kind === 'delete') this.#deletes.add(plan)
    if (this.#documents.has(plan.row)) this.#apply(plan)
  }

  async #get (collection: RegisteredCollection, id: string, seen: Seen[]): Promise<Document> {
    const row = rowOfId(collection, id)
    if (row === undefined) return null
    const known = this.#documents.get(row)
    if (known !== undefined) return known
    const ids = new Map<string, unknown>()
    const want = (table: RegisteredCollection, text: string) => {
      const _id = table.tryId(text)
      const row = _id === undefined ? undefined : rowOf(table.name, _id)
      if (row !== undefined && !this.#documents.has(row)) ids.set(row, _id)
    }
    want(collection, id)
    if (!this.#loaded.has(collection.name)) for (const operation of this.#operationsOn(collection.name)) want(this.collections.get(operation), operation.id)
    for (const related of this.#fromTheSameFields(collection.name, id, seen)) want(collection, related)
    this.#loaded.add(collection.name)
    await this.#load(collection.name, ids)
    return this.#documents.get(row) as Document
  }

  /** What the fields that an id was seen in hold elsewhere: in other operations on that collection, and in documents that are loaded. */
  * #fromTheSameFields (target: string, id: string, seen: Seen[]): Generator<string> {
    for (const { collection, fields } of seen) {
      for (const field of Object.keys(fields)) {
        if (idText(fields[field]) !== id) continue
        const way = JSON.stringify([target, collection, field, this.#documents.size])
        if (this.#followed.has(way)) continue
        this.#followed.add(way)
        for (const { data } of this.#operationsOn(collection)) if (data) yield * idsIn(data[field])
        for (const [row, document] of this.#documents) if (document && row.startsWith(`${collection}\0`)) yield * idsIn(document[field])
      }
    }
  }

  * #operationsOn (collection: string): Generator<CrudOperation> {
    for (const { operations } of this.transactions) {
      for (const operation of operations) if (this.collections.get(operation).name === collection) yield operation
    }
  }

  async #load (collection: string, ids: Map<string, unknown>): Promise<void> {
    const { db, session } = this.context
    const filter: mongodb.Document = { _id: { $in: [...ids.values()] } }
    // Not one by one: the cursor would make promises for each.
    const found = await db.collection(collection).find(filter, { ...session && { session }, ...reading }).toArray()
    for (const row of ids.keys()) this.#documents.set(row, null)
    for (const document of found) {
      const row = rowOf(collection, document['_id'])
      if (ids.has(row)) this.#documents.set(row, deepFreeze(document))
    }
    for (const plan of this.#plans) if (ids.has(plan.row)) this.#apply(plan)
  }

  #apply (plan: Plan): void {
    const before = this.#documents.get(plan.row) ?? null
    if (before && this.#deletes.has(plan) && ownedBy(before, plan.owner)) this.#deleted.set(plan.row, before)
    const after = applyPlan(plan, before)
    // As it will be read: an upload in two parts has to see the same as one.
    this.#documents.set(plan.row, after === before ? before : after && deepFreeze(asRead(after)))
  }
}

const asRead = (document: mongodb.Document): mongodb.Document => BSON.deserialize(BSON.serialize(document, { ignoreUndefined: true }), reading)

function rowOfId (collection: RegisteredCollection, id: string): string | undefined {
  const _id = collection.tryId(id)
  return _id === undefined ? undefined : rowOf(collection.name, _id)
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
