import { Kind, TransformKind, type TSchema } from '@sinclair/typebox'
import { Binary, Decimal128, Double } from '../bson.js'
import { listWords } from '../type-words.js'
import { anyCodec, halfCharacter } from './any.js'
import { OF_DRIVER, scalar, type Codec, type Place } from './codec.js'
import { parseDate } from './dates.js'
import { objectId, uuid } from './ids.js'
import { checkKeywords, numberKeyword, regularExpression } from './keywords.js'
import { arrayCodec, jsonColumn, objectCodec, recordCodec } from './nested.js'
import {
  bigintRange, givenInteger, givenNumber, integerText, isLong, maybeRounded, numberRange, numberText, toDecimal128, toNumber
} from './numbers.js'
import { range, sizes } from './shapes.js'
import { codePoints, formatNames, isWellFormed, stringFormat } from './text.js'
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
  Integer: { keywords: RANGE, codec: whole('number', 'a whole number', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) },
  Literal: { keywords: ['const'], codec: (schema, place) => literalCodec([schema['const']], place) },
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
  BsonInt32: { keywords: RANGE, codec: whole('int', 'a whole number of 32 bits', -(2 ** 31), 2 ** 31 - 1) },
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
  const kind: string | undefined = Object(schema)[Kind]
  if (kind === undefined) {
    const found = '~kind' in Object(schema) ? 'a schema of typebox 1.x' : 'not a schema of @sinclair/typebox 0.34'
    return place.fail(`is ${found}: write import { Type } from 'fastify-powersync-mongo', which has Type.String() and the like`)
  }
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

/** Text only: a number in a text column has lost how it was written (`1.0`, `007`). */
function text (schema: TSchema, place: Place): Codec {
  const minLength = numberKeyword(schema, 'minLength', place) ?? 0
  const maxLength = numberKeyword(schema, 'maxLength', place) ?? Infinity
  const { pattern, format, enum: choices } = schema
  const tests: Array<(text: string) => boolean> = []
  const rules: string[] = []
  if (minLength > 0 || maxLength < Infinity) {
    // Code units, which are quick to count, are at least as many as code points and at most twice as many.
    tests.push(text => (text.length <= maxLength && text.length >= 2 * minLength) || within(codePoints(text), minLength, maxLength))
    rules.push(maxLength === Infinity ? `of at least ${minLength} characters` : `of ${minLength} to ${maxLength} characters`)
  }
  if (pattern !== undefined) {
    const expression = regularExpression(pattern) ?? place.fail('has a pattern that is not a regular expression with the flag u')
    tests.push(text => expression.test(text))
    rules.push(`that matches ${expression}`)
  }
  if (format !== undefined) {
    tests.push(stringFormat(format) ?? place.fail(`has the unknown format "${format}": use ${formatNames().join(', ')}, or register it with TypeBox's FormatRegistry first`))
    rules.push(`in the format ${format}`)
  }
  if (choices !== undefined) {
    if (!Array.isArray(choices) || !choices.every(choice => typeof choice === 'string')) return place.fail('has an enum that is not a list of texts')
    tests.push(text => choices.includes(text))
    rules.push(`that is ${listWords(choices.map(choice => JSON.stringify(choice)))}`)
  }
  const decode = (value: unknown) => {
    if (typeof value !== 'string') return undefined
    if (!isWellFormed(value)) return halfCharacter()
    return tests.every(test => test(value)) ? value : undefined
  }
  const shape = choices ? { enum: choices } : { bsonType: 'string', ...sizes(schema, ['minLength', 'maxLength']) }
  return scalar('text', shape, decode, ['text', rules.join(' and ')].filter(Boolean).join(' '), decode)
}

function within (length: number, minimum: number, maximum: number): boolean {
  return length >= minimum && length <= maximum
}

const BOOLEANS = new Map<unknown, boolean>([
  [true, true], [1, true], ['1', true], ['true', true],
  [false, false], [0, false], ['0', false], ['false', false]
])

const boolean = scalar('integer', { bsonType: 'bool' },
  value => value === 1 ? true : value === 0 ? false : BOOLEANS.get(value), '1, 0, true or false',
  value => typeof value === 'boolean' ? value : undefined, 'true or false')

function number (schema: TSchema, place: Place): Codec {
  const { accepts, words } = numberRange(schema, place)
  const check = (number: number) => Number.isFinite(number) && accepts(number) ? number : undefined
  return scalar('real', { bsonType: 'number', ...range(schema) },
    value => check(toNumber(value)), `a finite number${words}, as precise as a double`,
    value => check(givenNumber(value)), `a finite number${words}`)
}

/** In hooks a `Double`. */
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

