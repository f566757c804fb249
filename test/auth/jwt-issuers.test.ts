import { createSecretKey } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import { decodeJwt, exportSPKI, generateKeyPair } from 'jose'
import t, { type Test } from 'tap'
import { collection, firstOf, jwtIssuers, type Authenticate, type JwtIssuersOptions } from '../../index.js'
import { keyPair, startIssuer } from '../support/issuer.js'
import { keptLog, testServer } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const mongo = await startWireServer()
t.teardown(() => mongo.stop())
const collections = { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }

/** What `/token` answers to the bearer of a token, with what was logged. */
async function server (t: Test, authenticate: Authenticate) {
  const { lines, logger } = keptLog()
  const app = await testServer(t, { mongo: { url: mongo.uri }, collections, authenticate }, { logger })
  return {
    lines,
    async signIn (token: string | undefined, headers: Record<string, string> = {}) {
      const response = await app.inject({
        url: '/token',
        headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers }
      })
      const body = response.json()
      return {
        status: response.statusCode,
        code: body.code,
        user: response.statusCode === 200 ? decodeJwt(body.token).sub : undefined,
        body: response.body
      }
    }
  }
}

t.test('a token of the issuer signs in, with each algorithm, by the keys that discovery finds', async t => {
  const algorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const
  const issuer = await startIssuer(t, ...algorithms)
  const { signIn } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api', algorithms }))
  for (const alg of algorithms) {
    t.match(await signIn(await issuer.sign({ sub: alg }, { alg })), { status: 200, user: alg })
  }
  t.same(issuer.requests, ['/.well-known/openid-configuration', '/jwks'], 'the keys are fetched once')
})

t.test('a token without kid is by the only key of its issuer', async t => {
  const issuer = await startIssuer(t, 'ES256')
  const { signIn } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api' }))
  t.match(await signIn(await issuer.sign({}, { kid: null })), { status: 200, user: 'user1' })
  const { privateKey } = await generateKeyPair('ES256')
  t.match(await signIn(await issuer.sign({}, { kid: null, key: privateKey })), { status: 401 })
})

t.test('a jwksUri is asked in place of discovery; a key without alg is taken by its kind', async t => {
  const issuer = await startIssuer(t, 'RS256')
  issuer.keys = issuer.keys.map(({ alg, use, ...jwk }) => jwk)
  const { signIn } = await server(
    t,
    jwtIssuers({ issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }], audience: ['other', 'api'] })
  )
  t.match(await signIn(await issuer.sign()), { status: 200, user: 'user1' })
  t.same(issuer.requests, ['/jwks'])
})

