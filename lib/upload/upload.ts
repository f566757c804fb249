import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '../bson.js'
import type { CrudTransaction, FailedOperation, TransactionContext, TransactionResult, User } from '../../types/index.js'
import type { CollectionRegistry } from '../collections/registry.js'
import type { DeadLetters } from '../storage/dead-letters.js'
import { dataFault, loggable, type DataFault } from '../storage/faults.js'
import { writeFailure, type MongoDBStorage } from '../storage/mongodb-storage.js'
import { inTransaction } from '../storage/transaction.js'
import { PowerSyncFatalError } from '../errors.js'
import { startDeadline, type Deadline } from './deadline.js'
import { decode, runOperationHooks } from './pipeline.js'
import { updateBatchChain } from './update-batch.js'

/** Who uploads. */
export interface Caller {
  user: User
  request: FastifyRequest | undefined
  log: FastifyBaseLogger
}

export interface UploadDependencies {
  client: mongodb.MongoClient
  db: mongodb.Db
  collections: CollectionRegistry
  storage: MongoDBStorage
  deadLetters: DeadLetters
  transactionOptions: mongodb.TransactionOptions
  /** Milliseconds after which an upload is answered, whatever MongoDB or a hook is still waiting for. */
  deadline: number
}

/** Applies client transactions in order and says what became of each. */
export type Uploader = (transactions: CrudTransaction[], caller: Caller, policy: { onFatalError: 'stop' | 'skip' }) => Promise<TransactionResult[]>

/** What a client is asked to wait; the SDKs wait 5 s of their own accord. */
const retryAfter = 5000

export function createUploader (dependencies: UploadDependencies): Uploader {
  const { collections, deadLetters } = dependencies

  return async (transactions, caller, { onFatalError }) => {
    const results: TransactionResult[] = []
    let stopped = false
    const limit = startDeadline(dependencies.deadline)
    for (const transaction of transactions) {
      const result: TransactionResult = stopped ? { status: 'not_attempted' } : await settle(transaction, caller, limit)
      if (result.status === 'retryable_error' || (result.status === 'fatal_error' && onFatalError === 'stop')) stopped = true
      results.push(result)
    }
    limit.clear()
    await report(transactions, results, caller)
    return results
  }

  async function settle (transaction: CrudTransaction, caller: Caller, limit: Deadline): Promise<TransactionResult> {
    try {
      await limit.race(apply(transaction, caller, dependencies, limit.signal))
      return { status: 'success' }
    } catch (error) {
      const fault = dataFault(error)
      if (!fault) return tryAgain(error, 'upload failed and has to be sent again', 'The server could not store the transaction: send it again', caller)
      const failed = failedOperation(error, fault)
      try {
        await limit.race(deadLetters.add(transaction, failed, caller.user, caller.request?.id))
      } catch (cause) {
        return tryAgain(cause, 'a rejected transaction could not be kept as a dead letter', 'The server could not keep the rejected transaction: send it again', caller)
      }
      caller.log.warn({ code: failed.error_code, operation: failed.operation_index, operations: transaction.operations.length }, 'upload rejected, kept as a dead letter')
      return { status: 'fatal_error', requires_client_handling: false, failed_operation: failed }
    }
  }

  async function report (transactions: CrudTransaction[], results: TransactionResult[], { user, request, log }: Caller): Promise<void> {
    for (const [position, transaction] of transactions.entries()) {
      const result = results[position] as TransactionResult
      for (const hook of collections.resultHooks(tablesOf(transaction))) {
        try {
          await hook({ transaction, result }, { user, request, db: dependencies.db, log })
        } catch (error) {
          log.error({ err: error }, 'onResult failed; the upload is not affected')
        }
      }
    }
  }
}

/** Writes one client transaction as one MongoDB transaction. */
async function apply (transaction: CrudTransaction, caller: Caller, dependencies: UploadDependencies, signal: AbortSignal): Promise<void> {
  const { collections, storage } = dependencies
  if (!collections.hasWriteHooks(tablesOf(transaction))) {
    const decoded = decode(transaction, collections)
    if (decoded.operations.length === 0) return
    // One command is atomic in itself, and the driver retries it.
    if (decoded.operations.length === 1) return storage.updateBatch(decoded, { user: caller.user, signal })
  }
  try {
    await write(transaction, caller, dependencies, signal, false)
  } catch (error) {
    const failure = writeFailure(error)
    if (!failure || failure.operation || !dataFault(error)) throw error
    await write(transaction, caller, dependencies, signal, true)
  }
}

async function write (transaction: CrudTransaction, caller: Caller, dependencies: UploadDependencies, signal: AbortSignal, oneByOne: boolean): Promise<void> {
  const { client, db, collections, storage, transactionOptions } = dependencies
  const { user, request, log } = caller
  await inTransaction(client, { ...transactionOptions, writeConcern: { w: 'majority' } }, signal, async session => {
    // Anew for each attempt: hooks may change what they are given.
    const decoded = decode(transaction, collections)
    const context: TransactionContext = { user, request, log, db, session }
    const ready = collections.hasOperationHooks(tablesOf(decoded))
      ? await runOperationHooks(decoded, collections, context)
      : decoded
    await updateBatchChain(collections, context, last => storage.updateBatch(last, { user, session, signal, oneByOne }))(ready)
  })
}

function tablesOf ({ operations }: CrudTransaction): Set<string> {
  const tables = new Set<string>()
  for (const operation of operations) tables.add(operation.table)
  return tables
}

function tryAgain (error: unknown, event: string, message: string, { log }: Caller): TransactionResult {
  log.error({ err: loggable(error) }, event)
  return { status: 'retryable_error', message, retry_after_ms: retryAfter }
}

function failedOperation (error: unknown, fault: DataFault): FailedOperation {
  const index = writeFailure(error)?.operation?.index ?? (error instanceof PowerSyncFatalError ? error.operationIndex : undefined)
  return {
    error_code: fault.code,
    message: fault.message,
    ...fault.details && { details: fault.details },
    ...index !== undefined && { operation_index: index }
  }
}
