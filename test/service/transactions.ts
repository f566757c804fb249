/** Several collections in one transaction arrive together: no device ever sees a part of it. */
import { randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { inSync, rows, startServer, stored, twoDevices } from './set-up.js'

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
  const columns = tables.map(table => `(SELECT count(*) FROM ${table})`)
  const counts = async () => (await rows(b, `SELECT ${columns.join(" || ',' || ")} AS counts`))[0]?.['counts']

  /** What B saw, each time that any of the tables changed. */
  const seen = new Set<unknown>()
  const looking: Array<Promise<unknown>> = []
  const onChange = () => { looking.push(counts().then(each => seen.add(each))) }
  b.database.onChangeWithCallback({ onChange }, { tables, throttleMs: 0 })

  const whole = new Set<unknown>()
  let total = 0
  for (const [index, size] of [1, 1, 1, 1, 2, 3, 5, 8, 30].entries()) {
    await a.database.writeTransaction(async transaction => {
      for (const [table, id] of Object.entries(newId)) {
        const sql = `INSERT INTO ${table} (id, owner_id) VALUES (?, ?)`
        for (let row = 0; row < size; row++) await transaction.execute(sql, [id(), user])
      }
    })
    total += size
    whole.add([total, total, total].join())
    await a.drained()
    if (index % 2) await inSync(app, user, b) // or the service may send all of them at once
  }
  await inSync(app, user, a, b)
  await Promise.all(looking)

  t.strictSame(a.rejections, [])
  t.equal(await counts(), [total, total, total].join(), 'B has all')
  for (const collection of ['accounts', 'transfers', 'journal_entries']) {
    t.equal((await stored(app, collection, user)).size, total, `MongoDB has all ${collection}`)
  }
  t.ok(seen.size > 1, `B saw ${seen.size} states`)
  t.strictSame([...seen].filter(state => !whole.has(state)), [], 'and never a part of a transaction')
})