t.test(
  'a bad token is 401, says why in the log and nothing of itself, and does not reach the issuer before it is known ' +
  'to be its own',
  async t => {
    const issuer = await startIssuer(t, 'RS256', 'ES256')
    const stranger = await startIssuer(t, 'RS256')
    const { signIn, lines } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api', clockTolerance: 30 }))
    const now = Math.floor(Date.now() / 1000)
    const other = await generateKeyPair('RS256')
    const publicPem = await exportSPKI((await keyPair('RS256')).publicKey)
    const unsigned = `${Buffer.from(JSON.stringify({ alg: 'none', kid: issuer.keys[0]!.kid })).toString('base64url')}.${(await issuer.sign()).split('.')[1]}.`
    const good = await issuer.sign()

    const early: [name: string, token: string, reason: RegExp][] = [
      ['text', 'secret-text', /not a JWT/],
      ['two parts', good.split('.').slice(0, 2).join('.'), /not a JWT|Compact/],
      ['JSON that is no object', `${Buffer.from('null').toString('base64url')}.bnVsbA.`, /not a JWT/],
      ['alg none', unsigned, /alg/],
      [
        'HS256 with the public key',
        await issuer.sign(
          {},
          { alg: 'HS256', kid: issuer.keys[0]!.kid!, key: new Uint8Array(createSecretKey(publicPem, 'utf8').export()) }
        ),
        /alg is not one of/
      ],
      [
        'an algorithm that is not allowed',
        await issuer.sign({}, { alg: 'RS512', kid: issuer.keys[0]!.kid! }),
        /alg is not one of/
      ],
      ['a kid that is no text', await issuer.sign({}, { header: { kid: 5 } }), /not a JWT/],
      [
        'another issuer',
        await stranger.sign(),
        new RegExp(`its iss \\\\"${stranger.url}\\\\" is not one of issuers, \\\\"${issuer.url}\\\\""`)
      ],
      [
        'a slash at the end of the issuer',
        await issuer.sign({ iss: `${issuer.url}/` }),
        /is not one of issuers, .*: they differ in the \/ at the end"/
      ],
      ['an endless issuer', await issuer.sign({ iss: 'x'.repeat(5000) }), /its iss \\"x{200}\\" is not one of/],
      ['no issuer', await issuer.sign({ iss: undefined } as never), /not a JWT with alg and iss/]
    ]
    for (const [name, token, reason] of early) {
      lines.length = 0
      t.match(await signIn(token), { status: 401, code: 'FST_PSM_UNAUTHORIZED' }, name)
      t.match(lines.join(''), reason, name)
      t.notMatch(lines.join(''), token, name)
    }
    t.same([...issuer.requests, ...stranger.requests], [], 'nothing was fetched')

    const late: [name: string, token: string, reason: RegExp][] = [
      [
        'no kid, and several keys',
        await issuer.sign({}, { kid: null }),
        /it has no kid, and its issuer has not exactly one key/
      ],
      ['an unknown kid', await issuer.sign({}, { kid: '../../etc/passwd' }), /no key with its kid and alg/],
      [
        'the kid of a key of another kind',
        await issuer.sign({}, { kid: issuer.keys[1]!.kid! }),
        /no key with its kid and alg/
      ],
      ['another key', await issuer.sign({}, { key: other.privateKey }), /ERR_JWS_SIGNATURE_VERIFICATION_FAILED/],
      [
        'another key that the token brings along',
        await issuer.sign(
          {},
          { key: other.privateKey, header: { jku: stranger.jwksUri, jwk: issuer.keys[0], x5u: stranger.url } }
        ),
        /SIGNATURE/
      ],
      [
        'a changed payload',
        good.replace(
          /\.[^.]+\./,
          `.${Buffer.from(JSON.stringify({ iss: issuer.url, aud: 'api', sub: 'admin', exp: now + 60 })).toString('base64url')}.`
        ),
        /SIGNATURE/
      ],
      [
        'a critical extension',
        await issuer
          .sign({}, { header: { crit: ['b64'], b64: true } })
          .then(token =>
            token.replace(
              /^[^.]+/,
              Buffer.from(JSON.stringify({ alg: 'RS256', kid: issuer.keys[0]!.kid, crit: ['x'], x: 1 })).toString(
                'base64url'
              )
            )
          ),
        /ERR_JOSE_NOT_SUPPORTED/
      ],
      ['another audience', await issuer.sign({ aud: 'other' }), /claim aud/],
      ['no audience', await issuer.sign({ aud: undefined } as never), /claim aud/],
      ['expired', await issuer.sign({ exp: now - 31 }), /ERR_JWT_EXPIRED/],
      ['without end', await issuer.sign({ exp: undefined } as never), /claim exp/],
      ['an end that is text', await issuer.sign({ exp: String(now + 60) } as never), /claim exp/],
      ['not yet valid', await issuer.sign({ nbf: now + 40 }), /claim nbf/],
      ['issued in the future', await issuer.sign({ iat: now + 40 }), /iat is in the future/],
      ['no sub', await issuer.sign({ sub: undefined } as never), /claim sub is not text/],
      ['an empty sub', await issuer.sign({ sub: '' }), /claim sub is not text/],
      ['a sub that is no text', await issuer.sign({ sub: { $ne: '' } } as never), /claim sub is not text/]
    ]
    for (const [name, token, reason] of late) {
      lines.length = 0
      t.match(await signIn(token), { status: 401, code: 'FST_PSM_UNAUTHORIZED', user: undefined }, name)
      t.match(lines.join(''), reason, name)
      t.notMatch(lines.join(''), token, name)
    }
    t.equal((await signIn(undefined)).status, 401)
    t.match(await signIn(await issuer.sign({ exp: now - 20 })), { status: 200 }, 'within the tolerance of the clock')
    t.match(await signIn(await issuer.sign({ iat: undefined } as never)), { status: 200 }, 'iat is not required')
    t.same(issuer.requests, ['/.well-known/openid-configuration', '/jwks'])
  }
)

