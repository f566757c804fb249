/**
 * One fault at a time between PowerSync's client and a server process: whatever happens, each operation is applied
 * once.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { generateKeys } from '../../index.js'
import { sdkMissing } from '../e2e/client.js'
import { testService } from '../e2e/service.js'
import { needs, testDatabase } from '../support/database.js'
import { check } from './checker.js'
import {
  connectionFaultKinds, requestTimeout, type ConnectionFault, type ConnectionFaultKind
} from './connection-faults.js'
import { prepareHistory, readHistory, readRows } from './history.js'
import { soakProcess, type SoakProcess } from './processes.js'
import { sdkClient } from './sdk-client.js'
import type { SoakClient } from './client.js'
import type { Life, Write } from './schedule.js'

const mongo = await testDatabase(t)
const skip =
  (await sdkMissing()) ||
  needs(mongo, 'mongod', 'transactions that outlive their process') ||
  needs(mongo, 'ownServer', 'their end')

const transaction: Write[] = [
  { op: 'PUT', table: 'lists', id: 'row1', data: { value: 'list', note: null } },
  { op: 'PUT', table: 'archive', id: 'row2', data: { value: 'archived', note: 'x'.repeat(200) } },
  { op: 'PATCH', table: 'lists', id: 'row1', data: { note: 'changed' } }
]

/** The fault first, then none. */
function * once (kind: ConnectionFaultKind): Generator<ConnectionFault, never> {
  yield {
    kind,
    bytes: kind === 'cut in the request' ? 400 : 40,
    milliseconds: kind === 'delay' ? 50 : requestTimeout + 100
  }
  for (;;) yield { kind: 'no fault', bytes: 0, milliseconds: 0 }
}

/** More than the minute for which a transaction of a dead process holds its documents. */
async function until (done: () => boolean): Promise<void> {
  for (const end = performance.now() + 90_000; !done();) {
    if (performance.now() > end) throw new Error('What was waited for did not happen in 90 s')
    await sleep(20)
  }
}

t.test('single faults', { skip }, async t => {
  const client = new fastifyMongodb.mongodb.MongoClient(mongo.uri)
  t.teardown(() => client.close())
  const db = client.db()
  const { url: powersyncUrl } = await testService(t)
  const { privateKeyBase64: privateKey } = await generateKeys()
  const clients: SoakClient[] = []

  const start = async (t: Test, life?: Life) => {
    const settings = { mongoUri: mongo.uri, powersyncUrl, privateKey, deduplicate: true, history: true }
    const server = await soakProcess(t, {
      name: 'server',
      file: 'server-process.ts',
      seed: 0,
      settings,
      life: start => (start === 0 ? life : undefined)
    })
    await server.ready()
    return server
  }
  const connect = async (t: Test, { port }: SoakProcess, kind: ConnectionFaultKind, perRequest = 1) => {
    const connected = await sdkClient(t, {
      seed: 0,
      number: clients.length,
      user: 'user',
      ports: [port, port],
      perRequest,
      faults: once(kind)
    })
    await prepareHistory(db, [connected.clientId])
    clients.push(connected)
    return connected
  }
  const applied = async ({ clientId }: SoakClient) =>
    (await readHistory(db)).byClient.get(clientId)!.flatMap(({ opIds }) => opIds)
  const violations = async () =>
    check({
      clients: clients.map(each => each.history()),
      ...(await readHistory(db)),
      letters: [],
      discarded: [],
      rows: await readRows(db)
    })

  await t.test('of connections', async t => {
    const server = await start(t)
    const harmless: ConnectionFaultKind[] = ['delay', 'request sent twice']
    for (const kind of connectionFaultKinds) {
      await t.test(`${kind}: exactly once`, async t => {
        const client = await connect(t, server, kind)
        await client.write(transaction)
        await until(() => client.queued() === 0)
        await sleep(kind.includes('delay') ? 300 : 50) // What is still under way arrives after the client has gone on.
        t.equal(client.stats.faults.get(kind), 1, 'the fault had its effect')
        t.equal(client.stats.requests, harmless.includes(kind) ? 1 : 2)
        t.same(await violations(), [])
      })
    }
  })

  await t.test('server killed in the transaction: nothing is applied until the client tries again', async t => {
    const server = await start(t, { commands: 1, commit: true, moment: 'before' })
    const client = await connect(t, server, 'no fault')
    await client.write(transaction)
    await until(() => server.kills === 1)
    t.same(await applied(client), [])
    await db.admin().command({ killAllSessions: [] }) // or the client waits for the minute
    await until(() => client.queued() === 0)
    t.same(await applied(client), [1, 2, 3])
    t.same(await violations(), [])
  })

  await t.test('server killed between commit and answer: what is applied already is not applied again', async t => {
    const server = await start(t, { commands: 1, commit: true, moment: 'answered' })
    const client = await connect(t, server, 'no fault')
    await client.write(transaction)
    await until(() => server.kills === 1)
    t.same(await applied(client), [1, 2, 3])
    t.equal(client.history().acknowledged.size, 0, 'which the client does not know')
    await until(() => client.queued() === 0)
    t.same(await violations(), [])
  })

  await t.test('a lost answer, and a retry that carries more transactions: only what is new is applied', async t => {
    const server = await start(t, { commands: 1, commit: true, moment: 'answered' })
    const client = await connect(t, server, 'no fault', 5)
    await client.write(transaction)
    await until(() => server.kills === 1)
    for (const id of ['row3', 'row4']) {
      await client.write([{ op: 'PUT', table: 'notes', id, data: { value: 'later', note: null } }])
    }
    await until(() => client.queued() === 0)
    t.same(await applied(client), [1, 2, 3, 4, 5])
    t.same(await violations(), [])
  })
})
