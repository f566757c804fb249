import {
  Kind, TypeRegistry, type BigIntOptions, type DateOptions, type NumberOptions, type SchemaOptions, type Static,
  type TSchema, type TUnsafe, type Uint8ArrayOptions
} from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Binary, Decimal128, Double, ObjectId, UUID, type mongodb } from '../bson.js'

/** Limits of a 64-bit number. */
type LongOptions = { [Limit in keyof NumberOptions]: NumberOptions[Limit] | BigIntOptions[Limit] }

/** Limits of binary data. */
interface BinaryOptions extends Uint8ArrayOptions {
  /** BSON binary subtype, 0 (generic) by default. Subtype 4 is `UUID()`. */
  subType?: number
}

/**
 * The maker of one of these types.
 * @param check for TypeBox's own `Value` and `TypeCompiler`: whether a value is of the type in hooks
 */
function type<Value, Options = SchemaOptions> (kind: string, check: (value: unknown) => boolean) {
  TypeRegistry.Set(kind, (_, value) => check(value))
  return (options?: Options): TUnsafe<Value> => ({ ...options, [Kind]: kind }) as unknown as TUnsafe<Value>
}

/** The field types of MongoDB, for schemas: TypeBox types that mix with TypeBox's own. */
export const bson = {
  /** A date; the client holds ISO 8601 text. Text without zone is UTC. In hooks a `Date`. */
  Date: type<Date, DateOptions>('BsonDate', value => value instanceof Date && !Number.isNaN(value.getTime())),
  /** A boolean; the client holds 1 or 0. */
  Boolean: type<boolean>('BsonBoolean', value => typeof value === 'boolean'),
  /** An ObjectId; the client holds 24 lower-case hexadecimal digits. */
  ObjectId: type<mongodb.ObjectId>('BsonObjectId', value => value instanceof ObjectId),
  /** A UUID (binary subtype 4); the client holds its lower-case text with hyphens. */
  UUID: type<mongodb.UUID>('BsonUUID', value => value instanceof UUID),
  /** A whole number of 32 bits; in hooks a `number`, which the driver stores as int as long as it is whole. */
  Int32: type<number, NumberOptions>('BsonInt32', value => typeof value === 'number' && (value | 0) === value),
  /**
   * A whole number of 64 bits; in hooks a `bigint`, which is always stored as long: a `number` would become int or
   * double by its size. JavaScript clients round values beyond 2⁵³: such values need a text column.
   */
  Long: type<bigint, LongOptions>('BsonLong', value => typeof value === 'bigint' && BigInt.asIntN(64, value) === value),
  /**
   * A double, also when it is whole; in hooks the driver's `Double` (its number is `.value`): a plain 5.0 would be
   * stored as int. For "any number", use `Type.Number()`.
   */
  Double: type<mongodb.Double, NumberOptions>('BsonDouble', value => value instanceof Double),
  /** A decimal number of up to 34 digits; the client holds its text, such as `1.50` or `1E+3`. */
  Decimal128: type<mongodb.Decimal128>('BsonDecimal128', value => value instanceof Decimal128),
  /** Bytes; the client holds base64 text. PowerSync drops blobs: select the field as `base64(field)` in the stream. */
  Binary: type<mongodb.Binary, BinaryOptions>('BsonBinary', value => value instanceof Binary),
  /**
   * A nested document or array; the client holds JSON text. The content's own types apply at every depth.
   * `Type.Object` and `Type.Array` as a column mean the same.
   */
  Json: <Content extends TSchema>(content: Content, options?: SchemaOptions): TUnsafe<Static<Content>> =>
    ({ ...options, [Kind]: 'BsonJson', content }) as unknown as TUnsafe<Static<Content>>
}

TypeRegistry.Set<TSchema>('BsonJson', ({ content }, value) => Value.Check(content, value))
