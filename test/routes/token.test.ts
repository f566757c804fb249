import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, importJWK, jwtVerify, SignJWT } from 'jose'
import {
  collection, developmentAuth, firstOf, generateKeys, powersyncToken, type PowerSyncMongoOptions
} from '../../index.js'
import { testDatabase } from '../support/database.js'
import { keptLog, keys, testServer } from '../support/server.js'

const database = await testDatabase(t)
const base = {
  mongo: { url: database.uri },
  collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }
}
const powersyncUrl = 'https://test.powersync.example'

const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const elliptic = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey
const signingKeys = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  ES256: elliptic('P-256'),
  ES384: elliptic('P-384'),
  ES512: elliptic('P-521'),
  EdDSA: generateKeyPairSync('ed25519').privateKey
}

t.test('a token is what the PowerSync Service accepts: kid, aud, text sub, integer iat and exp', async t => {
  for (const [algorithm, key] of Object.entries(signingKeys)) {
    const signing = { ...key.export({ format: 'jwk' }), alg: algorithm, kid: 'a key' }
    const app = await testServer(t, { ...base, powersyncUrl: `${powersyncUrl}/`, keys: { signing } })
    const before = Math.floor(Date.now() / 1000)
    const response = await app.inject('/token?user_id=user1')
    t.equal(response.statusCode, 200)
    t.equal(response.headers['cache-control'], 'no-store')
    const { token, powersync_url: url, expires_at: expiresAt } = response.json()
    t.equal(url, powersyncUrl, 'without the slash at its end')

    const jwks = (await app.inject('/jwks')).json()
    t.same(decodeProtectedHeader(token), { alg: algorithm, kid: 'a key', typ: 'JWT' })
    const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), {
      audience: powersyncUrl,
      algorithms: [algorithm]
    })
    t.same(Object.keys(payload).sort(), ['aud', 'exp', 'iat', 'sub'])
    t.equal(payload.sub, 'user1')
    t.ok(Number.isInteger(payload.iat) && payload.iat! >= before)
    t.equal(payload.exp, payload.iat! + 300)
    t.equal(new Date(expiresAt).getTime(), payload.exp! * 1000)
  }
})

t.test('claims are added; reserved ones and a "parameters" that is no object are the server\'s mistake', async t => {
  const withClaims = (claims: Record<string, unknown>) =>
    testServer(t, { ...base, token: { expiresIn: 600, claims: () => claims } })
  const app = await withClaims({ project_ids: ['a', 'b'], parameters: { role: 'admin' } })
  const { token } = (await app.inject('/token?user_id=user1')).json()
  const { payload } = await jwtVerify(
    token,
    createLocalJWKSet(app.powersync.jwks as Parameters<typeof createLocalJWKSet>[0])
  )
  t.match(payload, { sub: 'user1', project_ids: ['a', 'b'], parameters: { role: 'admin' } })
  t.equal(payload.exp, payload.iat! + 600)
  for (const claims of [
    { sub: 'admin' },
    { aud: 'x' },
    { exp: 1 },
    { parameters: [] },
    { parameters: 'x' },
    { parameters: null }
  ]) {
    const response = await (await withClaims(claims)).inject('/token?user_id=user1')
    t.equal(response.statusCode, 503)
    t.notOk(response.json().token)
  }
})

t.test('claims get the user and the request; a token that the app signs itself has none', async t => {
  const claims: NonNullable<PowerSyncMongoOptions['token']>['claims'] = (user, request) => ({
    team: user['team'],
    language: request?.headers['accept-language'] ?? 'none'
  })
  const app = await testServer(t, {
    ...base,
    authenticate: () => ({ id: 'user1', team: { id: 7, roles: ['a'] } }),
    token: { claims }
  })
  const { token } = (await app.inject({ url: '/token', headers: { 'accept-language': 'de' } })).json()
  t.match(decodeJwt(token), { sub: 'user1', team: { id: 7, roles: ['a'] }, language: 'de' })
  t.match(decodeJwt((await app.powersync.signToken({ id: 'user1' })).token), { sub: 'user1', language: 'none' })
})

t.test('signToken takes a text id only, and not an empty one', async t => {
  const app = await testServer(t, base)
  for (const id of ['', 5, null, undefined]) {
    await t.rejects(app.powersync.signToken({ id: id as string }), { message: /id is not text, or empty/ })
  }
})

t.test('developmentAuth names the parameter that is missing', async t => {
  const app = await testServer(t, base)
  for (const url of ['/token', '/token?user_id=', '/token?user_id=a&user_id=b']) {
    const response = await app.inject(url)
    t.equal(response.statusCode, 400)
    t.match(response.json(), { code: 'FST_PSM_PARAMETER', message: /user_id is missing/ })
  }
})

