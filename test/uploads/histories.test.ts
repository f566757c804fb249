/**
 * Random histories of one client on two rows: some of its transactions are rejected, what was wrong goes away, and
 * their letters are run again or discarded at any time in between, by a second process too. Whatever the order, the
 * rows end as if the client's transactions had been applied in its order, without the discarded ones.
 *
 * HISTORIES sets how many, SEED the first: npx tap --disable-coverage test/uploads/histories.test.ts
 */
import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { testDatabase } from '../support/database.js'
import { randomBySeed } from '../support/random.js'
import { testServer, upload } from '../support/server.js'
import { fullSize } from '../support/size.js'
import { historyCollections, historyOf, initial, opIdsOf, rowsAfter, uploadedOf, type Row } from './history.js'

t.setTimeout(fullSize ? 3_600_000 : 180_000)

const count = Number(process.env['HISTORIES'] ?? (fullSize ? 1000 : 20))
const firstSeed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const atOnce = 8

t.test(`the rows of ${count} random histories end in the client's order, seed ${firstSeed}`, async t => {
  const mongo = await testDatabase(t)
  /** `<client>:<op_id>` of operations that something is wrong with. */
  const wrong = new Set<string>()
  const options = { mongo: { url: mongo.uri }, collections: historyCollections(wrong) }
  const [first, second] = [await testServer(t, options), await testServer(t, options)]
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const rows = client.db().collection<{ _id: string } & NonNullable<Row>>('rows')
  const letters = client.db().collection<{ _id: string }>('powersync_dead_letters')
  const counts = { transactions: 0, rejected: 0, retried: 0, waited: 0, discarded: 0 }

  async function run (seed: number): Promise<void> {
    const random = randomBySeed(seed)
    const id = `h${seed}`
    const history = historyOf(random)
    const { transactions, present } = history
    for (const row of ['x', 'y'] as const) if (present[row]) await rows.insertOne({ _id: `${id}-${row}`, ...initial })
    const open: Array<{ letter: string, transaction: number }> = []
    const discarded = new Set<number>()
    const app = () => random.chance(0.5) ? first : second

    /** Sometimes runs or discards a letter; at the end all of them, as far as they may be run. */
    async function operate (): Promise<void> {
      const [{ letter, transaction }] = [random.pick(open)]
      if (random.chance(0.2)) {
        t.equal(await app().powersync.deadLetters.discard(letter), true, `${id}: a letter is discarded`)
        discarded.add(transaction)
        counts.discarded++
      } else {
        for (const opId of opIdsOf(history, transaction)) wrong.delete(`${id}:${opId}`)
        const result = await app().powersync.deadLetters.retry(letter)
        if (result?.status === 'not_attempted') {
          counts.waited++
          return
        }
        if (result?.status !== 'success') t.fail(`${id}: ${JSON.stringify(result)}`)
        counts.retried++
      }
      open.splice(open.findIndex(each => each.letter === letter), 1)
    }

    for (const [index, { rejected }] of transactions.entries()) {
      if (rejected) for (const opId of opIdsOf(history, index)) wrong.add(`${id}:${opId}`)
      const { body } = await upload(app(), { client_id: id, batch: uploadedOf(history, index, id) })
      const status = body['results'][0].status
      if (status !== (rejected ? 'fatal_error' : 'success')) t.fail(`${id}: transaction ${index} is a ${status}`)
      counts.transactions++
      if (rejected) {
        counts.rejected++
        const letter = await letters.findOne({ client_id: id, transaction_id: String(index) })
        open.push({ letter: letter!._id, transaction: index })
      }
      while (open.length && random.chance(0.4)) await operate()
    }
    while (open.length) await operate()

    for (const [row, expected] of rowsAfter(history, discarded)) {
      const { _id, ...found } = await rows.findOne({ _id: `${id}-${row}` }) ?? {}
      const got = _id === undefined ? null : found
      if (JSON.stringify(sorted(got)) !== JSON.stringify(sorted(expected))) {
        t.same(
          got,
          expected,
          `SEED=${seed} HISTORIES=1, row ${row}: ${JSON.stringify({ transactions, present, discarded: [...discarded] })}`
        )
      }
    }
  }

  let next = firstSeed
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < firstSeed + count) await run(next++)
  }))
  t.comment(JSON.stringify(counts))
  t.equal(await letters.countDocuments(), 0, 'no letter is left')
})

const sorted = (row: object | null) => row && Object.entries(row).sort()
