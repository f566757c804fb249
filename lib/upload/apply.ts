import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '../bson.js'
import type { CrudTransaction, TransactionContext, User } from '../../types/index.js'
import type { CollectionRegistry } from '../collections/registry.js'
import { dataFault } from '../storage/faults.js'
import type { Ledger } from '../storage/ledger.js'
import { writeFailure, type MongoDBStorage } from '../storage/mongodb-storage.js'
import { inTransaction } from '../storage/transaction.js'
import { decode, runOperationHooks } from './pipeline.js'
import { updateBatchChain } from './update-batch.js'

/** Who uploads. */
export interface Caller {
  user: User
  request: FastifyRequest | undefined
  log: FastifyBaseLogger
}

export interface ApplyDependencies {
  client: mongodb.MongoClient
  db: mongodb.Db
  collections: CollectionRegistry
  storage: MongoDBStorage
  /** Absent when uploads are not deduplicated. */
  ledger: Ledger | undefined
  transactionOptions: mongodb.TransactionOptions
}

/** Client transactions without the operations that an earlier upload settled; which of them were rejected then. */
export type Applied = { rejectedBefore: Set<CrudTransaction> }

/**
 * Writes client transactions of one upload as one MongoDB transaction: all of them or none.
 *
 * @throws PowerSyncFatalError or the driver's error; `dataFault` says whether it is final
 */
export async function apply (transactions: CrudTransaction[], caller: Caller, dependencies: ApplyDependencies, signal: AbortSignal): Promise<Applied> {
  const { collections, storage, ledger } = dependencies
  const [only] = transactions
  const single = transactions.length === 1 && only?.operations.length === 1
  if (single && !(ledger && only.clientId !== undefined) && !collections.hasWriteHooks(tablesOf(transactions))) {
    // One command is atomic in itself, and the driver retries it.
    await storage.updateBatch(decode(only, collections), { user: caller.user, signal })
    return { rejectedBefore: new Set() }
  }
  try {
    return await write(transactions, caller, dependencies, signal, false)
  } catch (error) {
    const failure = writeFailure(error)
    if (!failure || failure.operation || !dataFault(error)) throw error
    return await write(transactions, caller, dependencies, signal, true)
  }
}

async function write (transactions: CrudTransaction[], caller: Caller, dependencies: ApplyDependencies, signal: AbortSignal, oneByOne: boolean): Promise<Applied> {
  const { client, db, collections, storage, ledger, transactionOptions } = dependencies
  const { user, request, log } = caller
  return await inTransaction(client, transactionOptions, signal, async session => {
    const scope = { session, signal }
    const rejectedBefore = new Set<CrudTransaction>()
    const page = await ledger?.open(user, transactions[0]?.clientId, scope)
    const pending: CrudTransaction[] = []
    for (const transaction of transactions) {
      const rest = page?.pending(transaction) ?? transaction
      if (rest.operations.length) pending.push(rest)
      else if (page && transaction.operations.some(operation => page.settled(operation) === 'rejected')) rejectedBefore.add(transaction)
      page?.note(rest.operations, 'applied')
    }
    // Before the operations: an upload that meets another of the same client finds out here.
    await page?.save(scope)
    // Anew for each attempt: hooks may change what they are given.
    const decoded = pending.map(transaction => decode(transaction, collections))
    const tables = tablesOf(pending)
    const context: TransactionContext = { user, request, log, db, session }
    const ready = collections.hasOperationHooks(tables) ? await runOperationHooks(decoded, collections, context) : decoded
    const store = (last: CrudTransaction) => storage.updateBatch(last, { ...scope, user, oneByOne })
    if (collections.hasUpdateBatchHooks(tables)) {
      for (const transaction of ready) await updateBatchChain(collections, context, store)(transaction)
    } else {
      await store(merged(ready))
    }
    return { rejectedBefore }
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
