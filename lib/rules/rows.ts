import { asRead, Long, ObjectId, reading, UUID, type mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, OperationContext } from '../../types/index.js'
import { PowerSyncFatalError } from '../errors.js'
import { deepFreeze } from '../freeze.js'
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

/**
 * Documents as they stand between the operations of client transactions that are written together: what MongoDB has,
 * with the plans so far applied. A row is a document: two tables over one collection share it.
 *
 * Nothing is read until a hook asks: then one `find` takes the documents of all operations on that collection and,
 * since hooks ask for the same of each operation, those of all ids in the same field as the one that is asked for:
 * after `existing('lists', operation.data.list_id)`, the lists of all the other operations are there.
 */
export function createRows (transactions: readonly CrudTransaction[], scope: RuleScope) {
  const { collections, ofUser, context, allowed } = scope
  const documents = new Map<string, Document>()
  /** Collections of which the documents of all operations are there. */
  const complete = new Set<string>()
  const plans: Plan[] = []
  const followed = new Set<string>()
  /** Of the present client transaction: its deletes, the documents that they met, operations that wait for a parent. */
  const deletes = new Set<Plan>()
  const deleted = new Map<string, mongodb.Document>()
  let waiting: Array<{ operation: CrudOperation, verdict: () => Promise<boolean | undefined> }> = []
  /** A session runs one command at a time, so that parallel questions of a hook have to queue. */
  let last: Promise<unknown> = Promise.resolve()

  return { existingFor, loaded, checkParents, plan, end }

  /** For the hooks of one operation: documents by table and the client's id, or null. */
  function existingFor (operation: CrudOperation): OperationContext['existing'] {
    const seen: Seen[] = [{ collection: collections.get(operation.table).name, fields: operation.data ?? {} }]
    return (...asked: [] | [table: string, id: unknown]) => {
      // An id that is undefined is that of no row, above all not of the operation's own.
      const [table, id] = asked.length ? asked : [operation.table, operation.id]
      const turn = last.then(async () => {
        const collection = collections.get(table)
        const text = idText(id)
        const document = text === undefined ? null : await get(collection, text, seen)
        if (document) seen.push({ collection: collection.name, fields: document })
        return document
      })
      last = turn.catch(() => {})
      return turn
    }
  }

  /** The document of an operation's own row, if it was read. */
  function loaded ({ table, id }: CrudOperation): Document | undefined {
    return documents.get(rowOfId(collections.get(table), id) ?? '')
  }

  /** Enforces `throughParent`, for the row itself and the parent that it goes to. */
  function checkParents (operation: CrudOperation): Promise<void> | undefined {
    const target = ofUser(operation)
    return target.shared.parents.length > 0 ? checkParentsOf(operation, target) : undefined
  }

  async function checkParentsOf (operation: CrudOperation, target: UserCollection): Promise<void> {
    const { op, data, index } = operation
    const { parents } = target.shared
    const existing = existingFor(operation)
    const before = await existing()
    const verdicts = parents.filter(({ field }) => op === 'PUT' || Object.hasOwn(data ?? {}, field))
      .map(({ parent, field }) => () => holds(parent, data?.[field]))
    if (before) verdicts.unshift(() => owns(target, before))
    for (const verdict of verdicts) {
      const answer = await verdict()
      if (answer === false) refuse(operation)
      if (answer === undefined) waiting.push({ operation, verdict })
    }
    allowed.add(parentsKey(operation, target))

    /** Whether a document is the user's, through its parents too. Undefined: it may be, but a parent is missing. */
    async function owns ({ owner, shared }: UserCollection, document: mongodb.Document): Promise<boolean | undefined> {
      if (!ownedBy(document, owner)) return false
      for (const { parent, field } of shared.parents) {
        const held = await holds(parent, document[field])
        if (!held) return held
      }
      return true
    }

    /** The same of the row that a field's value names; one that this client transaction deleted counts as it was. */
    async function holds (table: string, value: unknown): Promise<boolean | undefined> {
      const id = idText(value)
      // Before the row is read: the answer must not tell whether it is there.
      const collection = ofUser({ table, index })
      if (id === undefined) return false
      const document = await existing(table, id) ?? deleted.get(rowOfId(collection.shared, id) ?? '')
      return document ? await owns(collection, document) : undefined
    }
  }

  /** Ends a client transaction: operations are refused if their parent did not come in it. */
  async function end (): Promise<void> {
    for (const { operation, verdict } of waiting) if (await verdict() !== true) refuse(operation)
    waiting = []
    deletes.clear()
    deleted.clear()
  }

  /** Plans an operation that passed the rules; the operations after it see what it does. */
  function plan (operation: CrudOperation, from?: string): Plan {
    const plan = planOf(operation, ofUser(operation), allowed, from)
    plans.push(plan)
    if (plan.change.kind === 'delete') deletes.add(plan)
    if (documents.size > 0 && documents.has(plan.row)) apply(plan) // a look-up costs more than the rest of the plan
    return plan
  }

  async function get (collection: RegisteredCollection, id: string, seen: Seen[]): Promise<Document> {
    const asked = rowOfId(collection, id)
    if (asked === undefined) return null
    const known = documents.get(asked)
    if (known !== undefined) return known
    const wanted = new Map<string, Row>()
    const want = (table: RegisteredCollection, text: string | undefined) => {
      const row = text === undefined ? undefined : rowOfId(table, text)
      if (row === undefined || documents.has(row)) return
      wanted.set(row, { collection: table.name, row, _id: table.tryId(text!) })
    }
    want(collection, id)
    if (!complete.has(collection.name)) {
      for (const operation of operationsOn(collection.name)) want(collections.get(operation.table), operation.id)
    }
    for (const value of inTheSameFields(collection.name, id, seen)) want(collection, idText(value))
    complete.add(collection.name)
    const found = await readRows(context, [...wanted.values()])
    for (const row of wanted.keys()) documents.set(row, deepFreeze(found.get(row) ?? null))
    for (const plan of plans) if (wanted.has(plan.row)) apply(plan)
    return documents.get(asked) ?? null
  }

  /** Values of the fields that an id was seen in: in other operations on that collection, and in loaded documents. */
  function * inTheSameFields (target: string, id: string, seen: Seen[]): Generator<unknown> {
    for (const { collection, fields } of seen) {
      for (const field of Object.keys(fields)) {
        if (idText(fields[field]) !== id) continue
        const way = JSON.stringify([target, collection, field, documents.size])
        if (followed.has(way)) continue
        followed.add(way)
        for (const { data } of operationsOn(collection)) yield data?.[field]
        for (const [row, document] of documents) if (row.startsWith(`${collection}\0`)) yield document?.[field]
      }
    }
  }

  function operationsOn (collection: string): CrudOperation[] {
    return transactions.flatMap(({ operations }) =>
      operations.filter(({ table }) => collections.get(table).name === collection))
  }

  function apply (plan: Plan): void {
    const before = documents.get(plan.row) ?? null
    if (before && deletes.has(plan) && ownedBy(before, plan.owner)) deleted.set(plan.row, before)
    const after = applyPlan(plan, before)
    // As it will be read: an upload in two parts has to see the same as one.
    documents.set(plan.row, after === before ? before : after && deepFreeze(asRead(after)))
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

/**
 * Plans what the app's own code writes: the rules of owners hold for it as well.
 * @param from rows of the uploaded operations, by their index
 */
export async function planWritten (
  transaction: CrudTransaction, scope: RuleScope, from?: ReadonlyMap<number, string>
): Promise<Plan[]> {
  const rows = createRows([transaction], scope)
  const plans: Plan[] = []
  for (const operation of transaction.operations) {
    const target = scope.ofUser(operation)
    // An `updateBatch` passes operations on in parts, which may lack their parents.
    const isChecked = target.shared.parents.length === 0 || scope.allowed.has(parentsKey(operation, target))
    if (!isChecked) await rows.checkParents(operation)
    plans.push(rows.plan(operation, from?.get(operation.index)))
  }
  await rows.end()
  return plans
}

function parentsKey ({ op, table, id, data }: CrudOperation, { shared: { parents } }: UserCollection): string {
  return JSON.stringify([op, table, id, ...parents.map(({ field }) => idText(data?.[field]))])
}

function refuse ({ index }: CrudOperation): never {
  throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation is not allowed', { operationIndex: index })
}

export function rowOfId (collection: RegisteredCollection, id: string): string | undefined {
  const _id = collection.tryId(id)
  return _id === undefined ? undefined : rowOf(collection.name, _id)
}

/** How a field's value would be asked for: ids are text at the client, whatever they are in documents. */
function idText (value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const isId = ['number', 'bigint'].includes(typeof value) || [ObjectId, UUID, Long].some(type => value instanceof type)
  return isId ? String(value) : undefined
}
