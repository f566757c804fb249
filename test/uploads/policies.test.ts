import { connect } from 'node:net'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import Fastify, { type FastifyServerOptions } from 'fastify'
import { Type } from '@sinclair/typebox'
import { collection, PowerSyncFatalError, type CrudOperation, type PowerSyncMongoOptions } from '../../index.js'
import { limitTime, passBodies, readBody } from '../../lib/wire/body.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { commandError, startWireServer } from '../support/wire-server.js'

const database = await testDatabase(t)
const Row = Type.Object({ text: Type.Optional(Type.String()) })
let tables = 0

async function server (t: Test, options: Partial<PowerSyncMongoOptions>, serverOptions: FastifyServerOptions = {}) {
  const table = `rows${++tables}`
  const app = await testServer(
    t,
    { mongo: { url: database.uri }, collections: { [table]: collection({ schema: Row }) }, ...options },
    serverOptions
  )
  const put = (id: string, transaction?: number, text: unknown = 'x') => ({
    op: 'PUT',
    type: table,
    id,
    data: { text },
    op_id: Number(id.replace(/\D/g, '')),
    tx_id: transaction
  })
  const stored = async () => (await app.mongo.db!.collection(table).distinct('_id')).sort()
  const letters = async () =>
    (await app.powersync.deadLetters.list()).filter(({ operations }) => operations[0]?.table === table)
  return { app, put, stored, letters }
}

t.test('a rejected operation rejects its whole client transaction, which is one dead letter', async t => {
  for (const client of [undefined, 'phone']) {
    const { app, put, stored, letters } = await server(t, {})
    const body = {
      client_id: client,
      batch: [put('r0', 0), put('r1', 1), put('r2', 1, 5), put('r3', 1, 6), put('r4', 2)]
    }
    const first = await upload(app, body)
    t.equal(first.status, 200)
    t.match(first.body.results, [
      { status: 'success' },
      { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', operation_index: 1 } },
      { status: 'success' }
    ])
    t.same(await stored(), ['r0', 'r4'])
    t.same((await letters()).map(({ operations }) => operations.map(({ id }) => id)), [['r1', 'r2', 'r3']])
    t.same((await upload(app, body)).body, first.body)
    t.equal((await letters()).length, 1, 'sent again, there are no more')
  }
})

t.test('a hook that names an operation which is not in the transaction rejects it as well', async t => {
  const { app, put, letters } = await server(t, {
    authorize: () => { throw new PowerSyncFatalError('NO', 'No', { operationIndex: 7 }) }
  })
  const body = { client_id: 'phone', batch: [put('r1', 1)] }
  const first = await upload(app, body)
  t.equal(first.status, 200)
  t.match(first.body.results, [{ status: 'fatal_error', failed_operation: { error_code: 'NO', operation_index: 7 } }])
  t.same((await upload(app, body)).body, first.body)
  t.equal((await letters()).length, 1)
})

t.test('what no operation is to blame for rejects the transaction as well', async t => {
  const { app, put, letters } = await server(t, {
    updateBatch: () => {
      throw new PowerSyncFatalError('QUOTA', 'Too many')
    }
  })
  for (const client of [undefined, 'phone']) {
    const { body } = await upload(app, { client_id: client, batch: [put('r0'), put('r1')] })
    t.match(body.results, [
      { status: 'fatal_error', failed_operation: { error_code: 'QUOTA', operation_index: undefined } }
    ])
    t.equal((await letters())[0]?.operations.length, 2)
  }
})

t.test('the container says what a rejected transaction does to those after it', async t => {
  for (const container of ['batch', 'operations']) {
    const { app, put, stored } = await server(t, {})
    t.match((await upload(app, { [container]: [put('r0', 0, 5), put('r1', 1)] })).body.results, [
      { status: 'fatal_error' },
      { status: 'success' }
    ])
    t.same(await stored(), ['r1'])
  }
  const { app, put, stored } = await server(t, {})
  t.match((await upload(app, { transactions: [{ crud: [put('r0', 0, 5)] }, { crud: [put('r1', 1)] }] })).body.results, [
    { status: 'fatal_error' },
    { status: 'not_attempted' }
  ])
  t.same(await stored(), [], 'what is reported as not attempted was not applied')
})

t.test('a transaction is judged by the rows without what was rejected before it', async t => {
  const { app } = await server(t, {
    collections: {
      unlocked: collection({
        schema: Row,
        // Of a row that is there, nothing may change.
        authorize: async (operation, { existing }) => operation.op !== 'PATCH' || await existing() === null
      })
    }
  })
  const rows = app.mongo.db!.collection<{ _id: string, text: string }>('unlocked')
  await rows.createIndex({ text: 1 }, { unique: true })
  await rows.insertOne({ _id: 'other', text: 'taken' })
  const change = (op: string, id: string, transaction: number, text: string) =>
    ({ op, type: 'unlocked', id, data: { text }, op_id: transaction, tx_id: transaction })

  const { body } = await upload(app, {
    client_id: 'phone',
    batch: [
      change('PUT', 'r0', 1, 'free'),
      change('PUT', 'r1', 2, 'taken'),
      change('PATCH', 'r1', 3, 'later'),
      change('PATCH', 'r0', 4, 'no')
    ]
  })

  t.match(body.results, [
    { status: 'success' },
    { status: 'fatal_error', failed_operation: { error_code: 'DUPLICATE_KEY' } },
    { status: 'success' },
    { status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }
  ])
  t.same((await rows.distinct('_id')).sort(), ['other', 'r0'])
  t.equal(
    (await app.powersync.deadLetters.list()).filter(({ operations }) => operations[0]?.table === 'unlocked').length,
    2
  )
})

t.test('a stop in one group of transactions stops the groups after it', async t => {
  const { app, put, stored } = await server(t, {})
  const many = Array.from({ length: 1001 }, (_, index) => put(`r${index}`, 1))
  const { body } = await upload(app, {
    transactions: [{ crud: [put('bad', 0, 5)] }, { crud: many }, { crud: [put('r2000', 2)] }]
  })
  t.match(body.results, [{ status: 'fatal_error' }, { status: 'not_attempted' }, { status: 'not_attempted' }])
  t.same(await stored(), [])
})

t.test('requiresClientHandling leaves a failed transaction to a client that reads the results', async t => {
  const asked: unknown[] = []
  const { app, put, letters } = await server(t, {
    upload: {
      requiresClientHandling: (failed, transaction, user) => {
        asked.push([failed.error_code, transaction.operations.length, user.id])
        return true
      }
    }
  })
  const transactions = [{ crud: [put('r0')] }, { crud: [put('r1', 1, 5)] }, { crud: [put('r2')] }]
  t.match((await upload(app, { transactions })).body.results, [
    { status: 'success' },
    { status: 'fatal_error', requires_client_handling: true },
    { status: 'not_attempted' }
  ])
  t.same(asked, [['INVALID_DATA', 1, 'anonymous']])
  t.same(await letters(), [])
  t.match(
    (await upload(app, { batch: [put('r1', 1, 5)] })).body.results,
    [{ status: 'fatal_error', requires_client_handling: false }],
    'a client of batch would lose it'
  )
  t.equal((await letters()).length, 1)
})

t.test('requiresClientHandling that fails is a passing fault', async t => {
  const { app, put, letters } = await server(t, {
    upload: {
      requiresClientHandling: async () => {
        throw new Error('down')
      }
    }
  })
  t.match((await upload(app, { transactions: [{ crud: [put('r0', 0, 5)] }] })).body.results, [
    { status: 'retryable_error' }
  ])
  t.same(await letters(), [])
})

t.test('the operator may overrule how a code of MongoDB is taken', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const { app, put } = await server(t, {
    mongo: { url: mongo.uri },
    upload: { faults: { 13: 'reject', 121: 'retry' } }
  })
  mongo.script('update', commandError({ code: 13, codeName: 'Unauthorized' }))
  t.match((await upload(app, { batch: [put('r0')] })).body.results, [
    { status: 'fatal_error', failed_operation: { error_code: 'UNCLASSIFIED_ERROR', details: { code: 13 } } }
  ])
  mongo.script('update', commandError({ code: 121, codeName: 'DocumentValidationFailure' }))
  t.match((await upload(app, { batch: [put('r0')] })).body.results, [{ status: 'retryable_error' }])
})