t.test('claims say whom a token is for where there is no aud', async t => {
  const issuer = await startIssuer(t)
  const { signIn } = await server(
    t,
    jwtIssuers({ issuers: issuer.url, claims: { azp: ['https://a.example', 'https://b.example'], roles: 'sync' } })
  )
  const status = async (claims: Record<string, unknown>) => (await signIn(await issuer.sign(claims))).status
  t.equal(await status({ azp: 'https://b.example', roles: ['x', 'sync'] }), 200)
  t.equal(await status({ azp: 'https://b.example', roles: ['x'] }), 401)
  t.equal(await status({ azp: 'https://c.example', roles: 'sync' }), 401)
  t.equal(await status({ roles: 'sync' }), 401)
})

t.test('userId says who it is', async t => {
  const issuer = await startIssuer(t)
  const cases: [userId: JwtIssuersOptions['userId'], status: number, user: string | undefined][] = [
    ['uid', 200, 'u-7'],
    ['email', 401, undefined],
    [claims => `${claims['iss']} ${claims['sub']}`, 200, `${issuer.url} user1`],
    [async claims => ({ id: String(claims['uid']), role: 'admin' }), 200, 'u-7'],
    [() => null, 401, undefined],
    [() => '', 503, undefined],
    [() => { throw new Error('the directory is down') }, 503, undefined],
    [() => { throw Object.assign(new Error('banned'), { statusCode: 403 }) }, 403, undefined]
  ]
  for (const [userId, status, user] of cases) {
    const { signIn } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api', userId }))
    t.match(await signIn(await issuer.sign({ uid: 'u-7' })), { status, user })
  }
})

t.test('the user has the token\'s claims, and the id is what userId says', async t => {
  const issuer = await startIssuer(t)
  const users: unknown[] = []
  const authenticate = jwtIssuers({ issuers: issuer.url, audience: 'api' })
  const { signIn } = await server(t, async (request, context) => {
    const user = await authenticate(request, context)
    users.push(user)
    return user
  })
  await signIn(await issuer.sign({ id: 'admin', role: 'reader' }))
  t.match(users, [{ id: 'user1', sub: 'user1', iss: issuer.url, role: 'reader' }])
})

t.test('token says where the token is', async t => {
  const issuer = await startIssuer(t)
  const { signIn } = await server(
    t,
    jwtIssuers({ issuers: issuer.url, audience: 'api', token: request => request.headers['x-id-token'] as string })
  )
  t.equal((await signIn(await issuer.sign())).status, 401)
  t.equal((await signIn(undefined, { 'x-id-token': await issuer.sign() })).status, 200)
})

