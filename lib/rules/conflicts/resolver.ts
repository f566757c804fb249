/** Parts of the ready-made hooks. */
import { Type, type TProperties } from '@sinclair/typebox'
import { Double, type mongodb } from '../../bson.js'
import { attempt } from '../../client/values.js'
import type { CrudOperation, ResolveConflictHook } from '../../../types/index.js'

/** A hook on the fields that it names, whatever else a row has: their types were checked there. */
export function resolver<Row> (
  needs: Omit<ResolveConflictHook, never>, hook: ResolveConflictHook
): ResolveConflictHook<Row> {
  return Object.assign(hook as unknown as ResolveConflictHook<Row>, needs)
}

/** For the options of the hooks, which are closed as all others are. */
export const fieldName = Type.String({ minLength: 1, expected: 'the name of a field' })
export const optionsOf = (properties: TProperties) =>
  Type.Object(properties, { additionalProperties: false, expected: 'an object' })

/** A field's value. What an object inherits, as `constructor`, is no field. */
export const fieldOf = <Value>(row: Readonly<Record<string, Value>> | undefined, field: string): Value | undefined =>
  row && Object.hasOwn(row, field) ? row[field] : undefined

/** The object that a client wrote to `_metadata` as JSON; else an empty one. */
export const metadataOf = ({ metadata = 'null' }: CrudOperation): Map<string, unknown> =>
  new Map(Object.entries(Object(attempt(() => JSON.parse(metadata)))))

/** The values that can be ordered: times, numbers, or text that sorts as such. */
export type Ordered = Date | number | bigint | mongodb.Double | string

/** Whether `a` comes before `b`; undefined if one of them is missing, or their kinds cannot be compared. */
export function isBefore (a: unknown, b: unknown): boolean | undefined {
  const left = rank(a)
  const right = rank(b)
  if (left === undefined || right === undefined) return undefined
  return (typeof left === 'string') === (typeof right === 'string') ? left < right : undefined
}

function rank (value: unknown): number | bigint | string | undefined {
  if (value instanceof Date || value instanceof Double) return value.valueOf()
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string' ? value : undefined
}
