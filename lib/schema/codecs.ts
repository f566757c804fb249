import { Kind, TransformKind, type TSchema } from '@sinclair/typebox'
import { Binary, Decimal128, Double, ObjectId, UUID, type mongodb } from '../bson.js'
import { bigintRange, numberKeyword, numberRange, type Range } from './constraints.js'
import type { Codec, Place } from './codec.js'
import { parseDate } from './dates.js'
import { formatNames, stringFormat } from './formats.js'
import { anyCodec, arrayCodec, jsonColumn, objectCodec, recordCodec } from './nested.js'
import { isIntegerText, isNumberText, toNumber } from './numbers.js'
import { codePoints, isWellFormed } from './text.js'
import { literalCodec, unionCodec } from './unions.js'

/**
 * Every type that a schema may use: how it reads what clients send, what it is in MongoDB, and which column type the
 * client has for it. Only JSON values come in. Kotlin and Swift send each of them as text: `"1"`, `"2.5"`, `"true"`.
 */
const codecs: Record<string, (schema: TSchema, place: Place) => Codec> = {
  String: (schema, place) => ({ ...text(schema, place), bsonType: 'string', column: 'text' }),
  Boolean: () => ({ ...boolean, bsonType: 'bool', column: 'integer' }),
  Number: (schema, place) => ({ ...number(schema, place), bsonType: 'number', column: 'real' }),
  Integer: (schema, place) => ({ ...whole(schema, place, 'a whole number', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), bsonType: 'number', column: 'integer' }),
  Literal: (schema) => literalCodec([schema['const']]),
  Union: unionCodec,
  Array: (schema, place) => place.depth === 0 ? jsonColumn(schema, place) : arrayCodec(schema, place),
  Object: (schema, place) => place.depth === 0 ? jsonColumn(schema, place) : objectCodec(schema, place),
  Record: (schema, place) => place.depth === 0 ? jsonColumn(schema, place) : recordCodec(schema, place),
  Any: (_, place) => anyCodec(place.depth),
  Unknown: (_, place) => anyCodec(place.depth),

  BsonDate: (schema, place) => ({ ...date(schema, place), bsonType: 'date', column: 'text' }),
  BsonBoolean: () => ({ ...boolean, bsonType: 'bool', column: 'integer' }),
  BsonObjectId: () => ({ ...objectId, bsonType: 'objectId', column: 'text' }),
  BsonUUID: () => ({ ...uuid, bsonType: 'binData', column: 'text' }),
  BsonInt32: (schema, place) => ({ ...whole(schema, place, 'a whole number of 32 bits', -(2 ** 31), 2 ** 31 - 1), bsonType: 'int', column: 'integer' }),
  BsonLong: (schema, place) => ({ ...long(schema, place), bsonType: 'long', column: 'integer' }),
  BsonDouble: (schema, place) => ({ ...double(schema, place), bsonType: 'double', column: 'real' }),
  BsonDecimal128: () => ({ ...decimal128, bsonType: 'decimal', column: 'text' }),
  BsonBinary: (schema, place) => ({ ...binary(schema, place), bsonType: 'binData', column: 'text' }),
  BsonJson: (schema, place) => place.depth === 0 ? jsonColumn(schema['content'], place) : place.here(schema['content'])
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
  const make = Object.hasOwn(codecs, kind) ? codecs[kind] : undefined
  if (make) return make(schema, place)
  const hint = Object.hasOwn(instead, kind) ? instead[kind] : `one of ${Object.keys(codecs).map(publicName).join(', ')}`
  return place.fail(`is a Type.${kind}, which cannot be stored: use ${hint}`)
}

function publicName (kind: string): string {
  return kind.startsWith('Bson') ? `bson.${kind.slice(4)}` : `Type.${kind}`
}

type Conversion = Pick<Codec, 'decode' | 'expects' | 'inline'>

/** Text only: a number in a text column has lost how it was written (`1.0`, `007`). */
function text (schema: TSchema, place: Place): Conversion {
  const minLength = numberKeyword(schema, 'minLength', place) ?? 0
  const maxLength = numberKeyword(schema, 'maxLength', place) ?? Infinity
  const tests: Array<(text: string) => boolean> = [isWellFormed]
  const rules: string[] = []
  // Code units, which are quick to count, are at least as many as code points and at most twice as many.
  const surelyFits = (length: string) => `${length} <= ${maxLength} && ${length} >= ${2 * minLength}`
  if (minLength > 0 || maxLength < Infinity) {
    tests.push(text => within(codePoints(text), minLength, maxLength))
    rules.push(maxLength === Infinity ? `of at least ${minLength} characters` : `of ${minLength} to ${maxLength} characters`)
  }
  const simple = schema['pattern'] === undefined && schema['format'] === undefined
  if (schema['pattern'] !== undefined) {
    const pattern = regularExpression(schema['pattern'], place)
    tests.push(text => pattern.test(text))
    rules.push(`that matches ${pattern}`)
  }
  if (schema['format'] !== undefined) {
    const format = stringFormat(schema['format'])
    if (!format) place.fail(`has the unknown format "${schema['format']}": use ${formatNames().join(', ')}, or register it with TypeBox's FormatRegistry first`)
    tests.push(format)
    rules.push(`in the format ${schema['format']}`)
  }
  return {
    expects: rules.length === 0 ? 'text' : `text ${rules.join(' and ')}`,
    decode: value => typeof value === 'string' && tests.every(test => test(value)) ? value : undefined,
    ...simple && {
      inline: value => ({ when: `typeof ${value} === 'string' && ${surelyFits(`${value}.length`)} && ${value}.isWellFormed()`, value })
    }
  }
}

