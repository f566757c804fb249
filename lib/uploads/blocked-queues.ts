import type { CrudTransaction, User } from '../../types/index.js'

/**
 * How often in a row the head of a client's upload queue could not be stored. Clients send it again for ever, and
 * everything behind it waits. Known to this process only, and of the latest queues only.
 */
export interface BlockedQueues {
  /** Counts a failure that the client will try again. @returns how many there were in a row */
  failed (transaction: CrudTransaction, user: User): number
  /** The transaction is settled: the queue moves on. */
  succeeded (transaction: CrudTransaction, user: User): void
}

/** @param limit queues that are remembered; the one whose last failure is longest ago is forgotten first */
export function createBlockedQueues (limit = 1000): BlockedQueues {
  /** In the order of their last failures. */
  const failures = new Map<string, number>()
  return {
    failed (transaction, user) {
      const key = keyOf(transaction, user)
      const count = (failures.get(key) ?? 0) + 1
      failures.delete(key)
      failures.set(key, count)
      for (const oldest of failures.keys()) {
        if (failures.size <= limit) break
        failures.delete(oldest)
      }
      return count
    },
    succeeded (transaction, user) {
      if (failures.size > 0) failures.delete(keyOf(transaction, user))
    }
  }
}

/** The first operation says which transaction it is: a retry may carry more or fewer of those behind it. */
function keyOf ({ clientId, operations: [first] }: CrudTransaction, user: User): string {
  return JSON.stringify([user.id, clientId, first && (first.opId ?? [first.op, first.table, first.id])])
}
