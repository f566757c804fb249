import type { mongodb } from '@fastify/mongodb'
import type { User } from './hooks.js'

/** What the server has beside what every MongoDB has. */
export interface ServerFeatures {
  /** The command `bulkWrite`, for several collections at once: MongoDB 8.0 and later. */
  bulkWrite: boolean
}

/** The MongoDB transaction of a command, and the signal that ends it while it waits: options of the driver. */
export interface CommandScope {
  session?: mongodb.ClientSession
  signal?: AbortSignal
}

/** As whom, and in which MongoDB transaction, a client transaction is written. */
export interface UpdateBatchContext extends CommandScope {
  user: User
  /** What the rules allowed: of the context of an `updateBatch` hook. Default: no transfer to another owner. */
  allowed?: ReadonlySet<string> | undefined
}
