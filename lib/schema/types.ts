import { Kind, OptionalKind, PatternStringExact, TransformKind, type TSchema } from '@sinclair/typebox'
import type { Check } from '../../types/validators.js'
import { Binary, BSON, Decimal128, Double, ObjectId, UUID, type mongodb } from '../bson.js'
import { convertOf } from '../client/check.js'
import { checking } from '../client/check.js'
import { attempt, isForbiddenKey, isWellFormed, KEY_RULE, pathStep } from '../client/values.js'
import { listWords } from '../type-words.js'
import { decoding, givenInteger, givenNumber, toDecimal128 } from './convert.js'
import {
  checkKeywords, fail, formatNames, formatOf, knownNames, numberKeyword, regularExpression, type Place
} from './keywords.js'
import { eitherOf, oneOf, orNull, range as rangeShape, type JsonSchema } from './shapes.js'

export type Column = 'text' | 'integer' | 'real'

/** The type of a field or of a part of one: how a client's value is checked (`Check`) and how it is converted. */
export interface FieldType extends Check {
  i?: FieldType
  p?: Record<string, [FieldType, 1?]>
  o?: FieldType[]
  /** The values that the app's own code may return, in words. */
  gives: string
  /** The client's column type. */
  column: Column
  /** The rule for MongoDB's validator. */
  shape: JsonSchema
  /** Values are objects or arrays: what a JSON column can hold. */
  container?: boolean
  /** The BSON value of what a client's value was read as; undefined: it is not accepted. */
  make?: (value: any) => unknown
  /** The BSON value of what the app's own code gave; undefined: it is not accepted. Absent: as clients send it. */
  encode?: (value: unknown) => unknown
  /** Converts a value that the driver read for hooks; absent where they see the value itself. */
  read?: (value: unknown) => unknown
  /** A format that clients cannot check: one that the host has registered. */
  format?: string
}

/** The keywords of a type that are honoured (any other stops the start), and what it is. */
type Row = [keywords: string[], type: (schema: TSchema, place: Place) => FieldType]

const RANGE = {
  minimum: 'of at least',
  maximum: 'of at most',
  exclusiveMinimum: 'above',
  exclusiveMaximum: 'below',
  multipleOf: 'that is a multiple of'
}
const ranged = Object.keys(RANGE)

/**
 * Every type: how it reads values of clients and of hooks, what it is in MongoDB, and its column type at the client.
 * From clients only JSON values come; Kotlin and Swift send each as text: `"1"`, `"true"`.
 */
const types: Record<string, Row> = {
  String: [['type', 'minLength', 'maxLength', 'pattern', 'format', 'enum'], text],
  Boolean: [['type'], (_, place) => boolean(place)],
  Number: [['type', ...ranged], number('a finite number', 'number')],
  Integer: [['type', ...ranged], number('a whole number', 'number', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)],
  Literal: [['type', 'const'], (schema, place) => literals([schema['const']], place)],
  Union: [['anyOf'], union],
  Array: [['type', 'items', 'minItems', 'maxItems', 'uniqueItems'], jsonText(array)],
  Object: [['type', 'properties', 'required', 'additionalProperties'], jsonText(object)],
  Record: [['type', 'patternProperties', 'additionalProperties'], jsonText(record)],
  Any: [[], any],
  Unknown: [[], any],

  BsonDate: [['minimumTimestamp', 'maximumTimestamp'], date],
  BsonBoolean: [[], (_, place) => boolean(place)],
  BsonObjectId: [[], () => objectId],
  BsonUUID: [[], () => uuid],
  BsonInt32: [ranged, number('a whole number of 32 bits', 'int', -(2 ** 31), 2 ** 31 - 1)],
  BsonLong: [ranged, long],
  BsonDouble: [ranged, number('a finite number', 'double')],
  BsonDecimal128: [[], decimal],
  BsonBinary: [['subType', 'minByteLength', 'maxByteLength'], binary],
  BsonJson: [['content'], ({ content }, place) => place.depth === 0 ? json(content, place) : here(content, place)]
}

