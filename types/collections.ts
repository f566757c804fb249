import type { TObject, TProperties } from '@sinclair/typebox'
import type { AuthorizeTransferHook, Hooks, User } from './hooks.js'
import type { AnyRow, CrudOperation, RowOf } from './operations.js'

/** A TypeBox object; or `'any'`, which stores the values as they come. */
export type CollectionSchema = TObject | 'any'

/** What hooks get to see of a row. */
export type CollectionRow<Schema extends CollectionSchema> = Schema extends infer S extends TObject ? RowOf<S> : AnyRow

/** Names of the document's fields, which are those of the schema. */
export type FieldName<Schema extends CollectionSchema> =
  Schema extends TObject<infer Properties extends TProperties> ? keyof Properties & string : string

/**
 * How the client's text ids become `_id`.
 *
 * | type | accepted | stored |
 * | --- | --- | --- |
 * | `'string'` | 1 to 1 024 bytes without NUL, that match `pattern` | string |
 * | `'uuid'` | lower case with hyphens | string, or with `store: 'bson'` a BSON UUID |
 * | `'objectId'` | 24 lower-case hexadecimal digits | ObjectId |
 * | `'integer'` | a whole number of 64 bits but 0, which PowerSync's service does not sync | int or long |
 */
export type IdType =
  | 'string' | 'uuid' | 'objectId' | 'integer'
  | { type: 'string', pattern?: string | undefined }
  | { type: 'uuid', store?: 'text' | 'bson' | undefined }
  | { type: 'objectId' | 'integer' }
  | IdCodec

/** Ids of the app's own making. */
export interface IdCodec {
  /** The `_id` of a client's id; undefined or an error if it is not one. It must `encode` to the same text. */
  decode (text: string): unknown
  /** The client's id of an `_id`. */
  encode (value: unknown): string
}

/** What a client may send for a row. */
type OperationName = 'PUT' | 'PATCH' | 'DELETE'

/**
 * A field that says whose row it is. It holds the user's `id`, or what `claim` or `value` says: text as the service
 * sends it, a number, an ObjectId, a UUID. Undefined or null: the user has no rows here.
 */
export interface OwnerField<Field extends string = string> {
  field: Field
  /** Name of the user's claim that the field holds. */
  claim?: string | undefined
  /** For what no claim says. `streams` cannot print it, and leaves the table out. */
  value?: ((user: User) => unknown) | undefined
}

/** What `throughParent` gives. */
export interface ThroughParent<Field extends string = string> {
  /** Table of the parents. */
  readonly parent: string
  /** Holds the parent's id. */
  readonly field: Field
}

/**
 * Whose rows they are: a field that holds the user's id, or another value of the user; `throughParent`; several of
 * them, which must all hold; or a function that gives fields and their values. From the function, `{}` leaves the user
 * every row, null no row. `streams` prints the same rule, except for a function.
 */
export type Owner<Field extends string = string> =
  | OwnerRule<Field>
  | ReadonlyArray<OwnerRule<Field>>
  | ((user: User) => Readonly<Partial<Record<Field, unknown>>> | null)

export type OwnerRule<Field extends string = string> = Field | OwnerField<Field> | ThroughParent<Field>

/** A function that gives a value for each field that has a default. */
type Defaults<Schema extends CollectionSchema> = {
  readonly [Field in FieldName<Schema>]?:
    (() => Field extends keyof CollectionRow<Schema> ? CollectionRow<Schema>[Field] : unknown) | undefined
}

/** An operation of an older client: its columns and values as uploaded. `data` of a DELETE is empty. */
type OlderOperation = Readonly<Omit<CrudOperation, 'data'> & { data: AnyRow }>

/**
 * Gives the operation as the next version of the app would have sent it: with changed `data`, `previous` or `metadata`.
 * Null drops it.
 */
export type Migration = (operation: OlderOperation) => OlderOperation | null

/** What `collection()` takes. Hooks are typed from the schema. */
export interface CollectionOptions<
  Schema extends CollectionSchema = CollectionSchema,
  Writable extends FieldName<Schema> = FieldName<Schema>
