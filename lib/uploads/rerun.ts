import type { FastifyBaseLogger } from 'fastify'
import { Rejected } from '../rules/hooks.js'
import type { Rerun } from '../store/dead-letters.js'
import { createCommit, type Caller, type CommitDependencies } from './commit.js'
import { startDeadline } from '../deadline.js'
import { runResultHooks } from './outcomes.js'
import { failedOperation, fatalError } from './results.js'

export interface RerunDependencies extends CommitDependencies {
  /** Milliseconds for one transaction. */
  deadline: number
  log: FastifyBaseLogger
}

/** Runs rejected transactions again: through the same commit as uploads, under later changes of their clients. */
export function createRerun (dependencies: RerunDependencies): Rerun {
  const { deadline, log } = dependencies
  const commit = createCommit(dependencies)

  return async (transaction, user, take) => {
    const caller: Caller = { user, request: undefined, log }
    const limit = startDeadline(deadline)
    try {
      const result = await limit.race(commit.run(caller, { signal: limit.signal }, async ({ scope, plan, write }) => {
        const taken = await take(scope)
        if (!taken || !('statements' in taken)) return taken
        const { statements, since } = taken
        await write({ planned: await plan([transaction], { isLetter: true, since }), since, after: () => statements })
        return { status: 'success' } as const
      }).catch((error: unknown) => {
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
