import { createHash } from 'node:crypto'
import type { mongodb } from '../bson.js'
import type { CrudTransaction, FailedOperation, User } from '../../types/index.js'
import type { CommandScope } from './transaction.js'

/** A rejected client transaction, kept so that somebody can read it, fix it and replay it. */
export interface DeadLetter {
  /** The same for the same transaction of the same user, so that a repeated upload does not store it twice. */
  _id: string
  created_at: Date
  user_id: string
  client_id: string | null
  transaction_id: string | null
  /** Id of the request that brought it, as in the server's log. */
  request_id: string | null
  failed_operation: FailedOperation
  /** As uploaded; the columns as JSON text, since their names and values may be what made them fail. */
  operations: {
    op: string
    table: string
    id: string
    op_id: string | null
    data: string | null
    previous: string | null
    metadata: string | null
  }[]
}

export class DeadLetters {
  static readonly collectionName = 'powersync_dead_letters'
  readonly #collection: mongodb.Collection<DeadLetter>

  constructor (db: mongodb.Db) {
    this.#collection = db.collection<DeadLetter>(DeadLetters.collectionName)
  }

  /**
   * Stores a rejected transaction, as uploaded, with `w: "majority"` or in the session's MongoDB transaction.
   * @throws the driver's error when it could not be stored: then the client has to keep the transaction
   */
  async add (
    transaction: CrudTransaction, failedOperation: FailedOperation, user: User, requestId: string | undefined,
    scope: CommandScope
  ): Promise<void> {
    const letter: Omit<DeadLetter, '_id'> = {
      created_at: new Date(),
      user_id: user.id,
      client_id: transaction.clientId ?? null,
      transaction_id: transaction.id ?? null,
      request_id: requestId ?? null,
      failed_operation: failedOperation,
      operations: operationsOf(transaction)
    }
    await this.#collection.updateOne({ _id: idOf(transaction, user) }, { $setOnInsert: letter }, {
      ...scope, upsert: true, ...!scope.session && { writeConcern: { w: 'majority' } }
    })
  }

  /** The letter of a transaction as a user uploaded it, or null. */
  of (transaction: CrudTransaction, user: User): Promise<DeadLetter | null> {
    return this.#collection.findOne({ _id: idOf(transaction, user) })
  }

  /** The latest first. */
  list ({ limit = 100 }: { limit?: number } = {}): Promise<DeadLetter[]> {
    return this.#collection.find().sort({ created_at: -1 }).limit(limit).toArray()
  }
}

/** A hash of the whole, so that the same transaction sent again finds its letter. */
function idOf (transaction: CrudTransaction, user: User): string {
  const { clientId = null, id = null } = transaction
  return createHash('sha256').update(JSON.stringify([user.id, clientId, id, operationsOf(transaction)])).digest('base64url')
}

const operationsOf = ({ operations }: CrudTransaction): DeadLetter['operations'] =>
  operations.map(({ op, table, id, opId, data, previous, metadata }) => ({
    op, table, id, op_id: opId ?? null, data: json(data), previous: json(previous), metadata: metadata ?? null
  }))

const json = (value: unknown) => value === undefined ? null : JSON.stringify(value)
