import { Kind, OptionalKind, PatternStringExact, type TSchema } from '@sinclair/typebox'
import { BSON } from '../bson.js'
import { typeWords } from '../type-words.js'
import { JsonNumber, parseJson } from '../json.js'
import { anyCodec } from './any.js'
import { explain, mismatch, missing, type Codec, type Place, type Way } from './codec.js'
import { numberKeyword, regularExpression } from './constraints.js'
import { DecodeFault, joinPath } from './faults.js'
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
      const parsed = parseColumn(value)
      return parsed === undefined ? undefined : content.decode(parsed)
    },
    encode: value => isContainer(value) ? content.encode(value) : undefined,
    explain: (value, path, way) => {
      const parsed = way === 'encode' ? value : parseColumn(value)
      if (isContainer(parsed)) return explain(content, parsed, path, way)
      if (way === 'encode') return new DecodeFault('INVALID_DATA', path, content.gives, typeWords(value))
      return new DecodeFault('INVALID_DATA', path, expects, typeof value === 'string' ? 'other text' : typeWords(value))
    }
  }
}

/** An object or array; undefined for anything else, such as the texts `null` and `5`. */
function parseColumn (value: unknown): object | undefined {
  let parsed = value
  if (typeof value === 'string') {
    try {
      parsed = parseJson(value)
    } catch {
      return undefined
    }
  }
  return isContainer(parsed) ? parsed : undefined
}

function isContainer (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof JsonNumber)
}

export function arrayCodec (schema: TSchema, place: Place): Codec {
  const least = numberKeyword(schema, 'minItems', place) ?? 0
  const most = numberKeyword(schema, 'maxItems', place) ?? Infinity
  const unique = schema['uniqueItems'] === true
  const item = place.inside(schema['items'], '[]')
  const convert = (way: Way) => (value: unknown) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) return undefined
    const items: unknown[] = []
    for (const each of value) {
      const converted = convertNullable(item, each, way)
      if (converted === undefined) return undefined
      items.push(converted)
    }
    return unique && hasDuplicates(items) ? undefined : items
  }
  const size = least === 0 && most === Infinity ? '' : ` of ${least} to ${most} items`
  const words = `an array${size}${unique ? ' without duplicates' : ''}`
  const { read } = item
  const codec: Codec = {
    decode: convert('decode'),
    encode: convert('encode'),
    ...read && { read: value => Array.isArray(value) ? value.map(read) : value },
    expects: words,
    gives: words,
    shape: { bsonType: 'array', items: item.shape, ...sizes(schema, ['minItems', 'maxItems']) },
    column: 'text',
    container: true,
    explain: (value, path, way) => {
      if (Array.isArray(value)) {
        for (const [index, each] of value.entries()) {
          if (convertNullable(item, each, way) === undefined) return explain(item, each, `${path}[${index}]`, way)
        }
      }
      return mismatch(codec, value, path, way)
    }
  }
  return codec
}

/** Equal as BSON, which is how MongoDB's own `uniqueItems` sees them. */
function hasDuplicates (items: unknown[]): boolean {
  return new Set(items.map(item => Buffer.from(BSON.serialize({ item })).toString('latin1'))).size < items.length
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
  const propertyOf = (name: string, way: Way): Property | null => {
    const property = properties.get(name)
    if (property) return property
    if (additional?.accepts(name)) return others
    return way === 'encode' ? anything : null // the server may have its own
  }
  const convert = (way: Way) => (value: unknown) => {
    if (!isObject(value)) return undefined
    const document: PlainObject = {}
    for (const name of Object.keys(value)) {
      if (way === 'encode' && value[name] === undefined) continue
      const property = isForbiddenKey(name) ? null : propertyOf(name, way)
      const converted = property && convertProperty(property, value[name], way)
      if (property === null || converted === undefined) return undefined
      document[name] = converted
    }
    return required.every(([name]) => Object.hasOwn(document, name)) ? document : undefined
  }
  const names = additional?.words ?? knownNames([...properties.keys()])
  const codec: Codec = {
    decode: convert('decode'),
    encode: convert('encode'),
    ...readerOf(properties, additional),
    expects: 'an object',
    gives: 'an object',
    shape: shapeOf(properties),
    column: 'text',
    container: true,
    explain: (value, path, way) => {
      if (!isObject(value)) return mismatch(codec, value, path, way)
      for (const name of Object.keys(value)) {
        const at = joinPath(path, name)
        if (way === 'encode' && value[name] === undefined) continue
        if (isForbiddenKey(name)) return forbiddenKey(at)
        const property = propertyOf(name, way)
        if (!property) return unknownName(at, names)
        if (convertProperty(property, value[name], way) === undefined) return explain(property.codec, value[name], at, way)
      }
      const [name, { codec: absent }] = required.find(([name]) => value[name] === undefined || !Object.hasOwn(value, name))!
      return missing(absent, undefined, joinPath(path, name), way)
    }
  }
  return codec
}

function isObject (value: unknown): value is PlainObject {
  return isContainer(value) && !Array.isArray(value)
}

function convertProperty ({ codec, optional }: Property, value: unknown, way: Way): unknown {
  return value === null && optional ? null : convertNullable(codec, value, way)
}

function convertNullable (codec: Codec, value: unknown, way: Way): unknown {
  if (value !== null) return codec[way](value)
  return codec.nullable ? null : undefined
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
