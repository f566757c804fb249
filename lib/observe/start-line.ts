import type { Collections } from '../../types/collections.js'
import { rulesOf } from '../schema/collection.js'

export interface StartFacts {
  collections: Collections
  /** As in `POST /powersync/upload`. */
  routes: string[]
  database: string
  uploads: string
}

/** What the server does for whom, once at start: for the log. */
export function startLine ({ collections, routes, database, uploads }: StartFacts): [facts: object, message: string] {
  const tables = Object.entries(collections).map(([table, collection]) => ({
    table,
    collection: collection.name ?? table,
    owner: ownerWords(collection.owner),
    operations: collection.operations,
    hooks: (['authorize', 'transform', 'resolveConflict', 'updateBatch'] as const).filter(hook => collection[hook])
  }))
  const open = tables.filter(({ owner, hooks }) => owner === 'none' && !hooks.includes('authorize')).map(({ table }) => table)
  const rules = open.length ? `; every user writes every row of ${open.join(', ')}` : ''
  return [
    { powersync: { database, routes, uploads, tables } },
    `fastify-powersync-mongo: ${tables.length} tables of the database ${database}, uploads by ${uploads}${rules}`
  ]
}

function ownerWords (owner: Collections[string]['owner']): string {
  if (typeof owner === 'function') return 'a function'
  const { fields, parents } = rulesOf(owner)
  return [...fields.map(({ field }) => field), ...parents.map(({ parent, field }) => `${parent} through ${field}`)].join(' and ') || 'none'
}
