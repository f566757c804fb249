import type { Conflict, FieldHolding, ResolveConflictHook } from '../../../types/index.js'
import { checkOptions } from '../../check-options.js'
import { sameValue } from '../../schema/same-value.js'
import { fieldName, fieldOf, isBefore, metadataOf, optionsOf, resolver, type Ordered } from './resolver.js'

/** Where a row and a change say when they were made. */
export interface LastWriteWinsOptions<Row> {
  /** The field that clients set to the time of each change: a date, a number, or text that sorts by time. */
  field: FieldHolding<Row, Ordered>
}

/**
 * A `resolveConflict` by time: a change that is older than what the server has is dropped, whole.
 *
 * An operation's time is what it sets `field` to; if it does not, as a DELETE cannot, what the JSON in its `metadata`
 * says under that name; else, with `trackPrevious`, what the client had in `field` before. Of equal times the upload
 * wins, which arrives later, and so does an operation without any time, or one on a row without: PowerSync's default.
 * Source: PowerSync docs, "Custom Conflict Resolution", timestamp-based detection.
 *
 * @example
 * collection({
 *   schema: Type.Object({ text: Type.String(), modified_at: bson.Date() }),
 *   resolveConflict: lastWriteWins({ field: 'modified_at' })
 * })
 */
export function lastWriteWins<Row> (options: LastWriteWinsOptions<Row>): ResolveConflictHook<Row> {
  checkOptions(optionsOf({ field: fieldName }), options, 'lastWriteWins')
  const { field } = options
  return resolver({ fields: [field], tracks: { previous: [field], metadata: true } }, conflict => {
    const { operation, existing, setSince } = conflict
    const stored = fieldOf(existing, field)
    const isOwn = setSince && sameValue(fieldOf(setSince, field), stored)
    return isBefore(timeOf(conflict, field), stored) && !isOwn ? null : operation
  })
}

function timeOf ({ operation, previous, decode }: Conflict, field: string): unknown {
  const set = fieldOf(operation.data, field) ?? undefined
  if (set !== undefined) return set
  const said = metadataOf(operation).get(field)
  return said === undefined ? fieldOf(previous, field) : decode(field, said)
}
