import { Kind, TransformKind, type TSchema } from '@sinclair/typebox'
import { Binary, Decimal128, Double, ObjectId, UUID } from '../bson.js'
import { anyCodec } from './any.js'
import { bigintRange, numberKeyword, numberRange, regularExpression, type Range } from './constraints.js'
import type { Codec, Place } from './codec.js'
import { parseDate } from './dates.js'
import { formatNames, stringFormat } from './formats.js'
import { checkKeywords } from './keywords.js'
import { arrayCodec, jsonColumn, objectCodec, recordCodec } from './nested.js'
import { givenInteger, givenNumber, integerText, isLong, maybeRounded, numberText, toDecimal128, toNumber } from './numbers.js'
import { range, sizes } from './shapes.js'
import { codePoints, isWellFormed, listWords } from './text.js'
import { literalCodec, unionCodec } from './unions.js'

/** One type that a schema may use. */
interface Row {
  /** The keywords that are honoured: any other stops the start. */
  keywords: readonly string[]
  codec (schema: TSchema, place: Place): Codec
}

const RANGE = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']

/**
 * Every type: its keywords, how it reads what clients send and what hooks give, what it is in MongoDB, and which column
 * type the client has for it. From clients only JSON values come; Kotlin and Swift send each as text: `"1"`, `"true"`.
 */
const types: Record<string, Row> = {
  String: { keywords: ['minLength', 'maxLength', 'pattern', 'format', 'enum'], codec: text },
  Boolean: { keywords: [], codec: () => boolean },
  Number: { keywords: RANGE, codec: number },
  Integer: { keywords: RANGE, codec: (schema, place) => whole(schema, place, 'number', 'a whole number', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) },
  Literal: { keywords: ['const'], codec: schema => literalCodec([schema['const']]) },
  Union: { keywords: ['anyOf'], codec: unionCodec },
  Array: { keywords: ['items', 'minItems', 'maxItems', 'uniqueItems'], codec: nested(arrayCodec) },
  Object: { keywords: ['properties', 'required', 'additionalProperties'], codec: nested(objectCodec) },
  Record: { keywords: ['patternProperties', 'additionalProperties'], codec: nested(recordCodec) },
  Any: { keywords: [], codec: (_, place) => anyCodec(place.depth) },
  Unknown: { keywords: [], codec: (_, place) => anyCodec(place.depth) },

  BsonDate: { keywords: ['minimumTimestamp', 'maximumTimestamp'], codec: date },
  BsonBoolean: { keywords: [], codec: () => boolean },
  BsonObjectId: { keywords: [], codec: () => objectId },
  BsonUUID: { keywords: [], codec: () => uuid },
  BsonInt32: { keywords: RANGE, codec: (schema, place) => whole(schema, place, 'int', 'a whole number of 32 bits', -(2 ** 31), 2 ** 31 - 1) },
  BsonLong: { keywords: RANGE, codec: long },
  BsonDouble: { keywords: RANGE, codec: double },
  BsonDecimal128: { keywords: [], codec: decimal128 },
  BsonBinary: { keywords: ['subType', 'minByteLength', 'maxByteLength'], codec: binary },
  BsonJson: { keywords: ['content'], codec: (schema, place) => place.depth === 0 ? jsonColumn(schema['content'], place) : place.here(schema['content']) }
}

/** What to use in place of TypeBox types that have no meaning here. */
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

/** The codec of a schema. What it cannot be made for stops the start, through `place.fail`. */
export function codecOf (schema: TSchema, place: Place): Codec {
  const kind = schema[Kind]
  if (TransformKind in schema) place.fail('is a Type.Transform: use the type that it decodes, and a transform hook')
  const type = Object.hasOwn(types, kind) ? types[kind] : undefined
  if (type) {
    checkKeywords(schema, type.keywords, place)
    return type.codec(schema, place)
  }
  const hint = Object.hasOwn(instead, kind) ? instead[kind] : `one of ${Object.keys(types).map(publicName).join(', ')}`
  return place.fail(`is a Type.${kind}, which cannot be stored: use ${hint}`)
}

function publicName (kind: string): string {
  return kind.startsWith('Bson') ? `bson.${kind.slice(4)}` : `Type.${kind}`
}

/** As a column, it is JSON text. */
function nested (codec: Row['codec']): Row['codec'] {
  return (schema, place) => place.depth === 0 ? jsonColumn({ ...schema, default: undefined }, place) : codec(schema, place)
}

/** Whose copy of the driver an object has to be of. */
const OF_DRIVER = "of @fastify/mongodb's driver"

