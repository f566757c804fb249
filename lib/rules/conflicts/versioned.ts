import { Type } from '@sinclair/typebox'
import type { FieldHolding, ResolveConflictHook } from '../../../types/index.js'
import type { mongodb } from '../../bson.js'
import { checkOptions } from '../../check-options.js'
import { sameValue } from '../../schema/same-value.js'
import { PowerSyncFatalError } from '../../errors.js'
import { fieldName, fieldOf, optionsOf, resolver } from './resolver.js'
import { sum } from './sum.js'

/** Where a row has its version, and what becomes of a stale change. */
export interface VersionedOptions<Row> {
  /** The field with the number of changes: it goes up by one with each. A row without it has the version 0. */
  field: FieldHolding<Row, number | bigint | mongodb.Double>
  /**
   * The handling of a change of an older version. `reject`, the default: its client transaction fails for good with
   * `CONFLICT`, and is kept as a dead letter. `keep`: the change is dropped, the rest of the transaction is applied.
   */
  onStale?: 'reject' | 'keep' | undefined
}

const stale = Type.Union([Type.Literal('reject'), Type.Literal('keep')], { expected: "'reject' or 'keep'" })

/**
 * A `resolveConflict` by version: a change is written if the client saw the row as it is, and the server counts.
 *
 * The version that the client saw is, with `trackPrevious`, what `field` was before its change; else one less than what
 * the change sets `field` to. Clients count along (`SET text = ?, version = version + 1`), so that the next change of
 * the same client fits as well, before it has synced. A change that does not say what it saw is stale; a DELETE
 * can say so with `trackPrevious` only.
 * Source: PowerSync docs, "Custom Conflict Resolution", sequence number versioning.
 *
 * @example
 * collection({
 *   schema: Type.Object({ text: Type.String(), version: bson.Int32() }),
 *   resolveConflict: versioned({ field: 'version' })
 * })
 */
export function versioned<Row> (options: VersionedOptions<Row>): ResolveConflictHook<Row> {
  checkOptions(optionsOf({ field: fieldName, onStale: Type.Optional(stale) }), options, 'versioned')
  const { field, onStale = 'reject' } = options
  return resolver({ fields: [field], tracks: { previous: [field] } }, conflict => {
    const { operation, existing, previous, decode } = conflict
    if (operation.op === 'PATCH' && Object.keys(operation.data).length === 0) return operation
    const current = fieldOf(existing, field) ?? 0
    const next = decode(field, sum([current, 1]))
    const seen = fieldOf(previous, field)
    const isCurrent = seen === undefined
      ? sameValue(fieldOf(operation.data, field), next)
      : sameValue(seen ?? 0, current)
    if (isCurrent) {
      return operation.op === 'DELETE' ? operation : { ...operation, data: { ...operation.data, [field]: next } }
    }
    if (onStale === 'keep') return null
    const problem = 'The row has been changed since the client read it'
    throw new PowerSyncFatalError('CONFLICT', problem, { details: { path: field } })
  })
}
