/**
 * A soak: clients that write and upload while connections are cut, requests delayed, swallowed and sent twice, and the
 * server killed; then a check of what the database holds against what was written and acknowledged.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { testDatabase } from '../support/database.js'
import { testService } from '../e2e/service.js'
import { Audit, rowsOf } from './audit.js'
import { check, type Violation } from './checker.js'
import { soakClient, type SoakClient } from './client.js'
import { between, faultsOf, killsOf, random, writesOf, type FaultKind, type Write } from './schedule.js'
import { soakServer, type SoakServer } from './server.js'

export interface SoakOptions {
  seed: number
  clients: number
  /** Client transactions of all clients together. */
  transactions: number
  /** Milliseconds after which it is given up; what is not uploaded by then is a violation. */
  limit: number
  /** False takes the plugin's ledger away, to see that this is found. Default: true. */
  deduplicate?: boolean | undefined
  /** Gets a line now and then. */
  progress?: ((line: string) => void) | undefined
}

export interface SoakResult {
  /** What it ran on, for people. */
  database: string
  seconds: number
  transactions: number
  operations: number
  requests: number
  /** Requests without a successful answer: what they carried was sent again. */
  failedRequests: number
  /** Faults that had their effect. */
  faults: Record<string, number>
  /** How often the server was killed. */
  kills: SoakServer['kills']
  violations: Violation[]
}

export async function runSoak (t: Pick<Test, 'teardown'>, { seed, clients: count, transactions, limit, deduplicate, progress = () => {} }: SoakOptions): Promise<SoakResult> {
  const begin = performance.now()
  const { uri, kind } = await testDatabase(t)
  if (kind === 'emulator') throw new Error('The soak needs write conflicts, which the emulator does not have')
  const mongo = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(() => mongo.close())
  const service = await testService(t)
  const server = await soakServer(t, { mongoUri: uri, powersyncUrl: service.url, deduplicate })
  const audit = new Audit(mongo.db())

  const kills = killsOf(seed)
  let kill = kills.next().value
  let successes = 0
  const killTimers = new Set<NodeJS.Timeout>()
  t.teardown(() => { for (const timer of killTimers) clearTimeout(timer) })
  const onSuccess = () => {
    if (++successes < kill.requests) return
    killTimers.add(setTimeout(() => server.kill(), kill.milliseconds))
    kill = kills.next().value
  }

  const clients: SoakClient[] = []
  for (let index = 0; index < count; index++) {
    clients.push(await soakClient(t, {
      serverPort: server.port,
      // Some clients are devices of one user.
      user: `user${index % Math.ceil(count * 0.7)}`,
      perRequest: index % 2 === 0 ? 1 : 5,
      faults: faultsOf(seed, index),
      onSuccess
    }))
  }

  const over = new AbortController()
  const harvest = audit.harvestUntil(over.signal)
  const deadline = begin + limit
  let writing = count
  const writers = clients.map(async (client, index) => {
    const share = Math.floor(transactions / count) + (index < transactions % count ? 1 : 0)
    await write(client, writesOf(seed, index, share), random(seed, 'pauses', index), deadline)
    writing--
  })

  let nextReport = 0
  for (;;) {
    const queued = (await Promise.all(clients.map(client => client.queued()))).reduce((sum, each) => sum + each, 0)
    if (performance.now() >= nextReport) {
      progress(`${seconds(begin)} s: ${audit.size} operations applied, ${queued} queued, ${successes} requests answered, ${server.kills.atRandom + server.kills.byRequest} kills`)
      nextReport = performance.now() + 10_000
    }
    if (writing === 0 && queued === 0) break
    if (performance.now() > deadline) {
      progress(`given up after ${seconds(begin)} s; the last errors: ${clients.map(({ uploadError }) => String(uploadError)).join('; ')}\n${server.output}`)
      break
    }
    await sleep(100)
  }
  await Promise.all(writers)
  for (const timer of killTimers) clearTimeout(timer)
  // Requests that were held back or sent twice may still be under way: their effect belongs to the history.
  await sleep(1000)
  await server.close()
  over.abort()
  await harvest
  await audit.harvest()

  const histories = await Promise.all(clients.map(client => client.history()))
  return {
    database: kind,
    seconds: seconds(begin),
    transactions: histories.reduce((sum, history) => sum + history.transactions.length, 0),
    operations: histories.reduce((sum, history) => sum + history.transactions.flat().length, 0),
    requests: clients.reduce((sum, { stats }) => sum + stats.requests, 0),
    failedRequests: clients.reduce((sum, { stats }) => sum + stats.failed, 0),
    faults: sumOfFaults(clients),
    kills: server.kills,
    violations: check({ clients: histories, audit: audit.rows, rows: await rowsOf(mongo.db()) })
  }
}

/** Writes in bursts, and waits when the queue is long: an app that is offline for a while, not one that never uploads. */
async function write (client: SoakClient, transactions: Write[][], next: () => number, deadline: number): Promise<void> {
  let burst = 0
  for (const transaction of transactions) {
    if (burst-- === 0) {
      burst = between(next, 0, 20)
      await sleep(between(next, 0, 200))
      while (await client.queued() > 60 && performance.now() < deadline) await sleep(50)
    }
    if (performance.now() > deadline) return
    await client.write(transaction)
  }
}

function sumOfFaults (clients: SoakClient[]): Record<string, number> {
  const sum: Partial<Record<FaultKind, number>> = {}
  for (const { stats } of clients) for (const [kind, times] of stats.faults) sum[kind] = (sum[kind] ?? 0) + times
  return sum
}

const seconds = (begin: number) => Math.round((performance.now() - begin) / 1000)
