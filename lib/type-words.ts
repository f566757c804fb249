import { jsonTypeWords } from './client/values.js'

/** The type of a value in words, for messages: a class by its name, as in `an ObjectId`. */
export function typeWords (value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (value instanceof Date && Number.isNaN(value.getTime())) return 'an invalid Date'
  const words = jsonTypeWords(value)
  const name: unknown = words === 'an object' && Object.getPrototypeOf(value)?.constructor?.name
  if (typeof name !== 'string' || name === '' || name === 'Object') return words
  return /^[AEIO]/.test(name) ? `an ${name}` : `a ${name}`
}

/** `a, b or c`. */
export function listWords (words: readonly string[]): string {
  const last = words.at(-1) ?? 'nothing'
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`
}

/** Whether all that an object says are its own properties: no class, whose methods and getters nothing would read. */
export function isPlain (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: object | null = Object.getPrototypeOf(value)
  // Of any realm: a test runner may have one of its own.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** As JSON has it: what is undefined is absent. */
export const present = (object: object) =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
