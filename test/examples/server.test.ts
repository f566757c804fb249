import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { testDatabase } from '../support/database.js'
import { spawnExample, startServer as start } from './run.js'

const run = promisify(execFile)

const body =
  '{"batch":[{"op":"PUT","table":"lists","id":"61d19021-0565-4686-acc4-3ea4f8c48839","data":' +
  '{"created_at":"2024-10-31 10:33:24","name":"Name","owner_id":"8ea4310a-b7c0-4dd7-ae54-51d6e1596b83"}}]}'
const curl = `curl -X POST 127.0.0.1:3000/powersync/upload -H 'content-type: application/json' -d '${body}'`
const list = {
  _id: '61d19021-0565-4686-acc4-3ea4f8c48839',
  name: 'Name',
  owner_id: '8ea4310a-b7c0-4dd7-ae54-51d6e1596b83',
  created_at: '2024-10-31T10:33:24.000Z'
}

t.test('what it prints to try works as it stands', async (t) => {
  const { url, output } = await start(t)
  const address = url.replace('http://', '')
  t.match(output, /^ {2}MongoDB {5}(MongoDB at|a real mongod|an emulator)/m, 'it says which MongoDB it runs on')
  t.match(output, curl.replace('127.0.0.1:3000', address))

  const upload = await fetch(`${url}/powersync/upload`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body
  })
  t.equal(upload.status, 200, await upload.text())
  t.strictSame(await json(`${url}/lists`), [list])
  t.strictSame(await json(`${url}/todos`), [])
  t.match(await json(`${url}/powersync/jwks`), { keys: [{ kty: 'RSA' }] })

  await t.test('the API is described at /docs', async (t) => {
    t.match(output, `API docs    GET  ${url}/docs`)
    const page = await fetch(`${url}/docs`)
    t.match(page.headers.get('content-type'), 'text/html')
    t.match(await page.text(), 'swagger-ui')
    const document = await json(`${url}/docs/json`) as { paths: Record<string, object> }
    t.strictSame(await new Validator().validate(structuredClone(document)), { valid: true })
    t.strictSame(Object.keys(document.paths).sort(), [
      '/lists',
      '/powersync/jwks',
      '/powersync/token',
      '/powersync/upload',
      '/todos'
    ])
    t.match(document.paths['/powersync/token'], {
      get: { security: [], parameters: [{ name: 'user_id', in: 'query', example: 'user1' }] }
    })
  })

  const commands = output.match(/^ {2}curl .*$/gm) ?? []
  t.equal(commands.length, 3)
  const missing = await run('curl', ['--version']).then(() => false, () => 'curl is not installed')
  await t.test('with curl itself', { skip: missing }, async (t) => {
    const answers = await Promise.all(commands.map(async (command) => (await run('/bin/sh', ['-c', command])).stdout))
    t.match(answers.map((answer) => JSON.parse(answer)), [
      { token: String, powersync_url: 'http://localhost:8080', expires_at: String },
      { results: [{ status: 'success' }] },
      [list]
    ])
  })
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal} stops it, and the MongoDB that it started`, { skip: needsProc() }, async (t) => {
    const { server, url } = await start(t, { MONGO_URI: '' })
    await json(`${url}/lists`)
    const children = descendants(server.pid ?? 0)

    const began = Date.now()
    server.kill(signal)
    t.strictSame(await once(server, 'exit'), [0, null])
    t.ok(Date.now() - began < 5000, 'quickly')
    for (let wait = 0; wait < 20 && children.some(isRunning); wait++) await sleep(100)
    t.strictSame(children.filter(isRunning), [])
  })
}

t.test('a port in use is one clear sentence', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as { port: number }

  const { server, errors } = await spawnExample(t, 'server.ts', { PORT: String(port) })
  t.strictSame(await once(server, 'close'), [1, null])
  t.strictSame(errors.join('').split('\n').slice(1), [
    `  Port ${port} on 127.0.0.1 is in use: stop what runs there, or take another, as in PORT=3001 npm start`,
    ''
  ])
})

t.test('the environment replaces what it makes up', async (t) => {
  const mongo = await testDatabase(t)
  const { stdout } = await run(
    process.execPath,
    [
      fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url)),
      'generate-keys',
      '--alg',
      'ES256',
      '--kid',
      'mine'
    ],
    { env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' } }
  )
  const privateKey = /^POWERSYNC_PRIVATE_KEY=(.*)$/m.exec(stdout)?.[1] ?? ''

  const { url, output } = await start(t, {
    MONGO_URI: mongo.uri,
    POWERSYNC_PRIVATE_KEY: privateKey,
    POWERSYNC_URL: 'https://me.powersync.example/'
  })
  t.match(output, /MongoDB at .*, from MONGO_URI/)
  t.match(output, 'from POWERSYNC_PRIVATE_KEY')
  t.match(await json(`${url}/powersync/jwks`), { keys: [{ kid: 'mine', kty: 'EC' }] })
  t.match(await json(`${url}/powersync/token?user_id=me`), { powersync_url: 'https://me.powersync.example' })
})

async function json (url: string): Promise<unknown> {
  return (await fetch(url)).json()
}

function needsProc (): string | false {
  return existsSync('/proc/self/stat') ? false : 'needs /proc to see which processes are left'
}

/** The processes that `pid` started, and those that they started. */
function descendants (pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(name => [Number(name), parentOf(name)] as const)
  const children = parents.filter(([, parent]) => parent === pid).map(([child]) => child)
  return children.flatMap((child) => [child, ...descendants(child)])
}

function parentOf (pid: string): number {
  try {
    return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
  } catch {
    return 0
  }
}

function isRunning (pid: number): boolean {
  return existsSync(`/proc/${pid}`)
}
