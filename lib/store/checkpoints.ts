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
 * Takes PowerSync's custom write checkpoints: a number per user and client database that only grows, in the collection
 * `powersync_write_checkpoints`. The service's own managed ones, `_powersync_checkpoints`, are left alone.
 *
 * @returns the stored number, committed with `w: "majority"`, as text, since it has 64 bits: the next one, from 1, or
 *   the greater of the stored and the requested one
 * @see https://docs.powersync.com/usage/use-case-examples/custom-write-checkpoints
 */
export type TakeCheckpoint = (user: User, clientId: string, requested: bigint | undefined) => Promise<string>

export function checkpointTaker (db: mongodb.Db): TakeCheckpoint {
  const collection = db.collection<CheckpointDocument>('powersync_write_checkpoints')
  return async (user, clientId, requested) => {
    const _id = clientKey(user, clientId)
    const change = requested === undefined
      ? { $inc: { checkpoint: Long.ONE } }
      : { $max: { checkpoint: Long.fromBigInt(requested) } }
    const update = { ...change, $setOnInsert: { user_id: user.id, client_id: clientId } }
    for (let attempt = 1; ; attempt++) {
      try {
        const document = await collection.findOneAndUpdate({ _id }, update, {
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
