import { Kind, TypeRegistry, type SchemaOptions, type Static, type TSchema } from '@sinclair/typebox'
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

/** What `bson.Date()` gives: a BSON date. */
export interface TBsonDate extends TSchema, DateOptions { [Kind]: 'BsonDate', static: Date }
/** What `bson.Boolean()` gives: a BSON bool. */
export interface TBsonBoolean extends TSchema { [Kind]: 'BsonBoolean', static: boolean }
/** What `bson.ObjectId()` gives. */
export interface TBsonObjectId extends TSchema { [Kind]: 'BsonObjectId', static: mongodb.ObjectId }
/** What `bson.UUID()` gives: BSON binary of subtype 4. */
export interface TBsonUUID extends TSchema { [Kind]: 'BsonUUID', static: mongodb.UUID }
/** What `bson.Int32()` gives. */
export interface TBsonInt32 extends TSchema, RangeOptions { [Kind]: 'BsonInt32', static: number }
/** What `bson.Long()` gives: a BSON long, in hooks a `bigint`. */
export interface TBsonLong extends TSchema, RangeOptions<number | bigint> { [Kind]: 'BsonLong', static: bigint }
/** What `bson.Double()` gives. */
export interface TBsonDouble extends TSchema, RangeOptions { [Kind]: 'BsonDouble', static: mongodb.Double }
/** What `bson.Decimal128()` gives. */
export interface TBsonDecimal128 extends TSchema { [Kind]: 'BsonDecimal128', static: mongodb.Decimal128 }
/** What `bson.Binary()` gives. */
export interface TBsonBinary extends TSchema, BinaryOptions { [Kind]: 'BsonBinary', static: mongodb.Binary }
/** What `bson.Json(content)` gives: a document or an array, in hooks as its content says. */
export interface TBsonJson<Content extends TSchema = TSchema> extends TSchema {
  [Kind]: 'BsonJson'
  static: Static<Content, this['params']>
  content: Content
}

/** The maker of one of these types. */
const type = <Schema extends TSchema, Options = SchemaOptions>(kind: string) =>
  (options?: Options): Schema => ({ ...options, [Kind]: kind }) as unknown as Schema

/** The field types of MongoDB, for schemas; they mix with TypeBox's own. `bson.Date()` and its like are TypeBox types. */
export const bson = {
  /** A date; the client holds ISO 8601 text. Text without zone is UTC. In hooks a `Date`. */
  Date: type<TBsonDate, DateOptions>('BsonDate'),
  /** A boolean; the client holds 1 or 0. */
  Boolean: type<TBsonBoolean>('BsonBoolean'),
  /** An ObjectId; the client holds 24 lower-case hexadecimal digits. */
  ObjectId: type<TBsonObjectId>('BsonObjectId'),
  /** A UUID (binary subtype 4); the client holds its lower-case text with hyphens. */
  UUID: type<TBsonUUID>('BsonUUID'),
  /** A whole number of 32 bits; in hooks a `number`, which the driver stores as int as long as it is whole. */
  Int32: type<TBsonInt32, RangeOptions>('BsonInt32'),
  /**
   * A whole number of 64 bits; in hooks a `bigint`, which is always stored as long, where a `number` would become int or
   * double by its size. JavaScript clients round values beyond 2⁵³: such values need a text column.
   */
  Long: type<TBsonLong, RangeOptions<number | bigint>>('BsonLong'),
  /**
   * A double, also when it is whole; in hooks the driver's `Double` (its number is `.value`), since a plain 5.0 would be
   * stored as int. For "any number", use `Type.Number()`.
   */
  Double: type<TBsonDouble, RangeOptions>('BsonDouble'),
  /** A decimal number of up to 34 digits; the client holds its text, such as `1.50` or `1E+3`. */
  Decimal128: type<TBsonDecimal128>('BsonDecimal128'),
  /** Bytes; the client holds base64 text. PowerSync drops blobs: select the field as `base64(field)` in the stream. */
  Binary: type<TBsonBinary, BinaryOptions>('BsonBinary'),
  /**
   * A nested document or array; the client holds JSON text. The content's own types apply at every depth.
   * `Type.Object` and `Type.Array` as a column mean the same.
   */
  Json: <Content extends TSchema>(content: Content, options?: SchemaOptions): TBsonJson<Content> =>
    ({ ...options, [Kind]: 'BsonJson', content }) as unknown as TBsonJson<Content>
}

type Check = (schema: TSchema, value: unknown) => boolean

/** What TypeBox's own `Value` and `TypeCompiler` functions take for a value of these types: the type in hooks. */
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
  BsonJson: (schema, value) => Value.Check((schema as TBsonJson).content, value)
}
for (const [kind, check] of Object.entries(checks)) TypeRegistry.Set(kind, check)
