import { Double, Int32, Long, ObjectId, UUID } from '../bson.js'
import type { IdCodec, IdType } from '../../types/collections.js'
import { OptionError } from '../errors.js'
import { regularExpression } from './constraints.js'
import { DecodeFault } from './faults.js'
import { integerText, isLong } from './numbers.js'
import { isWellFormed } from './text.js'

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
    case 'uuid': return type.store === 'bson' ? bsonUuid : textUuid
    case 'objectId': return objectId
    case 'integer': return integer
    default: throw new OptionError(`collections.${table}.id`, "is of no known type: use 'string', 'uuid', 'objectId', 'integer' or { decode, encode }")
  }
}

/** The `_id` of a row, or why it has none. */
export function decodeId (codec: CompiledId, text: string): unknown {
  const value = typeof text === 'string' ? codec.decode(text) : undefined
  return value === undefined ? new DecodeFault('INVALID_DATA', 'id', codec.expects, typeof text === 'string' ? 'other text' : 'no text') : value
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

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const OBJECT_ID = /^[0-9a-f]{24}$/

const textUuid: CompiledId = {
  expects: 'a UUID in lower case with hyphens',
  decode: text => CANONICAL_UUID.test(text) ? text : undefined,
  encode: String
}

const bsonUuid: CompiledId = {
  ...textUuid,
  decode: text => CANONICAL_UUID.test(text) ? new UUID(text) : undefined
}

const objectId: CompiledId = {
  expects: '24 lower-case hexadecimal digits',
  decode: text => OBJECT_ID.test(text) ? new ObjectId(text) : undefined,
  encode: String
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
