import type { Awaitable, CrudOperation, CrudTransaction } from '../../types/index.js'
import { PowerSyncFatalError } from '../errors.js'
import type { Permits } from './permits.js'
import { planOf, type Plan } from './plan.js'
import type { UserCollections } from './registry.js'
import type { Rows } from './rows.js'

/**
 * Enforces `throughParent` for the operations of client transactions that are written together: whoever writes them,
 * nothing is planned before it was checked here.
 */
export class Parents {
  readonly #ofUser: UserCollections
  /** Operations that passed, by value: an `updateBatch` passes them on, in parts that may lack their parents. */
  readonly #passed = new Set<string>()
  /** Those of the present client transaction that name a row which is not there yet. */
  #waiting: Array<{ operation: CrudOperation, holds: () => Promise<boolean | undefined> }> = []

  constructor (ofUser: UserCollections) {
    this.#ofUser = ofUser
  }

  /** @throws {PowerSyncFatalError} for an operation on a row, or into a parent, that is not the user's */
  check (operation: CrudOperation, rows: Rows): Awaitable<void> {
    if (this.#ofUser(operation).shared.parents.length) return this.#check(operation, rows)
  }

  async #check (operation: CrudOperation, rows: Rows): Promise<void> {
    const { op, data } = operation
    const target = this.#ofUser(operation)
    const { existing, owns, holds } = rows.for(operation)
    const before = await existing()
    const goesTo = target.shared.parents.filter(({ field }) => op === 'PUT' || data?.[field] !== undefined)
    const verdicts = [
      ...before ? [() => owns(target, before)] : [],
      ...goesTo.map(({ parent, field }) => () => holds(parent, data?.[field]))
    ]
    for (const verdict of verdicts) {
      const answer = await verdict()
      if (answer === false) refuse(operation)
      if (answer === undefined) this.#waiting.push({ operation, holds: verdict })
    }
    this.#passed.add(this.#keyOf(operation))
  }

  /** At the end of each client transaction. @throws {PowerSyncFatalError} if a parent did not come */
  async settle (): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { operation, holds } of waiting) if (await holds() !== true) refuse(operation)
  }

  /** Plans what the app's own code writes: the rules of owners hold for it as well. */
  async plan ({ operations }: CrudTransaction, rows: Rows, permits: Permits): Promise<Plan[]> {
    const plans: Plan[] = []
    for (const operation of operations) {
      const target = this.#ofUser(operation)
      if (target.shared.parents.length && !this.#passed.has(this.#keyOf(operation))) await this.#check(operation, rows)
      const plan = planOf(operation, target, permits)
      plans.push(plan)
      rows.add(plan)
    }
    await this.settle()
    return plans
  }

  #keyOf (operation: CrudOperation): string {
    const { op, table, id, data } = operation
    const { parents } = this.#ofUser(operation).shared
    return JSON.stringify([op, table, id, ...parents.map(({ field }) => String(data?.[field]))])
  }
}

function refuse ({ index }: CrudOperation): never {
  throw new PowerSyncFatalError('UNAUTHORIZED', 'The operation is not allowed', { operationIndex: index })
}
