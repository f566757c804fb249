import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '../bson.js'
import type { CrudTransaction, User } from '../../types/index.js'
import { dataFault } from '../storage/faults.js'
import type { Ledger } from '../storage/ledger.js'
import { writeFailure } from '../storage/mongodb-storage.js'
import { inTransaction, type CommandScope } from '../storage/transaction.js'
import { decode } from './pipeline.js'
import { tablesOf, write, type WriteDependencies } from './write.js'

/** Who uploads. */
export interface Caller {
  user: User
  request: FastifyRequest | undefined
  log: FastifyBaseLogger
}

export interface ApplyDependencies extends WriteDependencies {
  client: mongodb.MongoClient
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
  const { collections, storage, ledger, spans } = dependencies
  const [only] = transactions
  const single = transactions.length === 1 && only?.operations.length === 1
  if (single && !(ledger && only.clientId !== undefined) && !collections.hasWriteHooks(tablesOf(transactions))) {
    // One command is atomic in itself, and the driver retries it.
    const decoded = await spans.run('powersync.decode', async () => decode(only, collections.for(caller.user)))
    await spans.run('powersync.storage', () => storage.updateBatch(decoded, { user: caller.user, signal }))
    return { rejectedBefore: new Set() }
  }
  try {
    return await once(transactions, caller, dependencies, signal, false)
  } catch (error) {
    const failure = writeFailure(error)
    if (!failure || failure.operation || !dataFault(error)) throw error
    return await once(transactions, caller, dependencies, signal, true)
  }
}

async function once (transactions: CrudTransaction[], caller: Caller, dependencies: ApplyDependencies, signal: AbortSignal, oneByOne: boolean): Promise<Applied> {
  const { client, ledger, transactionOptions, spans } = dependencies
  return await inTransaction(client, transactionOptions, signal, async session => {
    const scope = { session, signal }
    const open = () => unsettled(transactions, caller, ledger, scope)
    const { pending, rejectedBefore } = await (ledger ? spans.run('powersync.ledger', open) : open())
    await write(pending, caller, dependencies, scope, oneByOne)
    return { rejectedBefore }
  }, spans)
}

/** What of client transactions is left to write; the ledger has it as applied from now on. */
async function unsettled (transactions: CrudTransaction[], { user }: Caller, ledger: Ledger | undefined, scope: CommandScope): Promise<Applied & { pending: CrudTransaction[] }> {
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
  return { pending, rejectedBefore }
}
