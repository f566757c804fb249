import t, { type Test } from 'tap'
import { collection, type PowerSyncMongoOptions } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { Long, type mongodb } from '../../lib/bson.js'
import { commandError, startWireServer, type Outcome } from '../support/wire-server.js'

const database = await testDatabase(t)

async function server (t: Test, options: Partial<PowerSyncMongoOptions> = {}) {
  const app = await testServer(t, {
    mongo: { url: database.uri },
    authenticate: request => typeof request.headers['x-user'] === 'string' ? { id: request.headers['x-user'] } : null,
    collections: { rows: collection({ schema: 'any' }) },
    checkpoints: true,
    ...options
  })
  return {
    app,
    send: async (payload: unknown, headers: Record<string, string> = { 'x-user': 'user1' }) => {
      const response = await app.inject({
        method: 'PUT',
        url: '/checkpoint',
        headers: { 'content-type': 'application/json', ...headers },
        payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
      })
      return { status: response.statusCode, body: response.json() }
    }
  }
}

t.test('each user and client gets its own increasing number', async t => {
  const { app, send } = await server(t)
  t.same(await send({ client_id: 'phone' }), { status: 200, body: { checkpoint: '1' } })
  t.same(await send({ client_id: 'phone' }), { status: 200, body: { checkpoint: '2' } })
  t.same(await send({ client_id: 'tablet' }), { status: 200, body: { checkpoint: '1' } })
  t.same(await send({ client_id: 'phone' }, { 'x-user': 'user2' }), { status: 200, body: { checkpoint: '1' } })
  const stored = await app.mongo
    .db!.collection('powersync_write_checkpoints')
    .find({}, { promoteLongs: false })
    .toArray()
  t.same(
    stored
      .map(({ user_id: user, client_id: client, checkpoint }) => [
        user,
        client,
        checkpoint.constructor.name,
        String(checkpoint)
      ])
      .sort(),
    [
      ['user1', 'phone', 'Long', '2'],
      ['user1', 'tablet', 'Long', '1'],
      ['user2', 'phone', 'Long', '1']
    ]
  )
  t.equal(
    await app.mongo.db!.collection('_powersync_checkpoints').countDocuments(),
    0,
    'the service\'s own are not touched'
  )
})

t.test('many requests at the same time get different numbers', async t => {
  const { send } = await server(t)
  const answers = await Promise.all(Array.from({ length: 10 }, () => send({ client_id: 'busy' })))
  const numbers = answers.map(({ body }) => Number(body.checkpoint))
  t.ok(numbers.every(number => number >= 1), numbers.join())
  t.equal(new Set(numbers).size, 10, numbers.join())
  // A retry may skip a number.
  const later = Number((await send({ client_id: 'busy' })).body.checkpoint)
  t.ok(numbers.every(number => number < later), `${later} comes after ${numbers.join()}`)
})

t.test('the authentication is that of uploads', async t => {
  const { app, send } = await server(t)
  t.match(await send({ client_id: 'phone' }, {}), { status: 401, body: { code: 'FST_PSM_UNAUTHORIZED' } })
  const { token } = await app.powersync.signToken({ id: 'bearer' })
  t.same(await send({ client_id: 'phone' }, { authorization: `Bearer ${token}` }), {
    status: 200,
    body: { checkpoint: '1' }
  })
})

t.test('a body without a client is answered with 400 and what was expected', async t => {
  const { send } = await server(t)
  const cases: [unknown, RegExp][] = [
    [
      {},
      /^client_id: expected the client database's id as text of at most 1024 characters, none of them a control character and not empty, found nothing$/
    ],
    [{ client_id: 5 }, /found a number$/],
    [{ client_id: '' }, /found empty text$/],
    [{ client_id: 'a\nb' }, /none of them a control character and not empty, found text$/],
    [{ client_id: 'x'.repeat(1025) }, /found text$/],
    ['null', /found nothing$/],
    ['', /^The body: expected an object with "client_id", found nothing$/],
    ['{', /^The body: expected an object with "client_id", found something that is not JSON$/]
  ]
  for (const [body, message] of cases) {
    t.match(await send(body), { status: 400, body: { code: 'FST_PSM_BODY', message } })
  }
  t.equal((await send({ client_id: 'x'.repeat(5000) })).status, 413)
})

t.test('a checkpoint request gets the greater of what is asked for and what is stored', async t => {
  const { send } = await server(t)
  const ask = (id: unknown, client = 'asking') => send({ client_id: client, checkpoint_request_id: id })
  const reached = async (id: string) => (await ask(id)).body
  t.same(await reached('5'), { checkpoint_request_id: '5' })
  t.same(await reached('3'), { checkpoint_request_id: '5' }, 'late or sent again')
  t.same(await reached('9223372036854775807'), { checkpoint_request_id: '9223372036854775807' })
  t.same((await ask('1', 'other')).body, { checkpoint_request_id: '1' }, 'each client has its own')
  t.same(await send({ client_id: 'other' }), { status: 200, body: { checkpoint: '2' } }, 'both forms share one number')
  for (const id of ['0', '-1', '1.5', '9223372036854775808', '10000000000000000000', '', 7, {}]) {
    t.match(
      await ask(id),
      { status: 400, body: { message: /^checkpoint_request_id: expected a positive 64-bit integer as text, found / } },
      JSON.stringify(id)
    )
  }
  const together = await Promise.all(['4', '9', '2', '7'].map(id => ask(id, 'busy requests')))
  t.ok(together.every(({ status }) => status === 200))
  t.same((await ask('1', 'busy requests')).body, { checkpoint_request_id: '9' })
})

t.test('it is there only when asked for', async t => {
  const { send } = await server(t, { checkpoints: false })
  t.equal((await send({ client_id: 'phone' })).status, 404)
  const left = await server(t, { routes: { checkpoint: false } })
  t.equal((await left.send({ client_id: 'phone' })).status, 404)
  await t.rejects(server(t, { checkpoints: 'yes' as unknown as boolean }), {
    code: 'FST_PSM_OPTION',
    message: /option checkpoints is text: expected true or false/
  })
})

t.test('numbers of 64 bits, a race for the first document, and a MongoDB that fails', async t => {
  const outcomes: Outcome[] = []
  const mongo = await startWireServer({ on: { findAndModify: () => outcomes.shift() } })
  t.teardown(() => mongo.stop())
  const { send } = await server(t, { mongo: { url: mongo.uri } })
  mongo.reset()
  const value = (checkpoint: mongodb.Long) => ({
    ok: 1,
    value: { _id: 'x', checkpoint },
    lastErrorObject: { n: 1, updatedExisting: true }
  })

  outcomes.push(value(Long.fromString('9007199254740993')))
  t.same(await send({ client_id: 'phone' }), { status: 200, body: { checkpoint: '9007199254740993' } })
  t.match(mongo.commands[0]?.document, {
    findAndModify: 'powersync_write_checkpoints',
    upsert: true,
    new: true,
    writeConcern: { w: 'majority' }
  })

  outcomes.push(
    commandError({
      code: 11000,
      errmsg: 'E11000 duplicate key error collection: test.x index: _id_ dup key: { _id: "secret" }'
    }),
    value(Long.fromNumber(2))
  )
  t.same(await send({ client_id: 'phone' }), { status: 200, body: { checkpoint: '2' } })

  outcomes.push(commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }))
  const { status, body } = await send({ client_id: 'phone' })
  t.equal(status, 503)
  t.match(body, {
    code: 'FST_PSM_UNAVAILABLE',
    message: 'The write checkpoint could not be taken: send the request again'
  })
})
