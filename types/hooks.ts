import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '../lib/bson.js'
import type { AnyRow, CrudOperation, CrudTransaction, OperationToWrite, PatchOperation } from './operations.js'
import type { TransactionResult } from './results.js'

/** Who signs in or uploads: what `authenticate` gave. `id` becomes the token's `sub`. */
export interface User {
  /** Stable, not empty. */
  id: string
  [property: string]: unknown
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
   * transaction applied; null when there is none. The documents of all operations on a collection are loaded
   * together, in one `find`, when the first of them is asked for.
   */
  existing (): Promise<mongodb.Document | null>
  /**
   * The same for a row of any table, for example a parent: `existing('lists', op.data.list_id)`, which loads the lists
   * that this field of all the other operations says in the same `find`.
   * @throws {PowerSyncFatalError} `SCHEMA_MISMATCH` when the table is not one of `collections`.
   */
  existing (table: string, id: string): Promise<mongodb.Document | null>
}

type Awaitable<T> = T | Promise<T>

/**
 * May the user do this? `true` allows it. Anything else refuses the whole client transaction for good with
 * `UNAUTHORIZED`; a string is the reason that the client gets to read.
 * Runs on the decoded operation as uploaded, and again on what `transform` moves to another row.
 */
export type AuthorizeHook<Row = AnyRow> =
  (operation: CrudOperation<Row>, context: OperationContext) => Awaitable<boolean | string>

/**
 * May the user give the row to another owner? Asked when a PATCH of the user's own row sets an owner field to something
 * else, after `transform`. `true` allows it; anything else refuses the client transaction with `UNAUTHORIZED`.
 */
export type AuthorizeTransferHook<Row = AnyRow> =
  (operation: PatchOperation<Row>, context: OperationContext) => Awaitable<boolean | string>

/** Gives the operation to write: the same, another, several (in order), or null for none. */
export type TransformHook<Row = AnyRow> =
  (operation: CrudOperation<Row>, context: OperationContext) => Awaitable<OperationToWrite<Row> | OperationToWrite[] | null>

/**
 * Replaces or wraps how a client transaction is written; `next(transaction?)` writes it the built-in way.
 * Everything written with `context.session` commits or fails with it.
 */
export type UpdateBatchHook = (
  transaction: CrudTransaction,
  context: TransactionContext,
  next: (transaction?: CrudTransaction) => Promise<void>
) => Awaitable<void>

/** One client transaction after its outcome is settled. */
export interface TransactionOutcome {
  /** As uploaded, values not decoded. */
  transaction: CrudTransaction
  result: TransactionResult
}

/** Observes outcomes (metrics, alerts). An error in it is logged and changes nothing. */
export type OnResultHook = (outcome: TransactionOutcome, context: Omit<TransactionContext, 'session'>) => Awaitable<void>

/**
 * Hooks of one collection, or of all; those of all run first.
 * A hook that throws fails its transaction: `PowerSyncFatalError` for good, anything else to be retried.
 */
export interface Hooks<Row = AnyRow> {
  authorize?: AuthorizeHook<Row> | undefined
  transform?: TransformHook<Row> | undefined
  updateBatch?: UpdateBatchHook | undefined
  onResult?: OnResultHook | undefined
}

/** The hooks that a collection may have, typed from its schema. */
export type CollectionHooks<Row = AnyRow> = Hooks<Row>
