import { Kind, OptionalKind, PatternStringExact, type TSchema } from '@sinclair/typebox'
import { BSON, Double } from '../bson.js'
import { JsonNumber, parseJson } from '../json.js'
import { typeWords } from '../type-words.js'
import { anyCodec } from './any.js'
import { convert, missing, type Codec, type Place, type Way } from './codec.js'
import { DecodeFault } from './faults.js'
import { numberKeyword, regularExpression } from './keywords.js'
import { forbiddenKey, isForbiddenKey, KEY_RULE, knownNames, unknownName } from './names.js'
import { orNull, sizes, type JsonSchema } from './shapes.js'

type PlainObject = Record<string, unknown>

/** A column that holds an object or array as JSON text; some connectors send it parsed. */
export function jsonColumn (schema: TSchema, place: Place): Codec {
  const content = place.inside(schema, '')
  if (!content.container) place.fail(`holds a Type.${schema[Kind]} as JSON: use a Type.Object, Type.Array or Type.Record, or Type.Unknown for any of them`)
  const expects = `JSON text of ${content.expects}`
  return {
    ...content,
    nullable: false, // the column's affair
    expects,
    column: 'text',
    decode: value => {
      const parsed = typeof value === 'string' ? tryParse(value) : value
      if (isContainer(parsed)) return convert(content, parsed, 'decode')
      return new DecodeFault('INVALID_DATA', expects, typeof value === 'string' ? 'other text' : typeWords(value))
    },
    encode: value => isContainer(value) ? content.encode(value) : undefined
  }
}

function tryParse (text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}

function isContainer (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof JsonNumber)
}

export function arrayCodec (schema: TSchema, place: Place): Codec {
  const least = numberKeyword(schema, 'minItems', place) ?? 0
  const most = numberKeyword(schema, 'maxItems', place) ?? Infinity
  const unique: unknown = schema['uniqueItems'] ?? false
  if (typeof unique !== 'boolean') place.fail('has uniqueItems set to something that is not true or false')
  const item = place.inside(schema['items'], '[]')
  const converter = (way: Way) => (value: unknown) => {
    if (!Array.isArray(value)) return undefined
    const items: unknown[] = []
    for (const [index, each] of value.entries()) {
      const converted = convert(item, each, way)
      if (converted instanceof DecodeFault) return converted.within(index)
      items.push(converted)
    }
    return items.length < least || items.length > most || (unique && hasDuplicates(items)) ? undefined : items
  }
  const size = least === 0 && most === Infinity ? '' : ` of ${least} to ${most} items`
  const words = `an array${size}${unique ? ' without duplicates' : ''}`
  const { read } = item
  return {
    decode: converter('decode'),
    encode: converter('encode'),
    ...read && { read: value => Array.isArray(value) ? value.map(read) : value },
    expects: words,
    gives: words,
    shape: { bsonType: 'array', items: item.shape, ...sizes(schema, ['minItems', 'maxItems']) },
    column: 'text',
    container: true
  }
}

/** As JSON Schema has it: the order of names does not count, nor the sign of 0. */
function hasDuplicates (items: unknown[]): boolean {
  return new Set(items.map(item => Buffer.from(BSON.serialize({ item: canonical(item) })).toString('latin1'))).size < items.length
}

function canonical (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (value instanceof Double) return value.value + 0
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value === 0 ? 0 : value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, item]) => [name, canonical(item)]))
}

interface Property { codec: Codec, optional: boolean }

/** What names beside the properties may be, and the codec of their values; null where there are no others. */
type Additional = { codec: Codec, accepts (name: string): boolean, words: string } | null

export function objectCodec (schema: TSchema, place: Place): Codec {
  const properties = new Map<string, Property>()
  for (const [name, property] of Object.entries<TSchema>(schema['properties'])) {
    if (isForbiddenKey(name)) place.fail(`has the property ${JSON.stringify(name)}, which cannot be stored: use ${KEY_RULE}`)
    properties.set(name, { codec: place.inside(property, name), optional: OptionalKind in property })
  }
  checkRequired(schema, properties, place)
  return keyed(properties, additionalProperties(schema, place))
}

/** TypeBox derives `required` from what is Type.Optional: another list would be another truth. */
export function checkRequired (schema: TSchema, properties: ReadonlyMap<string, { optional: boolean }>, place: Pick<Place, 'fail'>): void {
  const wrong = ((schema['required'] ?? []) as string[]).find(name => properties.get(name)?.optional !== false)
  if (wrong !== undefined) place.fail(`has ${JSON.stringify(wrong)} in "required", which is not a required property: leave Type.Optional out, and the list`)
}

