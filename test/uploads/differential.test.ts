/**
 * Random uploads, in every way in which a client may come to send them: the same documents, the same answers, and hooks
 * that see the same, which is what MongoDB has.
 *
 * UPLOADS sets how many, SEED the first: npx tap --disable-coverage test/uploads/differential.test.ts
 */
import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import type { FastifyInstance } from 'fastify'
import { Type } from '@sinclair/typebox'
import { bson, collection, type PowerSyncMongoOptions } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import { testDatabase } from '../support/database.js'
import { olderMongoClient } from '../support/older-mongodb.js'
import { randomBySeed, type Random } from '../support/random.js'
import { testServer, upload } from '../support/server.js'
import { fullSize } from '../support/size.js'

t.setTimeout(fullSize ? 3_600_000 : 180_000)

const count = Number(process.env['UPLOADS'] ?? (fullSize ? 500 : 8))
const firstSeed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const atOnce = 4

interface Uploaded {
  op_id: number
  tx_id: number
  op: 'PUT' | 'PATCH' | 'DELETE'
  type: string
  id: string
  data?: Record<string, unknown>
  old?: Record<string, unknown>
}

type Transaction = Uploaded[]

/** `active` and `archived` are one collection. */
const tables = ['active', 'archived', 'counters', 'guarded'] as const

function uploadOf (random: Random): Transaction[] {
  let opId = 0
  return Array.from({ length: random.integer(1, 6) }, (_, txId) => {
    const operations = Array.from({ length: random.integer(1, 4) }, () => operationOf(random, ++opId, txId))
    // Without a change: only to let hooks see the row after all others.
    const rows = new Map(operations.map(({ type, id }) => [`${type} ${id}`, { type, id }]))
    return [
      ...operations,
      ...[...rows.values()].map((row): Uploaded => ({ op_id: ++opId, tx_id: txId, op: 'PATCH', ...row, data: {} }))
    ]
  })
}

function operationOf (random: Random, opId: number, txId: number): Uploaded {
  const type = random.pick(tables)
  const common = { op_id: opId, tx_id: txId, type, id: random.pick(['x', 'y', 'z']) }
  const op = random.pick(['PUT', 'PATCH', 'PATCH', 'DELETE'] as const)
  if (op === 'DELETE') return { ...common, op }
  const n = random.integer(0, 9)
  if (type === 'counters') {
    return op === 'PUT' ? { ...common, op, data: { n } } : { ...common, op, data: { n: n + 5 }, old: { n } }
  }
  // One name in ten is too long, one code in four is taken by somebody else's document.
  const name = random.chance(0.1) ? 'much too long' : random.pick(['a', 'b', ' c '])
  if (type === 'guarded') return { ...common, op, data: op === 'PUT' || random.chance(0.5) ? { name } : { version: n } }
  return {
    ...common,
    op,
    data: op === 'PUT' || random.chance(0.5) ? { name, code: random.pick(['1', '2', '3', 'taken']) } : { name: null }
  }
}

/** What hooks saw before each operation, by client and operation. */
const seen = new Map<string, unknown>()

const collections = (): PowerSyncMongoOptions['collections'] => {
  const item = Type.Object({
    name: Type.Optional(Type.String({ maxLength: 5 })),
    code: Type.Optional(Type.String()),
    made: bson.Long()
  })
  const shared = { name: 'items', writable: ['name', 'code'] as const, defaults: { made: () => 7n } }
  return {
    active: collection({ schema: item, ...shared, transform: trimmed }),
    archived: collection({ schema: item, ...shared, nulls: 'unset' }),
    counters: collection({ schema: Type.Object({ n: bson.Double() }), resolveConflict: additive(['n']) }),
    guarded: collection({
      schema: Type.Object({
        name: Type.String({ maxLength: 5 }),
        version: Type.Optional(bson.Int32()),
        locked: bson.Boolean()
      }),
      writable: ['name', 'version'],
      defaults: { locked: () => true },
      put: 'merge',
      // A rule on what is there: the row must not be locked for one version.
      authorize: async (operation, { existing }) =>
        operation.op !== 'PATCH' || operation.data.version !== 3 || !(await existing())?.['locked']
    })
  }
}

const trimmed = (operation: any) => operation.data?.name?.trim
  ? { ...operation, data: { ...operation.data, name: operation.data.name.trim() } }
  : operation

const prefixOf = (id: string) => id.slice(0, id.lastIndexOf('-') + 1)

