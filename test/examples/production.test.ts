/** examples/production.ts: tried out as it prints, used as in production, and refused where it is not safe. */
import { once } from 'node:events'
import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { testDatabase } from '../support/database.js'
import { keys } from '../support/server.js'
import { spawnExample, startExample } from './run.js'

// Beside other tests, each example takes its time to start.
t.setTimeout(450_000)

const port = 20_000 + Math.floor(Math.random() * 20_000)
const json = { 'content-type': 'application/json' }
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

t.test(
  'without any configuration it prints how to sign in, get a token and write, which works as it stands',
  async t => {
    const { server, output } = await startExample(t, 'production.ts', {
      last: 'Server listening',
      env: { PORT: String(port) }
    })
    t.match(output, /^ {2}Not production/m)
    const [signIn, token, upload] = [...output.matchAll(/^curl '?(http:[^' ]+)/gm)].map(([, url]) => url!) as [
      string,
      string,
      string
    ]
    const [, body] = /-d '(.*)'$/m.exec(output)!

    t.equal((await fetch(token)).status, 401)
    const { access_token: accessToken } = await (await fetch(signIn)).json() as { access_token: string }
    const answer = await (await fetch(token, { headers: bearer(accessToken) })).json() as { token: string }
    t.match(answer, { token: String, powersync_url: 'http://localhost:8080', expires_at: String })
    const uploaded = await fetch(upload, { method: 'POST', headers: { ...json, ...bearer(answer.token) }, body: body! })
    t.strictSame(await uploaded.json(), { results: [{ status: 'success' }] })
    t.equal((await fetch(upload, { method: 'POST', headers: json, body: body! })).status, 401)

    server.kill('SIGTERM')
    t.strictSame(await once(server, 'exit'), [0, null])
  }
)

t.test('rows belong to whoever signed in, and limits and headers are there', async t => {
  const mongo = await testDatabase(t)
  const { output } = await startExample(t, 'production.ts', {
    last: 'Server listening',
    env: {
      MONGO_URI: mongo.uri,
      PORT: String(port + 1),
      POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64,
      POWERSYNC_URL: 'https://me.powersync.example',
      ...(mongo.kind === 'emulator' && { VALIDATORS: 'off' })
    }
  })
  const [, issuer] = /Issuer +(\S+)/.exec(output)!
  const url = `http://127.0.0.1:${port + 1}`
  const client = new fastifyMongodb.mongodb.MongoClient(mongo.uri)
  t.teardown(() => client.close())

  async function signIn (user: string): Promise<string> {
    const { access_token: accessToken } = (await (await fetch(`${issuer}/sign-in?user=${user}`)).json()) as {
      access_token: string
    }
    const { token } = (await (await fetch(`${url}/powersync/token`, { headers: bearer(accessToken) })).json()) as {
      token: string
    }
    return token
  }
  const [anna, ben] = [await signIn('anna'), await signIn('ben')]
  const upload = async (token: string, ...batch: object[]) =>
    await (
      await fetch(`${url}/powersync/upload`, {
        method: 'POST',
        headers: { ...json, ...bearer(token) },
        body: JSON.stringify({ batch })
      })
    ).json()
  const list = '61d19021-0565-4686-acc4-3ea4f8c48839'
  const todo = (id: number) => ({
    op: 'PUT',
    table: 'todos',
    id: `00000000-0000-4000-8000-00000000000${id}`,
    data: { list_id: list, description: 'Milk' }
  })
  const success = { results: [{ status: 'success' }] }
  const unauthorized = { results: [{ status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }] }

  await t.test('rows', async t => {
    t.match(
      await upload(
        anna,
        { op: 'PUT', table: 'lists', id: list, data: { name: 'Groceries', owner_id: 'ben', created_at: '1970-01-01' } },
        todo(1)
      ),
      success
    )
    t.match(await upload(ben, { op: 'PUT', table: 'lists', id: list, data: { name: 'taken' } }), unauthorized)
    t.match(
      await upload(ben, { op: 'PATCH', table: 'lists', id: list, data: { name: 'taken' } }),
      success,
      'as if it did not exist'
    )
    t.match(await upload(ben, todo(2)), unauthorized)
    t.match(await upload(anna, { op: 'PUT', table: 'lists', id: list, data: { name: '' } }), {
      results: [{ failed_operation: { error_code: 'INVALID_DATA' } }]
    })
    const [stored, ...further] = await client.db().collection('lists').find().toArray()
    t.match(stored, { _id: list, name: 'Groceries', owner_id: 'anna' })
    t.ok(stored?.['created_at'] > new Date('2024-01-01'), 'the server says when')
    t.match(
      [further, await client.db().collection('todos').find().toArray()],
      [[], [{ owner_id: 'anna', list_id: list }]]
    )
  })

  await t.test('headers, CORS and health', async t => {
    const response = await fetch(`${url}/powersync/jwks`, { headers: { origin: 'https://app.example.com' } })
    t.match(Object.fromEntries(response.headers), {
      'x-content-type-options': 'nosniff',
      'access-control-allow-origin': 'https://app.example.com'
    })
    t.strictSame(await (await fetch(`${url}/health`)).json(), { accepting: true, running: 0 })
  })

  await t.test('a flood', async t => {
    const statuses: number[] = []
    for (let request = 0; request < 130; request++) {
      statuses.push((await fetch(`${url}/powersync/upload`, { method: 'POST', headers: json, body: '{}' })).status)
    }
    t.strictSame([...new Set(statuses)], [401, 429])
    t.ok(statuses.lastIndexOf(401) >= 100, 'not before a client that tries again every few seconds')
    t.equal((await fetch(`${url}/powersync/jwks`)).status, 200)
  })
})

t.test('in production nothing is made up, and what is not safe does not start', async t => {
  const configured = {
    NODE_ENV: 'production',
    AUDIENCE: 'https://api.example.com',
    POWERSYNC_URL: 'https://me.powersync.example',
    POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64,
    MONGO_URI: 'mongodb://127.0.0.1:9/app'
  }
  const cases: Array<[name: string, env: Record<string, string>, message: RegExp]> = [
    ['no issuer', { NODE_ENV: 'production', AUDIENCE: 'https://api.example.com' }, /option jwtIssuers\.issuers/],
    ['an issuer that is not https', { ...configured, ISSUER: 'http://id.example.com' }, /plain http/],
    ['no audience', { ...configured, AUDIENCE: '', ISSUER: 'https://id.example.com' }, /jwtIssuers\.audience/],
    ['no key', { ...configured, POWERSYNC_PRIVATE_KEY: '', ISSUER: 'https://id.example.com' }, /POWERSYNC_PRIVATE_KEY/]
  ]
  for (const [name, env, message] of cases) {
    const { server, errors } = await spawnExample(t, 'production.ts', env)
    t.strictSame(await once(server, 'close'), [1, null], name)
    t.match(errors.join(''), message, name)
  }
})
