import { createError } from '@fastify/error'

/** A mistake in the options stops the start. The message names the option, the mistake and the fix. */
export const OptionError =
  createError<[option: string, problem: string]>('FST_PSM_OPTION', 'fastify-powersync-mongo: option %s %s', 500)

/** A key cannot be used: it is unreadable, too small, of another algorithm, or not of the same pair. */
export const KeyError =
  createError<[source: string, problem: string]>('FST_PSM_KEY', 'fastify-powersync-mongo: %s %s', 500)

/** MongoDB is unreachable, refuses the credentials, or is not a replica set. Stops the start. */
export const MongoError = createError<[problem: string]>('FST_PSM_MONGO', 'fastify-powersync-mongo: %s', 500)

/** A request to `/token` or `/upload` without a user. */
export const UnauthorizedError = createError<[reason: string]>('FST_PSM_UNAUTHORIZED', '%s', 401)

/** `authenticate` failed: retryable. */
export const AuthenticationUnavailableError = createError(
  'FST_PSM_AUTHENTICATION_UNAVAILABLE', 'Authentication is not available at the moment: try again', 503
)

/** A parameter of a request is missing or invalid. */
export const ParameterError = createError<[problem: string]>('FST_PSM_PARAMETER', '%s', 400)

/** The body of an upload is not JSON, or has none of the supported shapes. */
export const BodyError = createError<[problem: string]>('FST_PSM_BODY', '%s', 400)

/** The upload is too large. */
export const TooLargeError = createError<[problem: string]>('FST_PSM_TOO_LARGE', '%s', 413)

/** The body is not JSON, or is encoded. */
export const MediaTypeError = createError<[problem: string]>('FST_PSM_MEDIA_TYPE', '%s', 415)

/** The server accepts no upload at the moment: retryable. */
export const UnavailableError = createError<[reason: string]>('FST_PSM_UNAVAILABLE', '%s', 503)

/** Operations of a schema version that this server does not lift. */
export const SchemaVersionError = createError<[problem: string]>('FST_PSM_SCHEMA_VERSION', '%s', 503)

/** The `code` of this package's errors. */
export type ErrorCode =
  | 'FST_PSM_OPTION' | 'FST_PSM_KEY' | 'FST_PSM_MONGO'
  | 'FST_PSM_BODY' | 'FST_PSM_PARAMETER' | 'FST_PSM_UNAUTHORIZED' | 'FST_PSM_TOO_LARGE' | 'FST_PSM_MEDIA_TYPE'
  | 'FST_PSM_AUTHENTICATION_UNAVAILABLE' | 'FST_PSM_UNAVAILABLE' | 'FST_PSM_SCHEMA_VERSION'

/** Details of a rejection. */
export interface FatalErrorOptions {
  /** JSON value for the client, for example `{ path: 'created_at' }`. Keep uploaded values out of it. */
  details?: Record<string, unknown> | undefined
  /** Position in the client transaction, from 0. Hooks of one operation need not set it. */
  operationIndex?: number | undefined
}

const fatal = Symbol.for('fastify-powersync-mongo.fatal')

/**
 * Throw it from any hook to reject a client transaction: it is not written, becomes a dead letter, and leaves the
 * client's queue. Any other error of a hook is retryable.
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
   * @param code the `error_code` of the result: a documented one, or your own
   * @param message one sentence for the client, without uploaded values
   * @throws {TypeError} if the code is not text, or empty: an error of the app, and no rejection
   */
  constructor (readonly code: string, message: string, { details, operationIndex }: FatalErrorOptions = {}) {
    super(message)
    // Without it the connector could not read the answer, and would send the upload for ever.
    if (typeof code !== 'string' || code === '') {
      throw new TypeError('PowerSyncFatalError: the code is not text, or empty: name it, as in QUOTA_EXCEEDED')
    }
    this.details = details
    this.operationIndex = operationIndex
  }

  /** Includes errors of another copy of this package: a configuration in TypeScript, for example, loads its own. */
  static override [Symbol.hasInstance] (value: unknown): boolean {
    return this === PowerSyncFatalError ? fatal in Object(value) : super[Symbol.hasInstance](value)
  }
}

/** The place of an error, for the log: names of the app, never a value. */
export interface ErrorPlace {
  hook?: string | undefined
  table?: string | undefined
  collection?: string | undefined
}

/** A hook threw an error other than `PowerSyncFatalError`, or returned an invalid value: the upload is retryable. */
export class HookError extends Error {
  override readonly name = 'HookError'
  constructor (readonly place: ErrorPlace & { hook: string }, problem: string, cause?: unknown) {
    super(`${place.hook}${place.table === undefined ? '' : ` of ${place.table}`} ${problem}`, { cause })
  }
}

/** A rule or a hook read a property of `user` that is no claim: the upload is retryable. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError'
  constructor (readonly claim: string) {
    const fix = 'give it in token.claims (option of fastify-powersync-mongo), null for users without it'
    super(`user.${claim} was read, but the user has no such claim: ${fix}`)
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
