/** What the emulator does where MongoDB has a write conflict, and what it does behind the proxy of the soak. */
import t from 'tap'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import type { mongodb } from '../../lib/bson.js'
import { testDatabase } from '../support/database.js'
import { startWriteConflicts } from './write-conflicts.js'

const { uri, kind } = await testDatabase(t)
const skip = kind === 'emulator' ? false : `is about the emulator, runs on ${kind}`

type Row = { _id: string, [field: string]: unknown }
type Write = (rows: mongodb.Collection<Row>, session: mongodb.ClientSession, who: 'first' | 'second', client: mongodb.MongoClient) => Promise<unknown>

/** Two transactions write at the same time, then both commit; what comes of the second, and what the rows are then. */
async function race (t: Test, url: string, write: Write) {
  const client = new fastifyMongodb.mongodb.MongoClient(url)
  t.teardown(() => client.close())
  const rows = client.db().collection<Row>(t.name.replace(/\W/g, '_'))
  await rows.insertMany([{ _id: 'a' }, { _id: 'b' }])
  const [first, second] = [client.startSession(), client.startSession()]
  for (const session of [first, second]) session.startTransaction({ readConcern: 'snapshot', writeConcern: { w: 'majority' } })
  let refused: unknown
  await write(rows, first, 'first', client)
  await write(rows, second, 'second', client).catch((error: unknown) => { refused = error })
  await first.commitTransaction()
  if (!refused) await second.commitTransaction().catch((error: unknown) => { refused = error })
  await Promise.all([first.endSession(), second.endSession()])
  const all = await rows.find().sort({ _id: 1 }).toArray()
  return { refused: refused as Error & { code: number, hasErrorLabel (label: string): boolean } | undefined, all }
}

const updateSame: Write = (rows, session, who) => rows.updateOne({ _id: 'a' }, { $set: { [who]: true } }, { session })

t.test('the emulator alone commits both of two updates of one document, and loses the first', { skip }, async t => {
  const { refused, all } = await race(t, uri, updateSame)
  t.equal(refused, undefined)
  t.same(all, [{ _id: 'a', second: true }, { _id: 'b' }], 'once it keeps both or refuses one, the proxy can go')
})

t.test('behind the proxy', { skip }, async t => {
  const proxy = await startWriteConflicts(uri)
  t.teardown(() => proxy.stop())

  await t.test('the second of two updates of one document is refused', async t => {
    const { refused, all } = await race(t, proxy.uri, updateSame)
    t.equal(refused?.code, 112)
    t.ok(refused?.hasErrorLabel('TransientTransactionError'))
    t.same(all, [{ _id: 'a', first: true }, { _id: 'b' }])
    t.equal(proxy.conflicts, 1)
  })

  await t.test('so is the second of two upserts', async t => {
    const upsert = await race(t, proxy.uri, (rows, session, who) => rows.updateOne({ _id: 'new' }, { $set: { [who]: true } }, { session, upsert: true }))
    t.equal(upsert.refused?.code, 112)
    t.same(upsert.all.at(-1), { _id: 'new', first: true })
  })

  await t.test('an update from a snapshot that is out of date is refused after the other has committed', async t => {
    const { refused, all } = await race(t, proxy.uri, async (rows, session, who, client) => {
      if (who === 'first') return
      await rows.findOne({ _id: 'a' }, { session })
      await client.withSession(other => other.withTransaction(() => updateSame(rows, other, 'first', client)))
      await updateSame(rows, session, who, client)
    })
    t.equal(refused?.code, 112)
    t.same(all[0], { _id: 'a', first: true })
  })

  await t.test('different documents have no conflict', async t => {
    const { refused, all } = await race(t, proxy.uri, (rows, session, who) => rows.updateOne({ _id: who === 'first' ? 'a' : 'b' }, { $set: { [who]: true } }, { session }))
    t.equal(refused, undefined)
    t.same(all, [{ _id: 'a', first: true }, { _id: 'b', second: true }])
  })

  await t.test('an aborted transaction, and one whose client is gone, hold nothing', async t => {
    const { refused } = await race(t, proxy.uri, async (rows, session, who, client) => {
      if (who === 'second') return await updateSame(rows, session, who, client)
      const gone = new fastifyMongodb.mongodb.MongoClient(proxy.uri)
      const orphan = gone.startSession()
      orphan.startTransaction()
      await updateSame(gone.db().collection<Row>(rows.collectionName), orphan, 'first', gone)
      await gone.close()
      const aborted = client.startSession()
      aborted.startTransaction()
      await rows.updateOne({ _id: 'b' }, { $set: { x: 1 } }, { session: aborted }).catch(() => {})
      await aborted.abortTransaction()
      await aborted.endSession()
    })
    t.equal(refused, undefined)
  })
})
