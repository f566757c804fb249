import type { mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, FailedOperation, TransactionContext } from '../../types/index.js'
import type { CollectionRegistry } from '../collections/registry.js'
import { PowerSyncFatalError } from '../errors.js'
import type { Spans } from '../observe/spans.js'
import type { DataFault } from '../storage/faults.js'
import { writeFailure, type MongoDBStorage } from '../storage/mongodb-storage.js'
import type { CommandScope } from '../storage/transaction.js'
import type { Caller } from './apply.js'
import { decode, runOperationHooks } from './pipeline.js'
import { updateBatchChain } from './update-batch.js'

export interface WriteDependencies {
  db: mongodb.Db
  collections: CollectionRegistry
  storage: MongoDBStorage
  spans: Spans
}

/** A MongoDB transaction that is under way. */
export type TransactionScope = CommandScope & Required<Pick<CommandScope, 'session'>>

/**
 * Client transactions through the pipeline, within one MongoDB transaction: decoded, seen by the hooks, stored.
 * @throws PowerSyncFatalError or the driver's error; `dataFault` says whether it is final
 */
export async function write (
  transactions: CrudTransaction[], { user, request, log }: Caller, { db, collections, storage, spans }: WriteDependencies,
  scope: TransactionScope, oneByOne: boolean
): Promise<void> {
  // Anew for each attempt: hooks may change what they are given.
  const ofUser = collections.for(user)
  const decoded = await spans.run('powersync.decode', async () => transactions.map(transaction => decode(transaction, ofUser)))
  const tables = tablesOf(transactions)
  const context: TransactionContext = { user, request, log, db, session: scope.session }
  const transfers = new Set<CrudOperation>()
  const ready = collections.hasOperationHooks(tables)
    ? await spans.run('powersync.hooks', () => runOperationHooks(decoded, { collections, ofUser, context, transfers }))
    : decoded
  const store = (last: CrudTransaction) => storage.updateBatch(last, { ...scope, user, oneByOne, transfers })
  await spans.run('powersync.storage', async () => {
    if (!collections.hasUpdateBatchHooks(tables)) return await store(merged(ready))
    for (const transaction of ready) await updateBatchChain(collections, context, store)(transaction)
  })
}

/** Neighbours written together: their operations in order. */
function merged (transactions: CrudTransaction[]): CrudTransaction {
  const [first] = transactions
  return first && transactions.length === 1 ? first : { operations: transactions.flatMap(({ operations }) => operations) }
}

export function tablesOf (transactions: CrudTransaction[]): Set<string> {
  const tables = new Set<string>()
  for (const { operations } of transactions) for (const operation of operations) tables.add(operation.table)
  return tables
}

/** What the client is told of a fault, with the operation that it comes from where that is known. */
export function failedOperation (error: unknown, fault: DataFault): FailedOperation {
  const index = writeFailure(error)?.operation?.index ?? (error instanceof PowerSyncFatalError ? error.operationIndex : undefined)
  return {
    error_code: fault.code,
    message: fault.message,
    ...fault.details && { details: fault.details },
    ...index !== undefined && { operation_index: index }
  }
}
