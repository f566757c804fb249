import { BSON, type mongodb } from '../bson.js'
import { JsonNumber, isShortest } from '../json.js'
import { typeWords } from '../type-words.js'
import type { Codec, Way } from './codec.js'
import { DecodeFault } from './faults.js'
import { forbiddenKey, isForbiddenKey } from './names.js'
import { integerText, isLong, numberText, toDecimal128, toNumber } from './numbers.js'
import { isWellFormed } from './text.js'

/** The service turns nested documents into JSON to this depth (PowerSync: module-mongodb, bufferToSqlite.ts). */
export const DEEPEST = 20

/** MongoDB's own limit, for what the app's code gives. */
const DEEPEST_BSON = 100

/** Any JSON value, stored as it came, and any BSON value that the app's own code gives. */
export function anyCodec (depth: number): Codec {
  const way = (way: Way) => (value: unknown) => convertAny(value, Math.max(depth, 1), way)
  return {
    decode: way('decode'),
    encode: way('encode'),
    expects: WORDS.decode,
    gives: WORDS.encode,
    shape: {},
    column: 'text',
    nullable: true,
    container: true
  }
}

const WORDS = { decode: 'any JSON value', encode: 'any BSON value' }

const fault = (expected: string, found: string) => new DecodeFault('INVALID_DATA', expected, found)

export const halfCharacter = () => fault('well-formed Unicode text', 'text with half a character')

/** Leaves out what is undefined, which the driver may write as null. */
function convertAny (value: unknown, depth: number, way: Way): unknown {
  switch (typeof value) {
    case 'boolean': return value
    case 'string': return isWellFormed(value) ? value : halfCharacter()
    case 'number': return way === 'encode' || Number.isFinite(value) ? value : fault('a finite number', 'a number beyond it')
    case 'bigint':
      if (way === 'decode') break
      return isLong(value) ? value : fault('a bigint of 64 bits', typeWords(value))
    case 'object': return value === null ? null : convertObject(value, depth, way)
  }
  return fault(WORDS[way], typeWords(value))
}

function convertObject (value: object, depth: number, way: Way): unknown {
  if (value instanceof JsonNumber) return numberOf(value) ?? fault('a number of at most 34 digits', 'a longer one')
  if (way === 'encode' && isBsonObject(value)) return value
  if (way === 'encode' && !isPlain(value)) return fault(WORDS.encode, typeWords(value))
  const deepest = way === 'encode' ? DEEPEST_BSON : DEEPEST
  if (depth > deepest) return fault(`JSON of at most ${deepest} levels`, 'a deeper one')
  const items: Iterable<[string | number, unknown]> = Array.isArray(value) ? value.entries() : Object.entries(value)
  const converted = (Array.isArray(value) ? [] : {}) as Record<string | number, unknown>
  for (const [step, item] of items) {
    const isName = typeof step === 'string'
    if (isName && way === 'encode' && item === undefined) continue
    const result = isName && isForbiddenKey(step) ? forbiddenKey() : convertAny(item, depth + 1, way)
    if (result instanceof DecodeFault) return result.within(step)
    converted[step] = result
  }
  return converted
}

/** The driver would write the properties of any other, which are seldom what it is. */
function isPlain (value: object): boolean {
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value))
}

/** What the driver writes as a type of its own. */
function isBsonObject (value: object): boolean {
  return value instanceof BSON.BSONValue || value instanceof RegExp || value instanceof Uint8Array ||
    (value instanceof Date && !Number.isNaN(value.getTime()))
}

/** Exactly the number of these digits: a double, else a long, else a decimal; undefined where MongoDB has none. */
function numberOf (value: JsonNumber): bigint | number | mongodb.Decimal128 | undefined {
  const digits = integerText(value)
  if (digits !== undefined && isLong(BigInt(digits))) return BigInt(digits)
  const number = toNumber(value)
  if (isShortest(number, value.text) || (Number.isInteger(number) && digits !== undefined)) return number
  const text = numberText(value)
  return text === undefined ? undefined : toDecimal128(text)
}
