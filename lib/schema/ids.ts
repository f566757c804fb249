import type { Check, IdCodec, IdType } from '../../types/index.js'
import { Double, Int32, Long, ObjectId, UUID } from '../bson.js'
import { idTest, longestId } from '../client/check.js'
import { attempt, invalid } from '../client/values.js'
import { OptionError } from '../errors.js'
import { decoding } from './convert.js'
import { regularExpression } from './keywords.js'
import { objectId, uuid } from './types.js'

/** The types of `_id` in documents, with their shape for MongoDB's validator and in words. */
export const idKinds = {
  string: { bsonType: 'string', words: 'text' },
  integer: { bsonType: ['int', 'long'], words: 'a whole number' },
  objectId: { bsonType: 'objectId', words: 'an ObjectId' },
  uuid: { bsonType: 'binData', words: 'a UUID' }
} as const

/** The ids of a collection. */
export interface Ids {
  /** The type of `_id`; absent for ids of the app's own type. */
  kind?: keyof typeof idKinds
  /** Their description, for the check on clients; absent for ids of the app's own type. */
  check?: Check
  /** `_id` of a client's id, or why it has none. */
  decode (text: unknown): unknown
}

/**
 * How the client's text becomes `_id`, and back.
 *
 * Text that is not canonical is refused, never normalised: the service would send the row back under its canonical id,
 * and the client would see it vanish and reappear as another row (Swift's `UUID().uuidString` is upper case).
 *
 * @throws {OptionError} for an id type that does not exist
 */
export function idsOf (table: string, id: IdType = 'string'): Ids {
  if (isCodec(id)) return customIds(table, id)
  const options = typeof id === 'string' ? { type: id } : id
  const { type, pattern, store } = { pattern: undefined, store: undefined, ...options }
  switch (type) {
    case 'string': return ids('string', stringCheck(table, pattern))
    case 'uuid': {
      const check: Check = { t: 's', e: uuid.e, re: uuid.re! }
      return store === 'bson' ? ids('uuid', check, text => new UUID(text)) : ids('string', check)
    }
    case 'objectId': return ids('objectId', { t: 's', e: objectId.e, re: objectId.re! }, text => new ObjectId(text))
    case 'integer': return ids('integer', { t: 'l', e: INTEGER }, integer)
  }
  const types = "'string', 'uuid', 'objectId', 'integer' or { decode, encode }"
  throw new OptionError(`collections.${table}.id`, `is of no known type: use ${types}`)
}

/** An object of the app, which may be of a class. */
const isCodec = (id: IdType): id is IdCodec =>
  ['decode', 'encode'].every(name => typeof Object(id)[name] === 'function')

const INTEGER = "a whole number of 64 bits other than 0, which PowerSync's service never syncs"
const OTHER = "an id in the form that the collection uses, and none that PowerSync's service never syncs, such as 0"

function ids (kind: Ids['kind'] & string, check: Check, make: (text: string) => unknown = text => text): Ids {
  const isId = idTest(check, decoding)
  return { kind, check, decode: decoder(check.e, text => isId(text) ? make(text) : undefined) }
}

const decoder = (expected: string, decode: (text: string) => unknown): Ids['decode'] => text => {
  const isText = typeof text === 'string'
  const value = isText ? decode(text) : undefined
  return value === undefined ? invalid(expected, isText ? 'other text' : 'no text').within('id') : value
}

function stringCheck (table: string, pattern: string | undefined): Check {
  const e = `text of 1 to ${longestId} bytes without NUL`
  if (pattern === undefined) return { t: 's', e }
  const matches = regularExpression(pattern)
  const problem = 'has a pattern that is not a regular expression with the flag u: correct it'
  if (!matches) throw new OptionError(`collections.${table}.id`, problem)
  return { t: 's', e: `${e} that matches ${matches}`, re: [[pattern, 'u']] }
}

/** Stored as int, or as long when it needs to be; MongoDB compares the two by value. */
function integer (text: string): unknown {
  const number = Number(text)
  return (number | 0) === number ? number : Long.fromString(text)
}

/**
 * The app's own, held to the same rule: what it decodes must encode to the very text. An error says no as well: the
 * text is all that they see, so that a client would send it again for ever.
 */
const customIds = (table: string, id: IdCodec): Ids => ({
  decode: decoder(OTHER, text => {
    const value = given(table, () => id.decode(text)) ?? undefined
    const isId = value !== undefined && !isNeverSynced(value) && given(table, () => id.encode(value)) === text
    return isId ? value : undefined
  })
})

/** @throws {Error} for a promise, which nobody waits for: the app is at fault for every id */
function given (table: string, work: () => unknown): unknown {
  const value = attempt(work)
  if (!(value instanceof Promise)) return value
  value.catch(() => {})
  throw new Error(`collections.${table}.id gave a promise: its functions are not async`)
}

/** PowerSync's service takes a row whose id is 0, false or empty for one without id. */
const isNeverSynced = (value: unknown): boolean =>
  value instanceof Long || value instanceof Int32 || value instanceof Double ? Number(value) === 0 : !value
