/** The server that most tests run on: it comes when it is asked for, and goes with those that asked. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startServer, testDatabase } from './database.js'
import { startSecantusDB } from './secantusdb.js'

const { kind } = await testDatabase(t)
const skip = kind === 'SecantusDB' ? false : `is about SecantusDB, runs on ${kind}`

async function listens (uri: string): Promise<boolean> {
  const socket = connect(Number(new URL(uri).port), '127.0.0.1')
  return await once(socket, 'connect').then(() => true, () => false).finally(() => socket.destroy())
}

t.test('it ends, with its data, when the process that started it is killed', { skip }, async t => {
  const folder = t.testdir({})
  const module = new URL('secantusdb.ts', import.meta.url).href
  const script = `
    import { startSecantusDB } from '${module}'
    console.log((await startSecantusDB({ database: 'test', port: 0 })).uri)`
  const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    env: { ...process.env, TMPDIR: folder, _TAPJS_PROCESSINFO_COVERAGE_: '0' }, // of code that tsx compiled its own way
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [uri] = await once(createInterface(parent.stdout), 'line') as [string]
  const data = async () => (await readdir(folder)).filter(name => name.startsWith('secantusdb-'))
  t.ok(await listens(uri))
  t.equal((await data()).length, 1)

  parent.kill('SIGKILL')
  await once(parent, 'exit')
  while (await listens(uri) || (await data()).length > 0) await sleep(100)
  t.pass('both are gone')
})

t.test('a port that is taken is an error that says so', { skip }, async t => {
  const server = await startSecantusDB({ database: 'test', port: 0 })
  t.teardown(() => server.stop())
  await t.rejects(
    startSecantusDB({ database: 'test', port: Number(new URL(server.uri).port) }),
    /did not start: .*in use/
  )
})

t.test('TEST_DATABASE demands a kind of server', async t => {
  const { TEST_DATABASE: before } = process.env
  t.teardown(() => {
    if (before === undefined) delete process.env['TEST_DATABASE']
    else process.env['TEST_DATABASE'] = before
  })
  process.env['TEST_DATABASE'] = 'oracle'
  await t.rejects(
    startServer({ database: 'test', port: 0, download: false }),
    /TEST_DATABASE is oracle: expected one of mongodb, secantusdb, emulator/
  )
})
