import type { AnyRow, Awaitable, Conflict, CrudOperation, OperationContext, ResolveConflictHook, StoredRow } from '../../types/index.js'
import type { UserCollection } from '../collections/registry.js'
import { then } from './awaitable.js'
import type { TransactionDocuments } from './documents.js'

/**
 * What the `resolveConflict` hooks make of an operation: the one to write, or null for none.
 *
 * What a hook saw holds when the operation is written. MongoDB reads and writes a transaction on one snapshot, and lets
 * it write no document that another has changed since: that is a write conflict, after which the transaction starts
 * again, hooks included (MongoDB manual, "In-progress Transactions and Write Conflicts"). A row that was not there
 * stays so for PATCH and DELETE, and an upsert of one that was created meanwhile starts again as well. Where nothing is
 * written, the outcome is that of an upload which came before the other's.
 */
export function resolveConflicts (
  operation: CrudOperation, collection: UserCollection, documents: TransactionDocuments, context: OperationContext
): Awaitable<CrudOperation | null> {
  const { hooks } = collection.shared
  if (hooks.resolveConflict.length === 0) return operation
  return then(documents.of(operation), document => {
    if (!document || !collection.conflicts(operation, document)) return operation
    const existing = collection.shared.read(document) as StoredRow
    return hooks.resolveConflict.reduce<Awaitable<CrudOperation | null>>(
      (resolved, hook) => then(resolved, current => current && ask(hook, current, existing, collection, context)), operation)
  })
}

function ask (hook: ResolveConflictHook, operation: CrudOperation, existing: StoredRow, collection: UserCollection, context: OperationContext): Awaitable<CrudOperation | null> {
  return then(hook(conflictOf(operation, existing, collection), context), resolved => {
    if (resolved === null) return null
    if (resolved === operation) return operation
    if (resolved?.table !== operation.table || resolved.id !== operation.id) {
      throw new Error(`resolveConflict gave no operation on its row of ${operation.table}: expected one on the same row, or null to keep what the server has`)
    }
    const changed: CrudOperation = { ...resolved, index: operation.index }
    collection.shared.checkWrite(changed, 'resolveConflict')
    return changed
  })
}

function conflictOf (operation: CrudOperation, existing: StoredRow, { shared }: UserCollection): Conflict {
  let previous: AnyRow | undefined
  return {
    table: operation.table,
    operation,
    existing,
    /** Decoded for those who ask for it. */
    get previous () {
      previous ??= shared.previous(operation)
      return previous
    },
    decode: (field, value) => shared.field(field, value, operation) as object
  }
}