/** Text only: a number in a text column has lost how it was written (`1.0`, `007`). */
function text (schema: TSchema, place: Place): Codec {
  const minLength = numberKeyword(schema, 'minLength', place) ?? 0
  const maxLength = numberKeyword(schema, 'maxLength', place) ?? Infinity
  const tests: Array<(text: string) => boolean> = []
  const rules: string[] = []
  if (minLength > 0 || maxLength < Infinity) {
    // Code units, which are quick to count, are at least as many as code points and at most twice as many.
    tests.push(text => (text.length <= maxLength && text.length >= 2 * minLength) || within(codePoints(text), minLength, maxLength))
    rules.push(maxLength === Infinity ? `of at least ${minLength} characters` : `of ${minLength} to ${maxLength} characters`)
  }
  if (schema['pattern'] !== undefined) {
    const pattern = regularExpression(schema['pattern']) ?? place.fail('has a pattern that is not a regular expression with the flag u')
    tests.push(text => pattern.test(text))
    rules.push(`that matches ${pattern}`)
  }
  if (schema['format'] !== undefined) {
    const format = stringFormat(schema['format'])
    if (!format) place.fail(`has the unknown format "${schema['format']}": use ${formatNames().join(', ')}, or register it with TypeBox's FormatRegistry first`)
    tests.push(format)
    rules.push(`in the format ${schema['format']}`)
  }
  const choices: unknown = schema['enum']
  if (choices !== undefined) {
    if (!Array.isArray(choices) || !choices.every(choice => typeof choice === 'string')) return place.fail('has an enum that is not a list of texts')
    tests.push(text => choices.includes(text))
    rules.push(`that is ${listWords(choices.map(choice => JSON.stringify(choice)))}`)
  }
  const expects = rules.length === 0 ? 'text' : `text ${rules.join(' and ')}`
  const decode = (value: unknown) => typeof value === 'string' && isWellFormed(value) && tests.every(test => test(value)) ? value : undefined
  return {
    decode,
    encode: decode,
    expects,
    gives: expects,
    shape: choices ? { enum: choices } : { bsonType: 'string', ...sizes(schema, ['minLength', 'maxLength']) },
    column: 'text'
  }
}

function within (length: number, minimum: number, maximum: number): boolean {
  return length >= minimum && length <= maximum
}

const BOOLEANS = new Map<unknown, boolean>([
  [true, true], [1, true], ['1', true], ['true', true],
  [false, false], [0, false], ['0', false], ['false', false]
])

const boolean: Codec = {
  decode: value => value === 1 ? true : value === 0 ? false : BOOLEANS.get(value),
  encode: value => typeof value === 'boolean' ? value : undefined,
  expects: '1, 0, true or false',
  gives: 'true or false',
  shape: { bsonType: 'bool' },
  column: 'integer'
}

function number (schema: TSchema, place: Place): Codec {
  const { accepts, words } = numberRange(schema, place)
  const check = (number: number) => Number.isFinite(number) && accepts?.(number) !== false ? number : undefined
  return {
    decode: value => check(toNumber(value)),
    encode: value => check(givenNumber(value)),
    expects: `a finite number${words}, as precise as a double`,
    gives: `a finite number${words}`,
    shape: { bsonType: 'number', ...range(schema) },
    column: 'real'
  }
}

function whole (schema: TSchema, place: Place, bsonType: string, noun: string, least: number, most: number): Codec {
  const { accepts, words } = numberRange(schema, place)
  const check = (number: number) => {
    if (!Number.isInteger(number) || number < least || number > most || accepts?.(number) === false) return undefined
    return number + 0 // the driver stores -0 as a double
  }
  return {
    decode: value => check(toNumber(value)),
    encode: value => check(givenNumber(value)),
    expects: `${noun}${words}`,
    gives: `${noun}${words}`,
    shape: { bsonType, ...range(schema) },
    column: 'integer'
  }
}

function long (schema: TSchema, place: Place): Codec {
  const { accepts, words }: Range<bigint> = bigintRange(schema, place)
  const check = (long: bigint | undefined) => long === undefined || !isLong(long) || accepts?.(long) === false ? undefined : long
  return {
    decode: value => {
      if (place.depth === 0 && maybeRounded(value)) return undefined
      const digits = integerText(value)
      return check(digits === undefined ? givenInteger(toNumber(value)) : BigInt(digits))
    },
    encode: value => check(givenInteger(value)),
    read: value => givenInteger(value) ?? value,
    expects: `a whole number of 64 bits${words}, as text (in a text column) when it is beyond 9007199254740991`,
    gives: `a bigint of 64 bits${words}, or a number up to 9007199254740991`,
    shape: { bsonType: 'long' },
    column: 'integer'
  }
}

function double (schema: TSchema, place: Place): Codec {
  const plain = number(schema, place)
  const boxed = (number: unknown) => number === undefined ? undefined : new Double(number as number)
  return {
    ...plain,
    decode: value => boxed(plain.decode(value)),
    encode: value => boxed(plain.encode(value)),
    read: value => typeof value === 'number' ? new Double(value) : value,
    shape: { bsonType: 'double', ...range(schema) }
  }
}

