import { ReadonlyKind, type TSchema } from '@sinclair/typebox'
import type { Collection } from '../../types/collections.js'
import { OptionError } from '../errors.js'
import { listWords } from '../type-words.js'

/** Where in a collection's schema a type stands. */
export interface Place {
  /** The option and the way to it, for messages. */
  option: string
  path: string
  /** 0 for a column, 1 for what is in its JSON, and so on. */
  depth: number
  /** It is one of several types of a value. */
  isPart?: true
  unknownFields: Collection['unknownFields']
}

/** Stops the start; the problem says what to do. */
export function fail ({ option, path }: Place, problem: string): never {
  throw new OptionError(option, `is wrong${path && ` at ${path}`}: it ${problem}`)
}

/** Keywords that describe a schema and do not restrict its values. */
const ANNOTATIONS = ['$id', '$schema', '$comment', 'title', 'description', 'examples', 'deprecated', 'type']

/** The alternative to a keyword that is not supported. */
const INSTEAD: Record<string, string> = {
  readOnly: "leave the field out of the collection's writable",
  writeOnly: 'leave the field out of the stream',
  nullable: 'use Type.Union([…, Type.Null()])',
  const: 'use Type.Literal(…)',
  enum: 'use Type.Union([Type.Literal(…), …])',
  anyOf: 'use Type.Union([…])',
  oneOf: 'use Type.Union([…])',
  allOf: 'use Type.Composite([…])',
  prefixItems: 'use Type.Object({ … })',
  contentEncoding: 'use bson.Binary()',
  contentMediaType: 'use bson.Json(…) or bson.Binary()'
}

/**
 * Stops the start at a keyword that would be ignored: nobody may believe that it is checked.
 * @param honoured those that the schema's kind knows
 */
export function checkKeywords (schema: TSchema, honoured: readonly string[], place: Place): void {
  if (ReadonlyKind in schema) fail(place, `is a Type.Readonly, which checks nothing: ${INSTEAD['readOnly']}`)
  const isWhole = place.depth === 0 && !place.isPart
  const allowed = [...ANNOTATIONS, ...honoured, ...isWhole ? ['default'] : []]
  for (const keyword of Object.keys(schema)) {
    if (keyword.startsWith('x-') || allowed.includes(keyword) || schema[keyword] === undefined) continue
    if (keyword === 'default') {
      fail(place, 'has a default, which only a column can have: give it to the column, or set it in a transform hook')
    }
    const instead = Object.hasOwn(INSTEAD, keyword) ? INSTEAD[keyword] : 'check it in a transform hook'
    fail(place, `uses "${keyword}", which is not supported here: ${instead}`)
  }
}

/** A numeric keyword of a schema; undefined when it is not set. */
export function numberKeyword (schema: TSchema, keyword: string, place: Place): number | undefined {
  const value: unknown = schema[keyword]
  if (value === undefined || (typeof value === 'number' && !Number.isNaN(value))) return value
  return fail(place, `has ${keyword} set to something that is not a number`)
}

/** A pattern as Fastify's validator reads it: with the flag `u`, so that `.` is a character and `\p{L}` a letter. */
export function regularExpression (pattern: unknown): RegExp | undefined {
  try {
    return new RegExp(pattern as string, 'u')
  } catch {
    return undefined
  }
}

/** The names of a schema, in words. */
export function knownNames (names: readonly string[]): string {
  if (names.length === 0) return 'no name'
  return `one of ${names.length <= 20 ? listWords(names) : `${names.slice(0, 20).join(', ')}, …`}`
}
