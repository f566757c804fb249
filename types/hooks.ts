import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '@fastify/mongodb'
import type { AnyRow, CrudOperation, CrudTransaction, OperationToWrite, PatchOperation } from './operations.js'
import type { TransactionResult } from './results.js'

/** What `authenticate` gives. Hooks see of it the id and the claims that `token.claims` makes of it. */
export interface Identity {
  /** Stable, not empty: the `sub` of tokens. */
  id: string
  [property: string]: unknown
}

/**
 * What `token.claims` gives, as a token carries it: JSON values. Declare yours, and hooks and rules know them:
 *
 * @example
 * declare module 'fastify-powersync-mongo' { interface Claims { org: string, role: 'editor' | 'guest' } }
 */
export interface Claims {
  [claim: string]: unknown
}

/**
 * Who uploads, as hooks and rules see them: `{ id, ...claims }`, read-only and the same whether the upload came with a
 * token, with the host's session, or is a dead letter that is run again. Reading a claim that is not there throws.
 */
export interface User extends Readonly<Claims> {
  readonly id: string
}

/** What every hook of one client transaction gets to see. */
export interface TransactionContext {
  user: User
  /** Absent when the app itself called `fastify.powersync.upload`. */
  request: FastifyRequest | undefined
  /** The MongoDB session: what is read and written with it is part of the client transaction. */
  session: mongodb.ClientSession
  db: mongodb.Db
  log: FastifyBaseLogger
}

/** What a hook of one operation gets to see. */
export interface OperationContext extends TransactionContext {
  /**
   * The operation's document as it stands before the operation, with the earlier operations of the same client
   * transaction applied; null if there is no such document. The documents of all operations on a collection are loaded
   * together, in one `find`, when the first of them is asked for.
   */
  existing (): Promise<mongodb.Document | null>
  /**
   * The same for a row of any table, for example a parent: `existing('lists', op.data.list_id)`, which loads the lists
   * that this field of all the other operations says in the same `find`.
   * @param id as the client or a document has it; no row has one that is missing
   * @throws {PowerSyncFatalError} `SCHEMA_MISMATCH` when the table is not one of `collections`.
   */
  existing (table: string, id: unknown): Promise<mongodb.Document | null>
}

/** What a hook may give at once or later. */
export type Awaitable<T> = T | Promise<T>

/**
 * May the user do this? `true` allows it. Anything else refuses the whole client transaction for good with
 * `UNAUTHORIZED`; a string is the reason that the client gets to read.
 * Runs on the decoded operation as uploaded, and again on what `transform` moves to another row.
 */
export type AuthorizeHook<Row = AnyRow> = (
  operation: CrudOperation<Row>,
  context: OperationContext
) => Awaitable<boolean | string>

/**
 * May the user give the row to another owner? Asked when a PATCH of the user's own row sets an owner field to something
 * else, after `transform`. `true` allows it; anything else refuses the client transaction with `UNAUTHORIZED`.
 */
export type AuthorizeTransferHook<Row = AnyRow> =
  (operation: PatchOperation<Row>, context: OperationContext) => Awaitable<boolean | string>

/**
 * Gives the operation to write: the same, another, several (in order), or null for none. Operations are frozen: give a
 * new one, `{ ...operation, data: { … } }`, whose values are converted by the schema. One on another row is authorised
 * anew.
 */
export type TransformHook<Row = AnyRow> = (
  operation: CrudOperation<Row>,
  context: OperationContext
) => Awaitable<OperationToWrite<Row> | OperationToWrite[] | null>

/**
 * The document of a row, in the types that hooks have for its fields; those that others than clients wrote are as they
 * are.
 */
export type StoredRow<Row = AnyRow> = Row & { _id: unknown, [field: string]: unknown }

