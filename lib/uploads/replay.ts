import type { FastifyBaseLogger } from 'fastify'
import { Rejected } from '../rules/hooks.js'
import type { RetryResult } from '../../types/index.js'
import type { Replay } from '../store/dead-letters.js'
import type { TransactionScope } from '../store/transaction.js'
import { failedOperation, type Caller, type Commit, type CommitDependencies, type Work } from './commit.js'
import { startDeadline } from './deadline.js'
import { runResultHooks } from './outcomes.js'
import { fatalError } from './uploader.js'

export interface ReplayDependencies extends CommitDependencies {
  commit: Commit
  /** Milliseconds for one transaction. */
  deadline: number
  log: FastifyBaseLogger
}

/** Runs rejected transactions again: through the same commit as uploads, under later changes of their clients. */
export function createReplay (dependencies: ReplayDependencies): Replay {
  const { commit, deadline, log } = dependencies

  return async (transaction, user, take) => {
    const caller: Caller = { user, request: undefined, log }
    const limit = startDeadline(deadline)
    const prepare = async (scope: TransactionScope): Promise<Work<RetryResult | null>> => {
      const taken = await take(scope)
      if (!taken || !('statements' in taken)) return { transactions: [], around: () => ({ result: taken }) }
      const { statements: after, since } = taken
      const around = () => ({ after, result: { status: 'success' } as const })
      return { transactions: [transaction], since, isLetter: true, around }
    }
    try {
      const result = await limit.race(commit.run(prepare, caller, { signal: limit.signal }).catch((error: unknown) => {
        if (error instanceof Rejected) return fatalError(failedOperation(error))
        throw error
      }))
      if (!result || result.status === 'not_attempted') return result
      await runResultHooks({ transaction, result }, caller, dependencies, limit)
      return result
    } finally {
      limit.clear()
    }
  }
}
