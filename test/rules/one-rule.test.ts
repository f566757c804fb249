/**
 * One rule, both ways: what the printed streams sync to a user, by the service's own evaluator, is exactly what the
 * plugin lets the user write.
 */
import t from 'tap'
import { Type, type TSchema } from '@sinclair/typebox'
import {
  bson, collection, throughParent, type Collection, type Collections, type IdType, type User
} from '../../index.js'
import type { OwnerRule } from '../../types/collections.js'
import { Long, ObjectId, UUID } from '../../lib/bson.js'
import { streamsOf } from '../../lib/schema/streams.js'
import { testDatabase } from '../support/database.js'
import { randomBySeed } from '../support/random.js'
import { testServer, upload } from '../support/server.js'
import { serviceMissing, syncedRows } from '../support/sync-rules.js'

const oid = ['65a1b2c3d4e5f60718293a4b', '65a1b2c3d4e5f60718293a4c']
const uuid = ['3f2504e0-4f89-41d3-9a0c-0305e82c3301', '3f2504e0-4f89-41d3-9a0c-0305e82c3302']

/** Types of owner fields and of ids: as the schema says them, with values as MongoDB has them. */
const types: Record<string, { schema: TSchema, id: IdType, values: unknown[] }> = {
  text: { schema: Type.String(), id: 'string', values: ['5', '7', 'ann', oid[0], uuid[0]] },
  int: { schema: bson.Int32(), id: 'integer', values: [5, 7, 9] },
  long: {
    schema: bson.Long(),
    id: 'integer',
    values: [Long.fromBigInt(5n), Long.fromBigInt(7n), Long.fromBigInt(9007199254740993n)]
  },
  objectId: { schema: bson.ObjectId(), id: 'objectId', values: oid.map(text => new ObjectId(text)) },
  uuid: { schema: bson.UUID(), id: { type: 'uuid', store: 'bson' }, values: uuid.map(text => new UUID(text)) }
}

const ids = ['5', '7', 'ann', ...oid, ...uuid]
const others = ['9007199254740993', 5, 7, 9, null, '', true, false, 1, 'true', '1', '05', '5.0', oid[0]!.toUpperCase()]
const claims = [...ids, ...others]

const fields: Record<string, { schema: TSchema, values: unknown[] }> = {
  ...types,
  text: { schema: Type.String(), values: ['', ...types['text']!.values] },
  boolean: { schema: bson.Boolean(), values: [true, false] }
}

/** As the service reads a document from MongoDB. */
const asSynced = (value: unknown): unknown => {
  if (typeof value === 'boolean') return { $int: String(Number(value)) }
  if (typeof value === 'number' || value instanceof Long) return { $int: String(value) }
  return value === null || typeof value === 'string' ? value : String(value)
}

t.test('a user gets the rows that the user may write, and no others', { skip: serviceMissing }, async t => {
  const seed = Number(process.env['SEED'] ?? 5)
  const random = randomBySeed(seed)
  const collections: Record<string, Collection> = {}
  const documents: Array<{ table: string, document: Record<string, unknown> }> = []

  for (let family = 0; family < 14; family++) {
    let above: { table: string, kind: string, rows: unknown[] } | undefined
    for (let level = 0; level < 3; level++) {
      const table = `t${family}_${level}`
      const kinds = { a: random.pick(Object.keys(fields)), b: random.pick(Object.keys(fields)) }
      const rule: Array<OwnerRule<'a' | 'b' | 'up'>> = []
      const claim = () => random.pick(['org', 'team', 'id'])
      const byField = (field: 'a' | 'b') => random.chance(0.5) ? field : { field, claim: claim() }
      if (!above || random.chance(0.3)) rule.push(byField('a'))
      if (random.chance(0.2)) rule.push(byField('b'))
      if (above) rule.push(throughParent(above.table, 'up'))
      const kind = random.pick(Object.keys(types))
      const schema = Type.Object({
        a: Type.Optional(fields[kinds.a]!.schema),
        b: Type.Optional(fields[kinds.b]!.schema),
        up: Type.Optional(above && random.chance(0.7) ? types[above.kind]!.schema : Type.String()),
        mark: Type.Optional(Type.String())
      })
      collections[table] = collection({
        schema,
        id: types[kind]!.id,
        name: `${table}_rows`,
        owner: random.chance(0.5) && rule.length === 1 ? rule[0]! : rule
      })
      const isText = (schema.properties.up as TSchema)['type'] === 'string'
      const rows = types[kind]!.values
      for (const _id of rows) {
        const parent = above && (random.chance(0.85) ? random.pick(above.rows) : random.pick(types[above.kind]!.values))
        documents.push({
          table,
          document: {
            _id,
            a: random.chance(0.1) ? null : random.pick(fields[kinds.a]!.values),
            ...random.chance(0.9) && { b: random.pick(fields[kinds.b]!.values) },
            ...above && { up: isText ? String(parent) : parent }
          }
        })
      }
      above = { table, kind, rows: rows.slice(0, -1) }
    }
  }

  const users: User[] = Array.from({ length: 9 }, (_, index) => ({
    id: ids[index % ids.length]!,
    org: random.pick(claims),
    team: random.pick(claims)
  }))
  const { synced, errors } = await syncedRows(
    t,
    streamsOf(collections),
    users.map(({ id, ...rest }) => ({ sub: id, ...rest })),
    documents.map(({ table, document }) => ({
      collection: `${table}_rows`,
      record: Object.fromEntries(Object.entries(document).map(([field, value]) => [field, asSynced(value)]))
    }))
  )
  t.same(errors, [])

  const app = await testServer(t, {
    mongo: { url: (await testDatabase(t)).uri },
    collections: collections as Collections,
    authenticate: request => JSON.parse(String(request.headers['x-user'])) as User,
    token: { claims: ({ org, team }) => ({ org, team }) }
  })
  const db = app.mongo.db!
  for (const { table, document } of documents) await db.collection(`${table}_rows`).insertOne({ ...document })
  const keyOf = (table: string, id: unknown) => `${table} ${String(id)}`

  let pairs = 0
  let allowed = 0
  for (const [index, user] of users.entries()) {
    const mark = `by ${index}`
    await upload(
      app,
      {
        batch: documents.map(({ table, document }, index) => ({
          op: 'PATCH',
          table,
          id: String(document['_id']),
          data: { mark },
          tx_id: index
        }))
      },
      { headers: { 'x-user': JSON.stringify(user) } }
    )
    const written = new Set<string>()
    for (const table of Object.keys(collections)) {
      for (const { _id } of await db.collection(`${table}_rows`).find({ mark }).toArray()) {
        written.add(keyOf(table, _id))
      }
    }
    const gets = new Set(synced[index]!.map(({ table, id }) => keyOf(table, id)))
    pairs += documents.length
    allowed += written.size
    t.same([...gets].sort(), [...written].sort(), `${JSON.stringify(user)}, seed ${seed}`)
  }
  t.ok(pairs >= 1000, `${pairs} pairs`)
  t.ok(allowed > pairs / 50 && allowed < pairs, `${allowed} of ${pairs} are allowed`)
})
