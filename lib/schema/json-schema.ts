import type { Collection, IdType } from '../../types/collections.js'
import { fieldsOf } from './field-list.js'
import { orNull, type JsonSchema } from './shapes.js'

export type { JsonSchema } from './shapes.js'

/**
 * The `$jsonSchema` of a collection: what MongoDB itself can enforce of its schema.
 *
 * Everything that the decoder lets through passes it: where MongoDB cannot say the same (`pattern` and `format`, whose
 * regular expressions differ, `multipleOf`, `uniqueItems`, nested names with `.` or `$`), it says less. Fields that the
 * schema does not know are allowed, since the server may have its own.
 *
 * @param table the client's name of it, for messages
 * @returns undefined for `schema: 'any'`
 * @see https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
 */
export function jsonSchemaOf (collection: Collection, table = 'collection'): JsonSchema | undefined {
  if (collection.schema === 'any') return undefined
  const fields = fieldsOf(table, collection)
  // A field that only the server writes is there when the server gives it a default.
  const required = fields.filter(({ nullable, readOnly, default: byDefault }) => !nullable && (!readOnly || byDefault))
  const id = idShape(collection.id)
  return {
    bsonType: 'object',
    ...required.length && { required: required.map(({ name }) => name) },
    properties: {
      ...id && { _id: id },
      ...Object.fromEntries(fields.map(({ name, type: { shape }, nullable }) =>
        [name, nullable ? orNull(shape) : shape]))
    }
  }
}

/** Ids of the app's own making can be anything. */
function idShape (id: IdType): JsonSchema | undefined {
  if (typeof id === 'object' && 'decode' in id) return undefined
  const { type, store } = typeof id === 'string' ? { type: id, store: undefined } : { store: undefined, ...id }
  const types = { string: 'string', uuid: 'string', objectId: 'objectId', integer: ['int', 'long'] }
  return { bsonType: store === 'bson' ? 'binData' : types[type] }
}
