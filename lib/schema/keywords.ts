import { ReadonlyKind, type TSchema } from '@sinclair/typebox'
import { listWords } from '../type-words.js'
import type { Place } from './types.js'

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
  if (ReadonlyKind in schema) place.fail(`is a Type.Readonly, which checks nothing: ${INSTEAD['readOnly']}`)
  for (const keyword of Object.keys(schema)) {
    const isFree = keyword.startsWith('x-') || ANNOTATIONS.includes(keyword) || honoured.includes(keyword)
    if (isFree || schema[keyword] === undefined || (keyword === 'default' && place.whole)) continue
    if (keyword === 'default') {
      place.fail('has a default, which only a column can have: give it to the column, or set it in a transform hook')
    }
    const instead = Object.hasOwn(INSTEAD, keyword) ? INSTEAD[keyword] : 'check it in a transform hook'
    place.fail(`uses "${keyword}", which is not supported here: ${instead}`)
  }
}

/** A numeric keyword of a schema; undefined when it is not set. */
export function numberKeyword (schema: TSchema, keyword: string, place: Place): number | undefined {
  const value: unknown = schema[keyword]
  if (value === undefined || (typeof value === 'number' && !Number.isNaN(value))) return value
  return place.fail(`has ${keyword} set to something that is not a number`)
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
