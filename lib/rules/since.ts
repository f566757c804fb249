import { hash } from 'node:crypto'
import type { mongodb } from '../bson.js'
import type { CrudOperation, Since } from '../../types/index.js'
import { applyPlan, hasKeys, ownedBy, type FieldChanges, type Plan } from './plan.js'
import type { CollectionRegistry, UserCollections } from './registry.js'
import { readRows, rowOfId, type RuleScope } from './rows.js'
import { addDecimals } from './conflicts/sum.js'

/** A row as letters name it. */
export const markOf = (row: string): string => hash('sha256', row, 'base64url').slice(0, 16)

/** The row of an uploaded operation, if its table and id are known. */
export function rowOfUploaded ({ table, id }: CrudOperation, collections: CollectionRegistry): string | undefined {
  return collections.has(table) ? rowOfId(collections.get(table), id) : undefined
}

export const replaced = (row: string): Since => ({ row, replaced: true, set: {}, unset: [], sums: {} })

/** Adds a plan that was applied, whether or not it found its row. */
export function fold (since: Since | undefined, plan: Plan, ofUser: UserCollections): Since {
  const { row, change } = plan
  if (since?.replaced || change.kind !== 'patch') return replaced(row)
  const { set, unset, sums } = since ?? { set: {}, unset: [], sums: {} }
  const folded: Since = { row, replaced: false, set: { ...set }, unset: [...unset], sums: { ...sums } }
  for (const field of change.unset) clear(folded, field).unset.push(field)
  for (const [field, value] of Object.entries(change.set)) {
    const added = change.sums[field]
    if (added === undefined) clear(folded, field).set[field] = value
    else if (field in folded.set) folded.set[field] = adderOf(plan, ofUser)(field, folded.set[field], added)
    else folded.sums[field] = addDecimals(folded.sums[field] ?? '0', added)
  }
  return folded
}

/** The same without these fields. */
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
 */
export async function beneath (
  plans: readonly Plan[], since: ReadonlyMap<string, Since>, { ofUser, context }: RuleScope
): Promise<Plan[]> {
  const rows = new Map<string, Plan[]>()
  for (const plan of plans) rows.set(plan.row, [...rows.get(plan.row) ?? [], plan])
  const documents = await readRows(context, plans.filter(({ row }) => since.has(row)))
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
  /** The plans' effect on the present document, as long as it is not replaced. */
  let patch: FieldChanges | undefined = stored ? { set: {}, unset: [], sums: {} } : undefined
  /** The document that the plans make. */
  let made: mongodb.Document | null = null
  for (const plan of plans) {
    const { change } = plan
    if (!patch) made = applyPlan(plan, made)
    else if (change.kind === 'patch' || (change.kind === 'put' && change.existing === 'merge')) {
      patch = joined(patch, change)
    } else if (change.kind !== 'put' || change.existing !== 'keep') {
      made = applyPlan(plan, stored)
      patch = undefined
    }
  }
  const last = plans.at(-1)!
  const add = adderOf(last, ofUser)
  if (patch) return patched(last, patch, later, add)
  if (!made) return stored ? [{ ...last, change: { kind: 'delete' } }] : []
  const set = over(made, later, add)
  return [{ ...last, change: { kind: 'put', existing: 'replace', set, unset: [], onInsert: {}, sums: {} } }]
}

function joined (before: FieldChanges, { set, unset, sums }: FieldChanges): FieldChanges {
  const names = new Set([...unset, ...Object.keys(set)])
  return {
    set: { ...Object.fromEntries(Object.entries(before.set).filter(([field]) => !names.has(field))), ...set },
    unset: [...before.unset.filter(field => !names.has(field)), ...unset],
    // A sum on top of what these plans set is no longer one on top of what the document has.
    sums: Object.fromEntries(Object.keys({ ...before.sums, ...sums })
      .filter(field => field in sums ? !(field in before.set) || field in before.sums : !names.has(field))
      .map(field => [field, sums[field] ?? before.sums[field]!]))
  }
}

/** On a document that is there, what was set since stays as it is by now. */
function patched (plan: Plan, { set, unset, sums }: FieldChanges, later: Since, add: Add): Plan[] {
  const open = (field: string) => !(field in later.set) && !later.unset.includes(field)
  const values = Object.entries(set).filter(([field]) => open(field)).map(([field, value]) => {
    const added = later.sums[field]
    // The document has what was added since already.
    return [field, added === undefined || field in sums ? value : add(field, value, added)] as const
  })
  const change = { kind: 'patch', set: Object.fromEntries(values), unset: unset.filter(open), sums: {} } as const
  return hasKeys(change.set) || change.unset.length ? [{ ...plan, change }] : []
}

/** A document that comes into being, with the later changes over it. */
function over (document: mongodb.Document, { set, unset, sums }: Since, add: Add): mongodb.Document {
  const { _id, ...fields } = document
  const result: mongodb.Document = { ...fields, ...set }
  for (const field of unset) delete result[field]
  for (const [field, added] of Object.entries(sums)) result[field] = add(field, fields[field] ?? null, added)
  return result
}
