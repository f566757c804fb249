import { Long, ObjectId, UUID } from '../bson.js'
import type { Collection } from '../../types/collections.js'
import type { User } from '../../types/hooks.js'
import { DecodeFault } from '../schema/faults.js'

/**
 * What a document must hold to be a user's, by field; empty where there is no owner. Undefined when no row can be the
 * user's: a condition that is missing, or null, must not turn into one that the rows of others meet.
 *
 * @param decode a value of the user as the field's type
 */
export function ownerOf (owner: Collection['owner'], user: User, decode: (field: string, value: unknown) => unknown): Record<string, unknown> | undefined {
  const values = typeof owner === 'function' ? owner(user) : Object.fromEntries(owner.map(({ field, value }) => [field, value ? value(user) : user.id]))
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

/** As a client would send it. Anything else than single values, an object of operators above all, is none. */
function asSent (value: unknown): unknown {
  if (typeof value === 'bigint' || value instanceof ObjectId || value instanceof UUID || value instanceof Long) return String(value)
  return typeof value === 'object' ? undefined : value
}
