/** A small soak in `npm test`; the large one is `npm run soak`. */
import t from 'tap'
import { needs, testDatabase } from '../support/database.js'
import { runSoak } from './run.js'

/** Another one each time; a failing one is printed. */
const seed = Math.floor(Math.random() * 2 ** 31)

const mongo = await testDatabase(t)
const skip = needs(mongo, 'mongod', 'transactions') || needs(mongo, 'ownServer', 'faults of the whole server')

for (const historyBy of ['hook', 'marks'] as const) {
  t.test(
    `each transaction exactly once, whole and in order, whatever happens; the history by ${historyBy} (seed ${seed})`,
    { skip },
    async t => {
      const { violations, ...figures } = await runSoak(t, {
        mongoUri: mongo.uri,
        seed,
        clients: 3,
        transactions: 16,
        limit: 2_000,
        historyBy
      })
      t.comment(JSON.stringify(figures))
      t.ok(figures.transactions > 0)
      t.same(violations, [])
    }
  )
}

t.test('a server that does not remember what it applied is found out', { skip }, async t => {
  const { violations } = await runSoak(t, {
    mongoUri: mongo.uri,
    seed: 1,
    clients: 2,
    transactions: 20,
    limit: 10_000,
    deduplicate: false
  })
  t.ok(violations.some(({ kind, letter }) => kind === 'doubled' && !letter))
})
