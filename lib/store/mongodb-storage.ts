import type { mongodb } from '../bson.js'
import type { Collections, CrudTransaction, User } from '../../types/index.js'
import { changes, hasKeys, type Plan } from '../rules/plan.js'
import { CollectionRegistry } from '../rules/registry.js'
import { planWritten } from '../rules/rows.js'
import { Statements, type ServerFeatures, type Statement } from './statements.js'
import type { CommandScope } from './transaction.js'

/** As whom, and in which MongoDB transaction, a client transaction is written. */
export interface UpdateBatchContext extends CommandScope {
  user: User
  /** What the rules allowed: of the context of an `updateBatch` hook. Default: no transfer to another owner. */
  allowed?: ReadonlySet<string> | undefined
}

/**
 * Writes client transactions to MongoDB: the built-in `updateBatch`. Construct or extend it to write rows by your own
 * rules; the plugin's option `updateBatch` puts your own in its place.
 *
 * The outcome equals that of one operation at a time, in order; `planOf` says what each does to its document. The
 * commands are one update and one delete per collection, or one for all where the server has `bulkWrite`.
 *
 * @example
 * class Audited extends MongoDBStorage {
 *   override async updateBatch (transaction, context) {
 *     await super.updateBatch(transaction, context)
 *     await log.insertOne({ user: context.user.id, at: new Date() }, { session: context.session })
 *   }
 * }
 */
export class MongoDBStorage {
  readonly #db: mongodb.Db
  readonly #statements: Statements
  readonly #collections: CollectionRegistry

  /**
   * @param collections the plugin's option
   * @param features of the server. Default: those of every MongoDB
   * @throws {OptionError} for a mistake in a collection's options
   */
  constructor (db: mongodb.Db, collections: Collections, features: ServerFeatures = { bulkWrite: false }) {
    this.#db = db
    this.#statements = new Statements(db, features)
    this.#collections = new CollectionRegistry(collections, {})
  }

  /**
   * @param transaction operations with values as BSON types and ids as the client has them
   * @throws {WriteError} if MongoDB refuses a write; its `cause` is the driver's error
   * @throws {PowerSyncFatalError} for an operation that must not be written
   */
  async updateBatch (transaction: CrudTransaction, { user, allowed, ...scope }: UpdateBatchContext): Promise<void> {
    const collections = this.#collections
    const context = { db: this.#db, session: scope.session }
    const rules = { collections, ofUser: collections.for(user), context, allowed: new Set(allowed) }
    const plans = await planWritten(transaction, rules)
    await this.#statements.send([plans.filter(changes).map(statementOf)], 'fewest', scope)
  }
}

export function statementOf ({ collection, row, _id, owner, change }: Plan): Statement {
  return { collection, row, filter: { _id, ...owner }, change: updateOf(change), upsert: change.kind === 'put' }
}

function updateOf (change: Plan['change']): mongodb.Document | undefined {
  if (change.kind === 'delete') return undefined
  const { set, unset } = change
  if (change.kind === 'put' && change.existing === 'replace') return set
  if (change.kind === 'put' && change.existing === 'keep') return { $setOnInsert: { ...set, ...change.onInsert } }
  const update: mongodb.Document = {}
  if (hasKeys(set)) update['$set'] = set
  if (unset.length) update['$unset'] = Object.fromEntries(unset.map(field => [field, true]))
  // An upsert needs an operator, or it would replace the document.
  if (change.kind === 'put' && (hasKeys(change.onInsert) || !hasKeys(update))) update['$setOnInsert'] = change.onInsert
  return update
}
