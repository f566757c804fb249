import { setTimeout as pause } from 'node:timers/promises'
import { Long, reading, type mongodb } from '../bson.js'
import type { User } from '../../types/index.js'
import { clientKey } from './ledger.js'
import { isDuplicateId } from './mongodb-errors.js'
import { backoff, ConflictError, isTransient } from './transaction.js'

/** For requests of one client at once, each of which lets another pass. */
const mostAttempts = 10

interface CheckpointDocument { _id: string, user_id: string, client_id: string, checkpoint: mongodb.Long }

/**
 * PowerSync's custom write checkpoints: a number per user and client database that only grows, in the collection
 * `powersync_write_checkpoints`. It leaves the service's own managed ones, `_powersync_checkpoints`, alone.
 *
 * @see https://docs.powersync.com/usage/use-case-examples/custom-write-checkpoints
 */
export class WriteCheckpoints {
  static readonly collectionName = 'powersync_write_checkpoints'
  readonly #collection: mongodb.Collection<CheckpointDocument>

  constructor (db: mongodb.Db) {
    this.#collection = db.collection<CheckpointDocument>(WriteCheckpoints.collectionName)
  }

  /** The next number, from 1, as text, since it has 64 bits. Committed with `w: "majority"`. */
  next (user: User, clientId: string): Promise<string> {
    return this.#change(user, clientId, { $inc: { checkpoint: Long.ONE } })
  }

  /** The greater of the number that the client's SDK asks for and the one that is stored. The same otherwise. */
  atLeast (user: User, clientId: string, requested: bigint): Promise<string> {
    return this.#change(user, clientId, { $max: { checkpoint: Long.fromBigInt(requested) } })
  }

  async #change (user: User, clientId: string, change: mongodb.UpdateFilter<CheckpointDocument>): Promise<string> {
    const _id = clientKey(user, clientId)
    const update = { ...change, $setOnInsert: { user_id: user.id, client_id: clientId } }
    for (let attempt = 1; ; attempt++) {
      try {
        const document = await this.#collection.findOneAndUpdate({ _id }, update, {
          upsert: true, returnDocument: 'after', writeConcern: { w: 'majority' }, ...reading, promoteLongs: false
        })
        // Of two upserts at once, one may find no document afterwards.
        if (!document) throw new ConflictError('another request was faster')
        return String(document.checkpoint)
      } catch (error) {
        // Requests of one client at once: the document is there now, or has changed.
        if (attempt === mostAttempts || !(isDuplicateId(error) || isTransient(error))) throw error
        await pause(backoff(attempt))
      }
    }
  }
}
