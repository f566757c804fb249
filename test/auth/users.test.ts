/** One user everywhere: hooks and rules see `{ id, ...claims }`, by token, by session and in a retry. */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, type PowerSyncMongoOptions, type User } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { keptLog, testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
let servers = 0

/** A server on which this user is signed in by session; `as` uploads one PUT in each way. */
async function signedIn (
  t: Test,
  user: { id: string, [name: string]: unknown },
  options: Partial<PowerSyncMongoOptions>
) {
  const seen: User[] = []
  const log: string[] = []
  const app = await testServer(t, {
    mongo: { url: database.uri.replace(/\/([^/?]+)(\?|$)/, `/$1_${++servers}$2`) },
    authenticate: request => request.headers['x-session'] === undefined ? null : user,
    collections: {
      logs: collection({
        schema: Type.Object({}),
        authorize: (_, context) => {
          seen.push({ ...context.user })
          return context.user['role'] !== 'guest' || 'Guests write no logs'
        }
      }),
      invoices: collection({
        schema: Type.Object({ org_id: Type.String() }),
        owner: { field: 'org_id', value: user => user['org'] }
      })
    },
    ...options
  }, { logger: { level: 'warn', stream: { write: (line: string) => { log.push(line) } } } })
  const put = async (table: string, headers: Record<string, string>) =>
    await upload(app, { batch: [{ op: 'PUT', table, id: `${table}${Object.keys(headers)}`, data: {} }] }, { headers })
  return {
    app,
    seen,
    log,
    bySession: (table: string) => put(table, { 'x-session': '1' }),
    byToken: async (table: string) => {
      const { token } = (await app.inject({ url: '/token', headers: { 'x-session': '1' } })).json()
      return await put(table, { authorization: `Bearer ${token}` })
    }
  }
}

const refused = { failed_operation: { error_code: 'UNAUTHORIZED', message: 'Guests write no logs' } }

t.test(
  'what a user may do does not depend on how the upload came in, nor on whether a letter is run again',
  async t => {
    const { app, seen, bySession, byToken } = await signedIn(
      t,
      { id: 'gus', role: 'guest', password: 'secret' },
      { token: { claims: ({ role }) => ({ role }) } }
    )
    t.match((await bySession('logs')).body.results, [refused])
    t.match((await byToken('logs')).body.results, [refused])
    for (const { _id } of await app.powersync.deadLetters.list()) {
      t.match(await app.powersync.deadLetters.retry(_id), refused)
    }
    t.strictSame(seen, Array(4).fill({ role: 'guest', id: 'gus' }), 'nothing else of what authenticate gave')
    const [letter] = await app.powersync.deadLetters.list()
    t.match(
      await app.powersync.deadLetters.retry(letter!._id, { user: { role: 'editor' } }),
      { status: 'success' },
      'an operator may say otherwise'
    )
  }
)

t.test('a rule that reads a claim finds it by token and by session, in the values of JSON', async t => {
  const { app, seen, bySession, byToken } = await signedIn(t, { id: 'ann' }, {
    token: { claims: () => ({ role: 'editor', org: 'o1', since: new Date(0), left: undefined }) }
  })
  for (const send of [bySession, byToken]) {
    t.match((await send('logs')).body.results, [{ status: 'success' }])
    t.match((await send('invoices')).body.results, [{ status: 'success' }])
  }
  t.same(seen[0], { id: 'ann', role: 'editor', org: 'o1', since: '1970-01-01T00:00:00.000Z', left: null })
  t.same(seen[1], seen[0])
  t.same(await app.mongo.db!.collection('invoices').distinct('org_id'), ['o1'])
})

t.test('a rule that reads a claim which no user has is the server\'s mistake: 503, and the log names it', async t => {
  const { app, log, bySession, byToken } = await signedIn(t, { id: 'gus', role: 'guest', org: 'o1' }, {})
  for (const [table, claim] of [['logs', 'role'], ['invoices', 'org']] as const) {
    for (const send of [bySession, byToken]) {
      t.match(await send(table), { status: 503, body: { results: [{ status: 'retryable_error' }] } })
      t.match(log.pop(), new RegExp(`user\\.${claim} was read, but the user has no such claim`))
    }
  }
  t.same(await app.powersync.deadLetters.list(), [])
})

t.test('the user is read-only, in hooks too', async t => {
  const errors: unknown[] = []
  const { bySession } = await signedIn(t, { id: 'ann' }, {
    collections: {
      logs: collection({
        schema: Type.Object({}),
        authorize: (_, { user }) => {
          try {
            ;(user as { id: string }).id = 'bob'
          } catch (error) {
            errors.push(error)
          }
          return true
        }
      })
    }
  })
  t.equal((await bySession('logs')).status, 200)
  t.match(errors, [TypeError])
})

t.test('nested claims are read-only too: what a hook did to them would be seen by the next upload', async t => {
  const app = await testServer(t, {
    mongo: { url: database.uri },
    token: { claims: () => ({ roles: ['guest'] }) },
    collections: { logs: collection({ schema: Type.Object({}) }) },
    authorize: (_, { user }) => {
      ;(user['roles'] as string[]).push('admin')
      return true
    }
  })
  const { token } = (await app.inject('/token?user_id=ann')).json()
  const batch = [{ op: 'PUT', table: 'logs', id: 'a', data: {} }]
  for (const headers of [{}, { authorization: `Bearer ${token}` }]) {
    t.equal((await upload(app, { batch }, { headers })).status, 503)
  }
})

t.test('without tokens, a letter keeps all names of what authenticate gave, whatever their values', async t => {
  const roles: unknown[] = []
  const app = await testServer(t, {
    mongo: { url: database.uri },
    routes: { token: false, jwks: false },
    authenticate: () => ({ id: 'ann', role: undefined, tenant: 5n }),
    collections: {
      refused: collection({
        schema: Type.Object({}),
        authorize: (_, { user }) => {
          roles.push(user['role'] ?? null, String(user['tenant']))
          return false
        }
      })
    }
  })
  const batch = [{ op: 'PUT', table: 'refused', id: 'a', data: {} }]
  t.match(await upload(app, { batch }), { status: 200, body: { results: [{ status: 'fatal_error' }] } })
  const [letter] = await app.powersync.deadLetters.list({ limit: 1 })
  t.match(await app.powersync.deadLetters.retry(letter!._id), { status: 'fatal_error' })
  t.same(roles, [null, '5', null, '5'])
})

t.test('without tokens, a user that no letter could keep is refused at once, and the log says why', async t => {
  const circular: Record<string, unknown> = {}
  circular['parent'] = circular
  const { lines, logger } = keptLog('error')
  const app = await testServer(t, {
    mongo: { url: database.uri },
    routes: { token: false, jwks: false },
    authenticate: () => ({ id: 'ann', circular }),
    collections: { logs: collection({ schema: Type.Object({}) }) }
  }, { logger })
  const operation = { op: 'PUT' as const, table: 'logs', id: 'a', data: {} }
  t.match(await upload(app, { batch: [operation] }), { status: 503 })
  t.match(lines.join(''), /authenticate gave a user that JSON cannot hold/)
  const transactions = [{ operations: [{ ...operation, index: 0 }] }]
  await t.rejects(app.powersync.upload(transactions, { id: 'ann', circular }), /user that JSON cannot hold/)
})

t.test('claims that cannot be worked out are answered with 503, and so are reserved ones', async t => {
  const hidden = { toJSON: () => ({ iss: 'x' }) }
  const noObject = { toJSON: () => 'editor' }
  const given: unknown[] = ['editor', ['editor'], 5, true, hidden, new Date(0), noObject]
  const wrong = given.map(claims => () => claims as Record<string, unknown>)
  const failing = [() => { throw new Error('down') }, () => ({ sub: 'admin' }), () => ({ parameters: [] }), ...wrong]
  for (const claims of failing) {
    const { app, bySession } = await signedIn(t, { id: 'ann' }, { token: { claims } })
    t.match((await bySession('logs')).body, { code: 'FST_PSM_AUTHENTICATION_UNAVAILABLE' })
    t.equal((await app.inject({ url: '/token', headers: { 'x-session': '1' } })).statusCode, 503)
  }
})
