import { BSON, Long, ObjectId, reading, UUID, type mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction } from '../../types/index.js'
import { PowerSyncFatalError } from '../errors.js'
import { deepFreeze } from './freeze.js'
import { applyPlan, ownedBy, planOf, rowOf, type Plan } from './plan.js'
import type { CollectionRegistry, RegisteredCollection, UserCollection, UserCollections } from './registry.js'

type Document = mongodb.Document | null

/** The state that client transactions of one commit share. */
export interface RuleScope {
  collections: CollectionRegistry
  ofUser: UserCollections
  /** Where documents are read: in a MongoDB transaction, if there is one. */
  context: { db: mongodb.Db, session?: mongodb.ClientSession | undefined }
  /** Transfers that `authorizeTransfer` allowed, and operations whose parents were checked; by value. */
  allowed: Set<string>
}

/** A row that a hook saw: where the ids that it asks for next may come from. */
interface Seen { collection: string, fields: Readonly<Record<string, unknown>> }

/** The questions that hooks and rules of one operation may ask. */
interface Questions {
  existing (table?: string, id?: string): Promise<Document>
  /** Whether a document is the user's, through its parents too. Undefined: it may be, but a parent is missing. */
  owns (collection: UserCollection, document: mongodb.Document): Promise<boolean | undefined>
  /** The same of the row that a field's value names; one that this client transaction deleted counts as it was. */
  holds (table: string, id: unknown): Promise<boolean | undefined>
}