t.test(
  'authenticate decides: null is 401, an error with a status is answered as it is, any other is 503 and says nothing',
  async t => {
    const withAuthenticate = (authenticate: PowerSyncMongoOptions['authenticate']) =>
      testServer(t, { ...base, authenticate })
    const teapot = Object.assign(new Error('no coffee'), { statusCode: 418 })
    const without = (statusCode: unknown) => () => { throw Object.assign(new Error('secret'), { statusCode }) }
    const cases: [PowerSyncMongoOptions['authenticate'], number][] = [
      [() => null, 401],
      [async () => null, 401],
      [() => { throw teapot }, 418],
      [() => { throw new Error('password of the session store: secret') }, 503],
      ...[undefined, null, 0, 200, 999].map((statusCode): typeof cases[number] => [without(statusCode), 503]),
      [firstOf(without(null), () => ({ id: 'user1' })), 200],
      [() => ({ id: '' }), 503],
      [() => ({ id: 5 as unknown as string }), 503],
      [async () => ({ id: 'user1' }), 200]
    ]
    for (const [authenticate, status] of cases) {
      const app = await withAuthenticate(authenticate)
      const response = await app.inject('/token')
      t.equal(response.statusCode, status)
      t.notMatch(response.body, /secret/)
      if (status === 503) {
        t.match((await app.inject({ method: 'POST', url: '/upload' })).json(), {
          statusCode: 503,
          code: 'FST_PSM_AUTHENTICATION_UNAVAILABLE'
        })
      }
    }
  }
)

t.test('an authenticate or token.claims that never ends gives 503 after upload.deadline', async t => {
  const upload = { deadline: 100 }
  const never = () => new Promise<never>(() => {})
  const { lines, logger } = keptLog('error')
  for (const options of [{ authenticate: never }, { authenticate: () => ({ id: 'ann' }), token: { claims: never } }]) {
    const app = await testServer(t, { ...base, ...options, upload, checkpoints: true }, { logger })
    for (const [method, url] of [['GET', '/token'], ['POST', '/upload'], ['PUT', '/checkpoint']] as const) {
      const { statusCode, body } = await app.inject({ method, url })
      t.match({ statusCode, body }, { statusCode: 503, body: /FST_PSM_AUTHENTICATION_UNAVAILABLE/ }, url)
      t.match(lines.splice(0).join(), /It took longer than 100 ms \(option upload.deadline\)/)
    }
  }
})

t.test('/token never accepts a PowerSync token, whatever authenticate says', async t => {
  const app = await testServer(t, { ...base, authenticate: firstOf(powersyncToken(), () => null) })
  const { token } = await app.powersync.signToken({ id: 'user1' })
  const response = await app.inject({ url: '/token', headers: { authorization: `Bearer ${token}` } })
  t.equal(response.statusCode, 401)
  t.equal(response.headers['www-authenticate'], 'Bearer')
})

t.test('/jwks shows public members only, and can be cached', async t => {
  const next = await generateKeys({ algorithm: 'ES256' })
  const app = await testServer(t, { ...base, keys: { signing: keys.privateKeyBase64, published: [next.privateKey] } })
  const response = await app.inject('/jwks')
  t.equal(response.statusCode, 200)
  t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'public, max-age=300' })
  t.same(response.json(), { keys: [keys.publicKey, next.publicKey] })
  t.notMatch(response.body, /"(d|p|q|dp|dq|qi)":/)
  const { etag } = response.headers
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const cached = await app.inject({ url: '/jwks', headers: { 'if-none-match': known } })
    t.match(cached, { statusCode: 304, body: '' }, String(known))
  }
  t.equal((await app.inject({ url: '/jwks', headers: { 'if-none-match': '"other"' } })).statusCode, 200)
})

t.test('developmentAuth warns at the start', async t => {
  const { lines, logger } = keptLog()
  await testServer(t, { ...base, authenticate: developmentAuth() }, { logger })
  t.match(lines.join(''), /developmentAuth\(\) is on: ANYBODY gets a token/)
})

t.test('a token of the right key counts only with a text sub, for this audience, until it ends', async t => {
  const app = await testServer(t, { ...base, authenticate: () => null })
  const key = await importJWK(keys.privateKey as never)
  const now = Math.floor(Date.now() / 1000)
  const good = { sub: 'user1', aud: powersyncUrl, iat: now, exp: now + 60 }
  const status = async (claims: Record<string, unknown>) => {
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: keys.publicKey.kid }).sign(key)
    const response = await app.inject({
      method: 'POST',
      url: '/upload',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      payload: '{"batch":[]}'
    })
    return response.statusCode
  }
  t.equal(await status(good), 200)
  for (const change of [
    { sub: '' },
    { sub: undefined },
    { aud: 'https://other.example' },
    { exp: now - 60 },
    { exp: undefined }
  ]) {
    t.equal(await status({ ...good, ...change }), 401, JSON.stringify(change))
  }
})

t.test('tokens of one user within one second are signed once, as long as their claims are the same', async t => {
  const { privateKey } = await generateKeys({ algorithm: 'ES256' }) // whose signatures differ from each other
  let role = 'editor'
  const app = await testServer(t, { ...base, keys: { signing: privateKey }, token: { claims: () => ({ role }) } })
  let time = 1_700_000_000_100
  t.intercept(Date, 'now', { value: () => time })
  const sign = async (id: string) => (await app.powersync.signToken({ id })).token

  const first = await sign('user1')
  time += 899
  t.equal(await sign('user1'), first)
  t.not(await sign('user2'), first)
  role = 'reader'
  t.match(decodeJwt(await sign('user1')), { sub: 'user1', role: 'reader', iat: 1_700_000_000 })
  role = 'editor'
  t.equal(await sign('user1'), first)
  time++
  const second = await sign('user1')
  t.match(decodeJwt(second), { sub: 'user1', role: 'editor', iat: 1_700_000_001 })

  for (let other = 0; other < 1000; other++) await sign(`other${other}`)
  t.not(await sign('user1'), second, 'of a thousand users are remembered, no more')
})
