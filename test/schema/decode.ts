import { Type, type TSchema } from '@sinclair/typebox'
import { BSON } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { DecodeFault } from '../../lib/client/values.js'
import { compileSchema } from '../../lib/schema/compile.js'
import type { Collection } from '../../types/collections.js'

type Decode = (value: unknown) => unknown
type Row = Record<string, unknown>

/** A compiled collection, with its decoder for each kind of upload. */
export function compileCollection (table: string, definition: Collection) {
  const compiled = compileSchema(table, definition)
  return {
    ...compiled,
    put: (data: Row) => compiled.decode({ op: 'PUT', id: 'the id', data }),
    patch: (data: Row) => compiled.decode({ op: 'PATCH', id: 'the id', data })
  }
}

/** A decoder of single values: the column `value`, in a PUT, of a table that has no other. */
export function decoderOf (type: TSchema): Decode {
  return decodersOf(type).PUT!
}

/** The same wherever a value of the type can stand. */
export function decodersOf (type: TSchema): Record<string, Decode> {
  const { put, patch } = compileCollection('rows', collection({ schema: Type.Object({ value: type }) }))
  const nested = compileCollection(
    'rows',
    collection({ schema: Type.Object({ value: Type.Array(Type.Object({ in: type })) }) })
  )
  const unwrap = (row: Record<string, unknown> | DecodeFault) => row instanceof DecodeFault ? row : row['value']
  return {
    PUT: value => unwrap(put({ value })),
    PATCH: value => unwrap(patch({ value })),
    JSON: value => {
      const items = unwrap(nested.put({ value: [{ in: value }] }))
      return items instanceof DecodeFault ? items : (items as [{ in: unknown }])[0].in
    }
  }
}

/** The bytes that MongoDB gets for a value: type and value at once. */
export function bytes (value: unknown): string {
  return Buffer.from(BSON.serialize({ value })).toString('hex')
}
