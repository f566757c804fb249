/** Every attack of every family, against one host. */
import t from 'tap'
import { testDatabase } from '../support/database.js'
import { attack, startHost, type Attack } from './harness.js'
import { messages } from './bodies.js'
import { issuers } from './issuers.js'
import { operators } from './operators.js'
import { owners } from './owners.js'
import { policies } from './policies.js'
import { reserved } from './reserved.js'
import { tokens } from './tokens.js'
import { values } from './values.js'

const families: Record<string, Attack[]> = { tokens, issuers, owners, policies, operators, reserved, values, messages }

// Beside other tests.
t.setTimeout(450_000)

const host = await startHost(t, await testDatabase(t))

for (const [family, attacks] of Object.entries(families)) {
  t.test(family, async t => {
    for (const each of attacks) await t.resolves(() => attack(host, each), each.name)
  })
}

t.test('the matrix has at least 120 attacks, each by a name of its own', async t => {
  const names = Object.entries(families).flatMap(([family, attacks]) => attacks.map(({ name }) => `${family}: ${name}`))
  t.equal(new Set(names).size, names.length)
  t.comment(`${names.length} attacks`)
  t.ok(names.length >= 120, `${names.length}`)
})
