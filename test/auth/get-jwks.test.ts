/** `jwtIssuers({ getJwks })` with the real get-jwks: its getJwk, within the bounds of this package's own key source. */
import { once } from 'node:events'
import buildGetJwks from 'get-jwks'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, jwtIssuers, type JwtIssuersOptions } from '../../index.js'
import { createHostKeySource } from '../../lib/auth/key-source.js'
import { startIssuer, type TestIssuer } from '../support/issuer.js'
import { keptLog, testServer } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const mongo = await startWireServer()
t.teardown(() => mongo.stop())
const collections = { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }

const getJwksOf = (options: buildGetJwks.GetJwksOptions = {}) => buildGetJwks({ providerDiscovery: true, ...options })

async function server (t: Test, issuer: TestIssuer, options: Partial<JwtIssuersOptions>) {
  const { lines, logger } = keptLog()
  const authenticate = jwtIssuers({ issuers: issuer.url, audience: 'api', ...options })
  const app = await testServer(t, { mongo: { url: mongo.uri }, collections, authenticate }, { logger })
  return {
    lines,
    async signIn (token: string) {
      const response = await app.inject({ url: '/token', headers: { authorization: `Bearer ${token}` } })
      return {
        status: response.statusCode,
        user: response.statusCode === 200 ? decodeJwt(response.json().token).sub : undefined
      }
    }
  }
}

/** A source with a clock of its own, in seconds. */
async function source (t: Test, getJwks: JwtIssuersOptions['getJwks'] = getJwksOf({ ttl: 1 })) {
  const issuer = await startIssuer(t, 'ES256')
  const clock = { now: 1000 }
  const find = createHostKeySource(
    issuer.url,
    { jwksUri: undefined, maxAge: 600_000, cooldown: 30_000, timeout: 10_000, getJwks: getJwks! },
    () => clock.now * 1000
  )
  return { issuer, clock, find, known: { alg: 'ES256', kid: issuer.keys[0]!.kid! } }
}

t.test(
  'a token signs in by the key that get-jwks finds, with each algorithm, and no other function of it is called',
  async t => {
    const algorithms = ['RS256', 'ES256', 'ES512', 'EdDSA'] as const
    const issuer = await startIssuer(t, ...algorithms)
    const { getJwk } = getJwksOf()
    const asked: unknown[] = []
    const { signIn } = await server(t, issuer, {
      algorithms,
      getJwks: {
        getJwk: signature => {
          asked.push(signature)
          return getJwk(signature as never)
        }
      }
    })
    for (const alg of [...algorithms, ...algorithms]) {
      t.match(await signIn(await issuer.sign({ sub: alg }, { alg })), { status: 200, user: alg })
    }
    t.same(
      asked,
      issuer.keys.map(({ alg, kid }) => ({ domain: issuer.url, alg, kid })),
      'a key that is known is not asked for again'
    )
  }
)

t.test('a stranger\'s, changed or expired token is refused; another issuer\'s is not looked up', async t => {
  const issuer = await startIssuer(t, 'ES256')
  const stranger = await startIssuer(t, 'ES256')
  const { signIn } = await server(t, issuer, { getJwks: getJwksOf() })
  t.equal((await signIn(await stranger.sign())).status, 401)
  t.same(stranger.requests, [])
  t.equal((await signIn((await issuer.sign()).slice(0, -6))).status, 401)
  t.equal((await signIn(await issuer.sign({ exp: 1 }))).status, 401)
  issuer.keys = [{ kty: 'oct', k: 'c2VjcmV0', kid: 'shared' }]
  t.equal(
    (await signIn(await issuer.sign({}, { kid: 'shared' }))).status,
    401,
    'a symmetric key is no key of an issuer'
  )
})

t.test('made-up kids do not reach the issuer each, and keep nobody out', async t => {
  const issuer = await startIssuer(t, 'ES256')
  const { signIn } = await server(t, issuer, { getJwks: getJwksOf() })
  const made = await Promise.all(
    Array.from({ length: 200 }, (_, index) => issuer.sign({}, { kid: `made-up-${index}` }))
  )
  const answers = await Promise.all([...made, await issuer.sign()].map(async token => (await signIn(token)).status))
  t.same(answers, [...made.map(() => 401), 200])
  t.ok(issuer.requests.length <= 12, `${issuer.requests.length} requests, two for each lookup`)
})

