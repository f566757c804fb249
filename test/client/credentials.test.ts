/** Tokens: which requests they cost, and who gets which. */
import t from 'tap'
import { createConnector, type Credentials, type Fetch } from '../../lib/client/index.js'
import { inserts, queueOf } from './queue.js'
import {
  jwt, scriptedServer, status, success, tokenAnswer, type Answer, type ScriptedServer
} from './scripted-server.js'

const stored = { results: [success] }
const queue = () => queueOf(...inserts(1))
const bearers = ({ requests }: ScriptedServer) =>
  requests.filter(({ route }) => route === '/upload').map(({ headers }) => headers['authorization'])

t.test('credentials for the service are what the server says', async t => {
  const server = await scriptedServer(t, stored)
  const answer = tokenAnswer()
  server.tokens = [answer]
  const { fetchCredentials } = createConnector({
    url: `${server.url}//`,
    headers: () => ({ Authorization: 'session1' })
  })
  t.same(await fetchCredentials(), {
    endpoint: answer.powersync_url,
    token: answer.token,
    expiresAt: new Date(answer.expires_at)
  })
  t.match(server.requests, [{ route: '/token', headers: { authorization: 'session1' } }])
})

t.test(
  'one renewal fetches one token, however often the SDK asks; what it calls invalid is not given again',
  async t => {
    const server = await scriptedServer(t, stored)
    const { fetchCredentials, invalidateCredentials } = createConnector({ url: server.url })
    t.equal((await fetchCredentials())?.token, 'token1')
    invalidateCredentials()
    t.equal((await fetchCredentials())?.token, 'token2', 'ahead, and dropped')
    t.equal((await fetchCredentials())?.token, 'token2')
  }
)

t.test('the stream and the uploads share a token, and uploads use it until the user changes', async t => {
  const server = await scriptedServer(t, stored)
  let session = 'session1'
  const connector = createConnector({ url: server.url, headers: () => ({ 'x-session': session }) })
  const [credentials] = await Promise.all([connector.fetchCredentials(), connector.uploadData(queue())])
  await connector.uploadData(queue())
  t.equal(credentials?.token, 'token1')
  t.equal(server.count('/token'), 1)
  session = 'session2'
  await connector.uploadData(queue())
  await connector.uploadData(queue())
  connector.invalidateCredentials()
  await connector.uploadData(queue())
  t.same(bearers(server), ['Bearer token1', 'Bearer token1', 'Bearer token2', 'Bearer token2', 'Bearer token3'])
})

for (const [seconds, requests] of [[300, 1], [35, 1], [29, 2], [-3600, 2]] as const) {
  t.test(
    `two uploads with a token that is good for another ${seconds} s ask ${requests} time${requests === 1 ? '' : 's'}`,
    async t => {
      const server = await scriptedServer(t, stored)
      server.tokens = [tokenAnswer({ seconds })]
      const { uploadData } = createConnector({ url: server.url })
      await uploadData(queue())
      await uploadData(queue())
      t.equal(server.count('/token'), requests)
    }
  )
}

t.test('401 for an upload: the next try has a new token', async t => {
  const server = await scriptedServer(t, status(401), stored)
  const { uploadData } = createConnector({ url: server.url })
  const rows = queue()
  await t.rejects(uploadData(rows), { code: 'PSM_UNAUTHORIZED', status: 401 })
  t.same(rows.left(), [[1]])
  await uploadData(rows)
  t.same(rows.left(), [])
  t.same(bearers(server), ['Bearer token1', 'Bearer token2'])
})

t.test('nobody is signed in: null for the SDK, an error for an upload, until somebody is', async t => {
  const server = await scriptedServer(t, stored)
  server.tokens = [status(401), status(401), tokenAnswer()]
  const { fetchCredentials, uploadData } = createConnector({ url: server.url })
  const rows = queue()
  t.equal(await fetchCredentials(), null)
  await t.rejects(uploadData(rows), { code: 'PSM_UNAUTHORIZED' })
  t.equal(server.count('/upload'), 0)
  await uploadData(rows)
  t.same(rows.left(), [])
})

const wrong: Array<[name: string, answer: object, code: string]> = [
  ['503', status(503), 'PSM_STATUS'],
  ['403', status(403), 'PSM_STATUS'],
  ['an array', [], 'PSM_ANSWER'],
  ['no token', { ...tokenAnswer(), token: undefined }, 'PSM_ANSWER'],
  ['an empty token', { ...tokenAnswer(), token: '' }, 'PSM_ANSWER'],
  ['no endpoint', { ...tokenAnswer(), powersync_url: null }, 'PSM_ANSWER'],
  ['no end', { ...tokenAnswer(), expires_at: 1 }, 'PSM_ANSWER'],
  ['an end that is no date', { ...tokenAnswer(), expires_at: 'soon' }, 'PSM_ANSWER']
]

