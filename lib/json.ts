import { randomUUID } from 'node:crypto'
import { isHeld, JsonNumber, parseDigits } from './client/values.js'

/**
 * JSON.parse that loses no digit: a number that a double does not hold as it is written, or whose digits reach beyond
 * 2⁵³, becomes a `JsonNumber`. All else is as JSON.parse gives it: of equal names the last, `__proto__` as a name like
 * any other, and values of any depth.
 *
 * @throws {SyntaxError} for what is not JSON
 * @throws {RangeError} as `parseDigits` does
 */
export function parseJson (text: string): unknown {
  return hasExactNumber(text) ? parseDigits(text, randomUUID()) : JSON.parse(text)
}

/** JSON.stringify, with the digits of each `JsonNumber` or bigint: `parseJson` gives the same value again. */
export function stringifyJson (value: unknown): string | undefined {
  if (value instanceof JsonNumber || typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return `[${value.map(item => stringifyJson(item) ?? 'null').join()}]`
  if (Object.is(value, -0)) return '-0'
  if (typeof value !== 'object' || value === null || value instanceof Date) return JSON.stringify(value)
  const properties = Object.entries(value).map(([name, property]) => [JSON.stringify(name), stringifyJson(property)])
  return `{${properties.filter(([, property]) => property !== undefined).map(pair => pair.join(':')).join()}}`
}

/** A double holds every decimal of 15 digits; one that it does not hold has more, or an exponent of three digits. */
const SHORT = 15
const HIGH_EXPONENT = /(?:^|[\s:,[])-?\d[\d.]*[eE][-+]?\d{3}/
/** Nothing, or a character that stands before a number in JSON. */
const BEFORE_NUMBER = new Set([NaN, ...Buffer.from(' \t\n\r,:[-')])

/** Whether a number may have digits to keep. Looks at every fifteenth character, which is much quicker than parsing. */
function hasExactNumber (text: string): boolean {
  for (let at = 0; at < text.length; at += SHORT) {
    if (!isDigit(text.charCodeAt(at))) continue
    let start = at
    while (isDigit(text.charCodeAt(start - 1))) start--
    while (isDigit(text.charCodeAt(at))) at++
    if (at - start <= SHORT || !BEFORE_NUMBER.has(text.charCodeAt(start - 1))) continue
    if (isLetterE(text.charCodeAt(at)) || !isHeld(text.slice(start, at))) return true
  }
  return HIGH_EXPONENT.test(text)
}

/** Digits and dots. */
const isDigit = (code: number) => code >= 46 && code <= 57 && code !== 47

const isLetterE = (code: number) => code === 101 || code === 69