/** The alternatives to TypeBox types that have no meaning here. */
const instead: Record<string, string> = {
  Date: 'bson.Date()',
  BigInt: 'bson.Long()',
  Uint8Array: 'bson.Binary()',
  Null: 'Type.Union([…, Type.Null()])',
  Undefined: 'Type.Optional(…)',
  Intersect: 'Type.Composite([…])',
  RegExp: 'Type.String({ pattern })',
  TemplateLiteral: 'Type.String({ pattern })',
  Tuple: 'Type.Array(…)',
  Unsafe: 'Type.Unknown()'
}

/** The type of a schema. One that cannot be stored stops the start, through `fail`. */
export function typeOf (schema: TSchema, place: Place): FieldType {
  const kind: string | undefined = Object(schema)[Kind]
  if (kind === undefined) {
    const found = '~kind' in Object(schema) ? 'a schema of typebox 1.x' : 'not a schema of @sinclair/typebox 0.34'
    const write = "write import { Type } from 'fastify-powersync-mongo', which has Type.String() and the like"
    return fail(place, `is ${found}: ${write}`)
  }
  if (TransformKind in schema) fail(place, 'is a Type.Transform: use the type that it decodes, and a transform hook')
  const [keywords, type] = Object.hasOwn(types, kind) ? types[kind]! : []
  if (!keywords || !type) {
    const all = Object.keys(types).map(name => name.replace(/^(?!Bson)/, 'Type.').replace('Bson', 'bson.'))
    const hint = Object.hasOwn(instead, kind) ? instead[kind] : `one of ${all.join(', ')}`
    return fail(place, `is a Type.${kind}, which cannot be stored: use ${hint}`)
  }
  checkKeywords(schema, keywords, place)
  return type(schema, place)
}

/** A part of a type in its very place. */
const here = (schema: TSchema, place: Place) => typeOf(schema, { ...place, isPart: true })

/** The type of a schema one level further in; `step` is its name in messages. */
function inside (schema: TSchema, step: string, place: Place): FieldType {
  const { path, depth } = place
  const problem = `is nested deeper than ${checking.deepest} levels, which PowerSync does not sync`
  if (depth > checking.deepest) fail(place, `${problem}: flatten it`)
  const inner = step === '' ? path : step === '[]' ? `${path}[]` : `${path}.${pathStep(step)}`
  return typeOf(schema, { ...place, path: inner, depth: depth + 1 })
}

/** `given` turns a value of the app's code into the form that a client would send, so that it meets the same rules. */
type Rest = Partial<FieldType> & Pick<FieldType, 'shape'> & { given?: (value: unknown) => unknown }

function scalar (t: Check['t'], e: string, column: Column, { given, ...rest }: Rest): FieldType {
  const type: FieldType = { t, e, gives: e, column, ...rest }
  if (!given) return type
  const decode = convertOf(type, decoding)
  return { ...type, encode: value => decode(given(value)) }
}

/** Two keywords of a schema as inclusive limits: in words, for the check, and for MongoDB. */
function limits (schema: TSchema, place: Place, names: [least: string, most: string], counted: string) {
  const [low = 0, high = Infinity] = names.map(name => numberKeyword(schema, name, place))
  // MongoDB refuses a validator whose sizes are not whole numbers from 0 on, such as Infinity.
  const whole = names.filter(name => Number.isSafeInteger(schema[name]) && schema[name] >= 0)
  const sizes = Object.fromEntries(whole.map(name => [name, schema[name]]))
  if (low === 0 && high === Infinity) return { words: '', sizes }
  const c: Check['c'] = [low, high === Infinity ? null : high]
  const words = c[1] === null ? ` of at least ${low} ${counted}` : ` of ${low} to ${high} ${counted}`
  return { words, sizes, size: { c } }
}

