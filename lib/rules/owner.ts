import { Long, ObjectId, UUID } from '../bson.js'
import type { User } from '../../types/hooks.js'
import { rulesOf } from '../schema/collection.js'
import { DecodeFault } from '../client/values.js'
import { isPlain, typeWords } from '../type-words.js'
import { claimOf } from '../user.js'
import type { RegisteredCollection } from './registry.js'

/**
 * The values that make a document a user's, by field; empty where no field decides it. Undefined when no row can be the
 * user's: a missing value, or null, must never become a condition that the rows of others meet.
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
    // Streams compare by the service's text: with '5.0' or 'true' a user would write rows of 5 or true, and get none.
    const number = typeof decoded === 'boolean' ? Number(decoded) : decoded
    const isNumber = typeof number === 'number' || typeof number === 'bigint'
    if (typeof sent === 'string' && isNumber && String(number) !== sent) return undefined
    conditions[field] = decoded
  }
  return conditions
}

/** As a client would send it. Only single values have such a form: no null, no empty text, no object of operators. */
function asSent (value: unknown): unknown {
  if (typeof value === 'bigint' || [ObjectId, UUID, Long].some(type => value instanceof type)) return String(value)
  return typeof value === 'object' || value === '' ? undefined : value
}
