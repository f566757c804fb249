import type { TSchema } from '@sinclair/typebox'
import { typeWords } from '../type-words.js'
import { DecodeFault } from './faults.js'
import type { JsonSchema } from './shapes.js'

/** How values of one schema node are checked and converted, each way they come and go. */
export interface Codec {
  /**
   * The BSON value of what a client sent; undefined when it is not accepted, a fault when something in it is not.
   * Null is the caller's business.
   */
  decode (value: unknown): unknown
  /** The same of what the app's own code gave, in the types that hooks see. A decoded value is its own encoded value. */
  encode (value: unknown): unknown
  /** What hooks see of a value that the driver read; absent where that is the value itself. */
  read?: ((value: unknown) => unknown) | undefined
  /** What `decode` accepts, in words. */
  expects: string
  /** What `encode` accepts, in words. */
  gives: string
  /** The rule for MongoDB's validator. */
  shape: JsonSchema
  /** The client's column type. */
  column: Column
  /** Null is a value of the type. */
  nullable?: boolean
  /** Values are objects or arrays: what a JSON column can hold. */
  container?: boolean
}

export type Column = 'text' | 'integer' | 'real'

/** Which of a codec's functions a value goes through. */
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

/** The converted value, or why it is not accepted. */
export function convert (codec: Codec, value: unknown, way: Way): unknown {
  if (value === null && codec.nullable) return null
  const converted = value === null ? undefined : codec[way](value)
  return converted === undefined ? mismatch(codec, value, way) : converted
}

/** The fault of a value whose type is wrong, or out of bounds, as a whole. */
export function mismatch (codec: Codec, value: unknown, way: Way, problem?: string): DecodeFault {
  return new DecodeFault('INVALID_DATA', way === 'decode' ? codec.expects : codec.gives, typeWords(value), problem)
}

/** The fault of a value that has to be there. */
export function missing (codec: Codec, value: unknown, way: Way): DecodeFault {
  return mismatch(codec, value, way, 'is required')
}

/** @param gives what `encode` accepts, in words, where that differs from what `decode` accepts */
export function scalar (column: Column, shape: JsonSchema, decode: Codec['decode'], expects: string, encode: Codec['encode'], gives = expects): Codec {
  return { column, shape, decode, expects, encode, gives }
}

/** Whose copy of the driver an object has to be of. */
export const OF_DRIVER = "of @fastify/mongodb's driver"
