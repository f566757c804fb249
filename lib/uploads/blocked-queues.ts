import type { CrudTransaction, User } from '../../types/index.js'

/**
 * How often in a row the head of a client's upload queue could not be stored. Clients send it again for ever, and
 * everything behind it waits. Known to this process only, and of the latest queues only.
 */
export class BlockedQueues {
  /** In the order of their last failures. */
  readonly #failures = new Map<string, number>()

  /** @param limit queues that are remembered; the one whose last failure is longest ago is forgotten first */
  constructor (private readonly limit = 1000) {}

  /** Counts a failure that the client will try again. @returns how many there were in a row */
  failed (transaction: CrudTransaction, user: User): number {
    const key = keyOf(transaction, user)
    const count = (this.#failures.get(key) ?? 0) + 1
    this.#failures.delete(key)
    this.#failures.set(key, count)
    const [oldest] = this.#failures.keys()
    if (this.#failures.size > this.limit) this.#failures.delete(oldest!)
    return count
  }

  /** The transaction is settled: the queue moves on. */
  succeeded (transaction: CrudTransaction, user: User): void {
    if (this.#failures.size > 0) this.#failures.delete(keyOf(transaction, user))
  }
}

/** The first operation says which transaction it is: a retry may carry more or fewer of those behind it. */
function keyOf ({ clientId, operations: [first] }: CrudTransaction, user: User): string {
  return JSON.stringify([user.id, clientId, first && (first.opId ?? [first.op, first.table, first.id])])
}
