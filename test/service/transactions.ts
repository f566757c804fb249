/** Several collections in one transaction arrive together: no device ever sees a part of it. */
import { randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { inSync, rows, startServer, twoDevices } from './set-up.js'

const { ObjectId } = fastifyMongodb.mongodb

/** Tables over three collections, with ids of three types. */
const newId = {
  accounts: () => `account ${randomUUID()}`,
  transfers: () => randomUUID(),
  entries: () => new ObjectId().toHexString()
}
const tables = Object.keys(newId)

t.test('transactions over three collections arrive whole', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const counts = async () => Object.values((await rows(b, `SELECT ${tables.map(table => `(SELECT count(*) FROM ${table}) AS ${table}`).join(', ')}`))[0]!)

  /** What B saw, each time that any of the tables changed. */
  const seen: unknown[][] = []
  const looking: Array<Promise<void>> = []
  b.database.onChangeWithCallback({ onChange: () => { looking.push(counts().then(each => { seen.push(each) })) } }, { tables, throttleMs: 0 })

  const sizes = [1, 1, 1, 1, 2, 3, 5, 8, 30] // rows of each table
  for (const [index, size] of sizes.entries()) {
    await a.database.writeTransaction(async transaction => {
      for (const [table, id] of Object.entries(newId)) {
        for (let row = 0; row < size; row++) await transaction.execute(`INSERT INTO ${table} (id, owner_id, name) VALUES (?, ?, 'x')`, [id(), user])
      }
    })
    await a.drained()
    if (index % 2) await inSync(app, user, b) // or the service may send all of them at once
  }
  await inSync(app, user, a, b)
  await Promise.all(looking)

  t.strictSame(a.rejections, [])
  const total = sizes.reduce((sum, size) => sum + size)
  t.strictSame(await counts(), tables.map(() => total), 'B has all')
  for (const collection of ['accounts', 'transfers', 'journal_entries']) t.equal(await app.mongo.db!.collection(collection).countDocuments({ owner_id: user }), total, collection)
  const states = [...new Set(seen.map(each => each.join()))]
  t.ok(states.length > 1, 'B saw them come')
  const sums = new Set(sizes.map((_, index) => sizes.slice(0, index + 1).reduce((sum, size) => sum + size)))
  t.strictSame(states.filter(state => !(new Set(state.split(',')).size === 1 && sums.has(Number(state.split(',')[0])))), [], 'and never a part of one')
  t.comment(`B saw ${states.length} states of ${sizes.length} transactions`)
})
