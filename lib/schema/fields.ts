import { Kind, TypeRegistry, type SchemaOptions, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Binary, Decimal128, Double, ObjectId, UUID, type mongodb } from '../bson.js'

/** Limits of a number, beside what any TypeBox schema takes. */
export interface RangeOptions<Bound = number> extends SchemaOptions {
  minimum?: Bound
  maximum?: Bound
  exclusiveMinimum?: Bound
  exclusiveMaximum?: Bound
  multipleOf?: Bound
}

/** Limits of a date, beside what any TypeBox schema takes. */
export interface DateOptions extends SchemaOptions {
  /** Milliseconds since 1970, both included: the same names as in TypeBox's own `Type.Date`. */
  minimumTimestamp?: number
  maximumTimestamp?: number
}

/** Limits of binary data, beside what any TypeBox schema takes. */
export interface BinaryOptions extends SchemaOptions {
  /** BSON binary subtype, 0 (generic) by default. Subtype 4 is `UUID()`. */
  subType?: number
  minByteLength?: number
  maxByteLength?: number
}

/** The maker of one of these types. */
const type = <Value, Options = SchemaOptions>(kind: string) =>
  (options?: Options): TUnsafe<Value> => ({ ...options, [Kind]: kind }) as unknown as TUnsafe<Value>

/** The field types of MongoDB, for schemas: TypeBox types that mix with TypeBox's own. */
export const bson = {
  /** A date; the client holds ISO 8601 text. Text without zone is UTC. In hooks a `Date`. */
  Date: type<Date, DateOptions>('BsonDate'),
  /** A boolean; the client holds 1 or 0. */
  Boolean: type<boolean>('BsonBoolean'),
  /** An ObjectId; the client holds 24 lower-case hexadecimal digits. */
  ObjectId: type<mongodb.ObjectId>('BsonObjectId'),
  /** A UUID (binary subtype 4); the client holds its lower-case text with hyphens. */
  UUID: type<mongodb.UUID>('BsonUUID'),
  /** A whole number of 32 bits; in hooks a `number`, which the driver stores as int as long as it is whole. */
  Int32: type<number, RangeOptions>('BsonInt32'),
  /**
   * A whole number of 64 bits; in hooks a `bigint`, which is always stored as long: a `number` would become int or
   * double by its size. JavaScript clients round values beyond 2⁵³: such values need a text column.
   */
  Long: type<bigint, RangeOptions<number | bigint>>('BsonLong'),
  /**
   * A double, also when it is whole; in hooks the driver's `Double` (its number is `.value`): a plain 5.0 would be
   * stored as int. For "any number", use `Type.Number()`.
   */
  Double: type<mongodb.Double, RangeOptions>('BsonDouble'),
  /** A decimal number of up to 34 digits; the client holds its text, such as `1.50` or `1E+3`. */
  Decimal128: type<mongodb.Decimal128>('BsonDecimal128'),
  /** Bytes; the client holds base64 text. PowerSync drops blobs: select the field as `base64(field)` in the stream. */
  Binary: type<mongodb.Binary, BinaryOptions>('BsonBinary'),
  /**
   * A nested document or array; the client holds JSON text. The content's own types apply at every depth.
   * `Type.Object` and `Type.Array` as a column mean the same.
   */
  Json: <Content extends TSchema>(content: Content, options?: SchemaOptions): TUnsafe<Static<Content>> =>
    ({ ...options, [Kind]: 'BsonJson', content }) as unknown as TUnsafe<Static<Content>>
}

type Check = (schema: TSchema, value: unknown) => boolean

/** Registers the types for TypeBox's own `Value` and `TypeCompiler`: they accept the type in hooks. */
const checks: Record<string, Check> = {
  BsonDate: (_, value) => value instanceof Date && !Number.isNaN(value.getTime()),
  BsonBoolean: (_, value) => typeof value === 'boolean',
  BsonObjectId: (_, value) => value instanceof ObjectId,
  BsonUUID: (_, value) => value instanceof UUID,
  BsonInt32: (_, value) => typeof value === 'number' && (value | 0) === value,
  BsonLong: (_, value) => typeof value === 'bigint' && BigInt.asIntN(64, value) === value,
  BsonDouble: (_, value) => value instanceof Double,
  BsonDecimal128: (_, value) => value instanceof Decimal128,
  BsonBinary: (_, value) => value instanceof Binary,
  BsonJson: (schema, value) => Value.Check(schema['content'] as TSchema, value)
}
for (const [kind, check] of Object.entries(checks)) TypeRegistry.Set(kind, check)
