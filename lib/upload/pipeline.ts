import type { AnyRow, CrudOperation, CrudTransaction, OperationContext, OperationToWrite, PatchOperation, TransactionContext } from '../../types/index.js'
import type { CollectionRegistry, RegisteredCollection, UserCollections } from '../collections/registry.js'
import { PowerSyncFatalError } from '../errors.js'
import { TransactionDocuments } from './documents.js'

/** An uploaded transaction with its values and ids decoded: what hooks see and the storage writes. */
export function decode (transaction: CrudTransaction, ofUser: UserCollections): CrudTransaction {
  const operations = transaction.operations.map(operation => ofUser(operation).decode(operation))
  return { ...transaction, operations }
}

/** What the hooks of one upload share. */
export interface HookRun {
  collections: CollectionRegistry
  ofUser: UserCollections
  context: TransactionContext
  /** Gets the operations that may give their row to another owner. */
  transfers: Set<CrudOperation>
}

/**
 * Runs the operations of client transactions that are written together, in order, through `authorize`, `transform` and
 * `authorizeTransfer`.
 *
 * @throws {PowerSyncFatalError} for the first operation that is refused
 */
export async function runOperationHooks (transactions: CrudTransaction[], run: HookRun): Promise<CrudTransaction[]> {
  const documents = new TransactionDocuments(transactions, run.collections, run.ofUser, run.context)
  const done: CrudTransaction[] = []
  for (const transaction of transactions) done.push(await runOnTransaction(transaction, run, documents))
  return done
}

async function runOnTransaction (decoded: CrudTransaction, run: HookRun, documents: TransactionDocuments): Promise<CrudTransaction> {
  const operations: CrudOperation[] = []
  for (const operation of decoded.operations) {
    try {
      for (const written of await operationsOf(operation, run, documents)) {
        operations.push(written)
        documents.add(written)
      }
    } catch (error) {
      throw error instanceof PowerSyncFatalError ? at(operation, error) : error
    }
  }
  return { ...decoded, operations }
}

async function operationsOf (operation: CrudOperation, run: HookRun, documents: TransactionDocuments): Promise<CrudOperation[]> {
  const { collections, context } = run
  const collection = collections.get(operation)
  await authorize(operation, collection, contextOf(operation, context, documents))
  const transformed = await transform(operation, collection, contextOf(operation, context, documents))
  for (const each of transformed) {
    if (each !== operation) {
      const target = collections.get(each)
      target.checkWrite(each)
      if (each.table !== operation.table || each.id !== operation.id) await authorize(each, target, contextOf(each, context, documents))
    }
    await authorizeTransfer(each, run, contextOf(each, context, documents))
  }
  return transformed
}

async function authorize (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Promise<void> {
  for (const hook of hooks.authorize) check(await hook(operation, context), 'The operation is not allowed')
}

/** The storage refuses what is not noted here. */
async function authorizeTransfer (operation: CrudOperation, { collections, ofUser, transfers }: HookRun, context: OperationContext): Promise<void> {
  const hook = collections.get(operation).definition.authorizeTransfer
  if (!hook || ofUser(operation).transfers(operation) === undefined) return
  check(await hook(operation as PatchOperation, context), 'The row may not be given to another owner')
  transfers.add(operation)
}

function check (verdict: boolean | string, refusal: string): void {
  if (verdict !== true) throw new PowerSyncFatalError('UNAUTHORIZED', typeof verdict === 'string' ? verdict : refusal)
}

async function transform (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Promise<CrudOperation[]> {
  let operations = [operation]
  for (const hook of hooks.transform) {
    const next: CrudOperation[] = []
    for (const each of operations) {
      const result = await hook(each, context)
      for (const written of arrayOf(result)) {
        next.push((written === each ? each : { ...written, index: operation.index }) as CrudOperation)
      }
    }
    operations = next
  }
  return operations
}

const arrayOf = (result: OperationToWrite | OperationToWrite[] | null): OperationToWrite<AnyRow>[] =>
  Array.isArray(result) ? result : result ? [result] : []

function contextOf (operation: CrudOperation, context: TransactionContext, documents: TransactionDocuments): OperationContext {
  return { ...context, existing: documents.existingFor(operation) }
}

function at (operation: CrudOperation, error: PowerSyncFatalError): PowerSyncFatalError {
  if (error.operationIndex !== undefined) return error
  return new PowerSyncFatalError(error.code, error.message, { details: error.details, operationIndex: operation.index })
}
