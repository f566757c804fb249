/** Each type of id, and rows without a schema: created on A, changed on B, deleted on A. */
import { randomBytes, randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { inSync, insert, rows, startServer, stored, twoDevices, typed } from './set-up.js'

const { Int32, Long, ObjectId, UUID } = fastifyMongodb.mongodb

/** Other ones in each run: rows of an earlier one, of another user, would be in the way. */
const some = BigInt(randomBytes(4).readUInt32BE() >>> 2) + 1n
const [text, uuid, objectId] = [randomUUID(), randomUUID(), new ObjectId()]

const ids: Array<{ table: string, id: string, _id: unknown }> = [
  ...[`ä/ ${text}`, `${text} 👩‍👩‍👧`, `007${some}`].map(id => ({ table: 'string_ids', id, _id: id })),
  { table: 'uuid_ids', id: uuid, _id: uuid },
  { table: 'bson_uuid_ids', id: uuid, _id: new UUID(uuid) },
  { table: 'object_ids', id: objectId.toHexString(), _id: objectId },
  ...[some, -some].map(id => ({ table: 'integer_ids', id: String(id), _id: new Int32(Number(id)) })),
  ...[2n ** 32n + some, 2n ** 63n - some, -(2n ** 63n) + some]
    .map(id => ({ table: 'integer_ids', id: String(id), _id: Long.fromBigInt(id) }))
]

t.test('rows are known by the same id everywhere, whatever its type in MongoDB', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const document = async (table: string, id: string) => typed((await stored(app, table, user)).get(id))

  for (const { table, id } of ids) await insert(a, table, { id, owner_id: user, name: 'new' })
  await a.drained()
  await inSync(app, user, a, b)
  for (const { table, id, _id } of ids) {
    t.equal(await document(table, id), typed({ _id, owner_id: user, name: 'new' }), `MongoDB has ${table} ${id}`)
    t.strictSame(await rows(b, `SELECT name FROM ${table} WHERE id = ?`, [id]), [{ name: 'new' }], 'B has it')
    await b.database.execute(`UPDATE ${table} SET name = 'changed' WHERE id = ?`, [id])
  }

  await b.drained()
  await inSync(app, user, a, b)
  for (const { table, id, _id } of ids) {
    t.equal(await document(table, id), typed({ _id, owner_id: user, name: 'changed' }), `MongoDB has ${table} ${id}`)
    t.strictSame(await rows(a, `SELECT name FROM ${table} WHERE id = ?`, [id]), [{ name: 'changed' }], 'A has it')
    await a.database.execute(`DELETE FROM ${table} WHERE id = ?`, [id])
  }

  await a.drained()
  await inSync(app, user, a, b)
  for (const { table, id } of ids) {
    t.equal(await document(table, id), undefined, `MongoDB has lost ${table} ${id}`)
    t.strictSame(await rows(b, `SELECT id FROM ${table} WHERE id = ?`, [id]), [], 'B has lost it')
  }
  t.strictSame([a.rejections, b.rejections], [[], []])
})

t.test('a table without a schema has the values that SQLite has', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const id = randomUUID()
  const document = async () => typed((await stored(app, 'anything', user)).get(id))

  await insert(a, 'anything', { id, owner_id: user, text: '{"a":1}', whole: 5, real: 2.5 })
  await a.drained()
  await inSync(app, user, a, b)
  const before = await document()
  t.equal(before, typed({ _id: id, owner_id: user, real: 2.5, text: '{"a":1}', whole: new Int32(5) }))
  const [row] = await rows(b, 'SELECT * FROM anything WHERE id = ?', [id])
  t.strictSame(row, { id, owner_id: user, text: '{"a":1}', whole: 5, real: 2.5 })

  await insert(b, 'anything', row!, 'INSERT OR REPLACE')
  await b.drained()
  t.equal(await document(), before, 'written back, it is unchanged')
  t.strictSame(b.rejections, [])
})
