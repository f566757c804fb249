/**
 * Rejected changes are corrected or discarded while clients, servers and connections die, at random points between the
 * correction and its settlement: each corrected row is written once, no letter is left, and nothing is lost.
 *
 * CRASHES sets how many, SEED the first choice: CRASHES=1000 npx tap --disable-coverage test/e2e/crashes.test.ts
 */
import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { PowerSyncDatabase } from '@powersync/node'
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../index.js'
import {
  createConnector, createRejections, rejectionColumns, type ClientDatabase, type Fetch, type RejectionsDatabase
} from '../../lib/client/index.js'
import { needs, testDatabase } from '../support/database.js'
import { failPoints } from '../support/fail-point.js'
import { randomBySeed } from '../support/random.js'
import { keys, testServer } from '../support/server.js'
import { openClient, sdkMissing } from './client.js'
import { receiveRejections } from './mirror.js'

t.setTimeout(3_600_000)

const count = Number(process.env['CRASHES'] ?? 40)
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const random = randomBySeed(seed)
const mongo = await testDatabase(t)
const skip = await sdkMissing() || needs(mongo, 'failPoints', 'servers that die')

const collections = {
  todos: collection({
    schema: Type.Object({ text: Type.String({ maxLength: 10 }), completed: Type.Optional(bson.Boolean()) })
  }),
  /** A row for each time that a todo was put. */
  audit: collection({ schema: Type.Object({ of: Type.String() }) })
}

/** Where something dies. */
const points = [
  'the client before its transaction is committed',
  'the client between its transaction and the upload',
  'the connection before the upload arrives',
  'the connection before the answer arrives',
  'the client between the answer and its queue',
  'the connection to MongoDB at a write',
  'the connection to MongoDB at the commit',
  'MongoDB, which ends the transaction',
  'nothing, but the upload is copied'
] as const

const death = () => new Error('died')

