import type { TSchema } from '@sinclair/typebox'
import { DecodeFault } from './faults.js'
import type { JsonSchema } from './shapes.js'
import { typeWords } from '../type-words.js'

/** How values of one schema node are checked and converted, each way they come and go. */
export interface Codec {
  /** The BSON value of what a client sent; undefined when it is not accepted. Null is the caller's business. */
  decode (value: unknown): unknown
  /** The same of what the app's own code gave, in the types that hooks see. A decoded value is its own encoded value. */
  encode (value: unknown): unknown
  /** What hooks see of a value that the driver read; absent where that is the value itself. */
  read?: ((value: unknown) => unknown) | undefined
  /** What `decode` accepts, in words. */
  expects: string
  /** What `encode` accepts, in words. */
  gives: string
  /** What MongoDB's validator says of it. */
  shape: JsonSchema
  /** The client's column type. */
  column: Column
  /** Null is a value of the type. */
  nullable?: boolean
  /** Values are objects or arrays: what a JSON column can hold. */
  container?: boolean
  /** Where exactly a refused value is wrong, for containers. */
  explain? (value: unknown, path: string, way: Way): DecodeFault
}

export type Column = 'text' | 'integer' | 'real'

/** Which of a codec's functions a value went through. */
export type Way = 'decode' | 'encode'

/** What to do with a column, or nested key, that the schema does not have. */
export type UnknownFields = 'reject' | 'drop' | 'store'

/** Where in a collection's schema a codec is being made. */
export interface Place {
  /** 0 for a column, 1 for what is in its JSON, and so on. */
  depth: number
  /** The schema is the column's own, not a part of it. */
  whole: boolean
  unknownFields: UnknownFields
  /** Stops the start; the problem says what to do. */
  fail (problem: string): never
  /** The codec of a schema one level further in; `step` is its name in messages. */
  inside (schema: TSchema, step: string): Codec
  /** The codec of another schema in this very place. */
  here (schema: TSchema): Codec
}

/** The fault of a value that a codec does not accept. */
export function explain (codec: Codec, value: unknown, path: string, way: Way = 'decode'): DecodeFault {
  return codec.explain?.(value, path, way) ?? mismatch(codec, value, path, way)
}

/** The fault of a value whose type is wrong, or out of bounds, as a whole. */
export function mismatch (codec: Codec, value: unknown, path: string, way: Way): DecodeFault {
  return new DecodeFault('INVALID_DATA', path, way === 'decode' ? codec.expects : codec.gives, typeWords(value))
}

/** The fault of a value that has to be there. */
export function missing (codec: Codec, value: unknown, path: string, way: Way = 'decode'): DecodeFault {
  return new DecodeFault('INVALID_DATA', path, way === 'decode' ? codec.expects : codec.gives, typeWords(value), 'is required')
}