/** An operation on a row that is there: what a client would write over what the server has. */
export interface Conflict<Row = AnyRow> {
  /** Name of the client's table, as in `operation`: narrows all the rest in a hook for all collections. */
  table: string
  /** What would be written, after `transform`. Its `metadata` is what the client says beside it. */
  operation: CrudOperation<Row>
  /** What the server has, with the earlier operations of the same client transaction applied. */
  existing: StoredRow<Row>
  /**
   * Where a dead letter is run again: the fields that the same client has set since, with the values that it gave them.
   * Its later changes stay, and are no reason to drop the letter's.
   */
  setSince?: Readonly<AnyRow> | undefined
  /**
   * What the client had before its change, with `trackPrevious` (PATCH and DELETE only): `operation.previous` in the
   * types of the schema. A value that does not fit is left out.
   */
  previous: Partial<Row> | undefined
  /**
   * A value in the form in which clients send it, for example from `metadata`, as the field has it.
   * @throws {PowerSyncFatalError} `INVALID_DATA` when it does not fit
   */
  decode <Field extends keyof Row & string>(field: Field, value: unknown): NonNullable<Row[Field]>
}

/** What the client's SDK has to record for a hook. */
interface ConflictTracking {
  /** Fields with the values that they had before a change: `trackPrevious`. */
  readonly previous?: readonly string[]
  /** What the client writes to `_metadata`: `trackMetadata`. */
  readonly metadata?: boolean
}

/**
 * Gives what to write over a row that is there: the operation as it is, another on the same row, or null to keep what
 * the server has. Asked for a PATCH, a DELETE or a PUT of a row that exists and is the user's, after `transform`.
 * If the row changes before the commit, the transaction starts again, and the hook is asked anew.
 */
export interface ResolveConflictHook<Row = AnyRow> {
  (conflict: Conflict<Row>, context: OperationContext): Awaitable<OperationToWrite<Row> | null>
  /** Fields that the schema must have for it; the helpers set them, so that a wrong name stops the start. */
  readonly fields?: readonly string[]
  /** What the client's table must track for it, which `client-schema` prints; the helpers set it. */
  readonly tracks?: ConflictTracking
  /** Fields that it works out from those of the row that is there, as `fieldLevel` its times. */
  readonly merges?: readonly string[]
  /** What an operation would add to fields, of a hook that sums; asked for one on a row that is not there. */
  readonly sumsOf?: (operation: CrudOperation, previous: AnyRow | undefined) => Readonly<Record<string, string>>
}

/**
 * Replaces or wraps how a client transaction is written; `next(transaction?)` writes it the built-in way.
 * Everything written with `context.session` commits or fails with it.
 */
export type UpdateBatchHook<Row = AnyRow> = (
  transaction: CrudTransaction<Row>,
  /** `allowed` tells `MongoDBStorage.updateBatch` what the rules have allowed. */
  context: TransactionContext & { readonly allowed: ReadonlySet<string> },
  next: (transaction?: CrudTransaction) => Promise<void>
) => Awaitable<void>

/** One client transaction after its outcome is settled. */
export interface TransactionOutcome {
  /** As uploaded, values not decoded. */
  transaction: CrudTransaction
  result: TransactionResult
}

/** Observes outcomes (metrics, alerts). An error in it is logged and changes nothing. */
export type OnResultHook = (
  outcome: TransactionOutcome,
  context: Omit<TransactionContext, 'session'>
) => Awaitable<void>

/**
 * Hooks of one collection, or of all; those of all run first.
 * A hook that throws fails its transaction: `PowerSyncFatalError` for good, anything else to be retried.
 */
export interface Hooks<Row = AnyRow> {
  /** May the user do this? */
  authorize?: AuthorizeHook<Row> | undefined
  /** Gives what to write in place of the operation. */
  transform?: TransformHook<Row> | undefined
  /** What becomes of a change to a row that others have changed since the client saw it. */
  resolveConflict?: ResolveConflictHook<Row> | undefined
  /** Replaces or wraps how a client transaction is written; of one collection, the part of it that is on that. */
  updateBatch?: UpdateBatchHook<Row> | undefined
  /** Observes outcomes. */
  onResult?: OnResultHook | undefined
}
