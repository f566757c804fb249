import { hash } from 'node:crypto'
import type { mongodb } from '../bson.js'
import type { CrudOperation, Since } from '../../types/index.js'
import { applyPlan, changes, ownedBy, type Plan } from './plan.js'
import type { CollectionRegistry, UserCollections } from './registry.js'
import { readRows, rowOfId, type RuleScope } from './rows.js'
import { fieldOf } from './conflicts/resolver.js'
import { addDecimals } from './conflicts/sum.js'

/** A row as letters name it. */
export const markOf = (row: string): string => hash('sha256', row, 'base64url').slice(0, 16)

/** The row of an uploaded operation, if its table and id are known. */
export function rowOfUploaded ({ table, id }: CrudOperation, collections: CollectionRegistry): string | undefined {
  return collections.has(table) ? rowOfId(collections.get(table), id) : undefined
}

export const replaced = (row: string): Since => ({ row, replaced: true, set: {}, unset: [], sums: {} })

/** Adds a plan that was applied, whether or not it found its row. */
export function fold (since: Since | undefined, { row, change, operation }: Plan, ofUser: UserCollections): Since {
  if (since?.replaced || change.kind !== 'patch') return replaced(row)
  const { set, unset, sums } = since ?? { set: {}, unset: [], sums: {} }
  const folded: Since = { row, replaced: false, set: { ...set }, unset: [...unset], sums: { ...sums } }
  const { hooks } = ofUser(operation).shared
  // A letter's hook has these before it, and adds its own to them.
  const merged = hooks.resolveConflict.flatMap(({ merges = [] }) => merges)
  for (const field of change.unset) clear(folded, field).unset.push(field)
  for (const [field, value] of Object.entries(change.set).filter(([field]) => !merged.includes(field))) {
    const added = fieldOf(change.sums, field)
    if (added === undefined) clear(folded, field).set[field] = value
    else folded.sums[field] = addDecimals(fieldOf(folded.sums, field) ?? '0', added)
  }
  return folded
}

export function without (since: Since, fields: readonly string[]): Since {
  const { set, unset, sums } = since
  return fields.reduce(clear, { ...since, set: { ...set }, unset, sums: { ...sums } })
}

function clear (since: Since, field: string): Since {
  delete since.set[field]
  delete since.sums[field]
  since.unset = since.unset.filter(other => other !== field)
  return since
}

/** Adds an amount to the value of a field of a plan's row, in the field's type. */
type Add = (field: string, value: unknown, added: string) => unknown

const adderOf = ({ operation }: Plan, ofUser: UserCollections): Add =>
  (field, value, added) => ofUser(operation).shared.addTo(field, value, added, operation)

/**
 * Puts a rejected transaction's plans under what its client has changed since: what they give is the difference between
 * two rows, the one with the later changes over it, and the one with the plans and then the later changes.
 *
 * @param documents as they were before the first of the transaction's plans: what is missing is read into it
 */
export async function beneath (
  plans: readonly Plan[], since: ReadonlyMap<string, Since>, { ofUser, context }: RuleScope,
  documents: Map<string, mongodb.Document | null>
): Promise<Plan[]> {
  const rows = new Map<string, Plan[]>()
  for (const plan of plans) rows.set(plan.row, [...rows.get(plan.row) ?? [], plan])
  const unread = plans.filter(({ row }) => since.has(row) && !documents.has(row))
  const found = await readRows(context, unread)
  for (const { row } of unread) documents.set(row, found.get(row) ?? null)
  return [...rows].flatMap(([row, own]) => {
    const later = since.get(row)
    const document = documents.get(row) ?? null
    if (!later || (document && !ownedBy(document, own[0]!.owner))) return own
    return later.replaced ? [] : differenceOf(own, later, document, ofUser)
  })
}

function differenceOf (
  plans: readonly Plan[], later: Since, stored: mongodb.Document | null, ofUser: UserCollections
): Plan[] {
  /** What the plans set in the present document, undefined for what they unset, as long as it is not replaced. */
  let fields = stored ? new Map<string, unknown>() : undefined
  /** Those of the fields that are no sums on top of what the document has. */
  const absolute = new Set<string>()
  /** The document that the plans make. */
  let made: mongodb.Document | null = null
  for (const plan of plans) {
    const { change } = plan
    if (!fields) made = applyPlan(plan, made)
    else if (change.kind === 'patch' || (change.kind === 'put' && change.existing === 'merge')) {
      for (const [field, value] of [...change.unset.map(name => [name] as const), ...Object.entries(change.set)]) {
        fields.set(field, value)
        if (!Object.hasOwn(change.sums, field)) absolute.add(field)
      }
    } else if (change.kind !== 'put' || change.existing !== 'keep') {
      made = applyPlan(plan, stored)
      fields = undefined
    }
  }
  const last = plans.at(-1)!
  const add = adderOf(last, ofUser)
  if (!fields) {
    // A document that is not stored may be there from another part of the transaction.
    if (!made) return [{ ...last, change: { kind: 'delete' } }]
    const set = over(made, later, add)
    return [{ ...last, change: { kind: 'put', existing: 'replace', set, unset: [], onInsert: {}, sums: {} } }]
  }
  const set: mongodb.Document = {}
  const unset: string[] = []
  for (const [field, value] of fields) {
    // What was set since stays as it is by now. What was added since, the document has already.
    if (Object.hasOwn(later.set, field) || later.unset.includes(field)) continue
    const added = absolute.has(field) ? fieldOf(later.sums, field) : undefined
    const result = added === undefined ? value : add(field, value, added)
    if (result === undefined) unset.push(field)
    else set[field] = result
  }
  const plan: Plan = { ...last, change: { kind: 'patch', set, unset, sums: {} } }
  return changes(plan) ? [plan] : []
}

/** A document that comes into being, with the later changes over it. */
function over (document: mongodb.Document, { set, unset, sums }: Since, add: Add): mongodb.Document {
  const { _id, ...fields } = document
  const result: mongodb.Document = { ...fields, ...set }
  for (const field of unset) delete result[field]
  for (const [field, added] of Object.entries(sums)) result[field] = add(field, fieldOf(result, field) ?? null, added)
  return result
}
