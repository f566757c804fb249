import type { mongodb } from '../bson.js'
import type { Collections, CrudTransaction, ServerFeatures, UpdateBatchContext } from '../../types/index.js'
import { changes } from '../rules/plan.js'
import { CollectionRegistry } from '../rules/registry.js'
import { planWritten } from '../rules/rows.js'
import { statementOf, Statements } from './statements.js'

/** No private name: in declarations, TypeScript 5 refuses one without `target`. A subclass may have any other name. */
const own = Symbol('own')

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
  private readonly [own]: { db: mongodb.Db, statements: Statements, collections: CollectionRegistry }

  /**
   * @param collections the plugin's option
   * @param features of the server. Default: those of every MongoDB
   * @throws {OptionError} for a mistake in a collection's options
   */
  constructor (db: mongodb.Db, collections: Collections, features: ServerFeatures = { bulkWrite: false }) {
    const statements = new Statements(db, features)
    this[own] = { db, statements, collections: new CollectionRegistry(collections, {}) }
  }

  /**
   * @param transaction operations with values as BSON types and ids as the client has them
   * @throws {WriteError} if MongoDB refuses a write; its `cause` is the driver's error
   * @throws {PowerSyncFatalError} for an operation that must not be written
   */
  async updateBatch (transaction: CrudTransaction, { user, allowed, ...scope }: UpdateBatchContext): Promise<void> {
    const { db, statements, collections } = this[own]
    const context = { db, session: scope.session }
    const rules = { collections, ofUser: collections.for(user), context, allowed: new Set(allowed) }
    const plans = await planWritten(transaction, rules)
    await statements.send([plans.filter(changes).map(statementOf)], 'fewest', scope)
  }
}
