/**
 * npm run soak -- [--seed N] [--transactions 2000] [--clients 6] [--minutes 8]
 *
 * Prints its seed first: with the same seed the clients write the same, and the n-th request of a client meets the same
 * fault. When exactly things happen is not reproducible. Exit code 0: no violation.
 */
import { parseArgs } from 'node:util'
import { sdkMissing } from '../e2e/client.js'
import { violations } from './checker.js'
import { runSoak } from './run.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    transactions: { type: 'string', default: '2000' },
    clients: { type: 'string', default: '6' },
    minutes: { type: 'string', default: '8' }
  }
})

const missing = await sdkMissing()
if (missing) {
  console.error(`The soak ${missing}`)
  process.exit(1)
}

const seed = Number(values.seed)
const transactions = Number(values.transactions)
console.log(`seed ${seed}: ${transactions} transactions from ${values.clients} clients`)

const teardowns: Array<() => unknown> = []
try {
  const { violations: found, ...figures } = await runSoak({ teardown: step => { teardowns.unshift(step) } }, {
    seed, transactions, clients: Number(values.clients), limit: Number(values.minutes) * 60_000, progress: console.log
  })
  const counts = Object.fromEntries(violations.map(kind => [kind, found.filter(violation => violation.kind === kind).length]))
  console.log(JSON.stringify({ ...figures, violations: counts }, undefined, 2))
  for (const { kind, description } of found.slice(0, 20)) console.log(`${kind}: ${description}`)
  if (found.length > 0) console.log(`FAILED. Again: npm run soak -- --seed ${seed} --transactions ${transactions} --clients ${values.clients}`)
  process.exitCode = found.length > 0 ? 1 : 0
} catch (error) {
  console.error(error, `\nFAILED with seed ${seed}`)
  process.exitCode = 1
} finally {
  for (const step of teardowns) await step()
}
