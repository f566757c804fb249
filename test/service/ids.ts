/** Each type of id, and rows without a schema: created on A, changed on B, deleted on A. */
import { randomBytes, randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import type { mongodb } from '../../lib/bson.js'
import { inSync, rows, startServer, twoDevices } from './set-up.js'

const { BSON, Int32, Long, ObjectId, UUID } = fastifyMongodb.mongodb

/** Integers are the same in each run: rows of an earlier one, of another user, would be in the way. */
const integer = () => randomBytes(6).readIntBE(0, 6)

const ids: Record<string, Array<{ id: string, stored: (id: string) => unknown }>> = {
  string_ids: [`ä/ ${randomUUID()}`, `${randomUUID()} 👩‍👩‍👧`, `007${integer()}`].map(id => ({ id, stored: id => id })),
  uuid_ids: [{ id: randomUUID(), stored: id => id }],
  bson_uuid_ids: [{ id: randomUUID(), stored: id => new UUID(id) }],
  object_ids: [{ id: new ObjectId().toHexString(), stored: id => new ObjectId(id) }],
  integer_ids: [
    { id: String(randomBytes(4).readInt32BE() | 1), stored: id => new Int32(id) },
    { id: String(2 ** 32 + Math.abs(integer())), stored: id => Long.fromString(id) },
    { id: String(9223372036854775807n - BigInt(Math.abs(integer()))), stored: id => Long.fromString(id) },
    { id: String(-9223372036854775808n + BigInt(Math.abs(integer()))), stored: id => Long.fromString(id) }
  ]
}

t.test('rows are known by the same id everywhere, whatever its type in MongoDB', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const all = Object.entries(ids).flatMap(([table, list]) => list.map(each => ({ ...each, table })))
  const documents = async (table: string) => (await app.mongo.db!.collection(table).find({ owner_id: user, name: { $exists: true } }, { promoteValues: false }).toArray())
    .map(({ _id, name }) => typed({ _id, name })).sort()
  const expected = (table: string, name: string) => ids[table]!.map(({ id, stored }) => typed({ _id: stored(id), name })).sort()

  for (const { table, id } of all) await a.database.execute(`INSERT INTO ${table} (id, owner_id, name) VALUES (?, ?, 'new')`, [id, user])
  await a.drained()
  await inSync(app, user, a, b)
  for (const table of Object.keys(ids)) t.strictSame(await documents(table), expected(table, 'new'), `${table}: as MongoDB has them`)

  for (const { table, id } of all) {
    t.strictSame(await rows(b, `SELECT name FROM ${table} WHERE id = ?`, [id]), [{ name: 'new' }], `${table}: B has ${id}`)
    await b.database.execute(`UPDATE ${table} SET name = 'changed' WHERE id = ?`, [id])
  }
  await b.drained()
  await inSync(app, user, a, b)
  for (const table of Object.keys(ids)) t.strictSame(await documents(table), expected(table, 'changed'), `${table}: the same documents, changed`)

  for (const { table, id } of all) {
    t.strictSame(await rows(a, `SELECT name FROM ${table} WHERE id = ?`, [id]), [{ name: 'changed' }], `${table}: A has ${id}`)
    await a.database.execute(`DELETE FROM ${table} WHERE id = ?`, [id])
  }
  await a.drained()
  await inSync(app, user, a, b)
  for (const { table, id } of all) t.strictSame(await rows(b, `SELECT id FROM ${table} WHERE id = ?`, [id]), [], `${table}: B has lost ${id}`)
  for (const table of Object.keys(ids)) t.strictSame(await documents(table), [], `${table}: MongoDB as well`)
  t.strictSame([a.rejections, b.rejections], [[], []])
})

t.test('a table without a schema has the values that SQLite has', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const id = randomUUID()
  const stored = async () => typed(await app.mongo.db!.collection<{ _id: string }>('anything').findOne({ _id: id }, { promoteValues: false }) ?? {})

  await a.database.execute('INSERT INTO anything (id, owner_id, text, whole, real) VALUES (?, ?, ?, 5, 2.5)', [id, user, '{"a":1}'])
  await a.drained()
  await inSync(app, user, a, b)
  const before = await stored()
  t.equal(before, typed({ _id: id, owner_id: user, real: 2.5, text: '{"a":1}', whole: new Int32(5) }))
  t.strictSame(await rows(b, 'SELECT * FROM anything WHERE id = ?', [id]), [{ id, owner_id: user, text: '{"a":1}', whole: 5, real: 2.5 }])

  await b.database.execute('INSERT OR REPLACE INTO anything SELECT * FROM anything WHERE id = ?', [id])
  await b.drained()
  t.equal(await stored(), before, 'written back, it is unchanged')
  t.strictSame(b.rejections, [])
})

/** Canonical Extended JSON, which tells BSON types. */
const typed = (document: mongodb.Document) => BSON.EJSON.stringify(document, { relaxed: false })
