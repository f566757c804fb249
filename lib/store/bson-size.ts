import { BSON, Double, ObjectId, type mongodb } from '../bson.js'

/** Bytes of a document as BSON. */
export const bytesOf = (document: mongodb.Document): number => BSON.calculateObjectSize(document, { ignoreUndefined: true })

/** How many bytes a value takes at most, in a sixth of the time that the exact number takes: each letter counts as three. */
export function mostBytesOf (value: unknown): number {
  if (typeof value === 'string') return 5 + 3 * value.length
  if (typeof value !== 'object' || value === null || value instanceof Date) return 8
  if (value instanceof ObjectId || value instanceof Double) return 12
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype) return bytesOf({ value })
  let bytes = 5
  for (const key in value) bytes += 2 + 3 * key.length + mostBytesOf((value as Record<string, unknown>)[key])
  return bytes
}