t.test('several issuers: each vouches for its own users only, by its own audience', async t => {
  const [one, two] = [await startIssuer(t), await startIssuer(t)]
  const { signIn } = await server(t, jwtIssuers({
    issuers: [{ issuer: one.url, audience: 'one' }, two.url],
    audience: 'api',
    userId: 'sub'
  }))
  t.match(await signIn(await one.sign({ aud: 'one', sub: 'a' })), { status: 200, user: 'a' })
  t.match(await signIn(await two.sign({ sub: 'b' })), { status: 200, user: 'b' })
  t.match(await signIn(await one.sign()), { status: 401 })
  const key = (await generateKeyPair('ES256')).privateKey
  t.match(await signIn(await one.sign({ aud: 'one' }, { key })), { status: 401 })
})

t.test('an issuer whose keys cannot be fetched is 503, never 401, and is logged without the token', async t => {
  const issuer = await startIssuer(t)
  const { url } = issuer
  const broken: [name: string, spoil: () => void, reason: string][] = [
    [
      'an error',
      () => issuer.answer('/jwks', response => response.writeHead(500).end()),
      `${url}/jwks answered 500: expected 200`
    ],
    [
      'a redirect',
      () => issuer.answer('/jwks', response => response.writeHead(302, { location: 'http://169.254.169.254/' }).end()),
      `${url}/jwks answered 302: expected 200 (redirects are not followed)`
    ],
    ['no body', () => issuer.answer('/jwks', response => response.writeHead(204).end()), `${url}/jwks answered 204`],
    ['not JSON', () => issuer.answer('/jwks', response => response.end('<html>')), `${url}/jwks did not answer JSON`],
    [
      'not a key set',
      () => issuer.answer('/jwks', response => response.end('{"keys":[1]}')),
      `${url}/jwks did not answer a key set`
    ],
    [
      'too much',
      () => issuer.answer('/jwks', response => response.end(' '.repeat(1024 * 1024 + 1))),
      `${url}/jwks answered more than 1048576 bytes`
    ],
    ['never an answer', () => issuer.answer('/jwks', () => {}), `${url}/jwks did not answer in time`],
    [
      'half an answer',
      () => issuer.answer('/jwks', response => response.writeHead(200).write('{')),
      `${url}/jwks did not answer in time`
    ],
    [
      'a cut connection',
      () => issuer.answer('/jwks', response => response.destroy()),
      `${url}/jwks cannot be reached (UND_ERR_SOCKET)`
    ],
    [
      'another issuer\'s configuration',
      () => {
        issuer.configuration['issuer'] = 'https://other.example'
      },
      `${url}/.well-known/openid-configuration is the configuration of another issuer, \\"https://other.example\\"`
    ],
    ['no jwks_uri', () => { issuer.configuration['jwks_uri'] = undefined }, 'has no jwks_uri'],
    [
      'a jwks_uri of another kind',
      () => {
        issuer.configuration['jwks_uri'] = 'file:///etc/passwd'
      },
      'has no jwks_uri'
    ],
    [
      'a port that fetch refuses',
      () => {
        issuer.configuration['jwks_uri'] = 'http://127.0.0.1:1/jwks?apikey=secret'
      },
      'http://127.0.0.1:1/jwks cannot be reached (TypeError)'
    ],
    ['two keys of one kid', () => { issuer.keys = [...issuer.keys, ...issuer.keys] }, `${url}/jwks has no usable key`],
    [
      'a key that is none',
      () => {
        issuer.keys = issuer.keys.map(jwk => ({ ...jwk, x: 'AA' }))
      },
      `${url}/jwks has no usable key`
    ]
  ]
  const good = { keys: issuer.keys, configuration: { ...issuer.configuration } }
  for (const [name, spoil, reason] of broken) {
    spoil()
    const { signIn, lines } = await server(
      t,
      jwtIssuers({ issuers: url, audience: 'api', ...(reason.includes('in time') && { timeout: 500 }) })
    )
    const token = await issuer.sign()
    t.match(await signIn(token), { status: 503, code: 'FST_PSM_AUTHENTICATION_UNAVAILABLE' }, name)
    t.match(lines.join(''), reason, name)
    t.notMatch(lines.join(''), token, name)
    t.notMatch(lines.join(''), /secret/, name)
    t.equal((await signIn(undefined)).status, 401, 'who has no token is nobody all the same')
    issuer.answer('/jwks')
    issuer.keys = good.keys
    issuer.configuration = { ...good.configuration }
  }

  await issuer.stop()
  const { signIn, lines } = await server(t, jwtIssuers({ issuers: url, audience: 'api' }))
  t.match(await signIn(await issuer.sign()), { status: 503 })
  t.match(lines.join(''), `${url}/.well-known/openid-configuration cannot be reached (ECONNREFUSED)`)
})

