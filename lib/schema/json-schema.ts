import { Kind, OptionalKind, type TObject, type TSchema } from '@sinclair/typebox'
import type { Collection, IdType } from '../../types/collections.js'
import { fieldsOf, type Field } from './field-list.js'

/** MongoDB's dialect of JSON Schema: draft 4 with `bsonType`. */
export type JsonSchema = { [keyword: string]: unknown }

/**
 * The `$jsonSchema` of a collection: what MongoDB itself can enforce of its schema.
 *
 * Everything that the decoder lets through passes it: where MongoDB cannot say the same (`pattern` and `format`, whose
 * regular expressions differ, `multipleOf`, `uniqueItems`), it says less. Fields that the schema does not know are
 * allowed, since the server may have its own.
 *
 * @param table the client's name of it, for messages
 * @returns undefined for `schema: 'any'`
 * @see https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
 */
export function jsonSchemaOf (collection: Collection, table = 'collection'): JsonSchema | undefined {
  if (collection.schema === 'any') return undefined
  const fields = fieldsOf(table, collection)
  const required = fields.filter(isAlwaysThere).map(({ name }) => name)
  const id = idShape(collection.id)
  return {
    bsonType: 'object',
    ...required.length && { required },
    properties: {
      ...id && { _id: id },
      ...Object.fromEntries(fields.map(({ name, schema, nullable }) => [name, nullable ? orNull(shapeOf(schema)) : shapeOf(schema)]))
    }
  }
}

/** A field that only the server writes is there when the server gives it a default. */
const isAlwaysThere = ({ nullable, readOnly, default: byDefault }: Field) => !nullable && (!readOnly || byDefault !== undefined)

const shapes: Record<string, (schema: TSchema) => JsonSchema> = {
  String: schema => ({ bsonType: 'string', ...sizes(schema, ['minLength', 'maxLength']) }),
  Boolean: () => ({ bsonType: 'bool' }),
  Number: schema => ({ bsonType: 'number', ...range(schema) }),
  Integer: schema => ({ bsonType: 'number', ...range(schema) }),
  Literal: schema => ({ enum: [schema['const']] }),
  Union: ({ anyOf }) => union(anyOf),
  Array: schema => ({ bsonType: 'array', items: shapeOf(schema['items']), ...sizes(schema, ['minItems', 'maxItems']) }),
  Object: schema => object(schema as TObject),
  Record: () => ({ bsonType: 'object' }),
  Any: () => ({}),
  Unknown: () => ({}),
  BsonDate: () => ({ bsonType: 'date' }),
  BsonBoolean: () => ({ bsonType: 'bool' }),
  BsonObjectId: () => ({ bsonType: 'objectId' }),
  BsonUUID: () => ({ bsonType: 'binData' }),
  BsonInt32: schema => ({ bsonType: 'int', ...range(schema) }),
  BsonLong: () => ({ bsonType: 'long' }),
  BsonDouble: schema => ({ bsonType: 'double', ...range(schema) }),
  BsonDecimal128: () => ({ bsonType: 'decimal' }),
  BsonBinary: () => ({ bsonType: 'binData' }),
  BsonJson: schema => shapeOf(schema['content'])
}

/** Kinds that are not in the table cannot be in a schema: `fieldsOf` has refused them. */
const shapeOf = (schema: TSchema): JsonSchema => (shapes[schema[Kind]] as (schema: TSchema) => JsonSchema)(schema)

/** In JSON, an optional property may be null as well, and null is then what is stored. */
function object ({ properties }: TObject): JsonSchema {
  const required = Object.keys(properties).filter(name => !(OptionalKind in (properties[name] as TSchema)))
  return {
    bsonType: 'object',
    ...required.length && { required },
    properties: Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, OptionalKind in property ? orNull(shapeOf(property)) : shapeOf(property)]))
  }
}

/** Literals become one `enum`, single types one list of types, anything else `anyOf`. */
function union (variants: TSchema[]): JsonSchema {
  const parts = variants.filter(variant => variant[Kind] !== 'Null').map(shapeOf)
  const either = eitherOf(parts)
  return parts.length < variants.length ? orNull(either) : either
}

function eitherOf (parts: JsonSchema[]): JsonSchema {
  if (parts.length === 1) return parts[0] as JsonSchema
  if (parts.every(part => 'enum' in part)) return { enum: parts.flatMap(part => part['enum'] as unknown[]) }
  if (parts.every(part => Object.keys(part).join() === 'bsonType')) return { bsonType: [...new Set(parts.flatMap(part => part['bsonType'] as string))] }
  return { anyOf: parts }
}

/** The same, or null; of a shape that has null already, nothing new. */
function orNull (shape: JsonSchema): JsonSchema {
  if (Object.keys(shape).length === 0) return shape
  if ('enum' in shape) return { enum: [...new Set([...shape['enum'] as unknown[], null])] }
  if ('bsonType' in shape) return { ...shape, bsonType: [...new Set([shape['bsonType'], 'null'].flat())] }
  const parts = shape['anyOf'] as JsonSchema[]
  return { anyOf: [...parts.filter(({ bsonType }) => bsonType !== 'null'), { bsonType: 'null' }] }
}

/** Draft 4 has the exclusive bounds as flags of the others. */
function range ({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: TSchema): JsonSchema {
  const exclusiveLow = exclusiveMinimum !== undefined && !(minimum > exclusiveMinimum)
  const exclusiveHigh = exclusiveMaximum !== undefined && !(maximum < exclusiveMaximum)
  return {
    ...exclusiveLow ? { minimum: exclusiveMinimum, exclusiveMinimum: true } : minimum !== undefined && { minimum },
    ...exclusiveHigh ? { maximum: exclusiveMaximum, exclusiveMaximum: true } : maximum !== undefined && { maximum }
  }
}

/** MongoDB refuses a validator whose sizes are not whole numbers from 0 on, such as Infinity. */
function sizes (schema: TSchema, names: string[]): JsonSchema {
  return Object.fromEntries(names.filter(name => Number.isSafeInteger(schema[name]) && schema[name] >= 0).map(name => [name, schema[name]]))
}

/** Ids of the app's own making can be anything. */
function idShape (id: IdType): JsonSchema | undefined {
  if (typeof id === 'object' && 'decode' in id) return undefined
  const { type, store } = typeof id === 'string' ? { type: id, store: undefined } : { store: undefined, ...id }
  return { bsonType: store === 'bson' ? 'binData' : { string: 'string', uuid: 'string', objectId: 'objectId', integer: ['int', 'long'] }[type] }
}
