import { listWords } from '../type-words.js'
import { DecodeFault } from './faults.js'
import { isWellFormed } from './text.js'

/**
 * Keys that nothing may have at any depth: what BSON cannot hold (NUL, lone surrogates), what changes a JavaScript
 * object's nature (`__proto__`), and `_bsontype`, with which the driver recognises its own classes: it throws on a plain
 * object that has it, for every retry again. Dots and dollars are text to MongoDB ≥ 5 within a value.
 */
export function isForbiddenKey (key: string): boolean {
  return key === '__proto__' || key === '_bsontype' || key.includes('\0') || !isWellFormed(key)
}

/**
 * The same for columns, which become fields of the document, and so the names of an update: there `$` starts an operator,
 * `.` a path, and an empty name has no word. The row's id is not part of its data.
 */
export function isForbiddenColumn (column: string): boolean {
  return column === '_id' || column === 'id' || column === '' || column.startsWith('$') || column.includes('.') || isForbiddenKey(column)
}

export const KEY_RULE = 'a name other than __proto__ and _bsontype without NUL'

/** The rule for columns in words. */
export const NAME_RULE = 'a name other than _id, id, __proto__ and _bsontype that is not empty, does not start with "$" and contains neither "." nor NUL'

/** The fault of a column's name that uploaded data may never have, and of a key within a value. */
export const forbiddenName = () => new DecodeFault('INVALID_DATA', NAME_RULE, 'a name that data never set')
export const forbiddenKey = () => new DecodeFault('INVALID_DATA', KEY_RULE, 'a name that data never set')

/** The fault of a name that the schema does not have. */
export const unknownName = (expected: string) => new DecodeFault('SCHEMA_MISMATCH', expected, 'another name', 'is not in the schema')

/** The names of a schema, in words. */
export const knownNames = (names: readonly string[]): string =>
  names.length === 0 ? 'no name' : `one of ${names.length <= 20 ? listWords(names) : `${names.slice(0, 20).join(', ')}, …`}`
