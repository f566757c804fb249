import type { TSchema } from '@sinclair/typebox'
import { DecodeFault } from './faults.js'
import { typeWords } from '../type-words.js'

/** How values of one schema node get from what the client sends to what BSON holds. */
export interface Codec {
  /** The value for BSON; undefined when it is not accepted. Null is the caller's business. */
  decode (value: unknown): unknown
  /** What is accepted, in words. */
  expects: string
  /** Names for MongoDB's `$jsonSchema`. */
  bsonType: string | readonly string[]
  /** The client's column type. */
  column: Column
  /** Null is a value of the type. */
  nullable?: boolean
  /** Values are objects or arrays: what a JSON column can hold. */
  container?: boolean
  /** Where exactly a value that `decode` refuses is wrong, for containers. */
  explain? (value: unknown, path: string): DecodeFault
  /** JavaScript that spares the call for the common case: in generated code, `when` holds → `value` is the result. */
  inline? (variable: string): { when: string, value: string }
}

export type Column = 'text' | 'integer' | 'real'

/** What to do with a column, or nested key, that the schema does not have. */
export type UnknownFields = 'reject' | 'drop' | 'store'

/** Where in a collection's schema a codec is being made. */
export interface Place {
  /** 0 for a column, 1 for what is in its JSON, and so on. */
  depth: number
  unknownFields: UnknownFields
  /** Stops the start; the problem says what to do. */
  fail (problem: string): never
  /** The codec of a schema one level further in; `step` is its name in messages. */
  inside (schema: TSchema, step: string): Codec
  /** The codec of another schema in this very place. */
  here (schema: TSchema): Codec
}

/** The fault of a value that a codec does not accept. */
export function explain (codec: Codec, value: unknown, path: string): DecodeFault {
  return codec.explain?.(value, path) ?? mismatch(codec, value, path)
}

/** The fault of a value whose type is wrong, or out of bounds, as a whole. */
export function mismatch (codec: Codec, value: unknown, path: string): DecodeFault {
  return new DecodeFault('INVALID_DATA', path, codec.expects, typeWords(value))
}

/** The fault of a value that has to be there. */
export function missing (codec: Codec, value: unknown, path: string): DecodeFault {
  return new DecodeFault('INVALID_DATA', path, codec.expects, typeWords(value), 'is required')
}