t.test('a document that MongoDB can never take is final', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  for (const [uri, size] of [[database.uri, 17 * 1024 * 1024], [mongo.uri, 16 * 1024 * 1024 + 100]] as const) {
    const storage = await server(t, { mongo: { url: uri } })
    const put = (id: string, text: string, index: number): CrudOperation => ({
      op: 'PUT',
      table: storage.put('').type,
      id,
      data: { text },
      index
    })
    for (const others of [[], [put('r1', 'x', 0)]]) {
      const operations = [...others, put('r0', 'n'.repeat(size), others.length)]
      t.match(await storage.app.powersync.upload([{ operations }], { id: 'user1' }), [
        {
          status: 'fatal_error',
          failed_operation: { error_code: 'INVALID_DATA', message: /16 MiB/, operation_index: others.length }
        }
      ])
    }
  }
})

/** A hook that waits, and what it says. */
function gateOf () {
  let release = () => {}
  const released = new Promise<void>(resolve => { release = resolve })
  const seen: string[] = []
  return {
    release: () => release(),
    seen,
    authorize: async ({ id }: { id: string }) => {
      seen.push(id)
      await released
      return true
    }
  }
}

async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise(resolve => setTimeout(resolve, 5))
}

t.test('an upload beyond maxConcurrent waits for a place, for a third of the deadline', async t => {
  const hook = gateOf()
  const { app, put, stored } = await server(t, {
    upload: { maxConcurrent: 1, deadline: 4000 },
    authorize: hook.authorize
  })
  const first = upload(app, { batch: [put('r0')] })
  await until(() => hook.seen.length === 1)
  t.same(app.powersync.health(), { accepting: true, running: 1 })
  const second = await upload(app, { batch: [put('r1')] })
  t.equal(second.status, 503)
  t.equal(second.headers['retry-after'], '5')
  t.match(second.body, { code: 'FST_PSM_UNAVAILABLE', message: /works on 1 uploads already/ })
  const third = upload(app, { batch: [put('r2')] })
  hook.release()
  t.equal((await first).status, 200)
  t.equal((await third).status, 200, 'there is room again')
  t.same(app.powersync.health(), { accepting: true, running: 0 })
  t.same(await stored(), ['r0', 'r2'])
})

