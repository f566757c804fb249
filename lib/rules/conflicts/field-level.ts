import type { AnyRow, ResolveConflictHook } from '../../../types/index.js'
import { parseDate } from '../../client/values.js'
import { PowerSyncFatalError } from '../../errors.js'
import { checkOptions } from '../../check-options.js'
import { fieldName, fieldOf, isBefore, metadataOf, optionsOf, resolver } from './resolver.js'

/** Where the times of the fields are kept. */
export interface FieldLevelOptions {
  /**
   * The field of the document in which the server keeps the time of each field's last change: an object of dates, by
   * field. Clients must not be able to write it.
   */
  metadata: string
}

/**
 * A `resolveConflict` by time, for each field: an operation on an existing row writes the fields that nobody changed
 * later. The times are in the client's `_metadata` (`trackMetadata`): JSON with `<field>_modified_at`, as ISO 8601 text
 * or milliseconds since 1970. A field without one counts as changed when it arrives, and so does one with a time to
 * come; of equal times, what arrives later is written. A DELETE deletes.
 * Source: PowerSync docs, "Custom Conflict Resolution", field-level last write wins.
 *
 * The hook throws `INVALID_DATA` for an invalid time.
 *
 * @example
 * collection({
 *   schema: Type.Object({
 *     title: Type.String(),
 *     status: Type.String(),
 *     modified: Type.Optional(bson.Json(Type.Record(Type.String(), bson.Date())))
 *   }),
 *   writable: ['title', 'status'],
 *   resolveConflict: fieldLevel({ metadata: 'modified' })
 * })
 */
export function fieldLevel<Row> (options: FieldLevelOptions): ResolveConflictHook<Row> {
  checkOptions(optionsOf({ metadata: fieldName }), options, 'fieldLevel')
  const { metadata } = options
  return resolver({ tracks: { metadata: true }, merges: [metadata] }, ({ operation, existing, setSince = {} }) => {
    if (operation.op === 'DELETE') return operation
    const said = metadataOf(operation)
    const now = Date.now()
    const known = Object.entries(Object(fieldOf(existing, metadata)))
    const times = new Map(known.filter(([, time]) => time instanceof Date))
    const data: AnyRow = {}
    let newer = 0
    for (const [field, value] of Object.entries(operation.data)) {
      if (field === metadata) continue
      const time = timeOf(`${field}_modified_at`, said, now)
      const wins = !Object.hasOwn(setSince, field) && !isBefore(time, times.get(field))
      if (wins) {
        times.set(field, time)
        newer++
      }
      // A PUT sets what it does not have as well: what is to stay has to stand in it.
      if (wins || operation.op === 'PUT') data[field] = wins ? value : fieldOf(existing, field) ?? null
    }
    return newer === 0 ? null : { ...operation, data: { ...data, [metadata]: Object.fromEntries(times) } }
  })
}

function timeOf (name: string, said: ReadonlyMap<string, unknown>, now: number): Date {
  const value = said.get(name) ?? now
  const time = typeof value === 'string' ? parseDate(value) : value
  const date = new Date(typeof time === 'number' ? Math.min(time, now) : NaN)
  if (!Number.isNaN(date.getTime())) return date
  throw new PowerSyncFatalError('INVALID_DATA', 'A time in the metadata is invalid: expected a date such as 2025-09-22T14:29:30.123Z, or milliseconds since 1970', { details: { path: `metadata.${name}` } })
}
