import type { Collections } from '../../types/collections.js'
import { rulesOf } from '../schema/collection.js'

export interface StartFacts {
  collections: Collections
  /** As in `POST /powersync/upload`. */
  routes: string[]
  database: string
  uploads: string
}

/** The configuration of the server, for one line of the log at the start. */
export function startFacts ({ collections, routes, database, uploads }: StartFacts): object {
  const tables = Object.entries(collections).map(([table, collection]) => ({
    table,
    collection: collection.name ?? table,
    owner: ownerWords(collection.owner),
    operations: collection.operations,
    hooks: (['authorize', 'transform', 'resolveConflict', 'updateBatch'] as const).filter(hook => collection[hook])
  }))
  return { powersync: { database, routes, uploads, tables } }
}

function ownerWords (owner: Collections[string]['owner']): string {
  if (typeof owner === 'function') return 'a function'
  const { fields, parents } = rulesOf(owner)
  return (
    [...fields.map(({ field }) => field), ...parents.map(({ parent, field }) => `${parent} through ${field}`)].join(
      ' and '
    ) || 'none: every user writes every row'
  )
}
