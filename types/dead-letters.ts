import type { AnyRow, CrudOperation, CrudTransaction } from './operations.js'
import type { FailedOperation, FatalErrorResult, NotAttemptedResult, SuccessResult } from './results.js'

/** A rejected client transaction, kept so that an operator can read it, correct it and run it again. */
export interface DeadLetter {
  /** The same for the same transaction of the same user, so that a repeated upload does not store it twice. */
  _id: string
  /** Later than that of every letter that this process stored before. */
  created_at: Date
  user_id: string
  /** The user's claims as JSON, for the hooks and rules of a retry; null if there are none. */
  claims: string | null
  client_id: string | null
  transaction_id: string | null
  /** Version of the app's schema that its operations are of; null: the server's own. */
  schema_version: number | null
  /** Its place among the letters of its client, from 1; null where uploads are not deduplicated. */
  sequence: number | null
  /** Id of the request that brought it, as in the server's log. */
  request_id: string | null
  /** Why it was rejected; after retries, why it was the last time. */
  failed_operation: FailedOperation
  /** How often it was run again and rejected again. */
  attempts: number
  retried_at: Date | null
  /** The collection with the user's own note of it. */
  mirror: string | null
  tables: string[]
  operation_count: number
  operations: DeadLetterOperation[]
  /** Fingerprints of its rows. */
  rows: string[]
  /** What its client has changed on its rows since: a retry puts the letter's operations under that. */
  since: Since[]
}

/** As uploaded; the columns as JSON text, since their names and values may be what made them fail. */
export interface DeadLetterOperation {
  /** Position in the client transaction, from 0. */
  index: number
  op: CrudOperation['op']
  table: string
  id: string
  op_id: string | null
  data: string | null
  previous: string | null
  metadata: string | null
}

/** A letter without what was uploaded: its names and its reason, no values. */
export type DeadLetterSummary = Omit<DeadLetter, 'claims' | 'operations' | 'since'>

/** The rejection as its user's devices have it: a flat row, from which the change can be corrected and sent again. */
export interface DeadLetterNote {
  /** The letter's. */
  _id: string
  user_id: string
  created_at: Date
  error_code: string
  /** One sentence, without uploaded values unless a hook of the app puts them there. */
  message: string
  /** Column that is at fault, where that is known. */
  path: string | null
  /** The operation that failed, where that is known: `data` is JSON. */
  table: string | null
  row_id: string | null
  op: CrudOperation['op'] | null
  data: string | null
  /** Its position in `operations`. */
  operation_index: number | null
  /** JSON of all operations, `[{ op, table, id, data, metadata }]`; null if they are more than 1 MiB. */
  operations: string | null
  tables: string[]
  /** `op_id`s of the first 1 000 operations. */
  op_ids: string[]
}

export interface DeadLetterSettings {
  /** Days after which MongoDB deletes letters and notes. Default: they stay. */
  expireAfterDays?: number | undefined
  /** Name of the collection for the users' notes. Default: none. */
  mirror?: string | undefined
}

/** Which letters to list: the latest first, from where the page before ended. */
export interface DeadLetterPage {
  /** Default 100. */
  limit?: number | undefined
  /** The last letter of the page before. */
  after?: Pick<DeadLetter, '_id' | 'created_at'> | undefined
  /** Id of the user whose letters to list. Default: everybody's. */
  user?: string | undefined
}

/** Overrides for a retry. */
export interface RetryOptions {
  /** Claims in place of those that the user had at the upload, as in `{ role: 'editor' }`. The id stays. */
  user?: Record<string, unknown> | undefined
  /** Changes the transaction before it is run, to correct it. The letter keeps what was uploaded. */
  edit?: ((transaction: CrudTransaction) => CrudTransaction) | undefined
}

/** A letter is run only after the older ones of its client that share a row with it. */
export interface WaitingResult extends NotAttemptedResult {
  /** Ids of those, the oldest first. */
  waits_for: string[]
}

/** The outcome of running a letter again. */
export type RetryResult = SuccessResult | FatalErrorResult | WaitingResult

/**
 * What a client has changed on one row since one of its transactions was rejected, folded into one change: the values
 * set and the sums added since. `replaced`: a PUT or a DELETE came, so that nothing of the rejected change is left.
 */
export interface Since {
  row: string
  replaced: boolean
  set: AnyRow
  unset: string[]
  /** As decimal text. */
  sums: Record<string, string>
}

/** `fastify.powersync.deadLetters`: the letters of rejected transactions, for the app's own routes and jobs. */
export interface DeadLetters {
  /** Whole letters, the latest first. */
  list (page?: DeadLetterPage): Promise<DeadLetter[]>
  /** The same without what was uploaded, which may be large: without `operations` and `since`. */
  summaries (page?: DeadLetterPage): Promise<DeadLetterSummary[]>
  /**
   * A letter by its id, or by the beginning of its id.
   * @throws {ParameterError} `FST_PSM_PARAMETER` when several ids begin so
   */
  get (id: string): Promise<DeadLetter | null>
  /** Ids of older letters of the same client that share a row with a letter, the oldest first: they go before it. */
  waitsFor (letter: DeadLetter): Promise<string[]>
  /**
   * Runs a letter's transaction again, as the user who uploaded it: decoded, through the hooks, stored, all or nothing.
   * Its operations go under what the same client has changed on its rows since. The letter goes in the same MongoDB
   * transaction, so that it is neither lost nor applied twice. Rejected again, it stays, with the new reason.
   *
   * @param id as for `get`
   * @returns null if there is no such letter; `not_attempted` if older letters have to be run before
   * @throws what is no fault of the data, to be retried: the transaction is applied and its letter gone, or neither
   */
  retry (id: string, options?: RetryOptions): Promise<RetryResult | null>
  /**
   * Deletes a letter, and with it what was uploaded.
   * @param id as for `get`
   * @returns false if there is no such letter
   */
  discard (id: string): Promise<boolean>
}