/** The keywords of a range, and in words. */
function range (
  schema: TSchema,
  place: Place,
  read: (keyword: string) => number | bigint | undefined = keyword => numberKeyword(schema, keyword, place)
) {
  const bounds = Object.entries(RANGE).map(([keyword, words]) => ({ limit: read(keyword), words }))
  const divisor = bounds.at(-1)?.limit
  if (divisor !== undefined && divisor <= 0) fail(place, 'has multipleOf set to something that is not above 0')
  const set = bounds.filter(({ limit }) => limit !== undefined)
  // Bigints as text, and what is not set as null: it goes through JSON.
  const r = bounds.slice(0, bounds.findLastIndex(({ limit }) => limit !== undefined) + 1)
    .map(({ limit }) => typeof limit === 'bigint' ? String(limit) : limit ?? null)
  return { ...set.length && { r }, words: set.map(({ limit, words }) => ` ${words} ${limit}`).join(' and') }
}

const OF_DRIVER = "of @fastify/mongodb's driver"
const NO_EXPRESSION = 'that is not a regular expression with the flag u'

/** Text only: a number in a text column has lost how it was written (`1.0`, `007`). */
function text (schema: TSchema, place: Place): FieldType {
  const { pattern, format, enum: choices } = schema
  const { words, sizes, size } = limits(schema, place, ['minLength', 'maxLength'], 'characters')
  const expression = pattern === undefined
    ? undefined
    : regularExpression(pattern) ?? fail(place, `has a pattern ${NO_EXPRESSION}`)
  const known = `use ${formatNames.join(', ')}, or register it with TypeBox's FormatRegistry first`
  const { test, re: patterns = [], ...rest } = format === undefined
    ? {}
    : formatOf(format) ?? fail(place, `has the unknown format "${format}": ${known}`)
  const areTexts = Array.isArray(choices) && choices.length > 0 && choices.every(choice => typeof choice === 'string')
  if (choices !== undefined && !areTexts) fail(place, 'has an enum that is not a list of texts')
  const re: Check['re'] = [...expression ? [[pattern, 'u'] as [string, string]] : [], ...patterns]
  const rules = [
    words.slice(1),
    expression && `that matches ${expression}`,
    format !== undefined && `in the format ${format}`,
    choices && `that is ${quoted(choices)}`
  ]
  return scalar('s', `text ${rules.filter(Boolean).join(' and ')}`.trimEnd(), 'text', {
    ...size,
    ...rest,
    ...re.length && { re },
    ...choices && { v: [choices] },
    ...test && { format, make: (text: string) => attempt(() => test(text)) ? text : undefined },
    shape: choices ? oneOf(choices) : { bsonType: 'string', ...sizes }
  })
}

const quoted = (literals: unknown[]) => listWords(literals.map(literal => JSON.stringify(literal)))

const boolean = (place: Place): FieldType =>
  ({ ...literals([true, false], place), e: '1, 0, true or false', shape: { bsonType: 'bool' } })

type Literal = string | number | boolean

const COLUMNS: Record<string, Column> = { string: 'text', number: 'real', boolean: 'integer' }

/** One of a few values. As they are first, then as clients without the type send them: `1`, `"1"`, `"true"`. */
function literals (values: Literal[], place: Place): FieldType {
  const [column, ...others] = new Set(values.map(literal => COLUMNS[typeof literal]))
  const isNone = values.some(literal =>
    typeof literal === 'number' ? !Number.isFinite(literal) : !isWellFormed(String(literal)))
  const problem = 'has a literal that is not well-formed text, a number, true or false'
  if (isNone || [column, ...others].includes(undefined)) fail(place, problem)
  return scalar('v', quoted(values), others.length ? 'text' : column!, {
    v: values.map(literal =>
      [literal, ...typeof literal === 'boolean' ? [Number(literal), `${Number(literal)}`] : [], String(literal)]),
    encode: value => values.includes(value as Literal) ? value : undefined,
    shape: oneOf(values)
  })
}