function within (length: number, minimum: number, maximum: number): boolean {
  return length >= minimum && length <= maximum
}

function regularExpression (pattern: string, place: Place): RegExp {
  try {
    return new RegExp(pattern)
  } catch {
    return place.fail('has a pattern that is not a regular expression')
  }
}

const BOOLEANS = new Map<unknown, boolean>([
  [true, true], [1, true], ['1', true], ['true', true],
  [false, false], [0, false], ['0', false], ['false', false]
])

const boolean: Conversion = {
  expects: '1, 0, true or false',
  decode: value => BOOLEANS.get(value),
  inline: value => ({ when: `${value} === 1 || ${value} === 0`, value: `${value} === 1` })
}

function number (schema: TSchema, place: Place): Conversion {
  const { accepts, words } = numberRange(schema, place)
  return {
    expects: `a finite number${words}, as precise as a double`,
    decode: value => {
      const number = toNumber(value)
      return Number.isNaN(number) || accepts?.(number) === false ? undefined : number
    },
    ...!accepts && { inline: value => ({ when: `Number.isFinite(${value})`, value }) }
  }
}

function whole (schema: TSchema, place: Place, noun: string, least: number, most: number): Conversion {
  const { accepts, words } = numberRange(schema, place)
  return {
    expects: `${noun}${words}`,
    decode: value => {
      const number = toNumber(value)
      if (!Number.isInteger(number) || number < least || number > most || accepts?.(number) === false) return undefined
      return number + 0 // the driver stores -0 as a double
    },
    ...!accepts && { inline: value => ({ when: `Number.isInteger(${value}) && ${value} >= ${least} && ${value} <= ${most}`, value: `${value} + 0` }) }
  }
}

function long (schema: TSchema, place: Place): Conversion {
  const { accepts, words }: Range<bigint> = bigintRange(schema, place)
  return {
    expects: `a whole number of 64 bits${words}, as text (in a text column) when it is beyond 9007199254740991`,
    decode: value => {
      const long = isIntegerText(value) ? BigInt(value) : safeInteger(toNumber(value))
      return long === undefined || BigInt.asIntN(64, long) !== long || accepts?.(long) === false ? undefined : long
    }
  }
}

function safeInteger (number: number): bigint | undefined {
  return Number.isSafeInteger(number) ? BigInt(number) : undefined
}

function double (schema: TSchema, place: Place): Conversion {
  const plain = number(schema, place)
  return {
    expects: plain.expects,
    decode: value => {
      const number = plain.decode(value) as number | undefined
      return number === undefined ? undefined : new Double(number)
    }
  }
}

const decimal128: Conversion = {
  expects: 'a decimal number of at most 34 digits',
  decode: value => {
    if (isNumberText(value)) return toDecimal128(value)
    // A number's shortest text is what the client wrote, unless it had more digits than a double holds.
    if (typeof value !== 'number' || !Number.isFinite(value)) return undefined
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : toDecimal128(String(value))
  }
}

/** `fromString` throws on overflow and on digits that would be lost. */
function toDecimal128 (text: string): mongodb.Decimal128 | undefined {
  try {
    return Decimal128.fromString(text)
  } catch {
    return undefined
  }
}

function date (schema: TSchema, place: Place): Conversion {
  const minimum = numberKeyword(schema, 'minimumTimestamp', place) ?? -Infinity
  const maximum = numberKeyword(schema, 'maximumTimestamp', place) ?? Infinity
  const from = minimum === -Infinity ? '' : `, not before ${dateWords(minimum, place)}`
  const to = maximum === Infinity ? '' : `, not after ${dateWords(maximum, place)}`
  return {
    expects: `a date such as 2025-09-22T14:29:30.123Z${from}${to}`,
    decode: value => {
      if (typeof value !== 'string') return undefined
      const time = parseDate(value)
      return time >= minimum && time <= maximum ? new Date(time) : undefined
    }
  }
}

function dateWords (time: number, place: Place): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? place.fail('has a limit that is not a date, in milliseconds since 1970') : date.toISOString()
}

const OBJECT_ID = /^[0-9a-f]{24}$/

const objectId: Conversion = {
  expects: '24 lower-case hexadecimal digits',
  decode: value => typeof value === 'string' && OBJECT_ID.test(value) ? new ObjectId(value) : undefined
}

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const uuid: Conversion = {
  expects: 'a UUID in lower case with hyphens',
  decode: value => typeof value === 'string' && CANONICAL_UUID.test(value) ? new UUID(Buffer.from(value.replaceAll('-', ''), 'hex')) : undefined
}

function binary (schema: TSchema, place: Place): Conversion {
  const subType = numberKeyword(schema, 'subType', place) ?? Binary.SUBTYPE_DEFAULT
  const least = numberKeyword(schema, 'minByteLength', place) ?? 0
  const most = numberKeyword(schema, 'maxByteLength', place) ?? Infinity
  if (!Number.isInteger(subType) || subType < 0 || subType > 255) place.fail('has a subType that is not a byte')
  if (subType === Binary.SUBTYPE_UUID) place.fail('has subType 4: use bson.UUID()')
  const size = least === 0 && most === Infinity ? '' : ` of ${least} to ${most} bytes`
  return {
    expects: `base64 text with padding${size}`,
    decode: value => {
      if (typeof value !== 'string') return undefined
      const bytes = Buffer.from(value, 'base64')
      // Buffer skips what is not base64; only what it would write itself went in whole.
      if (!within(bytes.length, least, most) || bytes.toString('base64') !== value) return undefined
      return new Binary(bytes, subType)
    }
  }
}
