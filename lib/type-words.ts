import { JsonNumber } from './json.js'

/** The type of a value in words, for messages. */
export function typeWords (value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof JsonNumber) return WORDS.number
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (value instanceof Date && Number.isNaN(value.getTime())) return 'an invalid Date'
  return typeof value === 'object' ? objectWords(value) : WORDS[typeof value]
}

/** A class by its name: `a Date`, `an ObjectId`. */
function objectWords (value: object): string {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  if (typeof name !== 'string' || name === '' || name === 'Object') return WORDS.object
  return /^[AEIO]/.test(name) ? `an ${name}` : `a ${name}`
}

const WORDS = {
  undefined: 'nothing',
  string: 'text',
  number: 'a number',
  boolean: 'a boolean',
  object: 'an object',
  bigint: 'a bigint',
  function: 'a function',
  symbol: 'a symbol'
}

/** `a, b or c`. */
export function listWords (words: readonly string[]): string {
  const last = words.at(-1) ?? 'nothing'
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`
}
