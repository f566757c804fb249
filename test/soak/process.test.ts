/** One fault at a time between PowerSync's client and a server process: whatever happens, each operation is applied once. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { sdkMissing } from '../e2e/client.js'
import { testService } from '../e2e/service.js'
import { needs, testDatabase } from '../support/database.js'
import { Audit, rowsOf } from './audit.js'
import { check } from './checker.js'
import { soakClient, type SoakClient } from './client.js'
import { faultKinds, requestTimeout, type Fault, type FaultKind, type Write } from './schedule.js'
import { soakServer } from './server.js'

const database = await testDatabase(t)
const skip = await sdkMissing() || needs(database, 'mongod', 'write conflicts')

async function setUp (t: Test) {
  const { uri } = await testDatabase(t)
  const mongo = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(() => mongo.close())
  const server = await soakServer(t, { mongoUri: uri, powersyncUrl: (await testService(t)).url })
  return { server, db: mongo.db(), audit: new Audit(mongo.db()) }
}

const transaction: Write[] = [
  { op: 'PUT', table: 'lists', id: 'a', data: { value: 'list', note: null } },
  { op: 'PUT', table: 'todos', id: 'b', data: { value: 'todo', note: 'x'.repeat(200) } },
  { op: 'PATCH', table: 'lists', id: 'a', data: { note: 'changed' } }
]

/** The fault first, then none. */
function * once (kind: FaultKind): Generator<Fault, never> {
  yield { kind, bytes: kind === 'cut in the request' ? 400 : 40, milliseconds: kind === 'delay' ? 50 : requestTimeout + 100 }
  for (;;) yield { kind: 'no fault', bytes: 0, milliseconds: 0 }
}

async function until (done: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 90_000; !await done();) {
    if (performance.now() > end) throw new Error('What was waited for did not happen in 90 s')
    await sleep(5)
  }
}

const drained = (client: SoakClient) => until(async () => await client.queued() === 0)

t.test('single faults', { skip }, async t => {
  const { server, db, audit } = await setUp(t)
  const clients: SoakClient[] = []
  const connect = async (t: Test, kind: FaultKind, perRequest = 1) => {
    const client = await soakClient(t, { serverPort: server.port, user: 'user', perRequest, faults: once(kind), onSuccess: () => {} })
    clients.push(client)
    return client
  }
  const violations = async () => {
    await audit.harvest()
    const histories = await Promise.all(clients.map(client => client.history()))
    return check({ clients: histories, audit: audit.rows, rows: await rowsOf(db) })
  }
  const harmless: FaultKind[] = ['delay', 'request sent twice']
  const kills = faultKinds.filter(kind => kind.startsWith('server killed'))

  for (const kind of faultKinds.filter(kind => !kills.includes(kind))) {
    await t.test(`${kind}: exactly once`, async t => {
      const client = await connect(t, kind)
      await client.write(transaction)
      await drained(client)
      await sleep(kind.includes('delay') ? 300 : 50) // What is still under way arrives after the client has gone on.
      t.equal(client.stats.faults.get(kind), 1, 'the fault had its effect')
      t.equal(client.stats.requests, harmless.includes(kind) ? 1 : 2)
      t.same(await violations(), [])
      clients.pop()
      await forget()
    })
  }

  await t.test('server killed in the transaction: nothing is applied until the client tries again', async t => {
    const client = await connect(t, 'server killed in the transaction')
    await client.write(transaction)
    await until(() => server.kills.byRequest === 1)
    await audit.harvest()
    t.equal(audit.size, 0)
    await drained(client)
    t.same(await violations(), [])
    t.equal(audit.size, transaction.length)
    clients.pop()
    await forget()
  })

  await t.test('server killed between commit and answer: what is applied already is not applied again', async t => {
    const client = await connect(t, 'server killed before the answer')
    await client.write(transaction)
    await until(() => server.kills.byRequest === 2)
    await audit.harvest()
    t.equal(audit.size, transaction.length)
    t.equal((await client.history()).acknowledged.size, 0, 'which the client does not know')
    await drained(client)
    t.same(await violations(), [])
    t.equal(audit.size, transaction.length)
    clients.pop()
    await forget()
  })

  await t.test('a lost answer, and a retry that carries more transactions: only what is new is applied', async t => {
    const client = await connect(t, 'server killed before the answer', 5)
    await client.write(transaction)
    await until(() => server.kills.byRequest === 3)
    for (const value of ['second', 'third']) await client.write([{ op: 'PUT', table: 'notes', id: value, data: { value, note: null } }])
    await drained(client)
    t.same(await violations(), [])
    t.equal(audit.size, transaction.length + 2)
  })

  /** The next test starts with an empty database. */
  async function forget () {
    await audit.harvest()
    audit.forget()
    await Promise.all(['lists', 'todos', 'notes'].map(table => db.collection(table).deleteMany({})))
  }
})
