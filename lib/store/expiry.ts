import type { mongodb } from '../bson.js'

const NamespaceNotFound = 26
const IndexNotFound = 27

/**
 * Makes the TTL index of this package on a field of a collection of this package what an option says: creates it,
 * changes it, or drops it. It has a name and a direction of its own, so that an index of the app on the field stays as it is.
 */
export async function expireAfter (db: mongodb.Db, collection: string, field: string, seconds: number | undefined): Promise<void> {
  const name = `powersync_expiry_${field}`
  const indexes = await db.collection(collection).indexes({ promoteValues: true, promoteLongs: true, useBigInt64: false }).catch(unless(NamespaceNotFound, []))
  const existing = indexes.find(index => index.name === name)
  if (existing?.expireAfterSeconds === seconds) return
  if (!existing) {
    await db.collection(collection).createIndex({ [field]: -1 }, { name, expireAfterSeconds: seconds as number })
  } else if (seconds !== undefined) {
    await db.command({ collMod: collection, index: { name, expireAfterSeconds: seconds } })
  } else {
    // Another process that starts at the same time may be faster.
    await db.collection(collection).dropIndex(name).catch(unless(IndexNotFound, undefined))
  }
}

function unless<Value> (code: number, value: Value): (error: unknown) => Value {
  return error => {
    if ((error as Partial<mongodb.MongoServerError>).code !== code) throw error
    return value
  }
}