/** Of whole numbers, `least` and `most` are what the type holds exactly. In hooks a double is a `Double`. */
function number (words: string, bsonType: string, least?: number, most?: number): Row[1] {
  return (schema, place) => {
    const { words: limits, ...set } = range(schema, place)
    const gives = `${words}${limits}`
    const [low, high, ...others] = set.r ?? []
    const isWhole = least !== undefined && most !== undefined
    const [e, column]: [string, Column] = isWhole ? [gives, 'integer'] : [`${gives}, as precise as a double`, 'real']
    return scalar('n', e, column, {
      ...isWhole
        ? { w: 1, r: [Math.max(Number(low ?? least), least), Math.min(Number(high ?? most), most), ...others] }
        : set,
      gives,
      ...bsonType === 'double' && {
        make: (number: number) => new Double(number),
        read: (value: unknown) => typeof value === 'number' ? new Double(value) : value
      },
      given: givenNumber,
      shape: { bsonType, ...rangeShape(schema) }
    })
  }
}

function long (schema: TSchema, place: Place): FieldType {
  const { words, ...r } = range(schema, place, keyword => {
    const value: unknown = schema[keyword]
    if (value === undefined || typeof value === 'bigint') return value
    if (Number.isSafeInteger(value)) return BigInt(value as number)
    return fail(place, `has ${keyword} set to something that is not a whole number`)
  })
  const e = `a whole number of 64 bits${words}, as text (in a text column) when it is beyond 9007199254740991`
  return scalar('l', e, 'integer', {
    ...r,
    ...place.depth === 0 && { z: 0 },
    gives: `a bigint of 64 bits${words}, or a number up to 9007199254740991`,
    // The driver reads longs up to 2⁵³ as numbers, of which the last is not a safe one.
    read: value => givenInteger(value) ?? (value === 2 ** 53 || value === -(2 ** 53) ? BigInt(value) : value),
    given: givenInteger,
    shape: { bsonType: 'long', ...rangeShape(inNumbers(schema)) }
  })
}

/** A long's limits; without those that a number does not hold, and with them the validator's JSON. */
const inNumbers = (schema: TSchema) => Object.fromEntries(
  ranged.map(name => [name, Number(schema[name])]).filter(([, limit]) => Number.isSafeInteger(limit)))

function decimal (_: TSchema, place: Place): FieldType {
  const type = scalar('m', 'a decimal number of at most 34 digits', 'text', {
    ...place.depth === 0 && { z: 0 },
    gives: `a Decimal128 ${OF_DRIVER}, or a number`,
    make: toDecimal128,
    given: value => givenInteger(value)?.toString() ?? givenNumber(value),
    shape: { bsonType: 'decimal' }
  })
  return { ...type, encode: value => value instanceof Decimal128 ? value : type.encode!(value) }
}

function date (schema: TSchema, place: Place): FieldType {
  const c = ['minimumTimestamp', 'maximumTimestamp'].map(keyword => numberKeyword(schema, keyword, place) ?? null)
  const words = c.map((time, index) => {
    if (time === null) return ''
    const date = new Date(time)
    if (Number.isNaN(date.getTime())) fail(place, 'has a limit that is not a date, in milliseconds since 1970')
    return `, not ${index === 0 ? 'before' : 'after'} ${date.toISOString()}`
  }).join('')
  return scalar('d', `a date such as 2025-09-22T14:29:30.123Z${words}`, 'text', {
    ...words !== '' && { c: c as [number | null, number | null] },
    gives: `a valid Date${words}`,
    make: time => new Date(time),
    given: value => value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined,
    shape: { bsonType: 'date' }
  })
}

function binary (schema: TSchema, place: Place): FieldType {
  const subType = numberKeyword(schema, 'subType', place) ?? Binary.SUBTYPE_DEFAULT
  const { words, size } = limits(schema, place, ['minByteLength', 'maxByteLength'], 'bytes')
  if (!Number.isInteger(subType) || subType < 0 || subType > 255) fail(place, 'has a subType that is not a byte')
  if (subType === Binary.SUBTYPE_UUID) fail(place, 'has subType 4: use bson.UUID()')
  return scalar('b', `base64 text with padding${words}`, 'text', {
    ...size,
    gives: `a Binary ${OF_DRIVER} of subtype ${subType}${words}`,
    make: text => serializable(new Binary(Buffer.from(text, 'base64'), subType)),
    ...subType === Binary.SUBTYPE_VECTOR && { format: 'vector' },
    given: value => value instanceof Binary && value.sub_type === subType ? value.toString('base64') : undefined,
    shape: { bsonType: 'binData' }
  })
}

