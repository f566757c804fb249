/**
 * npm run soak -- [--seed N] [--transactions 2000] [--clients 6] [--sdk-clients 0] [--minutes 5]
 *
 * Prints its seed first: with the same one clients write the same, their n-th requests are sent in the same way, and
 * MongoDB and the processes have the same faults. When exactly things happen is not reproducible. Exit code 0: no
 * violation.
 *
 * Clients write for so many minutes, or until they have written so many transactions: half of both with the history by
 * a hook, half with the history by marks.
 */
import { parseArgs } from 'node:util'
import { sdkMissing } from '../e2e/client.js'
import { needs, testDatabase } from '../support/database.js'
import { violations } from './checker.js'
import { runSoak } from './run.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    transactions: { type: 'string', default: '2000' },
    clients: { type: 'string', default: '6' },
    'sdk-clients': { type: 'string', default: '0' },
    minutes: { type: 'string', default: '5' }
  }
})
const [seed, transactions, clients, sdkClients, minutes] = (
  ['seed', 'transactions', 'clients', 'sdk-clients', 'minutes'] as const
).map(name => Number(values[name])) as [number, number, number, number, number]

const missing = sdkClients > 0 && await sdkMissing()
if (missing) {
  console.error(`The soak ${missing}`)
  process.exit(1)
}

const teardowns: Array<() => unknown> = []
const t = { teardown: (step: () => unknown) => { teardowns.unshift(step) } }
try {
  const mongo = await testDatabase(t)
  const { uri: mongoUri, kind } = mongo
  const unfit = needs(mongo, 'mongod', 'transactions and fail points')
  if (unfit) throw new Error(`The soak ${unfit}`)
  console.log(`seed ${seed}: at most ${transactions} transactions from ${clients + sdkClients} clients, on ${kind}`)
  let failed = false
  for (const historyBy of ['hook', 'marks'] as const) {
    console.log(`The history by ${historyBy}:`)
    const { violations: found, ...figures } = await runSoak(t, {
      mongoUri,
      seed,
      transactions: transactions / 2,
      clients,
      sdkClients,
      limit: minutes * 30_000,
      historyBy,
      waitsForMongo: true,
      progress: console.log
    })
    const counts = Object.fromEntries(
      violations.map(kind => [kind, found.filter(violation => violation.kind === kind).length])
    )
    console.log(JSON.stringify({ ...figures, violations: counts }, undefined, 2))
    for (const { kind, description } of found.slice(0, 20)) console.log(`${kind}: ${description}`)
    failed ||= found.length > 0
  }
  if (failed) {
    console.log(
      `FAILED. Again: npm run soak -- --seed ${seed} --transactions ${transactions} --clients ${clients} --sdk-clients ${sdkClients} --minutes ${minutes}`
    )
  }
  process.exitCode = failed ? 1 : 0
} catch (error) {
  console.error(error, `\nFAILED with seed ${seed}`)
  process.exitCode = 1
} finally {
  for (const step of teardowns) await step()
}
