import { Double, type mongodb } from '../../bson.js'

/** What the values of a field have to be for one to come after another: times, numbers, or text that sorts as such. */
export type Ordered = Date | number | bigint | mongodb.Double | string

/** Whether `a` comes before `b`; undefined when one of them is missing, or they are of kinds that cannot be compared. */
export function isBefore (a: unknown, b: unknown): boolean | undefined {
  const left = rank(a)
  const right = rank(b)
  if (left === undefined || right === undefined || (typeof left === 'string') !== (typeof right === 'string')) return undefined
  return left < right
}

function rank (value: unknown): number | bigint | string | undefined {
  if (value instanceof Date || value instanceof Double) return value.valueOf()
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string' ? value : undefined
}
