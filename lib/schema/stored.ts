import { Kind, type TSchema } from '@sinclair/typebox'
import { Double, Long } from '../bson.js'

type Read = (value: unknown) => unknown

/**
 * How a value that the driver read gets the type that hooks know, where the driver has another: it reads a long as a
 * number if it can, a double always. Undefined where there is nothing to do; a union of several types is left alone.
 */
export function readerOf (schema: TSchema): Read | undefined {
  switch (schema[Kind]) {
    case 'BsonLong': return toBigInt
    case 'BsonDouble': return value => typeof value === 'number' ? new Double(value) : value
    case 'BsonJson': return readerOf(schema['content'])
    case 'Array': return ofArray(readerOf(schema['items']))
    case 'Object': return ofObject(schema['properties'])
    case 'Union': {
      const variants = (schema['anyOf'] as TSchema[]).filter(variant => variant[Kind] !== 'Null')
      return variants.length === 1 ? readerOf(variants[0]!) : undefined
    }
    default: return undefined
  }
}

function toBigInt (value: unknown): unknown {
  if (value instanceof Long) return value.toBigInt()
  return Number.isSafeInteger(value) ? BigInt(value as number) : value
}

function ofArray (read: Read | undefined): Read | undefined {
  return read && (value => Array.isArray(value) ? value.map(read) : value)
}

function ofObject (properties: Record<string, TSchema>): Read | undefined {
  const fields = Object.entries(properties).flatMap(([name, schema]) => {
    const read = readerOf(schema)
    return read ? [{ name, read }] : []
  })
  return fields.length === 0 ? undefined : value => typeof value === 'object' && value !== null ? readFields(value, fields) : value
}

export interface FieldReader { name: string, read: Read }

/** A copy of a document with these fields read. */
export function readFields (document: object, fields: readonly FieldReader[]): object {
  const row: Record<string, unknown> = { ...document }
  for (const { name, read } of fields) if (Object.hasOwn(row, name)) row[name] = read(row[name])
  return row
}