t.test('by default as many uploads are worked on as MongoDB\'s pool has connections', async t => {
  const hook = gateOf()
  const { app, put } = await server(t, { mongo: { url: database.uri, maxPoolSize: 3 }, authorize: hook.authorize })
  const uploads = Array.from({ length: 5 }, (_, index) => upload(app, { batch: [put(`r${index}`)] }))
  await until(() => hook.seen.length === 3)
  t.same(app.powersync.health(), { accepting: true, running: 3 })
  hook.release()
  t.same((await Promise.all(uploads)).map(({ status }) => status), [200, 200, 200, 200, 200])
})

t.test('uploads of clients that hang up count until their work ends, and closing waits for them', async t => {
  const hook = gateOf()
  const { app, put } = await server(t, { upload: { maxConcurrent: 2 }, authorize: hook.authorize })
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  for (let index = 0; index < 6; index++) {
    const body = JSON.stringify({ batch: [put(`r${index}`)] })
    const socket = connect(Number(url.port), url.hostname)
    socket.write(
      `POST /upload HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    )
    if (index < 2) await until(() => hook.seen.length === index + 1)
    socket.destroy()
    await once(socket, 'close')
  }
  t.same(hook.seen, ['r0', 'r1'])
  t.same(app.powersync.health(), { accepting: true, running: 2 })
  // It closes the connection to MongoDB in the end.
  const db = app.mongo.db!
  let closed = false
  const closing = app.close().then(() => { closed = true })
  await until(() => !app.powersync.health().accepting)
  t.equal(await db.command({ ping: 1 }).then(() => closed), false)
  hook.release()
  await closing
  const client = await new fastifyMongodb.mongodb.MongoClient(database.uri).connect()
  t.same(
    (await client.db().collection(put('').type).distinct('_id')).sort(),
    ['r0', 'r1'],
    'who waited has hung up: nothing of theirs is done'
  )
  await client.close()
})

t.test('a client that goes away in the middle of its body leaves nothing behind', async t => {
  const errors: string[] = []
  const { app, put } = await server(
    t,
    { upload: { maxConcurrent: 1 } },
    {
      logger: {
        level: 'error',
        stream: {
          write: (line: string) => {
            errors.push(line)
          }
        }
      }
    }
  )
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(url.port), url.hostname)
  socket.write(
    'POST /upload HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"batch"'
  )
  await once(socket, 'connect')
  t.equal((await upload(app, { batch: [put('r0')] })).status, 200, 'a body that arrives takes no place')
  const gone = new Promise(resolve => app.server.once('close', resolve))
  socket.destroy()
  await app.close()
  await gone
  t.same(errors, [])
})

t.test('a body that is half sent, or drips, has its connection closed', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  passBodies(app)
  app.post('/', async request => {
    limitTime(request, 100)
    await readBody(request, { bytes: 1000, tooLarge: '' })
  })
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  for (const drip of [undefined, '\n']) {
    const socket = connect(Number(url.port), url.hostname)
    socket.on('error', () => {})
    const closed = new Promise(resolve => socket.once('close', resolve))
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"batch"')
    const dripping = setInterval(() => { if (drip) socket.write(drip) }, 20)
    socket.resume()
    await closed
    clearInterval(dripping)
  }
  t.pass()
})

t.test('closing the server finishes running uploads and takes no new ones', async t => {
  let release = () => {}
  const released = new Promise<void>(resolve => { release = resolve })
  let started = () => {}
  const running = new Promise<void>(resolve => { started = resolve })
  const { app, put } = await server(
    t,
    {
      authorize: async () => {
        started()
        await released
        return true
      }
    },
    { forceCloseConnections: 'idle' }
  )
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const send = (id: string) =>
    fetch(`${url}/upload`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ batch: [put(id)] })
    })
  const first = send('r0')
  await running
  const closed = app.close()
  while (app.powersync.health().accepting) await new Promise(resolve => setTimeout(resolve, 1))
  await send('r1').then(
    response => t.equal(response.status, 503),
    error => t.ok(error, 'or refused by the closed port')
  )
  release()
  const { status, headers } = await first
  t.equal(status, 200)
  t.equal(headers.get('connection'), 'close', 'or the server would wait for the client to close it')
  await closed
})
