import { createError } from '@fastify/error'

/**
 * Mistakes in the options stop the start.
 * The message names the option, what was found, what was expected and what to do.
 */
export const OptionError = createError<[option: string, problem: string]>('FST_PSM_OPTION', 'fastify-powersync-mongo: option %s %s', 500)

/** A key that cannot be used: unreadable, too small, of a foreign algorithm, or not the other half's pair. */
export const KeyError = createError<[source: string, problem: string]>('FST_PSM_KEY', 'fastify-powersync-mongo: %s %s', 500)

/** MongoDB cannot be used as it is: unreachable, refusing the credentials, or not a replica set. Stops the start. */
export const MongoError = createError<[problem: string]>('FST_PSM_MONGO', 'fastify-powersync-mongo: %s', 500)

/** The caller of `/token` or `/upload` is nobody that `authenticate` knows. */
export const UnauthorizedError = createError<[reason: string]>('FST_PSM_UNAUTHORIZED', '%s', 401)

/** `authenticate` failed itself, so that nobody knows who is calling: to be tried again. */
export const AuthenticationUnavailableError = createError('FST_PSM_AUTHENTICATION_UNAVAILABLE', 'Authentication is not available at the moment: try again', 503)

/** A parameter of a request is missing or of the wrong kind. */
export const ParameterError = createError<[problem: string]>('FST_PSM_PARAMETER', '%s', 400)

/** The body of an upload cannot be read: not JSON, or not one of the shapes that clients send. */
export const BodyError = createError<[problem: string]>('FST_PSM_BODY', '%s', 400)

/** The upload is larger than this server takes. */
export const TooLargeError = createError<[problem: string]>('FST_PSM_TOO_LARGE', '%s', 413)

/** A body that is no plain JSON. */
export const MediaTypeError = createError<[problem: string]>('FST_PSM_MEDIA_TYPE', '%s', 415)

/** The server takes no upload at the moment. */
export const UnavailableError = createError<[reason: string]>('FST_PSM_UNAVAILABLE', '%s', 503)

/** Operations of a schema version that this server does not lift. */
export const SchemaVersionError = createError<[problem: string]>('FST_PSM_SCHEMA_VERSION', '%s', 503)

/** The `code` of this package's errors, in answers and at the start. */
export type ErrorCode =
  | 'FST_PSM_OPTION' | 'FST_PSM_KEY' | 'FST_PSM_MONGO'
  | 'FST_PSM_BODY' | 'FST_PSM_PARAMETER' | 'FST_PSM_UNAUTHORIZED' | 'FST_PSM_TOO_LARGE' | 'FST_PSM_MEDIA_TYPE'
  | 'FST_PSM_AUTHENTICATION_UNAVAILABLE' | 'FST_PSM_UNAVAILABLE' | 'FST_PSM_SCHEMA_VERSION'

/** What a rejected operation is reported with. */
export interface FatalErrorOptions {
  /** JSON value for the client, for example `{ path: 'created_at' }`. Keep uploaded values out of it. */
  details?: Record<string, unknown> | undefined
  /** Position in the client transaction, from 0. Hooks of one operation need not set it. */
  operationIndex?: number | undefined
}

const fatal = Symbol.for('fastify-powersync-mongo.fatal')

/**
 * Fails a client transaction for good: it is never written, goes to the dead letters, and leaves the client's queue.
 * Throw it from any hook; anything else that a hook throws is taken for a passing fault, and the client tries again.
 *
 * @example
 * throw new PowerSyncFatalError('QUOTA_EXCEEDED', 'A list holds at most 100 todos')
 */
export class PowerSyncFatalError extends Error {
  override readonly name = 'PowerSyncFatalError'
  readonly [fatal] = true
  readonly details: Record<string, unknown> | undefined
  readonly operationIndex: number | undefined

  /**
   * @param code `error_code` of the result: one of the documented ones, or the app's own.
   * @param message one sentence for the client; keep uploaded values out of it.
   */
  constructor (readonly code: string, message: string, { details, operationIndex }: FatalErrorOptions = {}) {
    super(message)
    this.details = details
    this.operationIndex = operationIndex
  }

  /** One of another copy of this package is one as well: a configuration in TypeScript, for example, is loaded with its own. */
  static override [Symbol.hasInstance] (value: unknown): boolean {
    return this === PowerSyncFatalError ? fatal in Object(value) : super[Symbol.hasInstance](value)
  }
}

/** Where an error comes from, for the log: names of the app's own, never a value. */
export interface ErrorPlace {
  hook?: string | undefined
  table?: string | undefined
  collection?: string | undefined
}

/** A hook threw something else than a `PowerSyncFatalError`, or gave what cannot be written: the upload is retryable. */
export class HookError extends Error {
  override readonly name = 'HookError'
  constructor (readonly place: ErrorPlace & { hook: string }, problem: string, cause?: unknown) {
    super(`${place.hook}${place.table === undefined ? '' : ` of ${place.table}`} ${problem}`, { cause })
  }
}

/** A rule or a hook reads a property of `user` that no claim carries: the server is at fault, and the upload is retryable. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError'
  constructor (readonly claim: string) {
    super(`user.${claim} was read, but the user has no such claim: give it in token.claims (option of fastify-powersync-mongo), null for users without it`)
  }
}

/** MongoDB refused a write of the built-in storage. */
export class WriteError extends Error {
  override readonly name = 'WriteError'
  /** MongoDB's code and its name, if it gave them. */
  readonly code: number | undefined
  readonly codeName: string | undefined
  constructor (
    cause: unknown, readonly place: ErrorPlace,
    /** Position of the failed statement among those that were written; undefined if the server does not tell. */
    readonly position: number | undefined
  ) {
    super(`MongoDB refused a write to ${place.collection ?? 'several collections'}`, { cause })
    const { code, codeName } = cause as { code?: number, codeName?: string }
    this.code = code
    this.codeName = codeName
  }

  /** As the driver's own errors have it. */
  hasErrorLabel (label: string): boolean {
    return (this.cause as { hasErrorLabel? (label: string): boolean }).hasErrorLabel?.(label) ?? false
  }
}
