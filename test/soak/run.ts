/**
 * A soak, a small Jepsen: clients write and upload to two server processes over one MongoDB, while requests are given
 * up, doubled and come late, MongoDB fails, processes kill themselves between any two commands, and an operator works
 * on the dead letters. Then the history is held against what clients wrote and were answered.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import type { mongodb } from '../../lib/bson.js'
import { generateKeys } from '../../index.js'
import { testService } from '../e2e/service.js'
import { check, type Letter, type Violation } from './checker.js'
import { soakClient, type SoakClient } from './client.js'
import { followMarks, marked, prepareHistory, readHistory, readRows } from './history.js'
import { soakProcess } from './processes.js'
import { between, endAllTransactions, lifeOf, mongoFaultsOf, random, refused, writesOf } from './schedule.js'
import { sdkClient } from './sdk-client.js'

export interface SoakOptions {
  /** A MongoDB with transactions and fail points; its database is dropped first. */
  mongoUri: string
  seed: number
  clients: number
  /** Further clients that are PowerSync's SDK, each behind a connection that fails. Default: 0. */
  sdkClients?: number | undefined
  /** Client transactions of all clients together, at most. */
  transactions: number
  /** Milliseconds for which clients write, at most. */
  limit: number
  /**
   * How the history comes to be known. With `hook`, an operator works on the dead letters; with `marks` they stay, and
   * no client cuts transactions. Default: `hook`.
   */
  historyBy?: 'hook' | 'marks' | undefined
  /** False takes the plugin's ledger away, to see that this is found. Default: true. */
  deduplicate?: boolean | undefined
  /**
   * Whether transactions of the dead hold their documents in the end until MongoDB ends them, a minute later. Default:
   * false.
   */
  waitsForMongo?: boolean | undefined
  /** Gets a line now and then. */
  progress?: ((line: string) => void) | undefined
}

export interface SoakResult {
  seconds: number
  transactions: number
  operations: number
  requests: number
  /** How requests went wrong at the clients' side or on their way. */
  requestFaults: Record<string, number>
  /** Fail points that were set, each for one to three commands, and how often all transactions were ended. */
  mongoFaults: number
  /** Commands of the processes that failed, by code or error. */
  failedCommands: Record<string, number>
  /** How often each process has killed itself. */
  kills: Record<string, number>
  /** Dead letters that there are in the end, runs of letters that succeeded, and letters that were to be discarded. */
  letters: Record<'open' | 'run again' | 'discarded', number>
  violations: Violation[]
}

/** The name by which fail points know the commands of the processes. */
const appName = 'soak'

/** Longer than the minute after which MongoDB ends a transaction of a process that died. */
const patience = 120_000

