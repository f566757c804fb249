import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import powersyncMongo, { bson, collection, developmentAuth, firstOf, PowerSyncFatalError } from '../../index.js'
import { observed } from '../../lib/uploads/outcomes.js'
import { noSpans } from '../../lib/observe/spans.js'
import { testDatabase } from '../support/database.js'
import { keptLog, keys, testServer, upload } from '../support/server.js'
import { commandError, startWireServer } from '../support/wire-server.js'

const database = await testDatabase(t)

type Line = Record<string, unknown> & { level: number, msg: string }

/** A server that logs everything, and its lines since they were last asked for. */
async function loggingServer (t: Test, uri = database.uri) {
  const text: string[] = []
  const app = await testServer(t, {
    mongo: { url: uri },
    collections: {
      notes: collection({
        schema: Type.Object({ text: Type.String(), at: Type.Optional(bson.Date()) }),
        authorize: ({ id }) => id !== 'row-forbidden' || 'no',
        transform: operation => {
          if (operation.id === 'row-quota') throw new PowerSyncFatalError('QUOTA', 'Too many')
          return operation
        }
      })
    }
  }, { logger: { level: 'trace', stream: { write: line => { text.push(line) } } } })
  return { app, text, lines: () => text.splice(0).map(line => JSON.parse(line) as Line) }
}

const put = (id: string, data: object = { text: 'secret-value' }) => ({ op: 'PUT', type: 'notes', id, data })
const info = 30

t.test('an upload is one line at level info, in the log of its request: counts, codes and a duration', async t => {
  const { app, lines } = await loggingServer(t)
  lines()
  await upload(app, {
    batch: [
      { ...put('row-1'), tx_id: 1 },
      { ...put('row-2'), tx_id: 1 },
      { ...put('row-3', { text: 5 }), tx_id: 2 },
      { ...put('row-4'), tx_id: 3 },
      { ...put('row-quota'), tx_id: 3 }
    ]
  })
  const all = lines()
  const request = all.find(({ msg }) => msg === 'incoming request')
  const [line, ...more] = all.filter(({ level, msg }) => level === info && msg.startsWith('upload'))
  t.same(more, [])
  const { level, time, pid, hostname, milliseconds, ...rest } = line!
  t.same(rest, {
    reqId: request?.['reqId'],
    msg: 'upload finished',
    transactions: 3,
    applied: 1,
    rejected: 2,
    retryable: 0,
    notAttempted: 0,
    operations: 5,
    errorCodes: { INVALID_DATA: 1, QUOTA: 1 }
  })
  t.type(milliseconds, 'number')
  t.ok(Number(milliseconds) >= 0)
})

