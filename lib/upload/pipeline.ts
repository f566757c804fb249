import type { AnyRow, CrudOperation, CrudTransaction, OperationContext, OperationToWrite, TransactionContext } from '../../types/index.js'
import type { CollectionRegistry, RegisteredCollection } from '../collections/registry.js'
import { PowerSyncFatalError } from '../errors.js'
import { TransactionDocuments } from './documents.js'

/** An uploaded transaction with its values and ids decoded: what hooks see and the storage writes. */
export function decode (transaction: CrudTransaction, collections: CollectionRegistry): CrudTransaction {
  const operations = transaction.operations.map(operation => collections.get(operation).decode(operation))
  return { ...transaction, operations }
}

/**
 * Runs the operations of client transactions that are written together, in order, through `authorize` and `transform`.
 *
 * @throws {PowerSyncFatalError} for the first operation that is refused
 */
export async function runOperationHooks (transactions: CrudTransaction[], collections: CollectionRegistry, context: TransactionContext): Promise<CrudTransaction[]> {
  const documents = new TransactionDocuments(transactions, collections, context)
  const done: CrudTransaction[] = []
  for (const transaction of transactions) done.push(await runOnTransaction(transaction, collections, context, documents))
  return done
}

async function runOnTransaction (decoded: CrudTransaction, collections: CollectionRegistry, context: TransactionContext, documents: TransactionDocuments): Promise<CrudTransaction> {
  const operations: CrudOperation[] = []
  for (const operation of decoded.operations) {
    try {
      for (const written of await operationsOf(operation, collections, context, documents)) {
        operations.push(written)
        documents.add(written)
      }
    } catch (error) {
      throw error instanceof PowerSyncFatalError ? at(operation, error) : error
    }
  }
  return { ...decoded, operations }
}

async function operationsOf (operation: CrudOperation, collections: CollectionRegistry, context: TransactionContext, documents: TransactionDocuments) {
  const collection = collections.get(operation)
  await authorize(operation, collection, contextOf(operation, context, documents))
  const transformed = await transform(operation, collection, contextOf(operation, context, documents))
  for (const each of transformed) {
    if (each === operation) continue
    const target = collections.get(each)
    target.checkWrite(each)
    if (each.table !== operation.table || each.id !== operation.id) await authorize(each, target, contextOf(each, context, documents))
  }
  return transformed
}

async function authorize (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Promise<void> {
  for (const hook of hooks.authorize) {
    const verdict = await hook(operation, context)
    if (verdict !== true) throw new PowerSyncFatalError('UNAUTHORIZED', typeof verdict === 'string' ? verdict : 'The operation is not allowed')
  }
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
