import { DecodeFault } from './faults.js'
import { isWellFormed, listWords } from './text.js'

/**
 * Keys that uploaded data may have nowhere, at no depth: operators and paths to MongoDB (`$…`, `.`), what BSON cannot
 * hold (NUL, lone surrogates), what changes a JavaScript object's nature (`__proto__`), and `_bsontype`, with which
 * the driver recognises its own classes: it throws on a plain object that has it, for every retry again.
 */
export function isForbiddenKey (key: string): boolean {
  return key.charCodeAt(0) === 36 || key === '__proto__' || key === '_bsontype' ||
    key.includes('.') || key.includes('\0') || !isWellFormed(key)
}

/** The same for columns. The row's id is not part of its data; and `$set` has no word for an empty name. */
export function isForbiddenColumn (column: string): boolean {
  return column === '_id' || column === 'id' || column === '' || isForbiddenKey(column)
}

/** The rule in words. */
export const NAME_RULE = 'a name other than _id, id, __proto__ and _bsontype that is not empty, does not start with "$" and contains neither "." nor NUL'

/** The fault of a name that uploaded data may never have. */
export function forbiddenName (path: string): DecodeFault {
  return new DecodeFault('INVALID_DATA', path, NAME_RULE, 'a name that data never set')
}

/** The fault of a name that the schema does not have. */
export function unknownName (path: string, expected: string): DecodeFault {
  return new DecodeFault('SCHEMA_MISMATCH', path, expected, 'another name', 'is not in the schema')
}

/** The names of a schema, in words. */
export function knownNames (names: readonly string[]): string {
  if (names.length <= 20) return `one of ${listWords(names)}`
  return `one of ${names.slice(0, 20).join(', ')}, …`
}
