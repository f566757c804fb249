import type { TSchema } from '@sinclair/typebox'
import type { Place } from './codec.js'

/** A numeric keyword of a schema; undefined when it is not set. */
export function numberKeyword (schema: TSchema, keyword: string, place: Place): number | undefined {
  const value: unknown = schema[keyword]
  if (value === undefined || (typeof value === 'number' && !Number.isNaN(value))) return value
  return place.fail(`has ${keyword} set to something that is not a number`)
}

/** A pattern as Fastify's validator reads it: with the flag `u`, so that `.` is a character and `\p{L}` a letter. */
export function regularExpression (pattern: unknown): RegExp | undefined {
  try {
    return new RegExp(pattern as string, 'u')
  } catch {
    return undefined
  }
}

export interface Range<Value> {
  /** Undefined when every value of the type will do. */
  accepts: ((value: Value) => boolean) | undefined
  /** To append to what is expected, for example ` of at least 0`. */
  words: string
}

const BOUNDS = {
  minimum: { words: 'of at least', holds: <T extends number | bigint>(value: T, bound: T) => value >= bound },
  maximum: { words: 'of at most', holds: <T extends number | bigint>(value: T, bound: T) => value <= bound },
  exclusiveMinimum: { words: 'above', holds: <T extends number | bigint>(value: T, bound: T) => value > bound },
  exclusiveMaximum: { words: 'below', holds: <T extends number | bigint>(value: T, bound: T) => value < bound }
}

/** JSON Schema's ranges, for numbers. */
export function numberRange (schema: TSchema, place: Place): Range<number> {
  const read = (keyword: string) => numberKeyword(schema, keyword, place)
  return range(read, (value, divisor) => {
    const quotient = value / divisor // 0.3 / 0.1 is 2.9999999999999996
    return Math.abs(quotient - Math.round(quotient)) <= Number.EPSILON * Math.abs(quotient)
  })
}

/** The same for bigints, whose bounds may be numbers too. */
export function bigintRange (schema: TSchema, place: Place): Range<bigint> {
  const read = (keyword: string) => {
    const value: unknown = schema[keyword]
    if (value === undefined || typeof value === 'bigint') return value
    return Number.isSafeInteger(value) ? BigInt(value as number) : place.fail(`has ${keyword} set to something that is not a whole number`)
  }
  return range(read, (value, divisor) => value % divisor === 0n)
}

function range<Value extends number | bigint> (read: (keyword: string) => Value | undefined, divides: (value: Value, divisor: Value) => boolean): Range<Value> {
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
    tests.push(value => divides(value, divisor))
    words.push(`that is a multiple of ${divisor}`)
  }
  return {
    accepts: tests.length === 0 ? undefined : value => tests.every(test => test(value)),
    words: words.length === 0 ? '' : ` ${words.join(' and ')}`
  }
}