/**
 * Documents as they stand between the operations of client transactions that are written together: what MongoDB has,
 * with the plans so far applied. A row is a document: two tables over one collection share it.
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
  /** Of the present client transaction: its deletes, the documents that they met, operations that wait for a parent. */
  readonly #deletes = new Set<Plan>()
  readonly #deleted = new Map<string, mongodb.Document>()
  #waiting: Array<{ operation: CrudOperation, verdict: () => Promise<boolean | undefined> }> = []
  /** A session runs one command at a time, so that parallel questions of a hook have to queue. */
  #last: Promise<unknown> = Promise.resolve()

  constructor (private readonly transactions: readonly CrudTransaction[], private readonly scope: RuleScope) {}

  /** For one operation: documents by table and the client's id, or null, and whether they are the user's. */
  for (operation: CrudOperation): Questions {
    const { collections, ofUser } = this.scope
    const seen: Seen[] = [{ collection: collections.get(operation.table).name, fields: operation.data ?? {} }]
    const existing = (table = operation.table, id = operation.id) => {
      const turn = this.#last.then(async () => {
        const collection = collections.get(table)
        const document = await this.#get(collection, id, seen)
        if (document) seen.push({ collection: collection.name, fields: document })
        return document
      })
      this.#last = turn.catch(() => {})
      return turn
    }
    const owns: Questions['owns'] = async ({ owner, shared }, document) => {
      if (!ownedBy(document, owner)) return false
      for (const { parent, field } of shared.parents) {
        const held = await holds(parent, document[field])
        if (!held) return held
      }
      return true
    }
    const holds: Questions['holds'] = async (table, value) => {
      const id = idText(value)
      // Before the row is read: the answer must not tell whether it is there.
      const collection = ofUser({ table, index: operation.index })
      if (id === undefined) return false
      const document = await existing(table, id) ?? this.#deleted.get(rowOfId(collection.shared, id) ?? '')
      return document ? owns(collection, document) : undefined
    }
    return { existing, owns, holds }
  }

  /**
   * Enforces `throughParent`.
   * @throws {PowerSyncFatalError} for an operation on a row, or into a parent, that is not the user's
   */
  checkParents (operation: CrudOperation): Promise<void> | undefined {
    return this.scope.ofUser(operation).shared.parents.length > 0 ? this.#checkParents(operation) : undefined
  }

  async #checkParents (operation: CrudOperation): Promise<void> {
    const { op, data } = operation
    const target = this.scope.ofUser(operation)
    const { parents } = target.shared
    const { existing, owns, holds } = this.for(operation)
    const before = await existing()
    const verdicts = parents.filter(({ field }) => op === 'PUT' || data?.[field] !== undefined)
      .map(({ parent, field }) => () => holds(parent, data?.[field]))
    if (before) verdicts.unshift(() => owns(target, before))
    for (const verdict of verdicts) {
      const answer = await verdict()
      if (answer === false) refuse(operation)
      if (answer === undefined) this.#waiting.push({ operation, verdict })
    }
    this.scope.allowed.add(parentsKey(operation, target))
  }

  /** The document of an operation's own row, if it is loaded. */
  loaded (operation: CrudOperation): Document | undefined {
    return this.#documents.get(rowOfId(this.scope.collections.get(operation.table), operation.id) ?? '')
  }

  /** Ends a client transaction. @throws {PowerSyncFatalError} if a parent did not come in it */
  async end (): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { operation, verdict } of waiting) if (await verdict() !== true) refuse(operation)
    this.#deletes.clear()
    this.#deleted.clear()
  }

  /** Plans an operation that passed the rules; the operations after it see what it does. */
  plan (operation: CrudOperation, from?: string): Plan {
    const plan = planOf(operation, this.scope.ofUser(operation), this.scope.allowed, from)
    this.#plans.push(plan)
    if (plan.change.kind === 'delete') this.#deletes.add(plan)
    if (this.#documents.has(plan.row)) this.#apply(plan)
    return plan
  }

  async #get (collection: RegisteredCollection, id: string, seen: Seen[]): Promise<Document> {
    const row = rowOfId(collection, id)
    if (row === undefined) return null
    const known = this.#documents.get(row)
    if (known !== undefined) return known
    const wanted = new Map<string, Row>()
    const want = (table: RegisteredCollection, text: string | undefined) => {
      const row = text === undefined ? undefined : rowOfId(table, text)
      if (row === undefined || this.#documents.has(row)) return
      wanted.set(row, { collection: table.name, row, _id: table.tryId(text!) })
    }
    want(collection, id)
    if (!this.#loaded.has(collection.name)) {
      for (const { table, id } of this.#operationsOn(collection.name)) want(this.scope.collections.get(table), id)
    }
    for (const value of this.#inTheSameFields(collection.name, id, seen)) want(collection, idText(value))
    this.#loaded.add(collection.name)
    await this.#load([...wanted.values()])
    return this.#documents.get(row) as Document
  }

  /** Values of the fields that an id was seen in: in other operations on that collection, and in loaded documents. */
  * #inTheSameFields (target: string, id: string, seen: Seen[]): Generator<unknown> {
    for (const { collection, fields } of seen) {
      for (const field of Object.keys(fields)) {
        if (idText(fields[field]) !== id) continue
        const way = JSON.stringify([target, collection, field, this.#documents.size])
        if (this.#followed.has(way)) continue
        this.#followed.add(way)
        for (const { data } of this.#operationsOn(collection)) yield data?.[field]
        for (const [row, document] of this.#documents) if (row.startsWith(`${collection}\0`)) yield document?.[field]
      }
    }
  }

  * #operationsOn (collection: string): Generator<CrudOperation> {
    for (const operation of this.transactions.flatMap(({ operations }) => operations)) {
      if (this.scope.collections.get(operation.table).name === collection) yield operation
    }
  }

  async #load (wanted: readonly Row[]): Promise<void> {
    const found = await readRows(this.scope.context, wanted)
    for (const { row } of wanted) this.#documents.set(row, deepFreeze(found.get(row) ?? null))
    const rows = new Set(wanted.map(({ row }) => row))
    for (const plan of this.#plans) if (rows.has(plan.row)) this.#apply(plan)
  }

  #apply (plan: Plan): void {
    const before = this.#documents.get(plan.row) ?? null
    if (before && this.#deletes.has(plan) && ownedBy(before, plan.owner)) this.#deleted.set(plan.row, before)
    const after = applyPlan(plan, before)
    // As it will be read: an upload in two parts has to see the same as one.
    this.#documents.set(plan.row, after === before ? before : after && deepFreeze(asRead(after)))
  }
}

type Row = Pick<Plan, 'collection' | 'row' | '_id'>

/** Those of the documents that are there, by row: one `find` for each collection. */
export async function readRows (
  { db, session }: RuleScope['context'], rows: readonly Row[]
): Promise<Map<string, mongodb.Document>> {
  const documents = new Map<string, mongodb.Document>()
  for (const name of new Set(rows.map(({ collection }) => collection))) {
    const ids = rows.filter(({ collection }) => collection === name).map(({ _id }) => _id)
    const filter: mongodb.Document = { _id: { $in: ids } }
    // Not one by one: the cursor would make promises for each.
    const found = await db.collection(name).find(filter, { ...session && { session }, ...reading }).toArray()
    for (const document of found) documents.set(rowOf(name, document['_id']), document)
  }
  return documents
}

/** Plans what the app's own code writes: the rules of owners hold for it as well. */
export async function planWritten (transaction: CrudTransaction, scope: RuleScope): Promise<Plan[]> {
  const rows = new Rows([transaction], scope)
  const plans: Plan[] = []
  for (const operation of transaction.operations) {
    const target = scope.ofUser(operation)
    // An `updateBatch` passes operations on in parts, which may lack their parents.
    const isChecked = target.shared.parents.length === 0 || scope.allowed.has(parentsKey(operation, target))
    if (!isChecked) await rows.checkParents(operation)
    plans.push(rows.plan(operation))
  }
  await rows.end()
  return plans
}

function parentsKey ({ op, table, id, data }: CrudOperation, { shared: { parents } }: UserCollection): string {
  return JSON.stringify([op, table, id, ...parents.map(({ field }) => String(data?.[field]))])
}

function refuse ({ index }: CrudOperation): never {
  throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation is not allowed', { operationIndex: index })
}

const asRead = (document: mongodb.Document): mongodb.Document =>
  BSON.deserialize(BSON.serialize(document, { ignoreUndefined: true }), reading)

function rowOfId (collection: RegisteredCollection, id: string): string | undefined {
  const _id = collection.tryId(id)
  return _id === undefined ? undefined : rowOf(collection.name, _id)
}

/** How a field's value would be asked for: ids are text at the client, whatever they are in documents. */
function idText (value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const isId = ['number', 'bigint'].includes(typeof value) || [ObjectId, UUID, Long].some(type => value instanceof type)
  return isId ? String(value) : undefined
}