export function recordCodec (schema: TSchema, place: Place): Codec {
  if (schema['additionalProperties'] !== undefined && schema['additionalProperties'] !== false) place.fail('has additionalProperties: describe all names by the key of Type.Record')
  const [pattern, item] = Object.entries<TSchema>(schema['patternProperties'])[0]! // TypeBox makes exactly one
  const codec = place.inside(item, '*')
  if (pattern === PatternStringExact) return keyed(new Map(), { codec, accepts: () => true, words: 'any name' })
  const names = regularExpression(pattern) ?? place.fail('has keys with a pattern that is not a regular expression with the flag u')
  return keyed(new Map(), { codec, accepts: name => names.test(name), words: `a name that matches ${names}` })
}

/**
 * What `additionalProperties` says; else what the collection does with columns that it does not know. To leave out
 * names within a value would take them from the document, where nothing else brings them back: what a collection drops
 * is columns only.
 */
function additionalProperties (schema: TSchema, place: Place): Additional {
  const additional: boolean | TSchema | undefined = schema['additionalProperties']
  const others = { accepts: () => true, words: 'any name' }
  if (typeof additional === 'object') return { codec: place.inside(additional, '*'), ...others }
  return additional ?? place.unknownFields !== 'reject' ? { codec: anyCodec(place.depth + 1), ...others } : null
}

/** Keys keep the order in which they came: documents that differ in it are not equal to MongoDB. */
function keyed (properties: Map<string, Property>, additional: Additional): Codec {
  const required = [...properties].filter(([, { optional }]) => !optional) // JSON, unlike a column, tells null and absent apart
  const others = additional && { codec: additional.codec, optional: false }
  const anything = { codec: anyCodec(1), optional: false }
  const names = additional?.words ?? knownNames([...properties.keys()])
  const convertProperty = (name: string, value: unknown, way: Way) => {
    if (isForbiddenKey(name)) return forbiddenKey()
    // The server may have its own.
    const property = properties.get(name) ?? (additional?.accepts(name) ? others : way === 'encode' ? anything : null)
    if (!property) return unknownName(names)
    return value === null && property.optional ? null : convert(property.codec, value, way)
  }
  const converter = (way: Way) => (value: unknown) => {
    if (!isObject(value)) return undefined
    const document: PlainObject = {}
    for (const [name, property] of Object.entries(value)) {
      if (way === 'encode' && property === undefined) continue
      const converted = convertProperty(name, property, way)
      if (converted instanceof DecodeFault) return converted.within(name)
      document[name] = converted
    }
    const absent = required.find(([name]) => !Object.hasOwn(document, name))
    return absent ? missing(absent[1].codec, undefined, way).within(absent[0]) : document
  }
  return {
    decode: converter('decode'),
    encode: converter('encode'),
    ...readerOf(properties, additional),
    expects: 'an object',
    gives: 'an object',
    shape: shapeOf(properties),
    column: 'text',
    container: true
  }
}

function isObject (value: unknown): value is PlainObject {
  return isContainer(value) && !Array.isArray(value)
}

function readerOf (properties: Map<string, Property>, additional: Additional): Pick<Codec, 'read'> {
  const readers = new Map([...properties].map(([name, { codec }]) => [name, codec.read]))
  const readOther = additional?.codec.read
  if (!readOther && [...readers.values()].every(read => read === undefined)) return {}
  const readProperty = (name: string, value: unknown) => (readers.has(name) ? readers.get(name) : readOther)?.(value) ?? value
  return { read: value => isObject(value) ? Object.fromEntries(Object.entries(value).map(([name, property]) => [name, readProperty(name, property)])) : value }
}

/** In JSON, an optional property may be null as well, and null is then what is stored. */
function shapeOf (properties: Map<string, Property>): JsonSchema {
  // MongoDB would read a name with a dot as a path.
  const plain = [...properties].filter(([name]) => !/^\$|\./.test(name))
  const required = plain.filter(([, { optional }]) => !optional).map(([name]) => name)
  if (properties.size === 0) return { bsonType: 'object' }
  return {
    bsonType: 'object',
    ...required.length && { required },
    properties: Object.fromEntries(plain.map(([name, { codec, optional }]) => [name, optional ? orNull(codec.shape) : codec.shape]))
  }
}