> extends Hooks<CollectionRow<Schema>> {
  /**
   * The fields of the documents, as a TypeBox object of `bson` and TypeBox types. What is neither `Type.Optional` nor
   * a union with `Type.Null` is required. `'any'` checks no more than the names and stores values as they come.
   */
  schema: Schema
  /** Default `'string'`. */
  id?: IdType | undefined
  /** Name of the MongoDB collection. Default: the table's. */
  name?: string | undefined
  /**
   * Columns whose document field is called otherwise: `{ ownerId: 'owner_id' }`. All else here, and hooks, use the
   * field's name.
   */
  fields?: Readonly<Record<string, NoInfer<FieldName<Schema>>>> | undefined
  /**
   * Whose rows they are: fields are set on insert and a condition of every write; parents are looked up in its
   * transaction.
   */
  owner?: Owner<NoInfer<FieldName<Schema>>> | undefined
  /** May the user give the row to another owner, as this PATCH would? Without it nobody may. */
  authorizeTransfer?: AuthorizeTransferHook<CollectionRow<Schema>> | undefined
  /** What clients may send. Without `PATCH`, a PUT creates rows and never changes one. Default: all. */
  operations?: readonly OperationName[] | undefined
  /**
   * The fields that clients may write; all others of the schema are the server's own: an uploaded value is left out,
   * since clients send back whole rows. Or a function that gives the fields of a user, `true` for all: a value for any
   * other is `UNAUTHORIZED`. A PUT leaves the other fields as they are. Owner fields need not be among them, unless
   * they name a parent. Default: all.
   */
  writable?: ReadonlyArray<NoInfer<FieldName<Schema>>> | ((user: User) => true | readonly Writable[]) | undefined
  /**
   * What a PUT does to fields that the schema does not have: keep them (`merge`, the default) or drop them (`replace`).
   */
  put?: 'merge' | 'replace' | undefined
  /** How null is stored: as null (`store`, the default) or by removing the field (`unset`). */
  nulls?: 'store' | 'unset' | undefined
  /**
   * What to do with columns that the schema does not have. Names that it does not have within JSON are rejected with
   * `reject`, the default, and else stored as they came.
   */
  unknownFields?: 'reject' | 'drop' | 'store' | undefined
  /**
   * Values that the server gives where a PUT has none: `{ created_at: () => new Date() }`. For a field that clients
   * cannot write: when the document is created.
   */
  defaults?: NoInfer<Defaults<Schema>> | undefined
  /**
   * How operations of older clients become those of today: version → a function that lifts an operation of the version
   * before. All collections together have one for each version, from the oldest that is lifted to the current one.
   */
  migrations?: Readonly<Record<number, Migration>> | undefined
}

/**
 * What `collection()` gives: the options, complete and frozen. Hooks have lost the type of their row, which only their
 * author needs.
 */
export interface Collection<Schema extends CollectionSchema = CollectionSchema> extends Readonly<Hooks> {
  readonly schema: Schema
  readonly id: IdType
  readonly name: string | undefined
  /** Column → field, for those that differ. */
  readonly fields: Readonly<Record<string, string>>
  /** None: everybody's. */
  readonly owner: ReadonlyArray<OwnerField | ThroughParent> | ((user: User) => Readonly<Record<string, unknown>> | null)
  readonly authorizeTransfer: AuthorizeTransferHook | undefined
  readonly operations: readonly OperationName[]
  /** As in `CollectionOptions`. */
  readonly writable: readonly string[] | ((user: User) => true | readonly string[]) | undefined
  readonly put: 'merge' | 'replace'
  readonly nulls: 'store' | 'unset'
  readonly unknownFields: 'reject' | 'drop' | 'store'
  /** Field → a function that gives its value where a PUT has none. */
  readonly defaults: Readonly<Record<string, () => unknown>>
  readonly migrations: Readonly<Record<number, Migration>>
}

/** Table name → `collection({ … })`. */
export type Collections = Readonly<Record<string, Collection>>
