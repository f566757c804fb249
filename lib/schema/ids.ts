import { Long, ObjectId, UUID } from '../bson.js'
import type { IdCodec, IdType } from '../../types/collections.js'
import { OptionError } from '../errors.js'
import { DecodeFault } from './faults.js'
import { isIntegerText } from './numbers.js'
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
  const matches = pattern === undefined ? undefined : regularExpression(table, pattern)
  return {
    expects: `text of 1 to ${LONGEST} bytes without NUL${matches ? ` that matches ${matches}` : ''}`,
    decode: text => {
      const fits = text.length > 0 && text.length <= LONGEST && (text.length <= LONGEST / 3 || Buffer.byteLength(text) <= LONGEST)
      return fits && !text.includes('\0') && isWellFormed(text) && matches?.test(text) !== false ? text : undefined
    },
    encode: String
  }
}

function regularExpression (table: string, pattern: string): RegExp {
  try {
    return new RegExp(pattern)
  } catch {
    throw new OptionError(`collections.${table}.id`, 'has a pattern that is not a regular expression: correct it')
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

/** Stored as int, or as long when it needs to be; MongoDB compares the two by value. */
const integer: CompiledId = {
  expects: 'a whole number of 64 bits',
  decode: text => {
    if (!isIntegerText(text) || text === '-0') return undefined
    const number = Number(text)
    if ((number | 0) === number) return number
    const long = BigInt(text)
    return BigInt.asIntN(64, long) === long ? Long.fromBigInt(long) : undefined
  },
  encode: String
}

/** The app's own, held to the same rule: what it decodes must encode to the very text. */
function customId (id: IdCodec): CompiledId {
  return {
    expects: 'an id in the form that the collection uses',
    decode: text => {
      const value = id.decode(text)
      return value !== undefined && value !== null && id.encode(value) === text ? value : undefined
    },
    encode: value => id.encode(value)
  }
}
