import { setTimeout as pause } from 'node:timers/promises'
import type { mongodb } from '../bson.js'
import { noSpans, type Spans } from '../observe/spans.js'
import { hasLabel } from './faults.js'

/** What a command belongs to: its transaction, if it has one, and what ends it when it waits. Passed on to the driver. */
export interface CommandScope {
  session?: mongodb.ClientSession
  signal?: AbortSignal
}

/**
 * Runs `work` in a MongoDB transaction, commits it, and starts again after a passing conflict: what the driver's own
 * `withTransaction` does, but within a deadline, where that goes on for two minutes, longer than clients wait.
 * Write conflicts count as passing with or without their label.
 * Source: MongoDB's "Convenient API for Transactions" specification.
 *
 * @param signal ends the attempts; a command under way ends with it if it was given it
 */
export async function inTransaction<Result> (
  client: mongodb.MongoClient,
  options: mongodb.TransactionOptions,
  signal: AbortSignal,
  work: (session: mongodb.ClientSession) => Promise<Result>,
  spans: Spans = noSpans
): Promise<Result> {
  const session = client.startSession()
  try {
    for (let attempt = 0; ; attempt++) {
      if (attempt > 0) await pause(backoff(attempt), undefined, { signal })
      session.startTransaction(options)
      try {
        const result = await work(session)
        await spans.run('powersync.commit', () => commit(session, signal))
        return result
      } catch (error) {
        if (session.inTransaction()) await session.abortTransaction().catch(() => {})
        if (!isTransient(error) || signal.aborted) throw error
      }
    }
  } finally {
    await session.endSession()
  }
}

/** An unknown outcome is asked for again: MongoDB commits a transaction once, however often it is told to. */
async function commit (session: mongodb.ClientSession, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return await session.commitTransaction()
    } catch (error) {
      if (!hasLabel(error, 'UnknownTransactionCommitResult') || codeOf(error) === MaxTimeMSExpired || signal.aborted) throw error
    }
  }
}

const MaxTimeMSExpired = 50
const WriteConflict = 112

const isTransient = (error: unknown) => hasLabel(error, 'TransientTransactionError') || codeOf(error) === WriteConflict

const codeOf = (error: unknown) => (error as { code?: unknown } | null)?.code

/** Milliseconds: 5, growing by half each time up to 500, of which a random part, so that rivals do not meet again. */
const backoff = (attempt: number) => Math.random() * Math.min(5 * 1.5 ** attempt, 500)