t.test('an https issuer\'s keys are not fetched by http', async t => {
  const realFetch = globalThis.fetch
  t.teardown(() => { globalThis.fetch = realFetch })
  const asked: string[] = []
  globalThis.fetch = async input => {
    asked.push(String(input))
    return Response.json({ issuer: 'https://issuer.example', jwks_uri: 'http://127.0.0.1/jwks' })
  }
  const issuer = await startIssuer(t)
  const { signIn, lines } = await server(t, jwtIssuers({ issuers: 'https://issuer.example', audience: 'api' }))
  t.match(await signIn(await issuer.sign({ iss: 'https://issuer.example' })), { status: 503 })
  t.match(lines.join(''), /no jwks_uri that starts with https/)
  t.same(asked, ['https://issuer.example/.well-known/openid-configuration'])
})

t.test('a weak key of the issuer is the issuer\'s fault: 503', async t => {
  const { generateKeyPairSync } = await import('node:crypto')
  const issuer = await startIssuer(t, 'RS256')
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
  issuer.keys = [{ ...weak.publicKey.export({ format: 'jwk' }) as object, kty: 'RSA', kid: 'weak', alg: 'RS256' }]
  const { signIn } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api' }))
  t.match(await signIn(await issuer.sign({}, { kid: 'weak' })), { status: 503 })
})

t.test('firstOf: takes functions only', async t => {
  const session: Authenticate = () => null
  for (const [index, wrong] of [[session], 'session', undefined, false].entries()) {
    const given = [...Array(index).fill(session), wrong] as Authenticate[]
    const message = new RegExp(`option firstOf\\[${index}\\] is .*: expected a function`)
    t.throws(() => firstOf(...given), { code: 'FST_PSM_OPTION', message })
  }
})

t.test(
  'firstOf: a bad token for one does not stop the next, and an outage is 503 only if nobody else knows the caller',
  async t => {
    const [one, two] = [await startIssuer(t), await startIssuer(t)]
    const session: Authenticate = request => request.headers['x-session'] ? { id: 'session-user' } : null
    const authenticate = firstOf(
      jwtIssuers({ issuers: one.url, audience: 'api' }),
      jwtIssuers({ issuers: two.url, audience: 'api' }),
      session
    )
    const { signIn } = await server(t, authenticate)
    t.match(await signIn(await two.sign({ sub: 'two' })), { status: 200, user: 'two' })
    t.match(await signIn('rubbish', { 'x-session': '1' }), { status: 200, user: 'session-user' })
    t.match(await signIn(await one.sign({ aud: 'other' })), { status: 401 })

    await one.stop()
    const { signIn: during, lines } = await server(
      t,
      firstOf(
        jwtIssuers({ issuers: one.url, audience: 'api' }),
        jwtIssuers({ issuers: two.url, audience: 'api' }),
        session
      )
    )
    t.match(await during(await one.sign()), { status: 503 })
    t.match(
      await during(await two.sign({ sub: 'two' })),
      { status: 200, user: 'two' },
      'the other issuer\'s users are not affected'
    )
    t.match(await during(await one.sign(), { 'x-session': '1' }), { status: 200, user: 'session-user' })
    t.match(lines.join(''), /an authenticator of firstOf failed: the next is asked/)
    t.match(await during(undefined), { status: 401 })

    const banned: Authenticate = () => { throw Object.assign(new Error('banned'), { statusCode: 403 }) }
    const { signIn: refused } = await server(t, firstOf(banned, session))
    t.match(await refused(undefined, { 'x-session': '1' }), { status: 403 }, 'a refusal is the last word')
  }
)