/** The driver refuses a vector (subtype 9) that is not one, for every retry again. */
const serializable = (value: mongodb.Binary): mongodb.Binary | undefined =>
  value.sub_type !== Binary.SUBTYPE_VECTOR || attempt(() => BSON.serialize({ value })) ? value : undefined

/** Text of one spelling, as ids have it. */
const spelled = (e: string, pattern: string, Class: typeof ObjectId | typeof UUID) => scalar('s', e, 'text', {
  re: [[pattern, 'u']],
  gives: `${Class === UUID ? 'a UUID' : 'an ObjectId'} ${OF_DRIVER}`,
  make: text => new Class(text),
  encode: value => value instanceof Class ? value : undefined,
  shape: { bsonType: Class === UUID ? 'binData' : 'objectId' }
})

const HEX = '[0-9a-f]'
export const objectId = spelled('24 lower-case hexadecimal digits', `^${HEX}{24}$`, ObjectId)
const CANONICAL = `^${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}$`
export const uuid = spelled('a UUID in lower case with hyphens', CANONICAL, UUID)

export function any (_: unknown, { depth }: Pick<Place, 'depth'>): FieldType {
  return scalar('y', 'any JSON value', 'text', {
    n: 1, z: Math.max(depth, 1), gives: 'any BSON value', container: true, shape: {}
  })
}

/** What a column or a property may have, and its type not. */
const required = ({ [OptionalKind]: _, ...schema }: TSchema): TSchema => schema as TSchema

/** A column that holds an object or array is JSON text. */
function jsonText (type: Row[1]): Row[1] {
  return (schema, place) => place.depth === 0
    ? json({ ...required(schema), default: undefined }, place)
    : type(schema, place)
}

function json (schema: TSchema, place: Place): FieldType {
  const i = inside(schema, '', place)
  const types = 'a Type.Object, Type.Array or Type.Record, or Type.Unknown for any of them'
  if (!i.container) fail(place, `holds a Type.${schema[Kind]} as JSON: use ${types}`)
  const isNullable = i.n && i.t !== 'y'
  const rest = { gives: i.gives, container: true, shape: i.shape }
  return scalar('j', `JSON text of ${i.e}`, 'text', { i, ...isNullable && { n: 1 }, ...rest })
}

function array (schema: TSchema, place: Place): FieldType {
  const { words, sizes, size } = limits(schema, place, ['minItems', 'maxItems'], 'items')
  const unique: unknown = schema['uniqueItems'] ?? false
  if (typeof unique !== 'boolean') fail(place, 'has uniqueItems set to something that is not true or false')
  const i = inside(schema['items'], '[]', place)
  return scalar('a', `an array${words}${unique ? ' without duplicates' : ''}`, 'text', {
    ...size,
    ...unique && { u: 1 },
    i,
    container: true,
    shape: { bsonType: 'array', items: i.shape, ...sizes }
  })
}

/**
 * Names that are not its properties follow `additionalProperties`; else what the collection does with columns that it
 * does not know. To leave out names within a value would take them from the document, where nothing else brings them
 * back: what a collection drops is columns only.
 */
function object (schema: TSchema, place: Place): FieldType {
  const p: NonNullable<FieldType['p']> = {}
  for (const [name, property] of Object.entries<TSchema>(schema['properties'])) {
    const problem = `has the property ${JSON.stringify(name)}, which cannot be stored`
    if (isForbiddenKey(name)) fail(place, `${problem}: use ${KEY_RULE}`)
    p[name] = OptionalKind in Object(property)
      ? [inside(required(property), name, place), 1]
      : [inside(property, name, place)]
  }
  checkRequired(schema, place)
  const additional: boolean | TSchema = schema['additionalProperties'] ?? place.unknownFields !== 'reject'
  const i = typeof additional === 'object'
    ? inside(additional, '*', place)
    : additional && any(schema, { depth: place.depth + 1 })
  return scalar('o', 'an object', 'text', {
    p, ...i ? { i } : { x: knownNames(Object.keys(p)) }, container: true, shape: objectShape(p, i ? i.shape : {})
  })
}

