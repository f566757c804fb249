import fastifyMongodb from '@fastify/mongodb'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startProxy } from './tcp-proxy.js'
import { startWireServer } from './wire-server.js'

const { MongoClient } = fastifyMongodb.mongodb

/** An HTTP server that notes what it was sent, behind a proxy. */
async function startHttp (t: Test) {
  const received: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => { body += text }).on('end', () => {
      received.push(body)
      response.end('answer')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await startProxy({ target: { host: '127.0.0.1', port: (server.address() as AddressInfo).port } })
  t.teardown(async () => {
    await proxy.stop()
    server.closeAllConnections()
    server.close()
  })
  const post = async (body: string) => {
    const response = await fetch(`http://${proxy.address}/upload`, {
      method: 'POST',
      body,
      headers: { connection: 'close' }
    })
    return await response.text()
  }
  return { proxy, post, received }
}

t.test('passes everything on, and counts it', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  const body = 'x'.repeat(5_000_000)
  t.equal(await post(body), 'answer')
  t.equal(received[0], body)
  t.match(proxy.stats, { connections: 1, cuts: 0, refused: 0 })
  t.ok(proxy.stats.requestBytes > body.length)
})

t.test('cut before the request: the server never hears of it', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  const cut = proxy.cutAfter({ direction: 'request', bytes: 0 })
  await t.rejects(post('first'))
  await cut
  t.same(received, [])
  t.equal(await post('second'), 'answer')
})

t.test('cut in the middle of the request', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  const cut = proxy.cutAfter({ direction: 'request', bytes: 300, request: 'POST /upload' })
  await t.rejects(post('x'.repeat(1000)))
  await cut
  t.same(received, [])
  t.equal(proxy.stats.requestBytes, 300)
})

t.test('cut before the answer: the server has done the work', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  const cut = proxy.cutAfter({ direction: 'response', bytes: 0, request: 'POST /upload' })
  await t.rejects(post('first'))
  await cut
  t.same(received, ['first'])
  t.equal(proxy.stats.responseBytes, 0)
})

t.test('cut in the middle of the answer', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  const cut = proxy.cutAfter({ direction: 'response', bytes: 20 })
  await t.rejects(post('first'))
  await cut
  t.same(received, ['first'])
  t.match(proxy.stats, { responseBytes: 20, cuts: 1 })
})

t.test('delay, refuse, drop and restore', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  proxy.delay(30)
  const started = performance.now()
  t.equal(await post('slow'), 'answer')
  t.ok(performance.now() - started >= 58, 'both ways')
  proxy.delay(0)

  proxy.refuse(1)
  await t.rejects(post('refused'))
  t.equal(await post('accepted'), 'answer')
  t.equal(proxy.stats.refused, 1)

  proxy.dropResponses()
  const unanswered = post('unanswered')
  unanswered.catch(() => {})
  while (received.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
  proxy.dropRequests()
  const unheard = post('unheard')
  unheard.catch(() => {})
  t.equal(
    await Promise.race([unanswered, unheard, new Promise(resolve => setTimeout(resolve, 100, 'nothing'))]),
    'nothing'
  )
  t.same(received, ['slow', 'accepted', 'unanswered'])

  proxy.cut()
  await t.rejects(unanswered)
  await t.rejects(unheard)
  proxy.restore()
  t.equal(await post('restored'), 'answer')
})

t.test('duplicate: the server gets the request twice, the client one answer', async (t) => {
  const { proxy, post, received } = await startHttp(t)
  const second = proxy.duplicate('POST /upload')
  t.equal(await post('twice'), 'answer')
  t.match((await second).toString(), /^HTTP\/1\.1 200 OK/)
  t.same(received, ['twice', 'twice'])
})

t.test('the next connection can be scripted as it comes in', async (t) => {
  const { proxy, post } = await startHttp(t)
  proxy.onConnection((connection) => { if (connection.id === 1) connection.cut() })
  await t.rejects(post('first'))
  t.equal(await post('second'), 'answer')
})

t.test('between driver and MongoDB: a commit whose answer is lost is sent again', async (t) => {
  const server = await startWireServer()
  const proxy = await startProxy({ target: { host: '127.0.0.1', port: server.port }, rewriteHello: true })
  const client = new MongoClient(server.uri.replace(`:${server.port}`, `:${proxy.port}`), {
    serverSelectionTimeoutMS: 5000
  })
  t.teardown(async () => {
    await client.close()
    await proxy.stop()
    await server.stop()
  })
  const cut = proxy.cutAfter({ direction: 'response', bytes: 0, request: 'commitTransaction' })
  await client.withSession(session =>
    session.withTransaction(() => client.db().collection('todos').insertOne({}, { session }))
  )
  await cut

  t.same(server.commands.map(({ name }) => name), ['insert', 'commitTransaction', 'commitTransaction'])
  t.equal(server.openConnections, proxy.connections.length, 'the driver knows no way around the proxy')
})

t.test('rewriteHello wants ports of equal length', async (t) => {
  await t.rejects(startProxy({ target: { host: '127.0.0.1', port: 1 }, rewriteHello: true }), RangeError)
})
