/**
 * Random histories of clients under faults: copies of an upload on their way to two servers at once, clients that stop
 * waiting, servers that crash, commits without an answer, an expired page, and an operator who runs and discards
 * letters all the while. In the end each client transaction is applied once and in its client's order, but for the
 * discarded ones, and no transaction was ever answered in two ways.
 *
 * RULES sets how many, SEED the first: npx tap --disable-coverage test/uploads/rules.test.ts
 * Each thousand has a server of its own, since the data of one grows until it is slow.
 */
import { setTimeout as pause } from 'node:timers/promises'
import fastifyMongodb from '@fastify/mongodb'
import t, { type Test } from 'tap'
import { needs, testDatabase } from '../support/database.js'
import { randomBySeed } from '../support/random.js'
import { testServer, upload, type UploadResponse } from '../support/server.js'
import { fullSize } from '../support/size.js'
import { startProxy } from '../support/tcp-proxy.js'
import { historyCollections, historyOf, initial, opIdsOf, rowsAfter, uploadedOf, type Row } from './history.js'

const count = Number(process.env['RULES'] ?? (fullSize ? 500 : 20))
const firstSeed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const perServer = 1000
const atOnce = 12
const deadline = 1000

t.setTimeout(180_000 + 1000 * count)

const skip = needs(await testDatabase(t), 'mongod', 'transactions that conflict')

for (let from = firstSeed; from < firstSeed + count; from += perServer) {
  const until = Math.min(from + perServer, firstSeed + count)
  t.test(`clients ${from} to ${until - 1} under faults get each transaction applied once`, { skip }, t =>
    clientsUnderFaults(t, from, until)
  )
}

