/**
 * Bodies below the limit, made to take as much memory and time as they can. MEBIBYTES is the size of most of them:
 * 16 is that of the issue, with which other routes should answer within 250 ms.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { keys } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'
import { costly } from './bodies.js'

const mongo = await startWireServer({ log: false })
t.teardown(() => mongo.stop())

t.test('a hundred at once leave a process of 512 MB alive, and its other routes answer', async t => {
  const server = fork(
    fileURLToPath(new URL('memory-server.ts', import.meta.url)),
    [mongo.uri, JSON.stringify(keys.privateKey)],
    {
      execArgv: ['--import', 'tsx', '--max-old-space-size=384']
    }
  )
  t.teardown(() => server.kill())
  const [{ url }] = await once(server, 'message') as [{ url: string }]

  const others = fork(fileURLToPath(new URL('jwks-client.ts', import.meta.url)), [url], {
    execArgv: ['--import', 'tsx']
  })
  // One of each kind in full size, which is more than the process has if it is parsed at once; the others small.
  const [large, small] = [16, Number(process.env['MEBIBYTES'] ?? 1)].map(mebibytes =>
    Object.values(costly(mebibytes * 1024 * 1024)).map(body => Buffer.from(body))
  ) as [Buffer[], Buffer[]]
  const all = Array.from({ length: 100 }, (_, index) => large[index] ?? small[index % small.length]!)
  const answers = await Promise.all(all.map(body => post(url, body)))
  others.send('end')
  const [{ statuses, ...times }] = await once(others, 'message') as [{ statuses: number[] }]
  t.comment(`/jwks in milliseconds: ${JSON.stringify(times)}`)
  t.same(statuses, [200])
  t.same(answers.filter(status => ![200, 400, 413, 503].includes(status)), [])
  t.ok(answers.includes(413) && answers.includes(200), answers.join(' '))
  t.equal(server.exitCode, null)
  // What they took is given back.
  const usual = Buffer.from('{"batch":[{"op":"PUT","type":"rows","id":"b","data":{"text":"x"}}]}')
  let status = 503
  while (status === 503) status = await post(url, usual)
  t.equal(status, 200)
})

/** One buffer for all: fetch would copy it. */
function post (url: string, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    request(`${url}/upload`, { method: 'POST', headers }, response => {
      response.resume()
      response.once('end', () => resolve(response.statusCode!))
    }).once('error', reject).end(body)
  })
}
