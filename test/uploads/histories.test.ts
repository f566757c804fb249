/**
 * Random histories of one client on two rows: some of its transactions are rejected, what was wrong goes away, and their
 * letters are run again or discarded at any time in between, by a second process too. Whatever the order, the rows end as
 * if the client's transactions had been applied in its order, without the discarded ones.
 *
 * HISTORIES sets how many, SEED the first: npx tap --disable-coverage test/uploads/histories.test.ts
 */
import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import { randomBySeed, type Random } from '../support/random.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { fullSize } from '../support/size.js'

t.setTimeout(fullSize ? 3_600_000 : 180_000)

const count = Number(process.env['HISTORIES'] ?? (fullSize ? 1000 : 20))
const firstSeed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const atOnce = 8

type Row = { a: number, b: number, s: number } | null
type Kind = 'PUT' | 'SETA' | 'SETB' | 'ADD' | 'DEL'
interface Operation { row: 'x' | 'y', kind: Kind, tag: number, before: number }

/** What an operation does to its row. */
function applied (row: Row, { kind, tag }: Operation): Row {
  if (kind === 'PUT') return { a: tag, b: tag, s: 100 * tag }
  if (!row) return null
  switch (kind) {
    case 'SETA': return { ...row, a: tag }
    case 'SETB': return { ...row, b: tag }
    case 'ADD': return { ...row, s: row.s + amountOf(tag) }
    case 'DEL': return null
  }
}

/** Each operation adds another amount, so that a lost or doubled one shows. */
const amountOf = (tag: number) => 1000 * 3 ** tag

function uploadedOf ({ row, kind, tag, before }: Operation, opId: number, id: string) {
  const common = { op_id: opId, type: 'rows', id: `${id}-${row}` }
  switch (kind) {
    case 'PUT': return { ...common, op: 'PUT', data: { a: tag, b: tag, s: 100 * tag } }
    case 'SETA': return { ...common, op: 'PATCH', data: { a: tag } }
    case 'SETB': return { ...common, op: 'PATCH', data: { b: tag } }
    case 'ADD': return { ...common, op: 'PATCH', data: { s: before + amountOf(tag) }, old: { s: before } }
    case 'DEL': return { ...common, op: 'DELETE' }
  }
}

function historyOf (random: Random) {
  let tag = 0
  const transactions = Array.from({ length: random.integer(1, 4) }, () => ({
    rejected: random.chance(0.5),
    operations: Array.from({ length: random.integer(1, 2) }, (): Operation => ({
      row: random.chance(0.75) ? 'x' : 'y',
      kind: random.pick(['PUT', 'SETA', 'SETB', 'ADD', 'ADD', 'DEL']),
      tag: ++tag,
      before: random.integer(0, 50)
    }))
  }))
  return { transactions, present: { x: random.chance(0.5), y: random.chance(0.5) } }
}

const initial = { a: -1, b: -2, s: 7 }

t.test(`the rows of ${count} random histories end in the client's order, seed ${firstSeed}`, async t => {
  const mongo = await testDatabase(t)
  /** `<client>:<op_id>` of operations that something is wrong with. */
  const wrong = new Set<string>()
  const sums = additive<{ a: number, b: number, s: number }>(['s'])
  // A PUT sets all, so that it is what the model says.
  const resolveConflict: typeof sums = Object.assign<typeof sums, object>((conflict, context) =>
    conflict.operation.op === 'PUT' ? conflict.operation : sums(conflict, context), { sumsOf: sums.sumsOf })
  const options = {
    mongo: { url: mongo.uri },
    collections: {
      rows: collection({
        schema: Type.Object({ a: bson.Int32(), b: bson.Int32(), s: bson.Int32() }),
        authorize: operation => !wrong.has(`${operation.id.split('-')[0]}:${operation.opId}`),
        resolveConflict
      })
    }
  }
  const [first, second] = [await testServer(t, options), await testServer(t, options)]
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const rows = client.db().collection<{ _id: string } & NonNullable<Row>>('rows')
  const letters = client.db().collection<{ _id: string }>('powersync_dead_letters')
  const counts = { transactions: 0, rejected: 0, retried: 0, waited: 0, discarded: 0 }

  async function run (seed: number): Promise<void> {
    const random = randomBySeed(seed)
    const id = `h${seed}`
    const { transactions, present } = historyOf(random)
    for (const row of ['x', 'y'] as const) if (present[row]) await rows.insertOne({ _id: `${id}-${row}`, ...initial })
    const open: Array<{ letter: string, transaction: number }> = []
    const discarded = new Set<number>()
    const opIds = transactions.map(({ operations }, index) => operations.map((_, position) => 10 * index + position))
    const app = () => random.chance(0.5) ? first : second

    /** Sometimes runs or discards a letter; at the end all of them, as far as they may be run. */
    async function operate (): Promise<void> {
      const [{ letter, transaction }] = [random.pick(open)]
      if (random.chance(0.2)) {
        t.equal(await app().powersync.deadLetters.discard(letter), true, `${id}: a letter is discarded`)
        discarded.add(transaction)
        counts.discarded++
      } else {
        for (const opId of opIds[transaction]!) wrong.delete(`${id}:${opId}`)
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

    for (const [index, { operations, rejected }] of transactions.entries()) {
      if (rejected) for (const opId of opIds[index]!) wrong.add(`${id}:${opId}`)
      const batch = operations.map((operation, position) => ({ ...uploadedOf(operation, opIds[index]![position]!, id), tx_id: index }))
      const { body } = await upload(app(), { client_id: id, batch })
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

    for (const row of ['x', 'y'] as const) {
      let expected: Row = present[row] ? initial : null
      for (const [index, { operations }] of transactions.entries()) {
        if (!discarded.has(index)) for (const operation of operations) if (operation.row === row) expected = applied(expected, operation)
      }
      const { _id, ...found } = await rows.findOne({ _id: `${id}-${row}` }) ?? {}
      const got = _id === undefined ? null : found
      if (JSON.stringify(sorted(got)) !== JSON.stringify(sorted(expected))) t.same(got, expected, `SEED=${seed} HISTORIES=1, row ${row}: ${JSON.stringify({ transactions, present, discarded: [...discarded] })}`)
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