async function startServers (t: Test) {
  const start = async () => {
    const app = await testServer(t, {
      mongo: { url: mongo.uri },
      collections,
      keys: { signing: keys.privateKey },
      upload: { deadLetters: { mirror: 'rejections' } },
      transform: operation => operation.table === 'todos' && operation.op === 'PUT'
        ? [operation, { op: 'PUT', table: 'audit', id: randomUUID(), data: { of: operation.id } }]
        : operation
    }, { forceCloseConnections: true })
    await app.listen({ host: '127.0.0.1', port: 0 })
    return app
  }
  const apps = [await start(), await start()] as const
  return { db: apps[0].mongo.db!, urls: apps.map(({ server }) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`) }
}

t.test(`each correction is written once, whoever dies on its way: ${count} times, seed ${seed}`, { skip }, async t => {
  const { Schema, Table, column } = await import('@powersync/node')
  const { db, urls } = await startServers(t)
  const fail = failPoints(t, mongo.uri)
  const appSchema = new Schema({
    todos: new Table({ text: column.text, completed: column.integer }), rejections: new Table(rejectionColumns(column))
  })
  let { database, dbLocation } = await openClient(t, { backend: '', session: '', appSchema })
  const died: Record<string, number> = {}

  /** The one that is next. */
  let point: typeof points[number] | undefined
  const dies = (...here: Array<typeof points[number]>) => {
    if (point === undefined || !here.includes(point)) return false
    died[point] = (died[point] ?? 0) + 1
    point = undefined
    return true
  }

  const fetchOrDie: Fetch = async (address, init) => {
    const path = address.slice(urls[0]!.length)
    const send = (url = random.pick(urls)) => fetch(`${url}${path}?user_id=ann`, init)
    if (init.method === 'GET') return await send()
    if (dies('the connection before the upload arrives')) throw death()
    if (dies('nothing, but the upload is copied')) return random.pick(await Promise.all(urls.map(send)))
    const answer = await send()
    if (dies('the connection before the answer arrives')) throw death()
    return answer
  }

  /** The local transaction, which ends before one of its statements. */
  const dying = (database: PowerSyncDatabase): RejectionsDatabase => {
    let statements = random.integer(0, 2)
    return {
      getAll: (sql, parameters) => database.getAll(sql, parameters as any[]),
      onChange: () => () => {},
      writeTransaction: work => database.writeTransaction(async transaction => await work({
        getOptional: (sql, parameters) => transaction.getOptional(sql, parameters as any[]),
        execute: async (sql, parameters) => {
          if (statements-- === 0) throw death()
          await transaction.execute(sql, parameters as any[])
        }
      }).then(result => {
        if (statements >= 0) throw death()
        return result
      }))
    }
  }

  /** The upload queue, whose client dies before it takes out what is settled. */
  const queue: ClientDatabase = {
    getClientId: () => database.getClientId(),
    getNextCrudTransaction: () => database.getNextCrudTransaction(),
    async * getCrudTransactions () {
      for await (const transaction of database.getCrudTransactions()) {
        yield Object.assign(Object.create(transaction) as typeof transaction, {
          complete: async () => {
            if (dies('the client between the answer and its queue')) throw death()
            await transaction.complete()
          }
        })
      }
    }
  }

  async function upload (): Promise<void> {
    if (dies('the connection to MongoDB at a write')) {
      const command = random.pick(['update', 'delete', 'bulkWrite', 'find'])
      await fail.on({ failCommands: [command], times: 1, closeConnection: true })
    } else if (dies('the connection to MongoDB at the commit')) {
      await fail.on({ failCommands: ['commitTransaction'], times: random.integer(1, 3), closeConnection: true })
    } else if (dies('MongoDB, which ends the transaction')) {
      const errorLabels = ['TransientTransactionError']
      await fail.on({ failCommands: ['commitTransaction'], times: 1, errorCode: 251, errorLabels })
    }
    for (let attempt = 1; await database.getNextCrudTransaction(); attempt++) {
      if (attempt > 100) throw new Error('The queue does not drain')
      // A connector of its own each time, as after a start.
      const limits = { transactions: random.integer(1, 5) }
      const connector = createConnector({ url: urls[0]!, fetch: fetchOrDie, limits })
      await connector.uploadData(queue).catch(() => {})
    }
    await fail.off()
  }

  const receive = async () => {
    await database.execute('DELETE FROM ps_data__todos')
    await receiveRejections(database, db, { user: 'ann' })
  }

  const expected = new Map<string, { text: string, completed: boolean } | undefined>()
  const crashes = () => Object.values(died).reduce((sum, times) => sum + times, 0)
  while (crashes() < count) {
    for (let made = 0; made < 5; made++) {
      const id = randomUUID()
      const completed = random.chance(0.5)
      await database.execute('INSERT INTO todos (id, text, completed) VALUES (?, ?, 0)', [id, 'much too long'])
      if (completed) await database.execute('UPDATE todos SET completed = 1 WHERE id = ?', [id])
      expected.set(id, { text: 'ok', completed })
    }
    await upload()
    await receive()
    for (;;) {
      let rejections = createRejections(database)
      const all = await rejections.all()
      if (all.length === 0) break
      for (const { id, failed } of all) {
        point ??= crashes() < count ? random.pick(points) : undefined
        const settle = (from: typeof rejections) => from.resend(id, { text })
        const text = random.chance(0.2) ? 'too long as well' : 'ok'
        if (random.chance(0.1)) {
          expected.set(failed!.id, undefined)
          await rejections.discard(id)
          continue
        }
        if (dies('the client before its transaction is committed')) {
          await t.rejects(settle(createRejections(dying(database))), /died/)
        }
        if (!await settle(rejections)) t.fail(`${id} is gone`)
        if (dies('the client between its transaction and the upload')) {
          await database.close()
          ;({ database } = await openClient(t, { backend: '', session: '', appSchema, dbLocation }))
          rejections = createRejections(database)
          continue
        }
        if (random.chance(0.7)) await upload()
      }
      await upload()
      await receive()
    }
  }

  const todos = new Map((await db.collection('todos').find().toArray()).map(({ _id, ...todo }) => [String(_id), todo]))
  const written = (await db.collection('audit').find().toArray()).map(({ of }) => of as string)
  const wanted = new Map([...expected].filter(([, todo]) => todo))
  t.same(todos, wanted, `${wanted.size} corrected rows, and none of the ${expected.size - wanted.size} discarded`)
  t.same(written.sort(), [...wanted.keys()].sort(), 'each once')
  t.equal(await db.collection('powersync_dead_letters').countDocuments(), 0, 'no letter')
  t.equal(await db.collection('rejections').countDocuments(), 0, 'no note')
  t.comment(JSON.stringify(died))
})
