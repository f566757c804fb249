import type { IdCodec, IdType } from '../../types/collections.js'
import { Double, Int32, Long, ObjectId, UUID } from '../bson.js'
import { OptionError } from '../errors.js'
import { OF_DRIVER, scalar } from './codec.js'
import { DecodeFault } from './faults.js'
import { regularExpression } from './keywords.js'
import { integerText, isLong } from './numbers.js'
import { isWellFormed } from './text.js'

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const OBJECT_ID = /^[0-9a-f]{24}$/

/** The types of ids that fields may have too. */
export const uuid = scalar('text', { bsonType: 'binData' },
  value => typeof value === 'string' && CANONICAL_UUID.test(value) ? new UUID(value) : undefined, 'a UUID in lower case with hyphens',
  value => value instanceof UUID ? value : undefined, `a UUID ${OF_DRIVER}`)

export const objectId = scalar('text', { bsonType: 'objectId' },
  value => typeof value === 'string' && OBJECT_ID.test(value) ? new ObjectId(value) : undefined, '24 lower-case hexadecimal digits',
  value => value instanceof ObjectId ? value : undefined, `an ObjectId ${OF_DRIVER}`)

/** An id codec that says what it accepts, for messages. */
export interface CompiledId extends IdCodec { expects: string }

const LONGEST = 1024 // bytes

/**
 * The ids of a collection: how the client's text becomes `_id`, and back.
 *
 * Text that is not canonical is refused, never normalised: the service would send the row back under its canonical id,
 * and the client would see it vanish and reappear as another row (Swift's `UUID().uuidString` is upper case).
 *
 * @throws {OptionError} for an id type that does not exist
 */
export function compileId (table: string, id: IdType = 'string'): CompiledId {
  if (typeof id === 'object' && 'decode' in id) return customId(id)
  const type: Exclude<IdType, string | IdCodec> = typeof id === 'string' ? { type: id } : id
  switch (type.type) {
    case 'string': return stringId(table, type.pattern)
    case 'uuid': return { ...uuid, encode: String, ...type.store !== 'bson' && { decode: text => CANONICAL_UUID.test(text) ? text : undefined } }
    case 'objectId': return { ...objectId, encode: String }
    case 'integer': return integer
    default: throw new OptionError(`collections.${table}.id`, "is of no known type: use 'string', 'uuid', 'objectId', 'integer' or { decode, encode }")
  }
}

/** The `_id` of a row, or why it has none. */
export function decodeId (codec: CompiledId, text: string): unknown {
  const value = typeof text === 'string' ? codec.decode(text) : undefined
  return value === undefined ? new DecodeFault('INVALID_DATA', codec.expects, typeof text === 'string' ? 'other text' : 'no text').within('id') : value
}

function stringId (table: string, pattern: string | undefined): CompiledId {
  const matches = pattern === undefined ? undefined : regularExpression(pattern)
  if (pattern !== undefined && !matches) throw new OptionError(`collections.${table}.id`, 'has a pattern that is not a regular expression with the flag u: correct it')
  return {
    expects: `text of 1 to ${LONGEST} bytes without NUL${matches ? ` that matches ${matches}` : ''}`,
    decode: text => {
      const fits = text.length > 0 && text.length <= LONGEST && (text.length <= LONGEST / 3 || Buffer.byteLength(text) <= LONGEST)
      return fits && !text.includes('\0') && isWellFormed(text) && matches?.test(text) !== false ? text : undefined
    },
    encode: String
  }
}

/** PowerSync's service takes a row whose id is 0, false or empty for one without id. */
const isNeverSynced = (value: unknown): boolean =>
  typeof value === 'object' ? (value instanceof Long || value instanceof Int32 || value instanceof Double) && Number(value) === 0 : !value

/** Stored as int, or as long when it needs to be; MongoDB compares the two by value. */
const integer: CompiledId = {
  expects: "a whole number of 64 bits other than 0, which PowerSync's service never syncs",
  decode: text => {
    if (integerText(text) === undefined || text === '0' || text === '-0') return undefined
    const number = Number(text)
    if ((number | 0) === number) return number
    const long = BigInt(text)
    return isLong(long) ? Long.fromBigInt(long) : undefined
  },
  encode: String
}

/** The app's own, held to the same rule: what it decodes must encode to the very text. */
function customId (id: IdCodec): CompiledId {
  return {
    expects: "an id in the form that the collection uses, and none that PowerSync's service never syncs, such as 0",
    decode: text => {
      const value = id.decode(text)
      return value !== undefined && value !== null && !isNeverSynced(value) && id.encode(value) === text ? value : undefined
    },
    encode: value => id.encode(value)
  }
}