/** TypeBox derives `required` from what is Type.Optional: another list would contradict it. */
export function checkRequired (schema: TSchema, place: Place): void {
  const { properties, required = [] } = schema as TSchema & { properties: Record<string, object>, required?: string[] }
  const wrong = required.find(name => !Object.hasOwn(properties, name) || OptionalKind in Object(properties[name]))
  if (wrong === undefined) return
  const problem = `has ${JSON.stringify(wrong)} in "required", which is not a required property`
  fail(place, `${problem}: leave Type.Optional out, and the list`)
}

/** In JSON, an optional property may be null as well, and null is then what is stored. */
function objectShape (properties: NonNullable<FieldType['p']>, others: JsonSchema): JsonSchema {
  const all = Object.entries(properties)
  // MongoDB would read a name with a dot as a path, and an empty one as the value itself.
  const plain = all.filter(([name]) => !/^$|^\$|\./.test(name))
  const required = plain.filter(([, [, optional]]) => !optional).map(([name]) => name)
  const shapes = plain.map(([name, [{ shape }, optional]]) => [name, optional ? orNull(shape) : shape])
  return {
    bsonType: 'object',
    ...required.length && { required },
    ...all.length && { properties: Object.fromEntries(shapes) },
    // To MongoDB, the names that were left out are others.
    ...Object.keys(others).length && plain.length === all.length && { additionalProperties: others }
  }
}

/** Names that its key does not allow follow what an object does with names that it does not have. */
function record (schema: TSchema, place: Place): FieldType {
  const { additionalProperties: additional } = schema
  const problem = 'has additionalProperties: describe all names by the key of Type.Record'
  if (additional !== undefined && additional !== false) fail(place, problem)
  const [k, item] = Object.entries<TSchema>(schema['patternProperties'])[0]! // TypeBox makes exactly one
  const i = inside(item, '*', place)
  const names = regularExpression(k) ?? fail(place, `has keys with a pattern ${NO_EXPRESSION}`)
  const refuses = additional === false || place.unknownFields === 'reject'
  return scalar('o', 'an object', 'text', {
    i,
    ...k !== PatternStringExact && { k, ...refuses ? { x: `a name that matches ${names}` } : { z: place.depth + 1 } },
    container: true,
    shape: objectShape({}, k === PatternStringExact ? i.shape : {})
  })
}

/**
 * A union holds what the first of its types accepts, in the schema's order: write `[Number, String]` for clients that
 * send numbers as text, `[String, Number]` where text that looks like a number has to stay text. `Type.Null()` in it
 * makes it nullable.
 */
function union (schema: TSchema, place: Place): FieldType {
  const all: TSchema[] = schema['anyOf']
  const variants = all.filter(variant => variant[Kind] !== 'Null')
  if (variants.length === 0) fail(place, 'has no type but null: add the one that it can hold')
  const o = variants.map(variant => here(variant, place)) // also of literals, to check their keywords
  const type = variants.every(variant => variant[Kind] === 'Literal')
    ? literals(variants.map(variant => variant['const']), place)
    : o.length === 1 ? o[0]! : firstOf(o)
  return variants.length < all.length ? { ...type, n: 1, shape: orNull(type.shape) } : type
}

function firstOf (o: FieldType[]): FieldType {
  const [{ column }] = o as [FieldType]
  return scalar('u', listWords(o.map(({ e }) => e)), o.every(variant => variant.column === column) ? column : 'text', {
    o,
    ...o.some(({ n }) => n) && { n: 1 },
    gives: listWords(o.map(({ gives }) => gives)),
    container: o.every(({ container }) => container),
    shape: eitherOf(o.map(({ shape }) => shape))
  })
}
