import type { CrudOperation } from '../../types/index.js'
import { sameValue } from '../schema/same-value.js'
import type { UserCollection } from './registry.js'

/** Which rows `authorizeTransfer` allowed to be given to which owner: by value, so that a copy of an operation is as good as itself. */
export class Permits {
  readonly #allowed: Array<{ table: string, id: string, to: Record<string, unknown> }> = []

  allow (operation: CrudOperation, target: UserCollection): void {
    this.#allowed.push({ table: operation.table, id: operation.id, to: ownersIn(operation, target) })
  }

  allows (operation: CrudOperation, target: UserCollection): boolean {
    const to = ownersIn(operation, target)
    return this.#allowed.some(permit => permit.table === operation.table && permit.id === operation.id && sameValue(permit.to, to))
  }
}

/** The owner fields that an operation sets, in the order of the rule. */
function ownersIn ({ data = {} }: CrudOperation, { owner }: UserCollection): Record<string, unknown> {
  return Object.fromEntries(Object.keys(owner).filter(field => Object.hasOwn(data, field)).map(field => [field, data[field]]))
}
