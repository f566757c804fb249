import type { TSchema } from '@sinclair/typebox'
import { Decimal128, Double, Int32, Long, type mongodb } from '../bson.js'
import { isShortest, JsonNumber } from '../json.js'
import type { Place } from './codec.js'
import { numberKeyword } from './keywords.js'

/**
 * A number as clients send it: a JSON number, or its text. Kotlin and Swift send every value as text, and print a
 * real as `2.5`, `1.0E10` or `1e+16`. No plus sign, no leading zeros, no blanks, no `0x10`.
 */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const INTEGER = /^-?(?:0|[1-9]\d*)$/

/** More than the longest number that any of these types prints; keeps a megabyte of digits away from the parsers. */
const LONGEST = 400

/** The text of a number that was sent as text, or whose digits were kept; undefined for all else. */
export function numberText (value: unknown): string | undefined {
  const text = value instanceof JsonNumber ? value.text : value
  return typeof text === 'string' && text.length <= LONGEST && NUMBER.test(text) ? text : undefined
}

/** The same of a whole number without fraction or exponent. */
export function integerText (value: unknown): string | undefined {
  const text = numberText(value)
  return text !== undefined && INTEGER.test(text) ? text : undefined
}

/**
 * Whether a number in the body may be what a JavaScript client rounded a longer one to: it is beyond 2⁵³, and printed
 * as JavaScript prints it. Its SDK parses a row's values before anybody can look at them. In the text of a JSON
 * column, the digits are those of the client's database.
 */
export const maybeRounded = (value: unknown): boolean =>
  typeof value === 'number' ? Number.isInteger(value) && !Number.isSafeInteger(value) : value instanceof JsonNumber && isShortest(Number(value), value.text)

/** NaN when the value is not a number, is not finite, or would lose precision as a double. */
export function toNumber (value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? value : NaN
  const text = numberText(value)
  if (text === undefined) return NaN
  const number = Number(text)
  return Number.isFinite(number) && holds(number, text) ? number : NaN
}

/**
 * Is the number what the text says? A double prints itself with at most 17 digits, whoever prints it, and a whole
 * number can be looked at exactly.
 */
function holds (number: number, text: string): boolean {
  const digits = text.replace(/e.*$/i, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
  if (number === 0) return digits === 0 // else it was too small
  if (digits <= 15) return true
  return INTEGER.test(text) ? BigInt(text) === BigInt(number) || isShortest(number, text) : digits <= 17
}

/** The number that the app's own code gave, in any of the driver's forms; NaN when it is none, or not exact as a double. */
export function givenNumber (value: unknown): number {
  if (value instanceof Double || value instanceof Int32) return value.value
  if (typeof value === 'number') return value
  const integer = givenInteger(value)
  return integer !== undefined && BigInt(Number(integer)) === integer ? Number(integer) : NaN
}

/** The same of a whole number, exactly; undefined when it is none. */
export function givenInteger (value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value
  if (value instanceof Long) return value.toBigInt()
  const number = value instanceof Double || value instanceof Int32 ? value.value : value
  return Number.isSafeInteger(number) ? BigInt(number as number) : undefined
}

/** A whole number that MongoDB stores as long. */
export const isLong = (integer: bigint): boolean => BigInt.asIntN(64, integer) === integer

/** `fromString` throws on overflow and on digits that would be lost. */
export function toDecimal128 (text: string): mongodb.Decimal128 | undefined {
  try {
    return Decimal128.fromString(text)
  } catch {
    return undefined
  }
}

export interface Range<Value> {
  accepts (value: Value): boolean
  /** To append to what is expected, for example ` of at least 0`. */
  words: string
}

type Bound = number | bigint

const BOUNDS: Record<string, { words: string, holds (value: Bound, bound: Bound): boolean }> = {
  minimum: { words: 'of at least', holds: (value, bound) => value >= bound },
  maximum: { words: 'of at most', holds: (value, bound) => value <= bound },
  exclusiveMinimum: { words: 'above', holds: (value, bound) => value > bound },
  exclusiveMaximum: { words: 'below', holds: (value, bound) => value < bound }
}

/** JSON Schema's ranges, for numbers. */
export function numberRange (schema: TSchema, place: Place): Range<number> {
  return rangeOf(place, keyword => numberKeyword(schema, keyword, place), (value, divisor) => {
    const quotient = value / divisor // 0.3 / 0.1 is 2.9999999999999996
    return Math.abs(quotient - Math.round(quotient)) <= Number.EPSILON * Math.abs(quotient)
  })
}

/** The same for bigints, whose bounds may be numbers too. */
export function bigintRange (schema: TSchema, place: Place): Range<bigint> {
  return rangeOf(place, keyword => {
    const value: unknown = schema[keyword]
    if (value === undefined || typeof value === 'bigint') return value
    return Number.isSafeInteger(value) ? BigInt(value as number) : place.fail(`has ${keyword} set to something that is not a whole number`)
  }, (value, divisor) => value % divisor === 0n)
}

function rangeOf<Value extends Bound> (place: Place, read: (keyword: string) => Value | undefined, divides: (value: Value, divisor: Value) => boolean): Range<Value> {
  const tests: Array<(value: Value) => boolean> = []
  const words: string[] = []
  for (const [keyword, bound] of Object.entries(BOUNDS)) {
    const limit = read(keyword)
    if (limit === undefined) continue
    tests.push(value => bound.holds(value, limit))
    words.push(`${bound.words} ${limit}`)
  }
  const divisor = read('multipleOf')
  if (divisor !== undefined) {
    if (divisor <= 0) place.fail('has multipleOf set to something that is not above 0')
    tests.push(value => divides(value, divisor))
    words.push(`that is a multiple of ${divisor}`)
  }
  return { accepts: value => tests.every(test => test(value)), words: words.length === 0 ? '' : ` ${words.join(' and ')}` }
}
