import { Type } from '@sinclair/typebox'
import type { AnyRow, CrudOperation, FieldHolding, ResolveConflictHook } from '../../../types/index.js'
import { PowerSyncFatalError } from '../../errors.js'
import { checkOptions } from '../../check-options.js'
import { fieldName, fieldOf, resolver } from './resolver.js'
import { sum, type Summand } from './sum.js'

const names = Type.Array(fieldName, { minItems: 1, expected: 'an array with one or more fields' })

/**
 * A `resolveConflict` for amounts that several clients count up and down. A PATCH adds the difference between its value
 * and its client's earlier one (`trackPrevious`) to the server's value. The sum is exact and must fit the field. An
 * absent value counts as 0, before and on the server; null clears. Other fields are written as they come. A PUT, which
 * has no value before it, leaves the amounts as the server has them.
 * Source: PowerSync docs, "Custom Conflict Resolution", cumulative operations.
 *
 * Sums are not idempotent: a PATCH must come with `client_id` and `op_id`, by which retries are recognised.
 *
 * The hook throws `INVALID_DATA` for a PATCH without these, for one that does not say what the value was, and for a sum
 * that does not fit.
 *
 * @example
 * collection({
 *   schema: Type.Object({ name: Type.String(), stock: bson.Int32({ minimum: 0 }) }),
 *   resolveConflict: additive(['stock'])
 * })
 */
export function additive<Row> (fields: ReadonlyArray<FieldHolding<Row, Summand>>): ResolveConflictHook<Row> {
  checkOptions(names, fields, 'additive')
  return resolver<Row>({ fields, tracks: { previous: fields }, sumsOf }, conflict => {
    const { operation, existing, previous, decode } = conflict
    if (operation.op === 'DELETE') return operation
    const data: AnyRow = { ...operation.data }
    const sums: Record<string, string> = {}
    for (const field of fields) {
      const value = fieldOf(operation.data, field) ?? undefined
      const stored = fieldOf(existing, field) ?? undefined
      if (operation.op === 'PUT') {
        if (stored === undefined) continue
        data[field] = stored
        sums[field] = '0'
      } else if (value !== undefined) {
        const before = valueBefore(field, previous)
        data[field] = decode(field, sum([value, stored ?? 0], [before]))
        sums[field] = difference(value, before)
      }
    }
    return { ...operation, data, sums: { ...operation.sums, ...sums } }
  })

  function sumsOf ({ op, data = {} }: CrudOperation, previous: AnyRow | undefined): Record<string, string> {
    if (op !== 'PATCH') return {}
    const isKnown = (field: string) => (fieldOf(data, field) ?? undefined) !== undefined
    const changed = fields.filter(field => isKnown(field) && fieldOf(previous, field) !== undefined)
    return Object.fromEntries(changed.map(field => [field, difference(data[field], valueBefore(field, previous))]))
  }
}

const difference = (value: unknown, before: unknown): string => String(sum([String(value), '0'], [String(before)]))

function valueBefore (field: string, previous: AnyRow | undefined): unknown {
  const value = fieldOf(previous, field)
  if (value !== undefined) return value ?? 0
  const problem = 'The change does not say what the value was before it: the client\'s table needs trackPrevious'
  throw new PowerSyncFatalError('INVALID_DATA', problem, { details: { path: field } })
}