async function clientsUnderFaults (t: Test, from: number, until: number): Promise<void> {
  const mongo = await testDatabase(t, { ownServer: true })
  /** `<client>:<op_id>` of operations that something is wrong with. */
  const wrong = new Set<string>()
  const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
  t.teardown(() => client.close())
  const rows = client.db().collection<{ _id: string } & NonNullable<Row>>('rows')
  const letters = client.db().collection<{ _id: string }>('powersync_dead_letters')
  const pages = client.db().collection('powersync_ledger')
  const { now } = performance
  let passed = 0
  performance.now = () => now.call(performance) + passed
  t.teardown(() => { performance.now = now })
  const counts: Record<string, number> = {}
  const note = (event: string) => { counts[event] = (counts[event] ?? 0) + 1 }

  /** A server that remembers nothing of the one before. */
  async function start () {
    const teardowns: Array<() => unknown> = []
    const target = new URL(mongo.uri)
    const proxy = await startProxy({ target: { host: target.hostname, port: Number(target.port) }, rewriteHello: true })
    const url = mongo.uri.replace(target.host, proxy.address)
    const app = await testServer(
      {
        teardown: end => {
          teardowns.push(end)
        }
      },
      { mongo: { url }, collections: historyCollections(wrong), upload: { deadline } }
    )
    await app.ready()
    let crash = (_answer?: undefined) => {}
    const crashed = new Promise<undefined>(resolve => { crash = resolve })
    return {
      proxy,
      app,
      /**
       * The work goes on when the server seems to have crashed: what is committed then is what a crash after it leaves.
       */
      upload (body: object): { work: Promise<UploadResponse>, answer: Promise<UploadResponse | undefined> } {
        const work = upload(app, body)
        return { work, answer: Promise.race([work, crashed]) }
      },
      crash,
      async stop () {
        for (const end of teardowns) await end()
        await proxy.stop()
      }
    }
  }
  const servers = [await start(), await start()]
  const stopping: Array<Promise<void>> = []

  async function run (seed: number): Promise<void> {
    const random = randomBySeed(seed)
    const id = `h${seed}`
    const history = historyOf(random)
    const { transactions, present } = history
    for (const row of ['x', 'y'] as const) if (present[row]) await rows.insertOne({ _id: `${id}-${row}`, ...initial })
    const keysOf = (index: number) => opIdsOf(history, index).map(opId => `${id}:${opId}`)
    for (const [index, { rejected }] of transactions.entries()) {
      if (rejected) for (const key of keysOf(index)) wrong.add(key)
    }
    const works: Array<Promise<UploadResponse>> = []
    const answered: string[] = []
    /** What the operator has decided on a letter, which stays so until it is done. */
    const decided = new Map<string, { discard: boolean, transaction: number }>()
    let operator = Promise.resolve()

    async function send (from: number, to: number): Promise<number | undefined> {
      const batch = transactions.slice(from, to).flatMap((_, index) => uploadedOf(history, from + index, id))
      const { work, answer } = random.pick(servers).upload({ client_id: id, batch })
      works.push(work)
      const response = await answer
      const results = response?.body['results'] as Array<{ status: string }> | undefined
      for (const [index, { status }] of results?.entries() ?? []) {
        note(status)
        if (status !== 'success' && status !== 'fatal_error') continue
        answered[from + index] ??= status
        if (answered[from + index] !== status) {
          t.fail(`SEED=${seed}: transaction ${from + index} was a ${answered[from + index]} and is a ${status}`)
        }
      }
      return response?.status
    }

    /** Runs or discards one letter. What fails under a fault is done again. */
    async function operate (): Promise<void> {
      const open = await letters.find({ client_id: id }).toArray()
      if (open.length === 0) return
      const letter = random.pick(open) as { _id: string, transaction_id?: string }
      const decision = decided.get(letter._id) ?? {
        discard: random.chance(0.2),
        transaction: Number(letter.transaction_id)
      }
      decided.set(letter._id, decision)
      const { deadLetters } = random.pick(servers).app.powersync
      if (!decision.discard) for (const key of keysOf(decision.transaction)) wrong.delete(key)
      await (decision.discard ? deadLetters.discard(letter._id) : deadLetters.retry(letter._id)).then(
        () => note(decision.discard ? 'discarded' : 'retried'), () => note('failed retry or discard'))
    }

    /** Client transactions that were sent at least once. */
    let sent = 0
    for (let head = 0; head < transactions.length;) {
      if (random.chance(0.3)) operator = operator.then(operate)
      if (random.chance(0.2)) {
        for (const key of keysOf(random.integer(0, transactions.length - 1))) if (!wrong.delete(key)) wrong.add(key)
      }
      // MongoDB's TTL deletes pages of clients that had all their answers long ago: servers no longer remember them.
      if (head === sent && random.chance(0.2)) {
        await Promise.all(works)
        passed += 3_600_001
        await pages.deleteOne({ client_id: id })
        note('expired')
      }
      const to = random.integer(head + 1, transactions.length)
      sent = Math.max(sent, to)
      const [first] = Array.from({ length: random.chance(0.3) ? 2 : 1 }, () => send(head, to))
      if (await (random.chance(0.2) ? Promise.race([first, pause(random.integer(0, 30))]) : first) === 200) head = to
      else note('sent again')
    }
    await Promise.all(works)
    await operator
    for (let index = 0; index < transactions.length; index++) for (const key of keysOf(index)) wrong.delete(key)
    while (await letters.countDocuments({ client_id: id }) > 0) await operate()

    const discarded = new Set(
      [...decided.values()].filter(({ discard }) => discard).map(({ transaction }) => transaction)
    )
    for (const [row, expected] of rowsAfter(history, discarded)) {
      const { _id, ...found } = await rows.findOne({ _id: `${id}-${row}` }) ?? {}
      const got = _id === undefined ? null : found
      if (JSON.stringify(sorted(got)) !== JSON.stringify(sorted(expected))) {
        t.same(
          got,
          expected,
          `SEED=${seed}, row ${row}: ${JSON.stringify({ transactions, present, discarded: [...discarded] })}`
        )
      }
    }
    note('clients')
  }

  const random = randomBySeed(from)
  const ended = new AbortController()

  /** One fault after the other, on one of the servers each. */
  async function disturb (): Promise<void> {
    while (!ended.signal.aborted) {
      await pause(random.integer(100, 500))
      const slot = random.integer(0, servers.length - 1)
      const server = servers[slot]!
      const { proxy } = server
      const fault = random.pick([
        'answer of a commit lost',
        'answer of a commit lost',
        'commit lost',
        'commit lost',
        'connections lost',
        'connections lost',
        'commits unknown',
        'crash'
      ])
      note(fault)
      switch (fault) {
        case 'answer of a commit lost':
          proxy.cutAfter({ direction: 'response', bytes: 0, request: 'commitTransaction' })
          break
        case 'commit lost':
          proxy.cutAfter({ direction: 'request', bytes: 0, request: 'commitTransaction' })
          break
        case 'connections lost':
          proxy.cut()
          break
        case 'commits unknown':
          proxy.dropResponses()
          await pause(deadline + 100)
          proxy.restore()
          proxy.cut()
          break
        case 'crash':
          // A machine under load may let a start wait for too long: the server lives on then.
          servers[slot] = await start().catch(() => server)
          if (servers[slot] === server) continue
          server.crash()
          stopping.push(server.stop())
      }
    }
  }

  const disturbance = disturb()
  let next = from
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < until) await run(next++)
  }))
  ended.abort()
  await disturbance
  await Promise.all([...stopping, ...servers.map(server => server.stop())])
  t.comment(JSON.stringify(counts))
  t.equal(counts['clients'], until - from)
  t.equal(await letters.countDocuments(), 0, 'no letter is left')
}

const sorted = (row: object | null) => row && Object.entries(row).sort()