export async function runSoak (t: Pick<Test, 'teardown'>, options: SoakOptions): Promise<SoakResult> {
  const { mongoUri, seed, sdkClients = 0, historyBy = 'hook', deduplicate = true, progress = () => {} } = options
  const begin = performance.now()
  const mongo = new fastifyMongodb.mongodb.MongoClient(mongoUri)
  t.teardown(() => mongo.close())
  const db = mongo.db()
  await db.dropDatabase()
  await prepareCollections(db)

  const powersyncUrl = sdkClients > 0 ? (await testService(t)).url : 'http://127.0.0.1'
  const { privateKeyBase64: privateKey } = await generateKeys()
  const failedCommands = new Map<string, number>()
  const start = (name: string, file: 'server-process.ts' | 'operator-process.ts') => soakProcess(t, {
    name,
    file,
    seed,
    settings: {
      mongoUri: `${mongoUri}&appName=${appName}`,
      powersyncUrl,
      privateKey,
      deduplicate,
      history: historyBy === 'hook'
    },
    life: start => lifeOf(seed, name, start),
    onFailedCommand: failed => { failedCommands.set(failed, (failedCommands.get(failed) ?? 0) + 1) }
  })
  const servers = [await start('server 1', 'server-process.ts'), await start('server 2', 'server-process.ts')] as const
  const operators = historyBy === 'hook' ? [await start('operator', 'operator-process.ts')] : []
  const processes = [...servers, ...operators]
  await Promise.all(processes.map(process => process.ready()))
  const marks = historyBy === 'marks' ? await followMarks(db) : undefined
  t.teardown(() => marks?.stop())
  const ports = [servers[0].port, servers[1].port] as const
  const total = options.clients + sdkClients
  const clients: SoakClient[] = []
  for (let number = 0; number < total; number++) {
    // Some clients are devices of one user.
    const client = {
      seed,
      number,
      user: `user${number % Math.ceil(total * 0.7)}`,
      ports,
      otherOrder: true,
      cuts: historyBy === 'hook'
    }
    clients.push(number < options.clients ? soakClient(client) : await sdkClient(t, client))
  }
  await prepareHistory(db, clients.map(({ clientId }) => clientId))
  const queued = () => sum(clients.map(client => client.queued()))
  const requests = () => sum(clients.map(({ stats }) => stats.requests))
  const mongoFaults = startMongoFaults(mongo, seed, requests)
  t.teardown(() => mongoFaults.stop())
  const report = setInterval(() => {
    progress(`${seconds(begin)} s: ${requests()} requests, ${queued()} operations queued, ` +
      `${mongoFaults.count} faults of MongoDB, ${sum(processes.map(({ kills }) => kills))} kills`)
  }, 10_000)
  t.teardown(() => clearInterval(report))

  const end = performance.now() + options.limit
  const shares = clients.map(
    (_, number) => Math.floor(options.transactions / total) + (number < options.transactions % total ? 1 : 0)
  )
  await Promise.all(
    clients.map((client, number) =>
      writeAll(client, { byMarks: marks !== undefined, seed, number, count: shares[number]!, end })
    )
  )
  await until(() => queued() === 0, end)
  // From here on nothing goes wrong any more, and everything has to arrive.
  await mongoFaults.stop()
  for (const process of processes) process.spare()
  if (!options.waitsForMongo) await mongo.db('admin').command(endAllTransactions)
  await until(() => queued() === 0, performance.now() + patience)
  if (queued() > 0) {
    progress(
      [
        'Given up.',
        ...clients.map(({ clientId, stats }) => `${clientId}: ${stats.lastError}`),
        ...processes.map(({ output }) => output)
      ].join('\n')
    )
  }
  await Promise.all(clients.map(client => client.stop()))
  await Promise.all(operators.map(operator => operator.close()))
  const letters = await lettersOf(servers[0].port)
  await Promise.all(processes.map(process => process.close()))

  clearInterval(report)
  const histories = clients.map(client => client.history())
  const history = await (marks?.history(histories) ?? readHistory(db))
  const discarded = await db.collection<Letter>('discarded').find().toArray()
  return {
    seconds: seconds(begin),
    transactions: sum(histories.map(({ transactions }) => transactions.length)),
    operations: sum(histories.map(({ transactions }) => transactions.flat().length)),
    requests: requests(),
    requestFaults: sumOf(clients.map(({ stats }) => stats.faults)),
    mongoFaults: mongoFaults.count,
    failedCommands: Object.fromEntries(failedCommands),
    kills: Object.fromEntries(processes.map(process => [process.name, process.kills])),
    letters: {
      open: letters.length,
      'run again': [...history.byClient.values()].flat().filter(({ from }) => from === 'letter').length,
      discarded: discarded.length
    },
    violations: check({ clients: histories, ...history, letters, discarded, rows: await readRows(db) })
  }
}

async function prepareCollections (db: mongodb.Db): Promise<void> {
  await db.createCollection('notes', {
    validator: { $jsonSchema: { properties: { value: { pattern: `^[^${refused}]` } } } }
  })
  await db.collection('names').createIndex({ value: 1 }, { unique: true })
}

function startMongoFaults (mongo: mongodb.MongoClient, seed: number, requests: () => number) {
  const admin = mongo.db('admin')
  const over = new AbortController()
  const faults = {
    count: 0,
    async stop () {
      over.abort()
      await running
    }
  }
  const running = run()
  return faults

  async function run (): Promise<void> {
    let next = 0
    for (const { command, requests: count } of mongoFaultsOf(seed, appName)) {
      next += count
      await until(() => requests() >= next || over.signal.aborted, Infinity)
      if (over.signal.aborted) break
      await admin.command(command)
      faults.count++
    }
    await admin.command({ configureFailPoint: 'failCommand', mode: 'off' })
  }
}

/**
 * Writes in bursts, and waits when the queue is long: an app that is offline for a while, not one that never uploads.
 */
async function writeAll (
  client: SoakClient,
  { byMarks, seed, number, count, end }: { byMarks: boolean, seed: number, number: number, count: number, end: number }
): Promise<void> {
  const next = random(seed, 'pauses', number)
  const writes = writesOf(seed, number)
  let burst = 0
  for (let position = 0; position < count; position++) {
    if (burst-- === 0) {
      burst = between(next, 0, 12)
      await sleep(between(next, 0, 200))
      await until(() => client.queued() <= 40, end)
    }
    if (performance.now() > end) return
    const transaction = writes.next().value
    await client.write(byMarks ? marked(transaction, client.clientId, position) : transaction)
  }
}

async function until (done: () => boolean, end: number): Promise<void> {
  while (!done() && performance.now() < end) await sleep(100)
}

/** By a server that may be about to kill itself once more. */
async function lettersOf (port: number): Promise<Letter[]> {
  for (const last = performance.now() + patience; ;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/letters`)
      if (!response.ok) throw new Error(`/letters answered ${response.status} ${await response.text()}`)
      return await response.json() as Letter[]
    } catch (error) {
      if (performance.now() > last) throw error
      await sleep(200)
    }
  }
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)

function sumOf (counts: Array<Map<string, number>>): Record<string, number> {
  const total: Record<string, number> = {}
  for (const [kind, times] of counts.flatMap(each => [...each])) total[kind] = (total[kind] ?? 0) + times
  return total
}

const seconds = (begin: number) => Math.round((performance.now() - begin) / 1000)
