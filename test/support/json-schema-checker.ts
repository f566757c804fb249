/**
 * Checks a document against a `$jsonSchema` as MongoDB's manual describes it: JSON Schema draft 4 with `bsonType`.
 * Knows the keywords that this package may use, and refuses all others, so that none goes unchecked.
 */
import { Binary, Decimal128, Double, Long, ObjectId } from '../../lib/bson.js'

type Schema = Record<string, unknown>

/** The names of a value's BSON types, as the driver serialises it. */
function typesOf (value: unknown): string[] {
  if (value === null || value === undefined) return ['null']
  if (typeof value === 'string') return ['string']
  if (typeof value === 'boolean') return ['bool']
  if (typeof value === 'bigint' || value instanceof Long) return ['long', 'number']
  if (typeof value === 'number') {
    return [(value | 0) === value && !Object.is(value, -0) ? 'int' : 'double', 'number']
  }
  if (value instanceof Double) return ['double', 'number']
  if (value instanceof Decimal128) return ['decimal', 'number']
  if (value instanceof Date) return ['date']
  if (value instanceof ObjectId) return ['objectId']
  if (value instanceof Binary) return ['binData']
  return [Array.isArray(value) ? 'array' : 'object']
}

const numberOf = (value: unknown) => Number(value instanceof Double ? value.value : value)
const is = (type: string, value: unknown) => typesOf(value).includes(type)
const names = (value: unknown) => Object.keys(value as object)

/** Keyword → whether the value satisfies it; draft 4 ignores a keyword that is about another type. */
const keywords: Record<string, (rule: never, value: unknown, schema: Schema) => boolean> = {
  bsonType: (types: string | string[], value) => [types].flat().some(type => is(type, value)),
  enum: (values: unknown[], value) => values.some(each => each === value || (each === null && value === undefined)),
  anyOf: (schemas: Schema[], value) => schemas.some(schema => satisfies(value, schema)),
  required: (required: string[], value) => !is('object', value) || required.every(name => names(value).includes(name)),
  properties: (properties: Record<string, Schema>, value) =>
    !is('object', value) ||
    names(value).every(
      name => !Object.hasOwn(properties, name) || satisfies((value as Schema)[name], properties[name]!)
    ),
  additionalProperties: (others: Schema, value, { properties = {} }) =>
    !is('object', value) ||
    names(value).every(name => Object.hasOwn(properties as Schema, name) || satisfies((value as Schema)[name], others)),
  items: (schema: Schema, value) => !Array.isArray(value) || value.every(item => satisfies(item, schema)),
  minItems: (least: number, value) => !Array.isArray(value) || value.length >= least,
  maxItems: (most: number, value) => !Array.isArray(value) || value.length <= most,
  minLength: (least: number, value) => typeof value !== 'string' || [...value].length >= least,
  maxLength: (most: number, value) => typeof value !== 'string' || [...value].length <= most,
  minimum: (least: number, value, { exclusiveMinimum }) =>
    !is('number', value) || (exclusiveMinimum ? numberOf(value) > least : numberOf(value) >= least),
  maximum: (most: number, value, { exclusiveMaximum }) =>
    !is('number', value) || (exclusiveMaximum ? numberOf(value) < most : numberOf(value) <= most),
  exclusiveMinimum: (flag: boolean, _value, schema) => flag && 'minimum' in schema,
  exclusiveMaximum: (flag: boolean, _value, schema) => flag && 'maximum' in schema
}

export function satisfies (value: unknown, schema: Schema): boolean {
  return Object.entries(schema).every(([keyword, rule]) => {
    const check = keywords[keyword]
    if (!check) throw new Error(`MongoDB's $jsonSchema has no keyword ${keyword}`)
    return check(rule as never, value, schema)
  })
}