t.test(`${count} random uploads end the same in every way, seed ${firstSeed}`, async t => {
  const mongo = await testDatabase(t)
  const options: Omit<PowerSyncMongoOptions, 'authenticate'> = {
    collections: collections(),
    mongo: { url: mongo.uri },
    authorize: async (operation, { existing }) => {
      seen.set(`${prefixOf(operation.id)}${operation.opId}`, plain(await existing()))
      return true
    }
  }
  const app = await testServer(t, options as any)
  const other = await testServer(t, options as any)
  const older = await testServer(t, {
    ...options,
    mongo: { client: await olderMongoClient(t, mongo.uri), database: mongo.database }
  } as any)
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const db = client.db()
  await db
    .collection('items')
    .createIndex({ code: 1 }, { unique: true, partialFilterExpression: { code: { $type: 'string' } } })

  interface Way {
    app: FastifyInstance
    /** Sends an upload; gives the answer to each transaction. */
    send(
      batch: (part: Transaction[], app?: FastifyInstance) => Promise<unknown[]>,
      transactions: Transaction[],
      random: Random
    ): Promise<unknown[]>
  }
  const all: Way['send'] = (batch, transactions) => batch(transactions)
  const ways: Record<string, Way> = {
    'one by one': {
      app,
      send: async (batch, transactions) => {
        const results = []
        for (const each of transactions) results.push(...(await batch([each])))
        return results
      }
    },
    together: { app, send: all },
    twice: {
      app,
      send: async (batch, transactions) => {
        const first = await batch(transactions)
        t.same(await batch(transactions), first, 'the same answer to the same upload')
        return await batch(transactions, other)
      }
    },
    'a part, then all': {
      app,
      send: async (batch, transactions, random) => {
        await batch(transactions.slice(0, random.integer(1, transactions.length)))
        return await batch(transactions)
      }
    },
    'older, together': { app: older, send: all },
    'older, twice': {
      app: older,
      send: async (batch, transactions) => {
        await batch(transactions)
        return await batch(transactions)
      }
    }
  }

  async function run (seed: number): Promise<void> {
    const transactions = uploadOf(randomBySeed(seed))
    const outcomes = new Map<string, unknown>()
    for (const [index, [name, way]] of Object.entries(ways).entries()) {
      const prefix = `${seed}.${index}-`
      // Somebody else's row has the code already.
      await db
        .collection<{ _id: string, code: string }>('items')
        .insertOne({ _id: `${prefix}other`, code: `${prefix}taken` })
      const batch = async (part: Transaction[], app = way.app) => {
        const { body } = await upload(app, {
          client_id: prefix,
          batch: part.flat().map(operation => moved(operation, prefix))
        })
        return (
          body['results'] as Array<{
            status: string
            failed_operation?: { error_code: string, operation_index?: number }
          }>
        ).map(({ status, failed_operation: failed }) => [status, failed?.error_code, failed?.operation_index])
      }
      const results = await way.send(batch, transactions, randomBySeed(seed + index))
      const documents: Record<string, unknown> = {}
      for (const name of ['items', 'counters', 'guarded']) {
        for (const document of await db
          .collection<{ _id: string }>(name)
          .find({ _id: { $in: ['x', 'y', 'z'].map(id => prefix + id) } })
          .sort({ _id: 1 })
          .toArray()) {
          documents[`${name} ${document._id.slice(prefix.length)}`] = JSON.parse(
            JSON.stringify(plain(document)).replaceAll(prefix, '')
          )
        }
      }
      outcomes.set(name, {
        results,
        documents,
        letters: await db.collection('powersync_dead_letters').countDocuments({ client_id: prefix }),
        seen: seenBy(prefix, transactions, results)
      })
      checkLast({ name, transactions, results, documents, prefix })
    }
    const expected = outcomes.get('one by one')
    for (const [name, outcome] of outcomes) {
      if (JSON.stringify(outcome) !== JSON.stringify(expected)) {
        t.same(outcome, expected, `SEED=${seed} UPLOADS=1: ${name}`)
      }
    }
  }

  /** What hooks saw before the operations of transactions that succeeded. */
  function seenBy (prefix: string, transactions: Transaction[], results: unknown[]): unknown {
    return transactions.map(
      (operations, index) =>
        (results[index] as unknown[])[0] === 'success' &&
        operations.map(({ op_id: opId }) =>
          JSON.parse(JSON.stringify(seen.get(`${prefix}${opId}`) ?? null).replaceAll(prefix, ''))
        )
    )
  }

  /** After the last transaction, MongoDB has what the hooks of its last operations saw. */
  function checkLast ({ name, transactions, results, documents, prefix }: {
    name: string
    transactions: Transaction[]
    results: unknown[]
    documents: Record<string, unknown>
    prefix: string
  }): void {
    if ((results.at(-1) as unknown[])[0] !== 'success') return
    for (const { op_id: opId, type, id, data } of transactions.at(-1)!) {
      if (Object.keys(data ?? { none: 1 }).length) continue
      const document = documents[`${['active', 'archived'].includes(type) ? 'items' : type} ${id}`] ?? null
      const last = JSON.parse(JSON.stringify(seen.get(`${prefix}${opId}`) ?? null).replaceAll(prefix, ''))
      if (JSON.stringify(document) !== JSON.stringify(last)) {
        t.same(last, document, `${name}: hooks see ${type} ${id} as MongoDB has it`)
      }
    }
  }

  let next = firstSeed
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < firstSeed + count) await run(next++)
  }))
  t.equal(next - firstSeed >= count, true, `${count} uploads in ${Object.keys(ways).length} ways`)
})

function moved ({ id, data, ...operation }: Uploaded, prefix: string): Uploaded {
  const code = data?.['code']
  return {
    ...operation,
    id: prefix + id,
    ...(data && { data: code === undefined ? data : { ...data, code: prefix + String(code) } })
  }
}

/** In the order of names: what a document has, and not in which order it got it. */
function plain (document: object | null): unknown {
  return (
    document &&
    Object.fromEntries(
      Object.entries(document)
        .map(([name, value]) => [name, String(value)])
        .sort(([a], [b]) => (a! < b! ? -1 : 1))
    )
  )
}
