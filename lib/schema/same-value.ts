import { BSON, Decimal128, Double, Int32, Long } from '../bson.js'
import { isShortest } from '../client/values.js'
import { isPlain } from '../type-words.js'

/**
 * Whether two values are equal to MongoDB, whichever of JavaScript's forms they have: what hooks see of an operation is
 * a `bigint` or a `Double` where the driver reads a number or a `Long`.
 */
export function sameValue (a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (isNumber(a) && isNumber(b)) return sameNumber(a, b)
  if (!isObject(a) || !isObject(b)) return false
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameValue(item, b[index]))
  }
  // Documents that differ in the order of their fields are not equal to MongoDB.
  if (isPlain(a) && isPlain(b)) return sameValue(Object.entries(a), Object.entries(b))
  return bytesOf(a).equals(bytesOf(b))
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** By class and not by `_bsontype`, which clients could send. */
const isNumber = (value: unknown): boolean =>
  ['number', 'bigint'].includes(typeof value) || [Decimal128, Long, Double, Int32].some(type => value instanceof type)

/** As numbers, whole ones beyond 2⁵³ would equal their neighbours. */
function sameNumber (a: unknown, b: unknown): boolean {
  if (a instanceof Decimal128 || b instanceof Decimal128) return isShortest(String(a), String(b))
  const number = Number(a)
  return number === Number(b) &&
    (Number.isSafeInteger(number) || !Number.isInteger(number) || String(a) === String(b))
}

/** All of BSON's own types, dates, and UUIDs, which may be read as Binary. */
const bytesOf = (value: object): Buffer => Buffer.from(BSON.serialize({ value }))
