import type { ResolveConflictHook } from '../../types/hooks.js'
import type { AnyRow, FieldHolding } from '../../types/operations.js'
import { PowerSyncFatalError } from '../errors.js'
import { resolver } from './resolver.js'
import { sum, type Summand } from './sum.js'

/**
 * A `resolveConflict` for amounts that several clients count up and down: what a PATCH adds to the value that its
 * client had (`trackPrevious`) is added to the server's, exactly, and must fit the field. No value counts as 0, both
 * before and on the server; null clears. Other fields are written as they come. A PUT, which has nothing before it,
 * leaves the amounts as the server has them. Source: PowerSync docs, "Custom Conflict Resolution", cumulative operations.
 *
 * The hook throws `INVALID_DATA` for a PATCH that does not say what the value was, and for a sum that does not fit.
 *
 * @example
 * collection({ schema: Type.Object({ name: Type.String(), stock: bson.Int32({ minimum: 0 }) }), resolveConflict: additive(['stock']) })
 */
export function additive<Row> (fields: ReadonlyArray<FieldHolding<Row, Summand>>): ResolveConflictHook<Row> {
  return resolver(fields, ({ operation, existing, previous, decode }) => {
    if (operation.op === 'DELETE') return operation
    const sums: AnyRow = {}
    for (const field of fields) {
      const value = operation.data[field] ?? undefined
      const stored = existing[field] ?? undefined
      if (operation.op === 'PUT') {
        if (stored !== undefined) sums[field] = stored
      } else if (value !== undefined) {
        sums[field] = decode(field, sum([value, stored ?? 0], [before(field, previous)]))
      }
    }
    return { ...operation, data: { ...operation.data, ...sums } }
  })
}

function before (field: string, previous: AnyRow | undefined): unknown {
  const value = previous?.[field]
  if (value !== undefined) return value ?? 0
  throw new PowerSyncFatalError('INVALID_DATA', 'The change does not say what the value was before it: the client\'s table needs trackPrevious', { details: { path: field } })
}
