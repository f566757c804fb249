import type { Static, TObject } from '@sinclair/typebox'

/** Columns of a row whose collection has no static type. */
export type AnyRow = Record<string, unknown>

/**
 * The decoded row of a collection: each field as its schema's static type (`bson.Date()` is a `Date`).
 * An optional field may also be null: the client's columns know no difference between null and absent.
 */
export type RowOf<Schema extends TObject> = {
  [Field in keyof Static<Schema>]: undefined extends Static<Schema>[Field]
    ? Static<Schema>[Field] | null
    : Static<Schema>[Field]
}

/** Names of a row's fields that hold such values; of a row without static type, any name. */
export type FieldHolding<Row, Value> = {
  [Field in keyof Row & string]: NonNullable<Row[Field]> extends Value
    ? Field
    : unknown extends Row[Field]
      ? Field
      : never
}[keyof Row & string]

interface OperationBase {
  /** Name of the client's table, which is the key in the `collections` option. */
  table: string
  /** The row's id as the client has it: always text. */
  id: string
  /** Values before the change, for tables with `trackPrevious`. As uploaded. */
  previous?: AnyRow | undefined
  /** What the client wrote to `_metadata`, for tables with `trackMetadata`. */
  metadata?: string | undefined
  /** Position in the client's upload queue (`op_id`), unique in one client database. */
  opId?: string | undefined
  /** Position in the client transaction, from 0. */
  index: number
  /**
   * Amounts that the operation adds to fields, as decimal text, where `data` has the sums: `additive` sets it. A dead
   * letter of an earlier operation can then be run below it.
   */
  sums?: Readonly<Record<string, string>> | undefined
}

/** INSERT or REPLACE: `data` is the whole row; a column that the client holds as null may be absent. */
interface PutOperation<Row = AnyRow> extends OperationBase { op: 'PUT'; data: Row }

/** UPDATE: `data` has the changed columns only. */
export interface PatchOperation<Row = AnyRow> extends OperationBase { op: 'PATCH'; data: Partial<Row> }

/** DELETE: no data. */
interface DeleteOperation extends OperationBase { op: 'DELETE'; data?: undefined }

/**
 * One uploaded change of one row: PowerSync's `CrudEntry`, whatever shape it was sent in.
 * Source: contract of `CrudEntry` in the PowerSync SDKs.
 */
export type CrudOperation<Row = AnyRow> = PutOperation<Row> | PatchOperation<Row> | DeleteOperation

/** An operation that a `transform` gives: `index` is taken from the operation it came from. */
export type OperationToWrite<Row = AnyRow> = CrudOperation<Row> extends infer Operation
  ? Operation extends { index: number } ? Omit<Operation, 'index'> & { index?: number } : never
  : never

/** What one commit of the client's database changed, in its order. */
export interface CrudTransaction<Row = AnyRow> {
  /** The client's `tx_id`; absent when the change was made outside a transaction or was not sent. */
  id?: string | undefined
  /** The client database's id (`getClientId()`), when the connector sends it. */
  clientId?: string | undefined
  /** Version of the app's schema that the operations are of, when the connector sends it. Default: the server's own. */
  schemaVersion?: number | undefined
  operations: CrudOperation<Row>[]
}
