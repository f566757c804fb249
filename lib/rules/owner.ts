import { Long, ObjectId, UUID } from '../bson.js'
import type { ThroughParent } from '../../types/collections.js'
import type { User } from '../../types/hooks.js'
import { rulesOf } from '../schema/collection.js'
import { DecodeFault } from '../client/values.js'
import { isPlain, typeWords } from '../type-words.js'
import { claimOf } from '../user.js'
import type { RegisteredCollection } from './registry.js'

/**
 * An `owner` for rows that inherit their parent's owner: the parent that a row is in and the one that it goes to must
 * both be there and be the user's, by the `owner` of their table, which may be `throughParent` again.
 *
 * Parents are read in the MongoDB transaction that writes the row. They may come later in the same client transaction,
 * or be deleted by it. A PATCH or DELETE of a row that is not there changes nothing and succeeds, as in any table.
 *
 * @param table of the parents, one of `collections`
 * @param field that holds the parent's id
 * @example
 * collection({
 *   schema: Type.Object({ list_id: Type.String(), text: Type.String() }),
 *   owner: throughParent('lists', 'list_id')
 * })
 */
export function throughParent<const Field extends string> (table: string, field: Field): ThroughParent<Field> {
  return Object.freeze(new ThroughParentRule(table, field))
}

/** A class of its own: the result of an owner function cannot be taken for fields with these names. */
class ThroughParentRule<Field extends string> implements ThroughParent<Field> {
  constructor (readonly parent: string, readonly field: Field) {}
}

/**
 * The values that make a document a user's, by field; empty where no field decides it. Undefined when no row can be the
 * user's: a missing value, or null, must never become a condition that the rows of others meet.
 *
 * @throws {Error} for what a function of the app cannot mean, such as a Promise: the upload is retried until it changes
 */
export function conditionsOf (
  { table, definition: { owner }, schema }: RegisteredCollection, user: User
): Record<string, unknown> | undefined {
  const wrong = (value: unknown, expected: string) =>
    new Error(`collections.${table}.owner gave ${typeWords(value)}: expected ${expected}`)
  const values = typeof owner === 'function'
    ? owner(user)
    : Object.fromEntries(rulesOf(owner).fields
      .map(({ field, claim = 'id', value }) => [field, value ? value(user) : claimOf(user, claim)]))
  if (values === null) return undefined
  // An object without properties of its own would leave the user every row.
  if (!isPlain(values)) throw wrong(values, '{ field: value }, {} for every row, or null for none')
  const conditions: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(values)) {
    if (value instanceof Promise) throw wrong(value, 'a value: owner functions are not async')
    const sent = asSent(value)
    const decoded = sent === undefined ? undefined : schema.decodeField(field, sent)
    if (decoded === undefined || decoded instanceof DecodeFault) return undefined
    // Streams compare by the service's text: a claim '5.0' would write rows of 5, and never get them.
    const isNumber = typeof decoded === 'number' || typeof decoded === 'bigint'
    if (typeof sent === 'string' && isNumber && String(decoded) !== sent) return undefined
    conditions[field] = decoded
  }
  return conditions
}

/** As a client would send it. Only single values have such a form: no null, and above all no object of operators. */
function asSent (value: unknown): unknown {
  if (typeof value === 'bigint' || [ObjectId, UUID, Long].some(type => value instanceof type)) return String(value)
  return typeof value === 'object' ? undefined : value
}
