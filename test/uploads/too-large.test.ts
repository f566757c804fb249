import { connect } from 'node:net'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { collection } from '../../index.js'
import { testServer } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const bodyLimit = 1024 * 1024
const mongo = await startWireServer()
t.teardown(() => mongo.stop())
const app = await testServer(t, {
  mongo: { url: mongo.uri },
  collections: { rows: collection({ schema: Type.Object({ text: Type.String() }) }) },
  upload: { bodyLimit }
})
const url = await app.listen({ port: 0, host: '127.0.0.1' })

const json = { 'content-type': 'application/json' }
const tooLarge = { code: 'FST_PSM_TOO_LARGE', message: /larger than 1048576 bytes/ }

t.test('a client that sends too much gets the answer, however it sends it, and its connection closes', async t => {
  for (const size of [1.1, 1.5, 2, 4, 7.5]) {
    const text = '"'.padEnd(size * bodyLimit, 'x')
    for (let time = 0; time < 4; time++) {
      const response = await fetch(`${url}/upload`, { method: 'POST', headers: json, body: text })
      t.equal(response.status, 413)
      t.equal(response.headers.get('connection'), 'close')
      t.match(await response.json(), tooLarge)
    }
    const parts = new ReadableStream({
      start (controller) {
        for (let at = 0; at < text.length; at += 50_000) controller.enqueue(Buffer.from(text.slice(at, at + 50_000)))
        controller.close()
      }
    })
    const response = await fetch(`${url}/upload`, {
      method: 'POST',
      headers: json,
      body: parts,
      duplex: 'half'
    } as RequestInit)
    t.equal(response.status, 413, 'without its length beforehand')
  }
})

t.test('what never ends is not read for ever', async t => {
  for (const length of ['content-length: 100000000000', 'transfer-encoding: chunked']) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let answer = ''
    socket.on('data', data => { answer += data }).on('error', () => {})
    socket.write(`POST /upload HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${length}\r\n\r\n`)
    const chunk = Buffer.alloc(65_536, 'x')
    const send = () => {
      if (socket.destroyed) return
      if (length.startsWith('t')) socket.write('10000\r\n')
      socket.write(chunk)
      if (socket.write(length.startsWith('t') ? '\r\n' : 'x')) setImmediate(send)
      else socket.once('drain', send)
    }
    send()
    await new Promise(resolve => socket.once('close', resolve))
    t.ok(socket.bytesWritten < 100 * bodyLimit)
    // The rest may have been on its way when the connection closed, and then the answer is lost.
    if (answer) t.match(answer, /^HTTP\/1\.1 413 /)
  }
})

t.test('more JSON than bytes let expect is too large as well', async t => {
  const many = JSON.stringify({ batch: [], unread: Array(400_000).fill(0) })
  const response = await app.inject({ method: 'POST', url: '/upload', headers: json, payload: many })
  t.equal(response.statusCode, 413)
  t.match(response.json(), {
    code: 'FST_PSM_TOO_LARGE',
    message:
      /^The upload has more than \d+ names and values of JSON: this server takes 262144 at once \(a quarter of option upload\.bodyLimit/
  })
  const one = await app.inject({
    method: 'POST',
    url: '/upload',
    headers: json,
    payload: { batch: [{ op: 'PUT', type: 'rows', id: 'a', data: { text: Array(50_000).fill(0) } }] }
  })
  t.equal(one.statusCode, 413)
  t.match(one.json(), {
    code: 'FST_PSM_TOO_LARGE',
    message: /^batch\[0\] has 500\d\d names and values of JSON: this server takes 32768 in one operation/
  })
})
