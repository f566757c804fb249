import type { Collections } from '../../types/collections.js'
import { rulesOf } from '../schema/collection.js'

/** The configuration of the server, for one line of the log at the start. Routes are as in `POST /powersync/upload`. */
export function startFacts (
  collections: Collections, others: { database: string, routes: string[], uploads: string }
): object {
  const tables = Object.entries(collections).map(([table, collection]) => ({
    table,
    collection: collection.name ?? table,
    owner: ownerWords(collection.owner),
    operations: collection.operations,
    hooks: (['authorize', 'transform', 'resolveConflict', 'updateBatch'] as const).filter(hook => collection[hook])
  }))
  return { powersync: { ...others, tables } }
}

function ownerWords (owner: Collections[string]['owner']): string {
  if (typeof owner === 'function') return 'a function'
  const { fields, parents } = rulesOf(owner)
  const rules = [...fields.map(({ field }) => field), ...parents.map(({ parent, field }) => `${parent} through ${field}`)]
  return rules.join(' and ') || 'none: every user writes every row'
}