t.test('made-up kids reach the issuer once, and do not keep its users out', async t => {
  const issuer = await startIssuer(t)
  const { signIn } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api' }))
  const made = await Promise.all(
    Array.from({ length: 200 }, (_, index) => issuer.sign({}, { kid: `made-up-${index}` }))
  )
  const answers = await Promise.all([...made, await issuer.sign()].map(async token => (await signIn(token)).status))
  t.same(answers, [...made.map(() => 401), 200])
  t.same(issuer.requests, ['/.well-known/openid-configuration', '/jwks'])
})

t.test('a new key of the issuer is found after the cooldown', async t => {
  const issuer = await startIssuer(t)
  const [key] = issuer.keys
  issuer.keys = []
  const { signIn } = await server(t, jwtIssuers({ issuers: issuer.url, audience: 'api', cache: { cooldown: 1 } }))
  t.match(await signIn(await issuer.sign()), { status: 401 })
  issuer.keys = [key!]
  await sleep(1000)
  t.match(await signIn(await issuer.sign()), { status: 200 })
})

t.test('mistakes in the options stop the start and say what to do', async t => {
  const issuer = 'https://issuer.example/'
  const cases: [options: unknown, message: RegExp][] = [
    [undefined, /option jwtIssuers is nothing: expected an object/],
    [{ issuers: issuer, audience: 'api', issuer }, /option jwtIssuers\.issuer is unknown; did you mean issuers/],
    [{ audience: 'api' }, /option jwtIssuers\.issuers is missing or empty: pass the iss/],
    [{ issuers: [], audience: 'api' }, /option jwtIssuers\.issuers is missing or empty/],
    [{ issuers: [5], audience: 'api' }, /option jwtIssuers\.issuers\[0\] is 5: expected an object/],
    [{ issuers: [{ url: issuer }], audience: 'api' }, /option jwtIssuers\.issuers\[0\]\.url is unknown/],
    [{ issuers: [{}], audience: 'api' }, /option jwtIssuers\.issuers\[0\] is not a URL/],
    [
      { issuers: 'issuer.example', audience: 'api' },
      /option jwtIssuers\.issuers\[0\] is not a URL that starts with https/
    ],
    [{ issuers: 'ftp://issuer.example', audience: 'api' }, /is not a URL/],
    [{ issuers: `${issuer} `, audience: 'api' }, /is not a URL/],
    [{ issuers: `${issuer}\n`, audience: 'api' }, /is not a URL/],
    [{ issuers: 'https://me:secret@issuer.example', audience: 'api' }, /is not a URL/],
    [{ issuers: 'https://:secret@issuer.example', audience: 'api' }, /is not a URL/],
    [{ issuers: `${issuer}?a=b`, audience: 'api' }, /is not an issuer: its URL has a query/],
    [{ issuers: `${issuer}#a`, audience: 'api' }, /is not an issuer/],
    [
      { issuers: { issuer, jwksUri: '/jwks' }, audience: 'api' },
      /option jwtIssuers\.issuers\[0\]\.jwksUri is not a URL/
    ],
    [{ issuers: [issuer, issuer], audience: 'api' }, /has one issuer twice/],
    [
      { issuers: [issuer, 'https://other.example'], audience: 'api' },
      /option jwtIssuers\.userId is missing: two issuers may use one sub for two people/
    ],
    [
      { issuers: issuer },
      /option jwtIssuers\.audience is missing: tokens that the issuer made for other apps would be accepted/
    ],
    [{ issuers: issuer, audience: [] }, /option jwtIssuers\.audience is .*: expected text, or a list of texts/],
    [{ issuers: issuer, audience: '' }, /option jwtIssuers\.audience is .*: expected text, or a list of texts/],
    [{ issuers: issuer, claims: { azp: 5 } }, /option jwtIssuers\.claims\.azp is 5: expected text, or a list of texts/],
    [{ issuers: issuer, claims: {} }, /option jwtIssuers\.claims is .*: expected \{ name: value \}/],
    [{ issuers: { issuer, claims: {} } }, /issuers\[0\]\.claims is .*: expected \{ name: value \}/],
    [
      { issuers: issuer, audience: 'api', algorithms: ['HS256'] },
      /option jwtIssuers\.algorithms is an array: expected a list of these: RS256, RS384/
    ],
    [{ issuers: issuer, audience: 'api', algorithms: ['none'] }, /jwtIssuers\.algorithms/],
    [{ issuers: issuer, audience: 'api', algorithms: [] }, /jwtIssuers\.algorithms/],
    [{ issuers: issuer, audience: 'api', algorithms: 'RS256' }, /jwtIssuers\.algorithms/],
    [{ issuers: issuer, audience: 'api', userId: 5 }, /option jwtIssuers\.userId is 5: expected the name of a claim/],
    [{ issuers: issuer, audience: 'api', userId: '' }, /option jwtIssuers\.userId is /],
    [{ issuers: issuer, audience: 'api', token: 'x' }, /option jwtIssuers\.token is text/],
    [
      { issuers: issuer, audience: 'api', clockTolerance: 301 },
      /option jwtIssuers\.clockTolerance is 301: expected an integer from 0 to 300 seconds/
    ],
    [{ issuers: issuer, audience: 'api', cache: { maxAge: 59 } }, /option jwtIssuers\.cache\.maxAge is 59/],
    [{ issuers: issuer, audience: 'api', cache: { cooldown: 0 } }, /option jwtIssuers\.cache\.cooldown is 0/],
    [
      { issuers: issuer, audience: 'api', cache: { maxage: 60 } },
      /option jwtIssuers\.cache\.maxage is unknown; did you mean maxAge/
    ],
    [
      { issuers: issuer, audience: 'api', getJwks: () => {} },
      /option jwtIssuers\.getJwks is a function: expected the result of get-jwks/
    ],
    [{ issuers: issuer, audience: 'api', timeout: 1 }, /option jwtIssuers\.timeout is 1/]
  ]
  for (const [options, message] of cases) {
    t.throws(() => jwtIssuers(options as JwtIssuersOptions), { code: 'FST_PSM_OPTION', message })
  }
  t.throws(() => jwtIssuers({ issuers: 'https://me:secret@issuer.example', audience: 'api' }), {
    message: /^(?!.*secret)/
  })
})

t.test('plain http issuers do not start in production, but for this machine\'s own', async t => {
  const before = process.env['NODE_ENV']
  t.teardown(() => { if (before === undefined) delete process.env['NODE_ENV']; else process.env['NODE_ENV'] = before })
  const start = (issuers: JwtIssuersOptions['issuers']) => jwtIssuers({ issuers, audience: 'api' })
  t.ok(start('http://keycloak:8080/realms/app'))
  process.env['NODE_ENV'] = 'production'
  const refused = { code: 'FST_PSM_OPTION', message: /is plain http, and NODE_ENV is production: .*Use its https URL/ }
  t.throws(() => start('http://keycloak:8080/realms/app'), refused)
  t.throws(() => start('http://127.0.0.1.example/'), refused)
  t.throws(() => start({ issuer: 'https://keycloak.example/', jwksUri: 'http://keycloak:8080/jwks' }), refused)
  for (const url of [
    'https://keycloak.example/realms/app',
    'http://localhost:8080',
    'http://127.0.0.1:8080',
    'http://[::1]:8080'
  ]) { t.ok(start(url), url) }
})
