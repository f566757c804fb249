import type { CrudTransaction, TransactionContext, UpdateBatchHook } from '../../types/index.js'
import { deepFreeze } from './freeze.js'
import type { CollectionRegistry } from './registry.js'

type Write = (transaction: CrudTransaction) => Promise<void>

/**
 * Puts the `updateBatch` hooks around the storage: the one for all collections outermost, then each collection's own
 * around the operations on it. Operations on different collections cannot depend on each other's order.
 */
export function updateBatchChain (
  collections: CollectionRegistry, context: TransactionContext, storage: Write, probe?: (hook: string, table: string | undefined) => Promise<void>
): Write {
  const { updateBatch: global } = collections.globalHooks
  return wrap(global, perCollection)

  async function perCollection (transaction: CrudTransaction): Promise<void> {
    const own = new Map<UpdateBatchHook, CrudTransaction>()
    const rest: CrudTransaction = { ...transaction, operations: [] }
    for (const operation of transaction.operations) {
      const hook = collections.get(operation).definition.updateBatch
      const part = hook ? own.get(hook) ?? { ...transaction, operations: [] } : rest
      if (hook) own.set(hook, part)
      part.operations.push(operation)
    }
    for (const [hook, part] of own) await wrap(hook, storage)(part)
    if (rest.operations.length) await storage(rest)
  }

  function wrap (hook: UpdateBatchHook | undefined, next: Write): Write {
    return hook
      ? async transaction => {
        const probed = () => probe?.('updateBatch', undefined)
        await hook(deepFreeze(transaction), context, async (changed = transaction) => {
          await probed()
          await next(changed)
        })
        await probed()
      }
      : next
  }
}
