import type { Check, Collection, Collections, TableDescription } from '../../types/index.js'
import { fieldsOf, otherColumns } from './field-list.js'
import { idsOf } from './ids.js'
import type { FieldType } from './types.js'

/** The checks of all collections, by table: what a client can know of the server's verdict (lib/client/validate.ts). */
export const descriptionsOf = (collections: Collections): Record<string, TableDescription> =>
  Object.fromEntries(Object.entries(collections).map(([table, each]) => [table, describeTable(table, each)]))

function describeTable (table: string, collection: Collection): TableDescription {
  const { operations, owner, writable } = collection
  const fields = fieldsOf(table, collection)
  const { check: id } = idsOf(table, collection.id)
  const server = new Set(serverRulesOf(collection))
  if (!id) server.add('id')
  return {
    operations: [...operations],
    ...id && { id },
    columns: Object.fromEntries(fields.map(({ column, type, nullable, readOnly, owner, default: byDefault }) => {
      const check = { ...checkOf(type, server), ...nullable && { n: 1 as const } }
      return [column, readOnly ? [check, 2] : owner || byDefault ? [check, 1] : [check]]
    })),
    ...otherColumns(collection, fields),
    ...(typeof writable === 'function' || typeof owner === 'function') && { perUser: 1 as const },
    server: [...server]
  }
}

/** By the names of the options. Unique indexes are MongoDB's own, and not known here. */
function serverRulesOf (collection: Collection): string[] {
  const hooks = ['authorize', 'transform', 'resolveConflict', 'updateBatch', 'authorizeTransfer'] as const
  const rules: string[] = hooks.filter(hook => collection[hook])
  if (!Array.isArray(collection.owner) || collection.owner.length) rules.push('owner')
  if (typeof collection.writable === 'function') rules.push('writable')
  if (Object.keys(collection.defaults).length) rules.push('defaults')
  return rules
}

/** The part of a type that clients check. Formats of the host's own are added to the rules of the server. */
function checkOf (type: FieldType, server: Set<string>): Check {
  const { gives, column, shape, container, make, encode, read, format, i, p, o, ...check } = type
  if (format) server.add(`format ${format}`)
  const property = ([name, [type, ...optional]]: [string, [FieldType, 1?]]): [string, [Check, 1?]] =>
    [name, [checkOf(type, server), ...optional]]
  return {
    ...check,
    ...i && { i: checkOf(i, server) },
    ...p && { p: Object.fromEntries(Object.entries(p).map(property)) },
    ...o && { o: o.map(variant => checkOf(variant, server)) }
  }
}
