import type { FastifyBaseLogger } from 'fastify'
import type { mongodb } from '../bson.js'
import type { CrudTransaction, FatalErrorResult, SuccessResult } from '../../types/index.js'
import type { Replay } from '../storage/dead-letters.js'
import { dataFault, type FaultRules } from '../storage/faults.js'
import { writeFailure } from '../storage/mongodb-storage.js'
import { inTransaction, type CommandScope } from '../storage/transaction.js'
import type { Caller } from './apply.js'
import { startDeadline } from './deadline.js'
import { runResultHooks } from './result-hooks.js'
import { failedOperation, write, type WriteDependencies } from './write.js'

export interface ReplayDependencies extends WriteDependencies {
  client: mongodb.MongoClient
  transactionOptions: mongodb.TransactionOptions
  /** Milliseconds for one transaction. */
  deadline: number
  faults: FaultRules
  log: FastifyBaseLogger
}

/**
 * Runs rejected transactions again: through the pipeline of uploads, but past the ledger, which knows their operations
 * as settled.
 */
export function createReplay (dependencies: ReplayDependencies): Replay {
  const { client, transactionOptions, deadline, faults, log, spans } = dependencies

  return async (transaction, user, remove) => {
    const caller: Caller = { user, request: undefined, log }
    const limit = startDeadline(deadline)
    try {
      const result = await limit.race(attempt(transaction, caller, remove, limit.signal))
      if (result) await runResultHooks({ transaction, result }, caller, dependencies, limit)
      return result
    } finally {
      limit.clear()
    }
  }

  async function attempt (transaction: CrudTransaction, caller: Caller, remove: Remove, signal: AbortSignal): Promise<SuccessResult | FatalErrorResult | null> {
    try {
      return await run(transaction, caller, remove, signal)
    } catch (error) {
      const fault = dataFault(error, faults)
      if (!fault) throw error
      return { status: 'fatal_error', requires_client_handling: false, failed_operation: failedOperation(error, fault) }
    }
  }

  /** As one MongoDB transaction; a second time, one command per operation, if that is needed to name the operation that fails. */
  async function run (transaction: CrudTransaction, caller: Caller, remove: Remove, signal: AbortSignal, oneByOne = false): Promise<SuccessResult | null> {
    try {
      return await inTransaction(client, transactionOptions, signal, async session => {
        const scope = { session, signal }
        if (!await remove(scope)) return null
        await write([transaction], caller, dependencies, scope, oneByOne)
        return { status: 'success' }
      }, spans)
    } catch (error) {
      const failure = writeFailure(error)
      if (oneByOne || !failure || failure.operation || !dataFault(error, faults)) throw error
      return await run(transaction, caller, remove, signal, true)
    }
  }
}

type Remove = (scope: CommandScope) => Promise<boolean>
