import t, { type Test } from 'tap'
import { createKeySource, type KeyHeader } from '../../lib/auth/key-source.js'
import { startIssuer } from '../support/issuer.js'

/** A source with a clock of its own, in seconds. */
async function source (t: Test) {
  const issuer = await startIssuer(t, 'ES256')
  const clock = { now: 1000 }
  const find = createKeySource(
    issuer.url,
    { jwksUri: issuer.jwksUri, maxAge: 600_000, cooldown: 30_000, timeout: 1000 },
    () => clock.now * 1000
  )
  const known: KeyHeader = { alg: 'ES256', kid: issuer.keys[0]!.kid! }
  return { issuer, clock, find, known }
}

t.test('keys are fetched again after maxAge', async t => {
  const { issuer, clock, find, known } = await source(t)
  t.ok(await find(known))
  clock.now += 599
  t.ok(await find(known))
  t.equal(issuer.requests.length, 1)
  issuer.keys = []
  clock.now += 1
  t.equal(await find(known), null, 'a key that the issuer took back does not count any more')
  t.equal(issuer.requests.length, 2)
})

t.test('an unknown kid is looked for again once in a cooldown, by one fetch for all that ask', async t => {
  const { issuer, clock, find, known } = await source(t)
  const unknown = { alg: 'ES256', kid: 'next' }
  t.equal(await find(unknown), null)
  t.equal(issuer.requests.length, 1)
  clock.now += 29
  t.equal(await find(unknown), null)
  t.equal(issuer.requests.length, 1)
  clock.now += 1
  issuer.keys = [...issuer.keys, { ...issuer.keys[0]!, kid: 'next' }]
  const found = await Promise.all(Array.from({ length: 50 }, () => find(unknown)))
  t.ok(found.every(Boolean))
  t.ok(await find(known))
  t.equal(issuer.requests.length, 2)
})

t.test('while the issuer is down, its keys count for an hour, and unknown kids cannot be told', async t => {
  const { issuer, clock, find, known } = await source(t)
  t.ok(await find(known))
  await issuer.stop()
  clock.now += 3599
  t.ok(await find(known))
  await t.rejects(find({ alg: 'ES256', kid: 'next' }), {
    name: 'KeySourceError',
    message: /cannot be reached \(ECONNREFUSED\)/
  })
  clock.now += 1
  await t.rejects(find(known), { name: 'KeySourceError' })
  await issuer.start()
  await t.rejects(find(known), { name: 'KeySourceError' }, 'a failure is not tried again at once')
  clock.now += 5
  t.ok(await find(known))
})

t.test('a failed fetch is one fetch, however many ask', async t => {
  const { issuer, find, known } = await source(t)
  issuer.answer('/jwks', response => response.writeHead(500).end())
  const results = await Promise.allSettled(Array.from({ length: 50 }, () => find(known)))
  t.ok(results.every(({ status }) => status === 'rejected'))
  await t.rejects(find(known))
  t.equal(issuer.requests.length, 1)
})