t.test('what is rejected, to be sent again, or behind it, is counted', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const { app, lines } = await loggingServer(t, mongo.uri)
  lines()
  mongo.script('update', commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret-message' }))
  await upload(app, { transactions: [{ crud: [put('row-1')] }, { crud: [put('row-2')] }] })
  mongo.script(
    'update',
    ...Array.from({ length: 4 }, () => commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret-message' }))
  )
  await upload(app, { transactions: [{ crud: [put('row-1')] }, { crud: [put('row-2')] }] })
  t.match(lines().filter(({ msg }) => msg === 'upload finished'), [
    { transactions: 2, applied: 2, retryable: 0 },
    { transactions: 2, applied: 0, rejected: 0, retryable: 1, notAttempted: 1, errorCodes: {} }
  ])
})

t.test('no line of any level holds a value, the id of a row, or a token', async t => {
  const { app, text } = await loggingServer(t)
  const token = (await app.powersync.signToken({ id: 'user1' })).token
  const headers = { authorization: `Bearer ${token}` }
  for (const body of [
    {
      client_id: 'phone',
      batch: [
        { ...put('row-5'), op_id: 1, tx_id: 1 },
        { ...put('row-6', { text: 'secret-value', at: 'secret-date' }), op_id: 2, tx_id: 2 }
      ]
    },
    { batch: [put('row-forbidden'), put('row-quota')] },
    { batch: [{ ...put('row-7'), type: 'secret_table' }, put('row-8', { secret_column: 'secret-value' })] },
    { batch: [{ op: 'secret-op', type: 'notes', id: 'row-9' }] },
    '{"batch": secret-json'
  ]) await upload(app, body, { headers })
  await app.inject({ url: '/token', headers })
  const log = text.join('')
  t.match(log, 'upload finished')
  t.match(log, 'INVALID_DATA')
  t.match(log, 'an upload cannot be read')
  for (const secret of [/secret/, /row-\w/, new RegExp(token.slice(-20))]) t.notMatch(log, secret)
})

t.test('uploads of the app\'s own are seen as well, in the log of the server', async t => {
  const { app, lines } = await loggingServer(t)
  lines()
  await app.powersync.upload(
    [{ operations: [{ op: 'PUT', table: 'notes', id: 'row-1', data: { text: 'x' }, index: 0 }] }],
    { id: 'user1' }
  )
  const [line] = lines().filter(({ msg }) => msg === 'upload finished')
  t.match(line, { transactions: 1, applied: 1, operations: 1 })
  t.notHas(line, { reqId: String })
})

t.test('a failed onResult hook does not bring MongoDB\'s message, which quotes documents, into the log', async t => {
  const { lines, logger } = keptLog()
  const app = await testServer(t, {
    mongo: { url: database.uri },
    collections: { notes: collection({ schema: Type.Object({ text: Type.String() }) }) },
    onResult: async (_outcome, { db }) => {
      const audit = db.collection<{ _id: string }>('audit')
      await audit.insertOne({ _id: 'secret-key' })
      await audit.insertOne({ _id: 'secret-key' })
    }
  }, { logger })
  t.equal((await upload(app, { batch: [put('row-1')] })).status, 200)
  t.match(lines.join(''), /onResult failed.*|"code":11000/)
  t.match(lines.join(''), /"code":11000/)
  t.notMatch(lines.join(''), /secret/)
})

t.test('of an error of the app, its message is in the log, and not the request that a library puts on it', async t => {
  const failing = (statusCode?: number) => () => {
    throw Object.assign(new Error('no answer'), { statusCode, config: { headers: { authorization: 'secret-token' } } })
  }
  const fine = () => ({ id: 'user1' })
  for (const [options, status, reason = 'no answer'] of [
    [{ onResult: failing() }, 200],
    [{ authorize: failing() }, 503],
    // eslint-disable-next-line prefer-promise-reject-errors
    [{ authorize: () => Promise.reject({ config: 'secret-token' }) }, 503, 'authorize of notes failed'],
    [{ authenticate: failing() }, 503],
    [{ authenticate: failing(502) }, 502],
    [{ authenticate: failing(403) }, 403],
    [{ authenticate: firstOf(failing(), fine) }, 200],
    [{ authenticate: fine, token: { claims: failing() } }, 503]
  ] as const) {
    const { lines, logger } = keptLog()
    const collections = { notes: collection({ schema: Type.Object({ text: Type.String() }) }) }
    const app = await testServer(t, { mongo: { url: database.uri }, collections, ...options }, { logger })
    t.equal((await upload(app, { batch: [put('row-1')] })).status, status)
    t.match(lines.join(''), `"reason":"${reason}"`)
    t.notMatch(lines.join(''), 'secret')
  }
})

t.test('a fault of the plugin itself is passed on', async t => {
  const bug = new Error('a bug')
  await t.rejects(
    observed(() => Promise.reject(bug), noSpans)(
      [],
      { user: { id: 'user1' }, request: undefined, log: {} as never },
      { onRejection: 'skip' }
    ),
    bug
  )
})

t.test('the start is one line: tables with their rules, routes, database, who may upload', async t => {
  const { app, lines } = await loggingServer(t)
  const [line, ...more] = lines().filter(({ msg }) => msg === 'fastify-powersync-mongo is ready')
  t.same(more, [])
  t.match(line, {
    level: info,
    powersync: {
      database: app.mongo.db!.databaseName,
      routes: ['GET /jwks', 'GET /token', 'POST /upload'],
      uploads: 'users of authenticate and bearers of this server\'s tokens',
      tables: [
        {
          table: 'notes',
          collection: 'notes',
          owner: 'none: every user writes every row',
          operations: ['PUT', 'PATCH', 'DELETE'],
          hooks: ['authorize', 'transform']
        }
      ]
    }
  })
})

t.test('the start names the routes by the paths that they have', async t => {
  const { lines, logger } = keptLog()
  const host = Fastify({ logger })
  t.teardown(() => host.close())
  const options = {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    authenticate: developmentAuth(),
    mongo: { url: database.uri },
    collections: { notes: collection({ schema: Type.Object({ text: Type.String() }) }) },
    prefix: 'ps/',
    routes: { jwks: false as const, token: { url: '/credentials' } }
  }
  await host.register(async scope => { await scope.register(powersyncMongo, options) }, { prefix: '/api' })
  const line = JSON.parse(lines.find(line => line.includes('is ready'))!)
  t.same(line.powersync.routes, ['GET /api/ps/credentials', 'POST /api/ps/upload'])
})

t.test('a rejection says which kind of id it was about, and never the id', async t => {
  const { app, lines } = await loggingServer(t)
  for (const [id, kind] of [
    ['6b1d1f0e-8f0c-4c8e-9d7b-0a1b2c3d4e5f', 'a UUID'],
    ['507f1f77bcf86cd799439011', 'an ObjectId'],
    ['42', 'an integer'],
    ['secret-id', 'text of 9 characters']
  ] as const) {
    lines()
    await upload(app, { batch: [put(id, { text: 5 })] })
    const line = lines().find(({ msg }) => msg === 'upload rejected, kept as a dead letter')
    t.match(line, { table: 'notes', id: kind, code: 'INVALID_DATA', letter: String })
    t.notMatch(JSON.stringify(line), 'secret-id')
  }
})
