import type { TSchema } from '@sinclair/typebox'

/** MongoDB's dialect of JSON Schema: draft 4 with `bsonType`. */
export type JsonSchema = { [keyword: string]: unknown }

/** MongoDB refuses a list that names a value twice. */
export const oneOf = (values: unknown[]): JsonSchema => ({ enum: [...new Set(values)] })

/** Either of several shapes: literals become one `enum`, single types one list of types, anything else `anyOf`. */
export function eitherOf (shapes: JsonSchema[]): JsonSchema {
  if (shapes.every(shape => 'enum' in shape)) return oneOf(shapes.flatMap(shape => shape['enum'] as unknown[]))
  if (!shapes.every(shape => Object.keys(shape).join() === 'bsonType')) return { anyOf: shapes }
  return { bsonType: [...new Set(shapes.flatMap(shape => shape['bsonType']))] }
}

/** The same, or null; of a shape that has null already, nothing new. */
export function orNull (shape: JsonSchema): JsonSchema {
  if (Object.keys(shape).length === 0) return shape
  if ('enum' in shape) return oneOf([...shape['enum'] as unknown[], null])
  if ('bsonType' in shape) return { ...shape, bsonType: [...new Set([shape['bsonType'], 'null'].flat())] }
  const either = shape['anyOf'] as JsonSchema[]
  return { anyOf: [...either.filter(({ bsonType }) => bsonType !== 'null'), { bsonType: 'null' }] }
}

/** Draft 4 has the exclusive bounds as flags of the others. */
export function range ({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Partial<TSchema>): JsonSchema {
  const exclusiveLow = exclusiveMinimum !== undefined && !(minimum > exclusiveMinimum)
  const exclusiveHigh = exclusiveMaximum !== undefined && !(maximum < exclusiveMaximum)
  return {
    ...exclusiveLow ? { minimum: exclusiveMinimum, exclusiveMinimum: true } : minimum !== undefined && { minimum },
    ...exclusiveHigh ? { maximum: exclusiveMaximum, exclusiveMaximum: true } : maximum !== undefined && { maximum }
  }
}
