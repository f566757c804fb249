import type { DeadLetters } from './dead-letters.js'
import type { Identity } from './hooks.js'
import type { PublicJwk } from './keys.js'
import type { CrudTransaction } from './operations.js'
import type { TransactionResult } from './results.js'

/** A token for the PowerSync Service with its expiry. */
export interface SignedToken { token: string, expiresAt: Date }

/** How a server is doing with uploads, for a health route or a load balancer. */
export interface UploadHealth {
  /** False once the server is closing. */
  accepting: boolean
  /** Uploads that are being worked on, those of clients that have gone away included. */
  running: number
}

/** `fastify.powersync`: what the routes use, for the app's own routes and jobs. */
export interface PowerSync {
  /** A token for the PowerSync Service, as `GET /token` gives it. */
  signToken (user: Identity): Promise<SignedToken>
  /** What `GET /jwks` answers. */
  jwks: { keys: readonly PublicJwk[] }
  /**
   * Applies client transactions, in order, as `POST /upload` does: decoded, authorised, exactly as if `user` had sent
   * them.
   * @param user as hooks and rules are to see it: `{ id, ...claims }`
   */
  upload (transactions: CrudTransaction[], user: Identity): Promise<TransactionResult[]>
  /** Rejected transactions: to read them, run them again as their users, or discard them. */
  deadLetters: DeadLetters
  /** Names of the tables that can be written. */
  collections: readonly string[]
  /** Whether uploads are accepted, and how many are being worked on. */
  health (): UploadHealth
}
