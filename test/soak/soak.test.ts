/** A small soak in `npm test`; the large one is `npm run soak`. */
import t from 'tap'
import { sdkMissing } from '../e2e/client.js'
import { needs, testDatabase } from '../support/database.js'
import { runSoak } from './run.js'

const skip = await sdkMissing() || needs(await testDatabase(t), 'mongod', 'write conflicts')

/** Another one each time; a failing one is printed. */
const seed = Math.floor(Math.random() * 2 ** 31)

t.test(`each transaction exactly once, whole and in order, whatever happens to connections and server (seed ${seed})`, { skip }, async t => {
  const { violations, ...figures } = await runSoak(t, { seed, clients: 5, transactions: 150, limit: 60_000 })
  t.comment(JSON.stringify(figures))
  t.same(violations, [])
  t.equal(figures.transactions, 150)
})

t.test('a server that does not remember what it applied is found out', { skip }, async t => {
  const { violations } = await runSoak(t, { seed: 1, clients: 2, transactions: 60, limit: 40_000, deduplicate: false })
  t.ok(violations.some(({ kind }) => kind === 'doubled'))
})
