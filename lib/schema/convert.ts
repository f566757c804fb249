import { BSON, Decimal128, Double, Int32, Long, type mongodb } from '../bson.js'
import type { Check } from '../../types/validators.js'
import { checking, converterOf, kinds, tooLong, type Convert, type Way } from '../client/check.js'
import {
  attempt, DecodeFault, integerText, invalid, isLong, isShortest, JsonNumber, numberText, parseDate, toNumber
} from '../client/values.js'
import { parseJson } from '../json.js'
import { isPlain, typeWords } from '../type-words.js'
import type { FieldType } from './types.js'

/** From what a client sent to BSON. */
export const decoding: Way = {
  ...checking,
  found: typeWords,
  kinds: { ...kinds, o: object, u: union },
  convert: made,
  parseDate: parseUsualDate,
  other: value => {
    if (typeof value !== 'object') return typeof value === 'number' ? finite(value) : undefined
    if (value instanceof JsonNumber) return numberOf(value)
    return isPlain(value) || Array.isArray(value) ? undefined : invalid('any JSON value', typeWords(value))
  },
  parse: parseJson
}

/** From the app's own values, in the types that hooks see, to BSON. A decoded value is its own encoded value. */
export const encoding: Way = {
  ...decoding,
  words: (type: FieldType) => type.gives,
  convert: (type: FieldType, way) => type.encode ?? made(type, way),
  other: given,
  deepest: 100, // MongoDB's own limit
  trusted: true
}

/** Objects have no other names than those that their type describes. */
interface ExactWay extends Way { exact?: true }

const exactly = (way: Way): ExactWay => ({ ...way, exact: true })

/** Hooks and `fastify.powersync.upload` may give other classes, whose properties are not their value, as of a Date. */
function object ({ i, x, ...check }: Check, way: ExactWay): Convert {
  const takesAny = check.k === undefined && i?.t === 'y'
  const convert = kinds.o({
    z: 1,
    ...check,
    ...i && !(way.exact && takesAny) && { i },
    ...way.exact ? { x: check.e } : x && !way.trusted && { x }
  }, way)
  return value => isPlain(value) ? convert(value) : undefined
}

/** A variant that describes all names of a value comes before those that take others as they are. */
function union (check: Check, way: ExactWay): Convert {
  const convert = kinds.u(check, way)
  if (way.exact) return convert
  const convertExactly = kinds.u(check, exactly(way))
  return value => convertExactly(value) ?? convert(value)
}

/** What a type makes of the converted value. */
function made (type: FieldType, way: Way): Convert | undefined {
  const { make } = type
  const read = make && kinds[type.t](type, way)
  return read && (value => {
    const converted = read(value)
    return converted === undefined || converted instanceof DecodeFault ? converted : make(converted)
  })
}

/** Most dates: as JavaScript and the service print them, on days that every month has. */
const USUAL_DATE =
  /^(?!00)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/

/** For these Date.parse takes four times as long. */
function parseUsualDate (text: string): number {
  if (!USUAL_DATE.test(text)) return parseDate(text)
  const two = (at: number) => text.charCodeAt(at) * 10 + text.charCodeAt(at + 1) - 11 * 48
  const milliseconds = two(20) * 10 + text.charCodeAt(22) - 48
  return Date.UTC(two(0) * 100 + two(2), two(5) - 1, two(8), two(11), two(14), two(17), milliseconds)
}

/** Converts a value that the driver read for hooks; undefined where they see the value itself. */
export function readerOf (
  { t, i, k = '', p = {}, o = [], read }: FieldType
): ((value: unknown) => unknown) | undefined {
  const inside = i && readerOf(i)
  switch (t) {
    case 'j': return inside
    case 'a': return inside && (value => Array.isArray(value) ? value.map(inside) : value)
    case 'o': {
      const readers = new Map(Object.entries(p).map(([name, [property]]) => [name, readerOf(property)]))
      if (!inside && [...readers.values()].every(reader => reader === undefined)) return undefined
      const others = new RegExp(k, 'u')
      const readerFor = (name: string) =>
        readers.has(name) ? readers.get(name) : attempt(() => others.test(name)) ? inside : undefined
      const property = ([name, value]: [string, unknown]): [string, unknown] =>
        [name, readerFor(name)?.(value) ?? value]
      return value => isPlain(value) ? Object.fromEntries(Object.entries(value).map(property)) : value
    }
    case 'u': {
      if (o.every(variant => !readerOf(variant))) return undefined
      const same = (value: unknown) => value
      const variants = [exactly(encoding), encoding].flatMap(way =>
        o.map(variant => ({ read: readerOf(variant) ?? same, encode: converterOf(variant, way) })))
      // In the type of the first variant that it is a value of.
      return value => {
        const variant = variants.find(({ read, encode }) => !(encode(read(value)) instanceof DecodeFault))
        return variant ? variant.read(value) : value
      }
    }
    default: return read
  }
}

const finite = (value: number) => Number.isFinite(value) ? value : invalid('a finite number', 'a number beyond it')

/** Exactly the number of these digits: a double, else a long, else a decimal. */
function numberOf (value: JsonNumber): unknown {
  const digits = integerText(value)
  if (digits !== undefined && isLong(BigInt(digits))) return BigInt(digits)
  const number = toNumber(value)
  if (isShortest(number, String(value)) || (Number.isInteger(number) && digits !== undefined)) return number
  const text = numberText(value)
  return (text === undefined ? undefined : toDecimal128(text)) ?? (Number.isNaN(number) ? tooLong() : number)
}

/** `fromString` throws on overflow and on digits that would be lost. */
export const toDecimal128 = (text: string): mongodb.Decimal128 | undefined =>
  attempt(() => Decimal128.fromString(text))

/** Values of BSON's own types. Of other classes the driver would write the properties, which are seldom their value. */
function given (value: unknown): unknown {
  if (value instanceof JsonNumber) return numberOf(value)
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return isLong(value) ? value : invalid('a bigint of 64 bits', typeWords(value))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const isBson = value instanceof BSON.BSONValue || value instanceof RegExp || value instanceof Uint8Array ||
    (value instanceof Date && !Number.isNaN(value.getTime()))
  return isBson ? value : isPlain(value) ? undefined : invalid('any BSON value', typeWords(value))
}

/** A number of the app's own code, in any of the driver's forms; NaN if it is not exact as a double. */
export function givenNumber (value: unknown): number {
  if (value instanceof Double || value instanceof Int32) return value.value
  if (typeof value === 'number') return value
  const integer = givenInteger(value)
  return integer !== undefined && BigInt(Number(integer)) === integer ? Number(integer) : NaN
}

/** The same of a whole number, exactly. */
export function givenInteger (value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value
  if (value instanceof Long) return value.toBigInt()
  const number = value instanceof Double || value instanceof Int32 ? value.value : value
  return Number.isSafeInteger(number) ? BigInt(number as number) : undefined
}
