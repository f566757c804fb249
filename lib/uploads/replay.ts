import type { FastifyBaseLogger } from 'fastify'
import type { CrudTransaction, FatalErrorResult } from '../../types/index.js'
import { Rejected } from '../rules/hooks.js'
import type { Replay, RetryResult, Taken } from '../store/dead-letters.js'
import { failedOperation, type Caller, type Commit, type CommitDependencies, type Work } from './commit.js'
import { startDeadline } from './deadline.js'
import { runResultHooks } from './result-hooks.js'

export interface ReplayDependencies extends CommitDependencies {
  commit: Commit
  /** Milliseconds for one transaction. */
  deadline: number
  log: FastifyBaseLogger
}

/** Runs rejected transactions again: through the same commit as uploads, under what their clients have changed since. */
export function createReplay (dependencies: ReplayDependencies): Replay {
  const { commit, deadline, log } = dependencies

  return async (transaction, user, take) => {
    const caller: Caller = { user, request: undefined, log }
    const limit = startDeadline(deadline)
    try {
      const result = await limit.race(attempt(transaction, caller, take, limit.signal))
      if (result && result.status !== 'not_attempted') await runResultHooks({ transaction, result }, caller, dependencies, limit)
      return result
    } finally {
      limit.clear()
    }
  }

  async function attempt (transaction: CrudTransaction, caller: Caller, take: Parameters<Replay>[2], signal: AbortSignal): Promise<RetryResult | null> {
    try {
      return await commit.run(async scope => workOf(transaction, await take(scope)), caller, { signal })
    } catch (error) {
      if (!(error instanceof Rejected)) throw error
      return { status: 'fatal_error', requires_client_handling: false, failed_operation: failedOperation(error) } satisfies FatalErrorResult
    }
  }
}

function workOf (transaction: CrudTransaction, taken: Awaited<ReturnType<Parameters<Replay>[2]>>): Work<RetryResult | null> {
  const isTaken = (value: typeof taken): value is Taken => value !== null && 'statements' in value
  if (!isTaken(taken)) return { transactions: [], deduplicated: () => true, around: () => ({ before: [], result: taken }) }
  const { statements, since } = taken
  return { transactions: [transaction], since, deduplicated: () => true, around: () => ({ before: [], after: statements, result: { status: 'success' } }) }
}