for (const [name, answer, code] of wrong) {
  t.test(`/token answers with ${name}: an error, which is not kept`, async t => {
    const server = await scriptedServer(t, stored)
    server.tokens = [answer, answer, tokenAnswer()]
    const { fetchCredentials, uploadData } = createConnector({ url: server.url })
    await t.rejects(fetchCredentials(), { code })
    await t.rejects(uploadData(queue()), { code })
    await uploadData(queue())
    t.equal(server.count('/upload'), 1)
  })
}

t.test(
  'headers: asked for with each request, as an object, as pairs or as Headers; the connector\'s own win',
  async t => {
    const server = await scriptedServer(t, stored)
    const given = [
      { 'X-Session': 'session1', Authorization: 'mine', 'Content-Type': 'text/plain' },
      [['X-Session', 'session2']] as Array<[string, string]>,
      new Headers({ 'X-Session': 'session3' }),
      {}
    ]
    let next = 0
    const connector = createConnector({ url: server.url, headers: async () => given[next++]! })
    while (next < given.length) await connector.uploadData(queue())
    t.match(
      server.requests.filter(({ route }) => route === '/token'),
      [
        { headers: { authorization: 'mine', 'x-session': 'session1' } },
        { headers: { 'x-session': 'session2' } },
        {},
        {}
      ]
    )
    t.match(server.requests.filter(({ route }) => route === '/upload'), [
      { headers: { authorization: 'Bearer token1', 'x-session': 'session1', 'content-type': 'application/json' } },
      { headers: { authorization: 'Bearer token2', 'x-session': 'session2' } },
      { headers: { authorization: 'Bearer token3', 'x-session': 'session3' } },
      { headers: { authorization: 'Bearer token4', 'x-session': undefined } }
    ])
  }
)

t.test('headers in another form are an error of the connector, and the app is asked again', async t => {
  const server = await scriptedServer(t, stored)
  const given: any[] = ['x-session: 1', 5, undefined]
  const connector = createConnector({ url: server.url, headers: async () => given.shift() })
  while (given.length > 1) {
    await t.rejects(connector.uploadData(queue()), { code: 'PSM_HOOK', message: 'headers failed' })
  }
  await connector.uploadData(queue())
  t.equal(server.count('/upload'), 1)
})

t.test('uploads with the app\'s own headers need no token', async t => {
  const server = await scriptedServer(t, stored)
  const { uploadData } = createConnector({
    url: server.url,
    uploadWith: 'headers',
    headers: () => ({ authorization: 'session1' })
  })
  await uploadData(queue())
  t.same(bearers(server), ['session1'])
  t.equal(server.count('/token'), 0)
})

/** A queue in a database that keeps the connector's mark. */
function marked () {
  let mark: string | null = null
  return {
    ...queue(),
    getOptional: async <Row>() => ({ mark, last: 1 }) as Row,
    execute: async (_sql: string, [, value]: unknown[] = []) => { mark = String(value) }
  }
}

t.test('an upload by cookie is of the user of the token for the service', async t => {
  const server = await scriptedServer(t, status(503))
  let user = 'ann'
  server.tokens = [reply => reply.send(tokenAnswer({ token: jwt({ sub: user }) }))]
  const database = marked()
  const connector = createConnector({ url: server.url, uploadWith: 'headers' })
  for (let time = 0; time < 2; time++) await t.rejects(connector.uploadData(database), { code: 'PSM_STATUS' })
  user = 'bob'
  connector.invalidateCredentials()
  await t.rejects(connector.uploadData(database), { code: 'PSM_OTHER_USER' })
  t.equal(server.count('/upload'), 2)
  t.equal(server.count('/token'), 2)
})

t.test('an upload by a JWT of the app is of its user, whatever the token for the service says', async t => {
  const server = await scriptedServer(t, status(503))
  server.tokens = [tokenAnswer({ token: jwt({ sub: 'user1' }) })]
  const database = marked()
  let user = 'idp|ann'
  const headers = () => ({ authorization: `Bearer ${jwt({ sub: user })}` })
  const connector = createConnector({ url: server.url, uploadWith: 'headers', headers, database })
  await connector.fetchCredentials()
  await t.rejects(connector.uploadData(database), { code: 'PSM_STATUS' })
  user = 'idp|bob'
  await t.rejects(connector.uploadData(database), { code: 'PSM_OTHER_USER' })
  t.equal(server.count('/token'), 1)
})

t.test('an app that gets its tokens elsewhere', async t => {
  const server = await scriptedServer(t, stored)
  let count = 0
  const own = async (): Promise<Credentials> => ({ endpoint: 'https://instance.example', token: `own${++count}` })
  const connector = createConnector({ url: server.url, fetchCredentials: own })
  t.same(await connector.fetchCredentials(), { endpoint: 'https://instance.example', token: 'own1' })
  await connector.uploadData(queue())
  await connector.uploadData(queue())
  t.same(bearers(server), ['Bearer own1', 'Bearer own1'], 'without expiresAt it is good until the server refuses it')
  t.equal(server.count('/token'), 0)
  t.equal(await createConnector({ url: server.url, fetchCredentials: async () => null }).fetchCredentials(), null)
  t.equal(await createConnector({ url: server.url, fetchCredentials: () => undefined }).fetchCredentials(), null)
})

