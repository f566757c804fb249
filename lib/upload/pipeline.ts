import type { AnyRow, Awaitable, CrudOperation, CrudTransaction, OperationContext, OperationToWrite, PatchOperation, TransactionContext, TransformHook } from '../../types/index.js'
import type { CollectionRegistry, RegisteredCollection, UserCollections } from '../collections/registry.js'
import { PowerSyncFatalError } from '../errors.js'
import { inOrder, isPromise, then } from './awaitable.js'
import { resolveConflicts } from './conflicts.js'
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
 * Runs the operations of client transactions that are written together, in order, through `authorize`, `transform`,
 * `resolveConflict` and `authorizeTransfer`.
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
  documents.begin()
  const operations: CrudOperation[] = []
  const write = (operation: CrudOperation) => {
    operations.push(operation)
    documents.add(operation)
  }
  for (const operation of decoded.operations) {
    try {
      const pending = runOnOperation(operation, run, documents, write)
      if (isPromise(pending)) await pending
    } catch (error) {
      throw error instanceof PowerSyncFatalError ? at(operation, error) : error
    }
  }
  return { ...decoded, operations }
}

type Write = (operation: CrudOperation) => void

function runOnOperation (operation: CrudOperation, run: HookRun, documents: TransactionDocuments, write: Write): Awaitable<void> {
  const collection = run.collections.get(operation)
  const context = contextOf(operation, run.context, documents)
  return then(authorize(operation, collection, context), () =>
    then(transform(operation, collection, context), transformed =>
      inOrder(transformed, each => each === operation
        ? settle(each, run, documents, context, write)
        : settleAnother(each, operation, run, documents, write))))
}

/** What `transform` made of an operation is authorised again where it goes to another row. */
function settleAnother (operation: CrudOperation, uploaded: CrudOperation, run: HookRun, documents: TransactionDocuments, write: Write): Awaitable<void> {
  const collection = run.collections.get(operation)
  const context = contextOf(operation, run.context, documents)
  collection.checkWrite(operation, 'transform')
  const moved = operation.table !== uploaded.table || operation.id !== uploaded.id
  return then(moved ? authorize(operation, collection, context) : undefined, () => settle(operation, run, documents, context, write))
}

function settle (operation: CrudOperation, run: HookRun, documents: TransactionDocuments, context: OperationContext, write: Write): Awaitable<void> {
  return then(resolveConflicts(operation, run.ofUser(operation), documents, context), resolved =>
    resolved ? then(authorizeTransfer(resolved, run, context), () => write(resolved)) : undefined)
}

function authorize (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Awaitable<void> {
  return inOrder(hooks.authorize, hook => then(hook(operation, context), verdict => check(verdict, 'The operation is not allowed')))
}

/** The storage refuses what is not noted here. */
function authorizeTransfer (operation: CrudOperation, { collections, ofUser, transfers }: HookRun, context: OperationContext): Awaitable<void> {
  const hook = collections.get(operation).definition.authorizeTransfer
  if (!hook || ofUser(operation).transfers(operation) === undefined) return
  return then(hook(operation as PatchOperation, context), verdict => {
    check(verdict, 'The row may not be given to another owner')
    transfers.add(operation)
  })
}

function check (verdict: boolean | string, refusal: string): void {
  if (verdict !== true) throw new PowerSyncFatalError('UNAUTHORIZED', typeof verdict === 'string' ? verdict : refusal)
}

function transform (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Awaitable<CrudOperation[]> {
  return hooks.transform.reduce<Awaitable<CrudOperation[]>>(
    (operations, hook) => then(operations, before => transformEach(before, hook, context)), [operation])
}

function transformEach (operations: CrudOperation[], hook: TransformHook, context: OperationContext): Awaitable<CrudOperation[]> {
  const next: CrudOperation[] = []
  const transformed = inOrder(operations, each => then(hook(each, context), result => {
    for (const written of arrayOf(result)) {
      next.push((written === each ? each : { ...written, index: each.index }) as CrudOperation)
    }
  }))
  return then(transformed, () => next)
}

const arrayOf = (result: OperationToWrite | OperationToWrite[] | null): OperationToWrite<AnyRow>[] =>
  Array.isArray(result) ? result : result ? [result] : []

function contextOf (operation: CrudOperation, context: TransactionContext, documents: TransactionDocuments): OperationContext {
  return { ...context, ...documents.for(operation) }
}

function at (operation: CrudOperation, error: PowerSyncFatalError): PowerSyncFatalError {
  if (error.operationIndex !== undefined) return error
  return new PowerSyncFatalError(error.code, error.message, { details: error.details, operationIndex: operation.index })
}
