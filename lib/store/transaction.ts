import { setTimeout as pause } from 'node:timers/promises'
import type { mongodb } from '../bson.js'
import type { CommandScope } from '../../types/storage.js'
import { noSpans, type Spans } from '../observe/spans.js'
import { codeOf, hasLabel, isOfWriteConcern, rootOf } from './mongodb-errors.js'

export type TransactionScope = Required<CommandScope>

/** A commit that was sent and never acknowledged: MongoDB may have applied the transaction or not. */
export class UnknownCommitError extends Error {
  override readonly name = 'UnknownCommitError'
  constructor (cause: unknown) {
    super('MongoDB did not acknowledge a commit: whether it was applied is unknown', { cause })
  }
}

/** Another transaction was faster. Thrown by `work` for a conflict that MongoDB does not report as one. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError'
}

export interface TransactionOptions {
  /** Ends the attempts. A command under way ends with it if it was given it. */
  signal: AbortSignal
  /** Attempts after which a conflict is thrown. Default: no limit but the signal. */
  attempts?: number | undefined
  /** Called before each further attempt. */
  onRetry?: ((error: unknown) => void) | undefined
  /** Called before a commit is sent. */
  onCommit?: (() => void) | undefined
  spans?: Spans | undefined
}

/** Reads see one snapshot; a commit is acknowledged by a majority. */
const guarantees = {
  readConcern: { level: 'snapshot' }, readPreference: 'primary', writeConcern: { w: 'majority' }
} as const

/**
 * Runs `work` in a MongoDB transaction, commits it, and starts again after a transient conflict. The driver's own
 * `withTransaction` does the same, but goes on for two minutes, longer than clients wait. A write conflict counts as
 * transient with or without its label.
 * Source: MongoDB's "Convenient API for Transactions" specification.
 * @throws {UnknownCommitError} if the outcome of the commit is unknown when the signal ends the wait
 */
export async function inTransaction<Result> (
  client: mongodb.MongoClient, options: TransactionOptions, work: (scope: TransactionScope) => Promise<Result>
): Promise<Result> {
  const { signal, attempts = Infinity, onRetry, onCommit, spans = noSpans } = options
  const session = client.startSession()
  // Work that never ends, as a hook's call of another service, would hold its documents until MongoDB ends it (60 s).
  let end = () => {}
  const ended = new Promise<never>((_resolve, reject) => { end = () => reject(signal.reason) })
  ended.catch(() => {})
  signal.addEventListener('abort', end)
  try {
    for (let attempt = 1; ; attempt++) {
      session.startTransaction(guarantees)
      try {
        const result = await Promise.race([work({ session, signal }), ended])
        // Work that ignored the signal must not commit what was reported as failed.
        signal.throwIfAborted()
        onCommit?.()
        await spans.run('powersync.commit', () => commit(session, signal))
        return result
      } catch (error) {
        if (session.inTransaction()) await session.abortTransaction().catch(() => {})
        if (!isTransient(error) || signal.aborted || attempt >= attempts) throw error
        onRetry?.(error)
      }
      await pause(backoff(attempt), undefined, { signal })
    }
  } finally {
    signal.removeEventListener('abort', end)
    await session.endSession().catch(() => {})
  }
}

/** Asks again while the outcome is unknown: MongoDB commits a transaction once, however often it is told to. */
async function commit (session: mongodb.ClientSession, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await session.commitTransaction()
    } catch (error) {
      if (isTransient(error)) throw error
      if (!hasLabel(error, 'UnknownTransactionCommitResult') || signal.aborted) throw new UnknownCommitError(error)
      await pause(backoff(attempt), undefined, { signal }).catch(() => { throw new UnknownCommitError(error) })
    }
  }
}

const WriteConflict = 112

/** Whether another was faster: to be tried again. */
export const isTransient = (error: unknown): boolean => !isOfWriteConcern(error) && (
  error instanceof ConflictError ||
  hasLabel(error, 'TransientTransactionError') ||
  codeOf(rootOf(error)) === WriteConflict
)

/** Milliseconds: 5, growing by half each time up to 500, of which a random part, so that rivals do not meet again. */
export const backoff = (attempt: number): number => Math.random() * Math.min(5 * 1.5 ** attempt, 500)
