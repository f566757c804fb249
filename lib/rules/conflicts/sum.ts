import { Decimal128, Double, Int32, Long, type mongodb } from '../../bson.js'
import { isShortest } from '../../client/values.js'

/** The numbers of the schema's types, as hooks have them. */
export type Summand = number | bigint | mongodb.Double | mongodb.Decimal128

/** A number as `digits` × 10^`exponent`. */
interface Decimal { digits: bigint, exponent: number }

/**
 * The exact sum of numbers, less others, in the form in which a client would send it: a number where the first is one
 * of JavaScript's, unless that would round a whole number, else text. NaN when one of them is no number.
 */
export function sum (plus: readonly [unknown, ...unknown[]], minus: readonly unknown[] = []): number | string {
  const added = plus.map(toDecimal)
  const taken = minus.map(toDecimal)
  const exponent = Math.min(...[...added, ...taken].map(decimal => decimal?.exponent ?? NaN))
  if (Number.isNaN(exponent)) return NaN
  const digits = total(added as Decimal[], exponent) - total(taken as Decimal[], exponent)
  const text = exponent === 0 ? `${digits}` : `${digits}E${exponent}`
  const isDouble = typeof plus[0] === 'number' || plus[0] instanceof Double || plus[0] instanceof Int32
  const number = Number(text)
  return isDouble && (exponent < 0 || Number.isSafeInteger(number) || isShortest(number, text)) ? number : text
}

/** The exact sum of two numbers, as decimal text. */
export function addDecimals (a: string, b: string): string {
  return String(sum([a, b]))
}

/** A double stands for its shortest text, so that 0.1 + 0.2 is 0.3. Of letters, numbers are in the driver's classes. */
function toDecimal (value: unknown): Decimal | undefined {
  const isNumber = [Double, Decimal128, Int32, Long].some(type => value instanceof type)
  if (!isNumber && !['number', 'bigint', 'string'].includes(typeof value)) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(String(value)) ?? []
  // More than Decimal128 has. Text of a collection without schema may say anything, and take all memory.
  if (!whole || Math.abs(Number(exponent)) > 10_000) return undefined
  return { digits: BigInt(`${sign}${whole}${fraction}`), exponent: Number(exponent) - fraction.length }
}

function total (decimals: Decimal[], exponent: number): bigint {
  return decimals.reduce((sum, decimal) => sum + decimal.digits * 10n ** BigInt(decimal.exponent - exponent), 0n)
}
