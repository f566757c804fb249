import type { Collection } from '../../types/collections.js'
import { fieldsOf } from './field-list.js'
import { idKinds, idsOf } from './ids.js'
import { orNull, type JsonSchema } from './shapes.js'

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
  const perUser = typeof collection.writable === 'function'
  // A field that a user cannot write is there when the server gives it a default, or says by it whose the row is.
  const required = fields.filter(({ nullable, readOnly, owner, default: byDefault }) =>
    !nullable && (byDefault || owner || !(readOnly || perUser)))
  const { kind } = idsOf(table, collection.id)
  return {
    bsonType: 'object',
    ...required.length && { required: required.map(({ name }) => name) },
    properties: {
      ...kind && { _id: { bsonType: idKinds[kind].bsonType } },
      ...Object.fromEntries(fields.map(({ name, type: { shape }, nullable }) =>
        [name, nullable ? orNull(shape) : shape]))
    }
  }
}