t.test('one lookup is for all who ask meanwhile, also where the issuer has no OpenID configuration', async t => {
  const issuer = await startIssuer(t, 'ES256')
  issuer.answer('/.well-known/openid-configuration', response => response.writeHead(404).end())
  const { getJwk } = buildGetJwks({ jwksPath: '/jwks' })
  let asked = 0
  const { signIn } = await server(t, issuer, {
    getJwks: {
      getJwk: signature => {
        asked += 1
        return getJwk(signature as never)
      }
    }
  })
  const token = await issuer.sign()
  const answers = await Promise.all(Array.from({ length: 20 }, async () => (await signIn(token)).status))
  t.same(answers, Array.from({ length: 20 }, () => 200))
  t.equal(asked, 1)
})

t.test('a getJwk that throws at once leaves nothing behind that ends the process later', async t => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => { unhandled.push(reason) }
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const issuer = await startIssuer(t, 'ES256')
  const { signIn } = await server(t, issuer, { timeout: 100, getJwks: { getJwk: () => { throw new Error('no') } } })
  t.equal((await signIn(await issuer.sign())).status, 503)
  await once(AbortSignal.timeout(200), 'abort')
  t.same(unhandled, [])
})

t.test('an issuer that never answers is 503 in time, and named in the log', async t => {
  const issuer = await startIssuer(t, 'ES256')
  issuer.answer('/jwks', () => {})
  const { signIn, lines } = await server(t, issuer, { getJwks: getJwksOf(), timeout: 200 })
  t.equal((await signIn(await issuer.sign())).status, 503)
  t.match(lines.join(''), `getJwks did not give a key of ${issuer.url} in time`)
})

t.test('faults are 503, and the log has nothing of the issuer\'s answer', async t => {
  const issuer = await startIssuer(t, 'ES256')
  const token = await issuer.sign()
  const cases: [getJwks: JwtIssuersOptions['getJwks'], spoil: () => void, reason: RegExp][] = [
    [
      getJwksOf(),
      () => issuer.answer('/jwks', response => response.writeHead(500).end('{"secret":"x"}')),
      /\(JWKS_REQUEST_FAILED\)/
    ],
    [getJwksOf(), () => issuer.answer('/jwks', response => response.end('<html>')), /\(SyntaxError\)/],
    [
      getJwksOf({ issuersWhitelist: ['https://other.example'] }),
      () => {},
      /\(DOMAIN_NOT_ALLOWED\): add the issuer to its issuersWhitelist/
    ],
    [{ getJwk: () => { throw null } }, () => {}, /\(undefined\)/], // eslint-disable-line no-throw-literal
    [{ getJwk: () => ({ kty: 'EC', x5c: 'x'.repeat(1024 ** 2) }) }, () => {}, /of more than 1048576 bytes/],
    [{ getJwk: () => ({ ...issuer.keys[0], x: 'AA' }) }, () => {}, /getJwks has no usable key/],
    [{ getJwk: () => [] }, () => {}, /did not answer a key set/],
    [{ getJwk: () => undefined as never }, () => {}, /cannot give keys/]
  ]
  for (const [getJwks, spoil, reason] of cases) {
    issuer.answer('/jwks')
    spoil()
    const { signIn, lines } = await server(t, issuer, { getJwks })
    t.equal((await signIn(token)).status, 503, String(reason))
    t.match(lines.join(''), reason)
    t.notMatch(lines.join(''), /secret/)
  }
})

t.test(
  'while the issuer is down its known keys count for an hour, and it is asked again after five seconds',
  async t => {
    const { issuer, clock, find, known } = await source(t, {
      getJwk: signature => buildGetJwks({ providerDiscovery: true }).getJwk(signature as never)
    })
    t.ok(await find(known))
    await issuer.stop()
    clock.now += 600
    t.ok(await find(known))
    clock.now += 2999
    t.ok(await find(known))
    clock.now += 6
    await t.rejects(find(known), { name: 'KeySourceError', message: /ECONNREFUSED/ })
    await issuer.start()
    t.ok(await find(known))
  }
)

t.test('a key that the issuer took back does not count after maxAge', async t => {
  const { issuer, clock, find, known } = await source(t, {
    getJwk: signature => buildGetJwks({ providerDiscovery: true }).getJwk(signature as never)
  })
  t.ok(await find(known))
  issuer.keys = [{ ...issuer.keys[0]!, kid: 'next' }]
  t.ok(await find(known))
  clock.now += 600
  t.equal(await find(known), null)
  t.ok(await find({ alg: 'ES256', kid: 'next' }))
})

t.test('a token without kid is by a key without kid', async t => {
  const { issuer, find } = await source(t)
  t.equal(await find({ alg: 'ES256', kid: undefined }), null)
  const [{ kid, ...jwk }] = issuer.keys as [Record<string, string>]
  issuer.keys = [jwk]
  t.ok(await (await source(t, { getJwk: () => jwk })).find({ alg: 'ES256', kid: undefined }))
})
