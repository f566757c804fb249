import { Long, ObjectId, UUID } from '../bson.js'
import type { Collection, ThroughParent } from '../../types/collections.js'
import type { User } from '../../types/hooks.js'
import { rulesOf } from '../schema/collection.js'
import { DecodeFault } from '../client/values.js'

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
  return Object.freeze({ parent: table, field })
}

/**
 * The values that make a document a user's, by field; empty where no field decides it. Undefined when no row can be the
 * user's: a missing value, or null, must never become a condition that the rows of others meet.
 *
 * @param decode a value of the user as the field's type
 */
export function conditionsOf (
  owner: Collection['owner'], user: User, decode: (field: string, value: unknown) => unknown
): Record<string, unknown> | undefined {
  const values = typeof owner === 'function'
    ? owner(user)
    : Object.fromEntries(rulesOf(owner).fields
      .map(({ field, claim = 'id', value }) => [field, value ? value(user) : user[claim]]))
  if (typeof values !== 'object' || values === null) return undefined
  const conditions: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(values)) {
    const sent = asSent(value)
    const decoded = sent === undefined ? undefined : decode(field, sent)
    if (decoded === undefined || decoded instanceof DecodeFault) return undefined
    conditions[field] = decoded
  }
  return conditions
}

/** As a client would send it. Only single values have such a form: no null, and above all no object of operators. */
function asSent (value: unknown): unknown {
  if (typeof value === 'bigint' || [ObjectId, UUID, Long].some(type => value instanceof type)) return String(value)
  return typeof value === 'object' ? undefined : value
}
