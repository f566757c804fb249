import { mongodb } from '@fastify/mongodb'

/**
 * The driver's classes, only ever from the copy of the driver that `@fastify/mongodb` connects with:
 * the serializer refuses values of another copy.
 */
export const { BSON, Binary, Decimal128, Double, Int32, Long, MongoServerError, ObjectId, UUID } = mongodb

export type { mongodb } from '@fastify/mongodb'

/** Options for reading, whatever the host has set on its client: a secondary may not have the latest writes. */
export const reading = {
  readPreference: 'primary',
  promoteValues: true,
  promoteLongs: true,
  promoteBuffers: false,
  useBigInt64: false,
  raw: false
} as const

/** A document as the driver would read it. */
export const asRead = (document: mongodb.Document): mongodb.Document =>
  BSON.deserialize(BSON.serialize(document, { ignoreUndefined: true }), reading)
