import type { FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { mongodb } from '@fastify/mongodb'
import type { KeySource } from './keys.js'
import type { CollectionRow, Collections } from './collections.js'
import type {
  AuthorizeHook, Claims, Conflict, Hooks, Identity, OperationContext, ResolveConflictHook, TransformHook,
  UpdateBatchHook, User
} from './hooks.js'
import type { CrudOperation, CrudTransaction } from './operations.js'
import type { FailedOperation } from './results.js'

/** What `authenticate` gets beside the request. */
export interface AuthenticateContext {
  /** Which route asks. `/token` never accepts a PowerSync token: it would renew itself for ever. */
  route: 'token' | 'upload'
  /** The user of a valid token of this registration, or null. */
  verifyToken (token: string): User | null
}

/**
 * Says who is calling; null when it is nobody known, which is answered with 401.
 * An error with a `statusCode` is answered as it is; any other means that nobody can say at the moment: 503.
 */
export interface Authenticate {
  (request: FastifyRequest, context: AuthenticateContext): Identity | null | Promise<Identity | null>
  /** Set by `developmentAuth()`: lets anybody be anybody, and refuses to start in production. */
  development?: boolean
}

/** Where the keys come from: each as base64 of JWK JSON, JWK JSON, JWK object, or PEM. */
export interface KeyOptions {
  /** The private key that signs. */
  signing: KeySource
  /**
   * Further public keys to publish, while keys are being rotated. Uploads with tokens that they signed are accepted.
   */
  published?: KeySource[] | undefined
}

/** What @fastify/mongodb takes. */
export interface MongoOptions extends mongodb.MongoClientOptions {
  /** Connection string; names the database in its path unless `database` does. */
  url?: string | undefined
  /** An existing client, which stays the host's to close. */
  client?: mongodb.MongoClient | undefined
  database?: string | undefined
  /** Name of the connection, `fastify.mongo.<name>`: an existing one is used, a new one gets it. */
  name?: string | undefined
}

/** What the tokens of `GET /token` and of `fastify.powersync.signToken` hold. */
export interface TokenOptions {
  /** Lifetime in seconds, 60 to 86 400. Default 300. */
  expiresIn?: number | undefined
  /**
   * Claims beside `sub`, JSON values only; the reserved ones cannot be set. Hooks and rules see the user as the id and
   * these. Undefined is signed as null.
   */
  claims?: ((user: Identity, request: FastifyRequest | undefined) => Claims | Promise<Claims>) | undefined
}

/** Who may upload, how much at a time, and what becomes of an upload in part or in whole. */
export interface UploadOptions {
  /** Who may upload. Default: the bearer of a token of this registration, or whoever `authenticate` knows. */
  authenticate?: Authenticate | undefined
  /**
   * Largest body in bytes, at most 16 MiB, which is also the default: a rejected upload has to fit into a dead letter.
   * A client cannot split a transaction: a larger one blocks its queue.
   */
  bodyLimit?: number | undefined
  /** Most operations in one upload. Default 100 000. */
  maxOperations?: number | undefined
  /**
   * Milliseconds after which an upload that still waits is answered with 503. Default 20 000, below the clients' usual
   * time-out of 30 s.
   */
  deadline?: number | undefined
  /**
   * Whether retries are idempotent, for clients that send `client_id` and `op_id`: an operation that is sent again has
   * no second effect and gets the same answer. A client database is forgotten `days` after its last upload, default 60.
   * Default: true.
   */
  deduplicate?: boolean | { days?: number | undefined } | undefined
  /**
   * For clients that send `transactions`: true leaves a failed transaction to the client, without a dead letter, and
   * stops the upload. Default: never. An error in it is a passing fault.
   */
  requiresClientHandling?:
    ((failed: FailedOperation, transaction: CrudTransaction, user: User) => boolean | Promise<boolean>) | undefined
  /** Codes of MongoDB's errors to try again or to reject, against the built-in table: `{ 13: 'reject' }`. */
  faults?: Readonly<Record<number, 'retry' | 'reject'>> | undefined
  /**
   * What becomes of dead letters. `expireAfterDays`: MongoDB deletes them so many days later; default: they stay until
   * they are retried or discarded. `mirror`: name of a MongoDB collection that gets a note of each, `DeadLetterNote`,
   * to be synced to the user whose change was rejected, under the same name: a client that deletes it there settles the
   * letter. The note goes with the letter.
   */
  deadLetters?: { expireAfterDays?: number | undefined, mirror?: string | undefined } | undefined
  /**
   * Uploads that this server works on at once, those of clients that hung up included; a further one waits for a third
   * of `deadline`, then it is answered with 503. Default: the connections that MongoDB's pool may have (`maxPoolSize`).
   */
  maxConcurrent?: number | undefined
}

/** The plugin's routes, by the names that the option `routes` has for them. */
export type RouteName = 'jwks' | 'token' | 'upload' | 'checkpoint'

/** Fastify route options to merge into a route of this plugin. */
export interface OwnRouteOptions extends RouteShorthandOptions {
  /** Path in place of the route's name, below `prefix`: for clients that know another. */
  url?: string | undefined
}

export interface PowerSyncMongoOptions extends Hooks {
  /** Where the routes are mounted, for example `/powersync`. */
  prefix?: string
  /** Name of this registration, when there is more than one: `fastify.powersync.<name>`. */
  name?: string | undefined
  /**
   * URL of the PowerSync instance: the tokens' audience. Default `POWERSYNC_URL`. In production https, or on this
   * machine.
   */
  powersyncUrl?: string | undefined
  /**
   * Default `POWERSYNC_PRIVATE_KEY`, which `POWERSYNC_PUBLIC_KEY` must match if it is set, and
   * `POWERSYNC_PUBLISHED_KEYS`.
   */
  keys?: KeyOptions | undefined
  /** Default: the host's `fastify.mongo`, else `MONGO_URI`. */
  mongo?: MongoOptions | undefined
  /** Who gets a token. */
  authenticate: Authenticate
  /** Default: 300 s, without claims of the app. */
  token?: TokenOptions | undefined
  /** Default: the bearer of a token of this plugin or whoever `authenticate` knows, up to 16 MiB. */
  upload?: UploadOptions | undefined
  /** Table name → `collection({ … })`. A table that is not listed cannot be written. */
  collections: Collections
  /**
   * What to do with MongoDB's own validators at start: `apply` makes them what the schemas say, `check` refuses to
   * start when they differ. Default `false`: nothing.
   */
  validators?: 'apply' | 'check' | false | undefined
  /**
   * Adds `PUT /checkpoint`, which gives PowerSync's custom write checkpoints. Default `false`: the service manages its
   * own.
   */
  checkpoints?: boolean | undefined
  /** Fastify route options to merge in, or `false` to leave the route out. */
  routes?: Partial<Record<RouteName, OwnRouteOptions | false>> | undefined
}

/** An operation on one of these tables: `table` says which row its `data` is of. */
export type OperationOf<Tables extends Collections> = {
  [Table in keyof Tables & string]: CrudOperation<CollectionRow<Tables[Table]['schema']>> & { table: Table }
}[keyof Tables & string]

/** A conflict on one of these tables: `table` says which row it is about. */
type ConflictOf<Tables extends Collections> = {
  [Table in keyof Tables & string]: Conflict<CollectionRow<Tables[Table]['schema']>> & { table: Table }
}[keyof Tables & string]

/** The options as `powersyncOptions` takes them: the hooks for all collections know their tables and rows. */
export type TypedOptions<Tables extends Collections> = Omit<
  PowerSyncMongoOptions,
  'collections' | 'authorize' | 'transform' | 'resolveConflict' | 'updateBatch'
> & {
  collections: Tables
  /** As `Hooks.authorize`. */
  authorize?:
    ((operation: OperationOf<NoInfer<Tables>>, context: OperationContext) => ReturnType<AuthorizeHook>) | undefined
  /** As `Hooks.transform`. */
  transform?:
    ((operation: OperationOf<NoInfer<Tables>>, context: OperationContext) => ReturnType<TransformHook>) | undefined
  /** As `Hooks.resolveConflict`. */
  resolveConflict?:
    ((conflict: ConflictOf<NoInfer<Tables>>, context: OperationContext) => ReturnType<ResolveConflictHook>) | undefined
  /** As `Hooks.updateBatch`. */
  updateBatch?:
    | ((
      transaction: Omit<CrudTransaction, 'operations'> & { operations: Array<OperationOf<NoInfer<Tables>>> },
      context: Parameters<UpdateBatchHook>[1],
      next: (transaction?: CrudTransaction) => Promise<void>
    ) => ReturnType<UpdateBatchHook>)
    | undefined
}
