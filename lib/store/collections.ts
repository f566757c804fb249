import { Long, ObjectId, reading, UUID, type mongodb } from '../bson.js'
import type { Collection, Collections } from '../../types/index.js'
import { MongoError } from '../errors.js'
import { idKinds, idsOf } from '../schema/ids.js'
import { codeOf, refused } from './mongodb-errors.js'
import { NamespaceExists, postImages } from './validators.js'

const NamespaceNotFound = 26
const IndexNotFound = 27
/** On the emulator of the examples. */
export const CommandNotFound = 59

/**
 * Creates the MongoDB collections that do not exist yet, with post-images. The PowerSync Service configures a
 * collection at its first change; a row that is created and changed before that has no post-image, and the service
 * starts its whole replication again (PSYNC_S1344).
 * @returns warnings to log
 */
export async function prepareCollections (db: mongodb.Db, collections: Collections): Promise<string[]> {
  const fail = refused('its collections be listed and created', 'readWrite')
  const state = await inspectCollections(db, collections).catch(fail)
  const [unfit] = state?.unfit ?? []
  if (unfit) throw new MongoError(`${unfit.found}: ${unfit.fix}`)
  for (const name of state?.missing ?? []) await createCollection(db, name).catch(fail)
  return state?.warnings ?? []
}

/** Unfit collections, missing ones, those without post-images, and warnings. Undefined where MongoDB lists none. */
export async function inspectCollections (db: mongodb.Db, collections: Collections) {
  // Several tables may write to one collection.
  const tables = Object.entries(collections)
    .map(([table, collection]) => ({ table, name: collection.name ?? table, collection }))
  const names = [...new Set(tables.map(({ name }) => name))]
  const options = { promoteValues: true, nameOnly: false }
  const infos = await db.listCollections<mongodb.CollectionInfo>({ name: { $in: names } }, options)
    .toArray().catch(unless(CommandNotFound, undefined))
  if (!infos) return undefined
  const existing = new Map(infos.map(info => [info.name, info]))
  const unfit = tables.map(target => unfitness(target, existing.get(target.name))).filter(each => each !== undefined)
  // The ids of a view or a time series may cost a scan, and the start stops anyway.
  const readable = unfit.length === 0 ? tables.filter(({ name }) => existing.has(name)) : []
  const warnings = await Promise.all(readable.map(each => warningOf(db, each)))
  const hasImages = (name: string) => existing.get(name)?.options?.['changeStreamPreAndPostImages']?.enabled === true
  return {
    unfit,
    missing: names.filter(name => !existing.has(name)),
    withoutImages: names.filter(name => existing.has(name) && !hasImages(name)),
    warnings: warnings.filter(warning => warning !== undefined)
  }
}

/** With post-images. Several processes that start at once may all find a collection missing: the first creates it. */
export async function createCollection (db: mongodb.Db, name: string): Promise<void> {
  await db.createCollection(name, postImages).catch(unless(NamespaceExists, undefined))
}

/** Creates, changes or drops this package's TTL index. By its own name and direction, an index of the app stays. */
export async function expireAfter (db: mongodb.Db, collection: string, field: string, seconds?: number): Promise<void> {
  const name = `powersync_expiry_${field}`
  const indexes = await db.collection(collection).indexes(reading).catch(unless(NamespaceNotFound, []))
  const existing = indexes.find(index => index.name === name)
  if (existing?.expireAfterSeconds === seconds) return
  // `collMod` would need the role dbAdmin. Another process that starts at the same time may be faster.
  if (existing) await db.collection(collection).dropIndex(name).catch(unless(IndexNotFound, undefined))
  if (seconds === undefined) return
  await db.collection(collection).createIndex({ [field]: -1 }, { name, expireAfterSeconds: seconds })
}

/** For `catch`: a value in place of an error with this code. */
export function unless<Value> (code: number, value: Value): (error: unknown) => Value {
  return error => {
    if (codeOf(error) !== code) throw error
    return value
  }
}

interface Target { table: string, name: string, collection: Collection }

/** BSON sorts values by type first: where the least and the greatest `_id` have the type, all have it. */
async function warningOf (db: mongodb.Db, { table, name, collection: { id } }: Target): Promise<string | undefined> {
  const { kind: expected } = idsOf(table, id)
  if (!expected) return undefined
  const ends = await Promise.all(([1, -1] as const).map(order =>
    db.collection(name).find({}, { ...reading, projection: { _id: 1 }, sort: { _id: order }, limit: 1 }).toArray()))
  const other = ends.flat().map(({ _id }) => kindOf(_id)).find(kind => kind !== expected)
  const found = other === 'other' ? 'of another type' : other && idKinds[other].words
  return found && `the collection ${name} has documents whose _id is ${found}, ` +
    `and collections.${table}.id accepts ${idKinds[expected].words}: clients cannot change or delete them, ` +
    'and a PUT of such an id makes a second document. Set id to the type of the documents'
}

function kindOf (_id: unknown): keyof typeof idKinds | 'other' {
  if (typeof _id === 'string') return 'string'
  if (_id instanceof ObjectId) return 'objectId'
  if (_id instanceof UUID) return 'uuid'
  return Number.isInteger(_id) || typeof _id === 'bigint' || _id instanceof Long ? 'integer' : 'other'
}

const withoutTransactions = { viewOn: 'a view', timeseries: 'a time series collection', capped: 'a capped collection' }

export function closedTo (options: mongodb.Document | undefined): string | undefined {
  const kind = Object.entries(withoutTransactions).find(([option]) => options?.[option])?.[1]
  return kind && `is ${kind}, in which MongoDB lets no transaction change documents`
}

function unfitness ({ table, name, collection: { id, owner } }: Target, info?: mongodb.CollectionInfo) {
  const options = info?.options as mongodb.Document | undefined
  const closed = closedTo(options)
  if (closed) return { found: `the collection ${name} ${closed}`, fix: `name another in collections.${table}.name` }
  const locale = options?.['collation']?.['locale'] ?? 'simple'
  const { kind: ids = 'string' } = idsOf(table, id)
  if (locale === 'simple' || !(ids === 'string' || typeof owner === 'function' || owner.length)) return undefined
  // The index on `_id` follows the collation: `abc` would find, and change, the document `ABC`.
  return {
    found: `the collection ${name} has the default collation ${JSON.stringify(locale)}, ` +
      'by which different ids or owners may be equal',
    fix: 'copy its documents to a collection without a default collation, ' +
      'and put the collation on the indexes and queries that need it'
  }
}
