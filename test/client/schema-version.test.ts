/**
 * Operations that several versions of an app have queued reach a server that is ahead of them, behind them, or too far
 * on.
 */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, type CollectionOptions } from '../../index.js'
import { createConnector, type ClientDatabase } from '../../lib/client/index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { queueOf, type Change, type Queue } from './queue.js'

const { uri } = await testDatabase(t)
let servers = 0

type Steps = NonNullable<CollectionOptions['migrations']>
const steps: Steps = {
  2: ({ data: { text, ...data }, ...operation }) => ({ ...operation, data: { title: text, ...data } }),
  3: ({ data: { title, ...data }, ...operation }) => ({ ...operation, data: { title: `${String(title)}!`, ...data } })
}

async function server (t: Test, name: string, migrations: Steps) {
  const app = await testServer(t, {
    mongo: { url: uri },
    authenticate: () => ({ id: name }),
    collections: { rows: collection({ name, schema: Type.Object({ title: Type.String() }), migrations }) }
  })
  return {
    url: await app.listen({ host: '127.0.0.1', port: 0 }),
    rows: async () =>
      (await app.mongo.db!.collection(name).find().sort({ _id: 1 }).toArray()).map(({ _id, title }) => [_id, title]),
    letters: () => app.powersync.deadLetters.list()
  }
}

/** A queue with the SDK's tables as far as the connector asks them; `add` is what the app queues next. */
function databaseOf (...transactions: Change[][]): Queue & ClientDatabase & { marks: Map<string, string> } {
  const queue = queueOf(...transactions)
  const marks = new Map<string, string>()
  return {
    ...queue,
    marks,
    getOptional: async <Row>(_sql: string, [key]: unknown[] = []) =>
      ({ mark: marks.get(String(key)) ?? null, last: queue.left().flat().at(-1) ?? null }) as Row,
    execute: async (_sql, [key, value] = []) => { marks.set(String(key), String(value)) }
  }
}

const oldRows = (count: number): Change[][] =>
  Array.from({ length: count }, (_, index) => [
    { id: `row${String(index).padStart(4, '0')}`, opData: { text: `text ${index}` } }
  ])

async function drain (connector: ReturnType<typeof createConnector>, queue: Queue & ClientDatabase) {
  while (queue.left().length > 0) await connector.uploadData(queue)
}

t.test('1 000 operations of two versions back, queued before the app was updated, arrive as today\'s', async t => {
  const { url, rows, letters } = await server(t, `rows${++servers}`, steps)
  const queue = databaseOf(...oldRows(1000))
  // The old app connects while its server cannot be reached, which marks the queue as its own.
  const away = createConnector({
    url: 'http://127.0.0.1:1',
    fetchCredentials: () => ({ endpoint: url, token: 'none' })
  })
  await t.rejects(away.uploadData(queue), { code: 'PSM_NETWORK' })
  await drain(createConnector({ url, schemaVersion: 3 }), queue)
  t.strictSame(await rows(), oldRows(1000).map(([change], index) => [change!.id, `text ${index}!`]))
  t.same(await letters(), [])
})

t.test('each version\'s operations are sent as of that version, in order', async t => {
  const bodies: Array<{ schema_version: number, transactions: unknown[] }> = []
  let isUp = false
  const fetch = async (_url: string, { body }: { body?: string }) => {
    bodies.push(JSON.parse(body!))
    const results = bodies.at(-1)!.transactions.map(() => ({ status: 'success' }))
    return { ok: isUp, status: isUp ? 200 : 503, json: async () => ({ results }) }
  }
  const credentials = () => ({ endpoint: 'https://x', token: 'none' })
  const queue = databaseOf(...oldRows(2))
  const upload = (schemaVersion: number | undefined, database: ClientDatabase) =>
    t.rejects(
      createConnector({ url: 'http://x', fetch, fetchCredentials: credentials, schemaVersion }).uploadData(database),
      { code: 'PSM_STATUS' }
    )
  await upload(undefined, queue)
  t.same(bodies.map(({ schema_version: version, transactions }) => [version, transactions.length]), [[1, 2]])
  await upload(2, queue)
  t.same(bodies.map(({ schema_version: version, transactions }) => [version, transactions.length]).at(-1), [1, 2])
  t.same(JSON.parse([...queue.marks.values()][0]!), { versions: [[2, 3], [1, 0]] })

  // The updated app queues five more.
  const later = databaseOf(...oldRows(7))
  for (const [key, mark] of queue.marks) later.marks.set(key, mark)
  isUp = true
  await drain(createConnector({ url: 'http://x', fetch, fetchCredentials: credentials, schemaVersion: 2 }), later)
  t.same(
    bodies.slice(-2).map(({ schema_version: version, transactions }) => [version, transactions.length]),
    [
      [1, 2],
      [2, 5]
    ]
  )
})

t.test('a queue that no connector has marked is of the version that finds it', async t => {
  const { url, rows } = await server(t, `rows${++servers}`, steps)
  await drain(createConnector({ url, schemaVersion: 2 }), databaseOf([{ id: 'a', opData: { title: 'one' } }]))
  t.same(await rows(), [['a', 'one!']])
})

t.test('without the SDK\'s tables all is of the app\'s version', async t => {
  const { url, rows } = await server(t, `rows${++servers}`, steps)
  await drain(createConnector({ url, schemaVersion: 2 }), queueOf([{ id: 'a', opData: { title: 'one' } }]))
  t.same(await rows(), [['a', 'one!']])
})

t.test('too old: the app is told, the queue stays, and it drains once the server takes it', async t => {
  const name = `rows${++servers}`
  const { url, rows, letters } = await server(t, name, { 3: steps[3]! })
  const told: number[] = []
  const queue = databaseOf(...oldRows(3))
  const connector = createConnector({ url, onUpdateNeeded: version => { told.push(version) } })
  for (let time = 0; time < 2; time++) await t.rejects(connector.uploadData(queue), { code: 'PSM_UPDATE_NEEDED' })
  t.same(told, [1, 1])
  t.equal(queue.left().length, 3)
  t.same([await rows(), await letters()], [[], []])
  await t.rejects(createConnector({ url }).uploadData(queue), { code: 'PSM_UPDATE_NEEDED' }, 'an app that does not ask')
  const failing = createConnector({ url, onUpdateNeeded: () => { throw new Error('a bug') } })
  await t.rejects(failing.uploadData(queue), { code: 'PSM_HOOK', message: /^onUpdateNeeded/ })
  const updated = await server(t, name, steps)
  await drain(createConnector({ url: updated.url, schemaVersion: 3 }), queue)
  t.equal((await rows()).length, 3)
})

t.test('ahead of the server: the queue waits for its update', async t => {
  const name = `rows${++servers}`
  const old = await server(t, name, { 2: steps[2]! })
  const queue = databaseOf([{ id: 'a', opData: { title: 'one' } }])
  const asked: number[] = []
  const options = { schemaVersion: 3, onUpdateNeeded: (version: number) => { asked.push(version) } }
  await t.rejects(createConnector({ url: old.url, ...options }).uploadData(queue), { code: 'PSM_RETRY' })
  t.same([queue.left(), asked], [[[1]], []])
  await drain(createConnector({ url: (await server(t, name, steps)).url, ...options }), queue)
  t.same(await old.rows(), [['a', 'one']])
})

for (const schemaVersion of [0, 1.5, -1, NaN]) {
  t.test(`schemaVersion ${schemaVersion} is refused`, async t => {
    t.throws(() => createConnector({ url: 'http://x', schemaVersion }), {
      code: 'PSM_OPTION',
      message: /schemaVersion/
    })
  })
}