const end = new Date('2100-01-01T00:00:00Z')
const forms = { 'a date': end, text: end.toISOString(), seconds: end.getTime() / 1000, milliseconds: end.getTime() }
for (const [form, expiresAt] of Object.entries(forms)) {
  t.test(`an app that gives expiresAt as ${form}`, async t => {
    const server = await scriptedServer(t, stored)
    let count = 0
    const connector = createConnector({
      url: server.url,
      fetchCredentials: () => ({ endpoint: 'https://instance.example/', token: `own${++count}`, expiresAt })
    })
    await connector.uploadData(queue())
    t.same(await connector.fetchCredentials(), { endpoint: 'https://instance.example', token: 'own1', expiresAt: end })
  })
}

for (const given of [
  { expiresAt: 'soon' },
  { expiresAt: true },
  { expiresAt: new Date(NaN) },
  { token: '' },
  { token: 5 },
  { endpoint: undefined },
  'token'
]) {
  t.test(`an app that gives ${JSON.stringify(given)}: an error, and the app is asked again`, async t => {
    const server = await scriptedServer(t, stored)
    const good = { endpoint: 'https://instance.example', token: 'own', expiresAt: end }
    const answers = [typeof given === 'string' ? given : { ...good, ...given }, good] as Credentials[]
    const { uploadData } = createConnector({ url: server.url, fetchCredentials: () => answers.shift()! })
    await t.rejects(uploadData(queue()), { code: 'PSM_HOOK', message: /^fetchCredentials: expected/ })
    await uploadData(queue())
    t.same(bearers(server), ['Bearer own'])
  })
}

t.test('headers that are undefined are none, and so are single ones', async t => {
  for (const headers of [undefined, { authorization: undefined, 'x-team': null }] as never[]) {
    const server = await scriptedServer(t, stored)
    await createConnector({ url: server.url, headers: async () => headers }).uploadData(queue())
    t.same(bearers(server), ['Bearer token1'])
    for (const { headers } of server.requests) t.notOk('x-team' in headers)
    t.notOk('authorization' in server.requests[0]!.headers)
  }
})

for (const minutes of [5, -5, 60]) {
  t.test(
    `a device whose clock is ${minutes} minutes off the server's uses a token for as long as it lives`,
    async t => {
      const server = await scriptedServer(t, stored)
      const issued = Math.floor(Date.now() / 1000) - minutes * 60
      server.tokens = [
        reply =>
          reply.send({
            token: jwt({ sub: 'ann', iat: issued, exp: issued + 300 }),
            powersync_url: 'https://x',
            expires_at: new Date((issued + 300) * 1000).toISOString()
          })
      ]
      const { uploadData, fetchCredentials } = createConnector({ url: server.url })
      await uploadData(queue())
      await uploadData(queue())
      await fetchCredentials()
      t.equal(server.count('/token'), 1)
    }
  )
}

for (const code of [301, 302, 303, 307, 308]) {
  t.test(`a redirect with ${code} is not followed, and named without its query`, async t => {
    const redirect: Answer = reply =>
      reply.code(code).header('location', 'https://elsewhere.example/sign-in?secret=1#x').send()
    const server = await scriptedServer(t, redirect)
    const connector = createConnector({ url: server.url })
    const rows = queue()
    await t.rejects(connector.uploadData(rows), {
      code: 'PSM_REDIRECT',
      status: code,
      message: `POST ${server.url}/upload: redirected to https://elsewhere.example/sign-in: let option url name the server itself`
    })
    t.same(rows.left(), [[1]])
    server.tokens = [redirect]
    connector.invalidateCredentials()
    await t.rejects(connector.fetchCredentials(), { code: 'PSM_REDIRECT', message: /^GET / })
  })
}

t.test('a redirect in a browser, which hides the target', async t => {
  const fetch: Fetch = async () => ({ ok: false, status: 0, json: async () => null })
  await t.rejects(createConnector({ url: '/powersync', fetch }).fetchCredentials(), {
    code: 'PSM_REDIRECT',
    message: /^GET \/powersync\/token: redirected: /
  })
})

t.test('a function of the app that fails is named, with its error as the cause', async t => {
  const server = await scriptedServer(t, stored)
  const mine = new Error('mine')
  const fail = () => { throw mine }
  const rows = queue()
  await t.rejects(createConnector({ url: server.url, headers: fail }).uploadData(rows), {
    code: 'PSM_HOOK',
    message: /^headers/,
    cause: mine
  })
  await t.rejects(createConnector({ url: server.url, fetchCredentials: fail }).uploadData(rows), {
    code: 'PSM_HOOK',
    message: /^fetchCredentials/,
    cause: mine
  })
  t.same(rows.left(), [[1]])
})
