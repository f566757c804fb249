import type {
  AnyRow, Awaitable, Conflict, CrudOperation, OperationContext, OperationToWrite, StoredRow
} from '../../types/index.js'
import type { mongodb } from '../bson.js'
import { HookError } from '../errors.js'
import { then } from './awaitable.js'
import type { UserCollection } from './registry.js'

export interface Resolution {
  /** The operation's document: at once, if it is loaded. */
  document (): Awaitable<mongodb.Document | null>
  /** Runs a hook. */
  ask<Answer> (answer: () => Awaitable<Answer>): Awaitable<Answer>
  /** An operation that a hook gave, with values as the schema has them. */
  written (operation: OperationToWrite<AnyRow>): CrudOperation
}

/**
 * What the `resolveConflict` hooks make of an operation: the one to write, or null for none.
 *
 * What a hook saw holds when the operation is written. MongoDB reads and writes a transaction on one snapshot, and lets
 * it write no document that another has changed since: that is a write conflict, after which the transaction starts
 * again, hooks included (MongoDB manual, "In-progress Transactions and Write Conflicts"). A row that was not there
 * stays so for PATCH and DELETE, and an upsert of one that was created meanwhile starts again as well. Where nothing is
 * written, the outcome is that of an upload which came before the other's.
 */
export function resolveConflicts (operation: CrudOperation, target: UserCollection, { document, ask, written }: Resolution, context: OperationContext): Awaitable<CrudOperation | null> {
  const { hooks: { resolveConflict: hooks } } = target.shared
  if (hooks.length === 0) return operation
  return then(document(), found => {
    if (!found) return withSums(operation, target)
    if (!target.conflicts(operation, found)) return operation
    const existing = target.shared.read(found) as StoredRow
    return hooks.reduce<Awaitable<CrudOperation | null>>((resolved, hook) => then(resolved, current =>
      current && then(ask(() => hook(conflictOf(current, existing, target), context)), answer => {
        if (answer === null || answer === current) return answer as CrudOperation | null
        if (answer?.table !== current.table || answer.id !== current.id) {
          throw new HookError({ hook: 'resolveConflict', table: operation.table }, 'gave no operation on its row: expected one on the same row, or null to keep what the server has')
        }
        return written(answer)
      })), operation)
  })
}

/** On a row that is not there, a sum changes nothing. The dead letter of an earlier operation still has to know it. */
function withSums (operation: CrudOperation, { shared }: UserCollection): CrudOperation {
  const sums: Record<string, string> = Object.assign({}, ...shared.hooks.resolveConflict.map(({ sumsOf }) => sumsOf?.(operation, shared.previous(operation))))
  return Object.keys(sums).length ? { ...operation, sums } : operation
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