/** As the service writes them. */
const SPECIAL_DECIMALS: readonly unknown[] = ['NaN', 'Infinity', '-Infinity']

function decimal128 (_: TSchema, place: Place): Codec {
  return {
    decode: value => {
      if (SPECIAL_DECIMALS.includes(value)) return Decimal128.fromString(value as string)
      if (typeof value === 'number' ? !isExact(value) : place.depth === 0 && maybeRounded(value)) return undefined
      const text = typeof value === 'number' ? numberToText(value) : numberText(value)
      return text === undefined ? undefined : toDecimal128(text)
    },
    encode: value => {
      if (value instanceof Decimal128) return value
      const integer = givenInteger(value)
      if (integer !== undefined) return toDecimal128(String(integer))
      const number = givenNumber(value)
      return isExact(number) ? toDecimal128(numberToText(number)) : undefined
    },
    expects: 'a decimal number of at most 34 digits',
    gives: `a Decimal128 ${OF_DRIVER}, or a number`,
    shape: { bsonType: 'decimal' },
    column: 'text'
  }
}

/** A number's shortest text is what was written, unless it had more digits than a double holds. */
const isExact = (number: number) => Number.isFinite(number) && !maybeRounded(number)

const numberToText = (number: number) => Object.is(number, -0) ? '-0' : String(number)

function date (schema: TSchema, place: Place): Codec {
  const minimum = numberKeyword(schema, 'minimumTimestamp', place) ?? -Infinity
  const maximum = numberKeyword(schema, 'maximumTimestamp', place) ?? Infinity
  const from = minimum === -Infinity ? '' : `, not before ${dateWords(minimum, place)}`
  const to = maximum === Infinity ? '' : `, not after ${dateWords(maximum, place)}`
  const check = (time: number) => time >= minimum && time <= maximum ? new Date(time) : undefined
  return {
    decode: value => typeof value === 'string' ? check(parseDate(value)) : undefined,
    encode: value => value instanceof Date ? check(value.getTime()) : undefined,
    expects: `a date such as 2025-09-22T14:29:30.123Z${from}${to}`,
    gives: `a valid Date${from}${to}`,
    shape: { bsonType: 'date' },
    column: 'text'
  }
}

function dateWords (time: number, place: Place): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? place.fail('has a limit that is not a date, in milliseconds since 1970') : date.toISOString()
}

const OBJECT_ID = /^[0-9a-f]{24}$/

const objectId: Codec = {
  decode: value => typeof value === 'string' && OBJECT_ID.test(value) ? new ObjectId(value) : undefined,
  encode: value => value instanceof ObjectId ? value : undefined,
  expects: '24 lower-case hexadecimal digits',
  gives: `an ObjectId ${OF_DRIVER}`,
  shape: { bsonType: 'objectId' },
  column: 'text'
}

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const uuid: Codec = {
  decode: value => typeof value === 'string' && CANONICAL_UUID.test(value) ? new UUID(Buffer.from(value.replaceAll('-', ''), 'hex')) : undefined,
  encode: value => value instanceof UUID ? value : undefined,
  expects: 'a UUID in lower case with hyphens',
  gives: `a UUID ${OF_DRIVER}`,
  shape: { bsonType: 'binData' },
  column: 'text'
}

function binary (schema: TSchema, place: Place): Codec {
  const subType = numberKeyword(schema, 'subType', place) ?? Binary.SUBTYPE_DEFAULT
  const least = numberKeyword(schema, 'minByteLength', place) ?? 0
  const most = numberKeyword(schema, 'maxByteLength', place) ?? Infinity
  if (!Number.isInteger(subType) || subType < 0 || subType > 255) place.fail('has a subType that is not a byte')
  if (subType === Binary.SUBTYPE_UUID) place.fail('has subType 4: use bson.UUID()')
  const size = least === 0 && most === Infinity ? '' : ` of ${least} to ${most} bytes`
  return {
    decode: value => {
      if (typeof value !== 'string') return undefined
      const bytes = Buffer.from(value, 'base64')
      // Buffer skips what is not base64; only what it would write itself went in whole.
      if (!within(bytes.length, least, most) || bytes.toString('base64') !== value) return undefined
      return new Binary(bytes, subType)
    },
    encode: value => value instanceof Binary && value.sub_type === subType && within(value.length(), least, most) ? value : undefined,
    expects: `base64 text with padding${size}`,
    gives: `a Binary ${OF_DRIVER} of subtype ${subType}${size}`,
    shape: { bsonType: 'binData' },
    column: 'text'
  }
}
