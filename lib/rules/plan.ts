import { asRead, BSON, Double, Int32, Long, ObjectId, UUID, type mongodb } from '../bson.js'
import type { CrudOperation } from '../../types/index.js'
import { PowerSyncFatalError } from '../errors.js'
import { sameValue } from '../schema/same-value.js'
import type { UserCollection } from './registry.js'

/** The effect of one operation as plain data, from which rows in memory and statements to MongoDB are made. */
export interface Plan {
  /** Decoded, as the hooks left it. */
  readonly operation: CrudOperation
  /** Of MongoDB. */
  readonly collection: string
  readonly _id: unknown
  /** The document, among all: its collection and `_id`. */
  readonly row: string
  /** The same of the uploaded operation, which hooks may have moved to another row. */
  readonly from: string
  /** The values that make a document the user's. Empty: every document is. */
  readonly owner: Readonly<mongodb.Document>
  readonly change: Change
}

/** The change of a document's fields. */
interface FieldChanges {
  readonly set: Readonly<mongodb.Document>
  readonly unset: readonly string[]
  /** Fields of `set` whose value is a sum on top of the document's, and what the operation adds, as decimal text. */
  readonly sums: Readonly<Record<string, string>>
}

type Change =
  | FieldChanges & {
    readonly kind: 'put'
    /** The change of an existing document: its other fields stay, or go, or it stays as it is. */
    readonly existing: 'merge' | 'replace' | 'keep'
    /** Fields of a new document beside `set`. */
    readonly onInsert: Readonly<mongodb.Document>
  }
  | FieldChanges & { readonly kind: 'patch' }
  | { readonly kind: 'delete' }

/**
 * The one definition of PUT, PATCH and DELETE.
 *
 * | operation | document |
 * | --- | --- |
 * | PUT | created, or each field of the schema set; fields outside the schema stay (`put: 'replace'`: they go) |
 * | PATCH | the changed fields set, if the document exists |
 * | DELETE | gone |
 *
 * @param operation decoded: values as BSON types
 * @param allowed see `transferKey`
 * @param from the uploaded operation's row, if it may be another
 * @throws {PowerSyncFatalError} for an operation that must not be written
 */
export function planOf (
  operation: CrudOperation, target: UserCollection, allowed: ReadonlySet<string>, from?: string
): Plan {
  const { shared: { name: collection }, owner } = target
  const _id = target.shared.id(operation)
  const row = rowOf(collection, _id)
  return { operation, collection, _id, row, from: from ?? row, owner, change: changeOf(operation, target, allowed) }
}

function changeOf (operation: CrudOperation, target: UserCollection, allowed: ReadonlySet<string>): Change {
  const { op, data, sums = noSums } = operation
  if (op === 'DELETE') return { kind: 'delete' }
  if (op === 'PATCH') {
    const path = transferOf(operation, target)
    if (path !== undefined && !allowed.has(transferKey(operation, target))) {
      throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation would give the row to another owner', {
        details: { path }, operationIndex: operation.index
      })
    }
    return { kind: 'patch', ...split(data, target), sums }
  }
  const { put } = target.shared.definition
  const existing = target.createsOnly ? 'keep' : put
  // The uploader is the owner, whatever was sent.
  const row = target.whole(target.isOwned ? { ...data, ...target.owner } : data)
  const onInsert = existing === 'replace' ? {} : split(target.onInsert(row), target).set
  return { kind: 'put', existing, ...split(row, target), onInsert, sums }
}

/** The owner field that a PATCH would set to another value than the user's rows have. */
export function transferOf ({ op, data }: CrudOperation, { isOwned, owner }: UserCollection): string | undefined {
  if (op !== 'PATCH' || !isOwned) return undefined
  return Object.keys(owner).find(field => Object.hasOwn(data, field) && !sameValue(data[field], owner[field]))
}

/** Which row goes to which owner: by value, so that permission for an operation holds for a copy of it. */
export function transferKey ({ table, id, data = {} }: CrudOperation, { owner }: UserCollection): string {
  const to = Object.keys(owner).filter(field => Object.hasOwn(data, field)).map(field => [field, data[field]])
  return BSON.EJSON.stringify([table, id, ...to], { relaxed: false })
}

const noFields: readonly string[] = Object.freeze([])
const noSums: Readonly<Record<string, string>> = Object.freeze({})

function split (data: mongodb.Document, target: UserCollection): Pick<FieldChanges, 'set' | 'unset'> {
  if (target.shared.definition.nulls === 'store') return { set: data, unset: noFields }
  const set: mongodb.Document = {}
  const unset: string[] = []
  for (const [field, value] of Object.entries(data)) {
    if (value === null) unset.push(field)
    else set[field] = value
  }
  return { set, unset }
}

/** A document after a plan. Pure; MongoDB does the same with the plan's statement. */
export function applyPlan ({ _id, owner, change }: Plan, document: mongodb.Document | null): mongodb.Document | null {
  if (document && !ownedBy(document, owner)) return document
  switch (change.kind) {
    case 'delete': return null
    case 'patch': return document && merge(document, change)
    case 'put': {
      if (!document) return { _id, ...change.onInsert, ...change.set }
      if (change.existing === 'keep') return document
      return change.existing === 'replace' ? { _id: document['_id'], ...change.set } : merge(document, change)
    }
  }
}

function merge (document: mongodb.Document, { set, unset }: FieldChanges): mongodb.Document {
  const merged = { ...document, ...set }
  for (const field of unset) delete merged[field]
  return merged
}

export function ownedBy (document: mongodb.Document, owner: Readonly<mongodb.Document>): boolean {
  for (const field in owner) if (!sameValue(document[field], owner[field])) return false
  return true
}

/** Whether a plan changes anything in any document. */
export const changes = ({ change }: Plan): boolean =>
  change.kind !== 'patch' || change.unset.length > 0 || hasKeys(change.set)

export function hasKeys (value: object): boolean {
  for (const key in value) if (Object.hasOwn(value, key)) return true
  return false
}

/** A document's identity as text: ids of different types differ, numbers of one value do not. */
export function rowOf (collection: string, _id: unknown): string {
  return `${collection}\0${idKey(_id)}`
}

function idKey (_id: unknown): string {
  if (typeof _id === 'string') return `s${_id}`
  if (typeof _id === 'number' || typeof _id === 'bigint') return `n${String(_id)}`
  if (_id instanceof Long || _id instanceof Double || _id instanceof Int32) return `n${String(_id)}`
  if (_id instanceof ObjectId) return `o${_id.toHexString()}`
  if (_id instanceof UUID) return `u${_id.toHexString()}`
  return `j${BSON.EJSON.stringify(asRead({ _id }), { relaxed: false })}`
}