/** A number between two others, in a JavaScript number. */
function whole (bsonType: string, noun: string, least: number, most: number): Row['codec'] {
  return (schema, place) => {
    const { accepts, words } = numberRange(schema, place)
    const check = (number: number) =>
      Number.isInteger(number) && within(number, least, most) && accepts(number) ? number + 0 : undefined // the driver stores -0 as a double
    return scalar('integer', { bsonType, ...range(schema) },
      value => check(toNumber(value)), `${noun}${words}`, value => check(givenNumber(value)))
  }
}

function long (schema: TSchema, place: Place): Codec {
  const { accepts, words } = bigintRange(schema, place)
  const check = (long: bigint | undefined) => long !== undefined && isLong(long) && accepts(long) ? long : undefined
  const decode = (value: unknown) => {
    if (place.depth === 0 && maybeRounded(value)) return undefined
    const digits = integerText(value)
    return check(digits === undefined ? givenInteger(toNumber(value)) : BigInt(digits))
  }
  return {
    ...scalar('integer', { bsonType: 'long' },
      decode, `a whole number of 64 bits${words}, as text (in a text column) when it is beyond 9007199254740991`,
      value => check(givenInteger(value)), `a bigint of 64 bits${words}, or a number up to 9007199254740991`),
    read: value => givenInteger(value) ?? value
  }
}

/** As the service writes them. */
const SPECIAL_DECIMALS: readonly unknown[] = ['NaN', 'Infinity', '-Infinity']

function decimal128 (_: TSchema, place: Place): Codec {
  const decode = (value: unknown) => {
    if (SPECIAL_DECIMALS.includes(value)) return Decimal128.fromString(value as string)
    if (typeof value === 'number') return fromNumber(value)
    const text = place.depth === 0 && maybeRounded(value) ? undefined : numberText(value)
    return text === undefined ? undefined : toDecimal128(text)
  }
  // A number's shortest text is what was written, unless it had more digits than a double holds.
  const fromNumber = (number: number) =>
    Number.isFinite(number) && !maybeRounded(number) ? toDecimal128(Object.is(number, -0) ? '-0' : String(number)) : undefined
  const encode = (value: unknown) => {
    if (value instanceof Decimal128) return value
    const integer = givenInteger(value)
    return integer === undefined ? fromNumber(givenNumber(value)) : toDecimal128(String(integer))
  }
  return scalar('text', { bsonType: 'decimal' }, decode, 'a decimal number of at most 34 digits', encode, `a Decimal128 ${OF_DRIVER}, or a number`)
}

function date (schema: TSchema, place: Place): Codec {
  const minimum = numberKeyword(schema, 'minimumTimestamp', place) ?? -Infinity
  const maximum = numberKeyword(schema, 'maximumTimestamp', place) ?? Infinity
  const limits = [
    ...minimum === -Infinity ? [] : [`, not before ${dateWords(minimum, place)}`],
    ...maximum === Infinity ? [] : [`, not after ${dateWords(maximum, place)}`]
  ].join('')
  const check = (time: number) => within(time, minimum, maximum) ? new Date(time) : undefined
  return scalar('text', { bsonType: 'date' },
    value => typeof value === 'string' ? check(parseDate(value)) : undefined, `a date such as 2025-09-22T14:29:30.123Z${limits}`,
    value => value instanceof Date ? check(value.getTime()) : undefined, `a valid Date${limits}`)
}

function dateWords (time: number, place: Place): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? place.fail('has a limit that is not a date, in milliseconds since 1970') : date.toISOString()
}

function binary (schema: TSchema, place: Place): Codec {
  const subType = numberKeyword(schema, 'subType', place) ?? Binary.SUBTYPE_DEFAULT
  const least = numberKeyword(schema, 'minByteLength', place) ?? 0
  const most = numberKeyword(schema, 'maxByteLength', place) ?? Infinity
  if (!Number.isInteger(subType) || subType < 0 || subType > 255) place.fail('has a subType that is not a byte')
  if (subType === Binary.SUBTYPE_UUID) place.fail('has subType 4: use bson.UUID()')
  const size = least === 0 && most === Infinity ? '' : ` of ${least} to ${most} bytes`
  const decode = (value: unknown) => {
    if (typeof value !== 'string') return undefined
    const bytes = Buffer.from(value, 'base64')
    // Buffer skips what is not base64; only what it would write itself went in whole.
    return within(bytes.length, least, most) && bytes.toString('base64') === value ? new Binary(bytes, subType) : undefined
  }
  return scalar('text', { bsonType: 'binData' }, decode, `base64 text with padding${size}`,
    value => value instanceof Binary && value.sub_type === subType && within(value.length(), least, most) ? value : undefined,
    `a Binary ${OF_DRIVER} of subtype ${subType}${size}`)
}
