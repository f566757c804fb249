import { FormatRegistry, OptionalKind, ReadonlyKind, type TSchema } from '@sinclair/typebox'
import type { Check, Collection } from '../../types/index.js'
import { attempt } from '../client/values.js'
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

export function fail ({ option, path }: Place, problem: string): never {
  throw new OptionError(option, `is wrong${path && ` at ${path}`}: it ${problem}`)
}

/** Keywords that describe a schema and do not restrict its values. */
const ANNOTATIONS = ['$id', '$schema', '$comment', 'title', 'description', 'examples', 'deprecated']

/** The alternative to a keyword that is not supported. */
const INSTEAD: Record<string, string> = {
  type: 'use the Type.… or bson.… of that name',
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

/** Stops the start at a keyword that would be ignored, `honoured` being those of the schema's kind. */
export function checkKeywords (schema: TSchema, honoured: readonly string[], place: Place): void {
  if (ReadonlyKind in schema) fail(place, `is a Type.Readonly, which checks nothing: ${INSTEAD['readOnly']}`)
  const isWhole = place.depth === 0 && !place.isPart
  if (schema[OptionalKind] && !isWhole) {
    fail(place, 'is a Type.Optional, which only a column or a property can be: use Type.Union([…, Type.Null()])')
  }
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

export function numberKeyword (schema: TSchema, keyword: string, place: Place): number | undefined {
  const value: unknown = schema[keyword]
  if (value === undefined || (typeof value === 'number' && !Number.isNaN(value))) return value
  return fail(place, `has ${keyword} set to something that is not a number`)
}

/** As Fastify's validator reads a pattern: with the flag `u`. Of a RegExp, the flags would be ignored. */
export const regularExpression = (pattern: unknown): RegExp | undefined =>
  typeof pattern === 'string' ? attempt(() => new RegExp(pattern, 'u')) : undefined

export function knownNames (names: readonly string[]): string {
  if (names.length === 0) return 'no name'
  return `one of ${names.length <= 20 ? listWords(names) : `${names.slice(0, 20).join(', ')}, …`}`
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i // RFC 9562: either case
const DATE = /^\d{4}-\d\d-\d\d$/
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i
// HTML's definition of a valid e-mail address, whose parts cannot backtrack into each other.
const LABEL = '[a-z\\d](?:[a-z\\d-]{0,61}[a-z\\d])?'
const EMAIL = `^[\\w.!#$%&'*+/=?^\`{|}~-]{1,64}@${LABEL}(?:\\.${LABEL})*$`
const SCHEME = /^[a-z][a-z\d+.-]{0,63}:./i // RFC 3986
/** Searched for: repeating what may be there runs out of stack in long text. */
const NOT_IN_URI = /[^\w.~:/?#[\]@!$&'()*+,;=%-]|%(?![\da-f]{2})/i

/** The rule for a text of a format: a description of its type, or a function of the host. */
interface Format extends Pick<Check, 're' | 'len' | 'date'> {
  test?: (text: string) => boolean
}

const formats: Record<string, Format> = {
  uuid: { re: [[UUID.source, 'i']] },
  email: { re: [[EMAIL, 'i']], len: 254 },
  date: { re: [[DATE.source, '']], date: 1 },
  'date-time': { re: [[DATE_TIME.source, 'i']], date: 1 },
  uri: { re: [[SCHEME.source, 'i'], [NOT_IN_URI.source, 'i', 1]] }
}

export const formatNames = Object.keys(formats)

/** A format that the host has registered with TypeBox, whose global registry stays as it is; else one of these. */
export function formatOf (name: string): Format | undefined {
  const test = FormatRegistry.Get(name)
  return test ? { test } : Object.hasOwn(formats, name) ? formats[name] : undefined
}
