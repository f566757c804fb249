import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { developmentMongoDB } from '../../examples/mongodb.js'
import { needs, testDatabase, withDatabase } from '../support/database.js'

const { MongoClient } = fastifyMongodb.mongodb
const mongoUri = process.env['MONGO_URI']
const module = new URL('../../examples/mongodb.ts', import.meta.url).href

t.beforeEach(() => { delete process.env['MONGO_URI'] })
t.afterEach(() => {
  if (mongoUri) process.env['MONGO_URI'] = mongoUri
  else delete process.env['MONGO_URI']
})

t.test('MONGO_URI comes first, as it is, and its password is not shown', async (t) => {
  const uri = 'mongodb://me:secret@a.example:27017,b.example/app?replicaSet=rs0'
  process.env['MONGO_URI'] = uri
  const mongo = await developmentMongoDB({ database: 'other' })

  t.match(mongo, { uri, kind: 'MONGO_URI', description: 'MongoDB at a.example:27017,b.example, from MONGO_URI' })
  await t.resolves(mongo.stop())
})

t.test('without MONGO_URI there is a server that does transactions, and stop() ends it', async (t) => {
  const mongo = await developmentMongoDB({ database: 'todos', download: false })
  t.match(mongo.kind, /^(mongod|emulator)$/)
  t.match(mongo.description, mongo.kind)
  t.match(mongo.uri, /^mongodb:\/\/127\.0\.0\.1:\d+\/todos\?replicaSet=/)

  const client = new MongoClient(mongo.uri)
  t.teardown(() => client.close())
  const lists = client.db().collection<{ _id: string }>('lists')
  await client.withSession((session) => session.withTransaction(() => lists.insertOne({ _id: 'a' }, { session })))
  t.strictSame(await lists.find().toArray(), [{ _id: 'a' }])

  await mongo.stop()
  t.notOk(await listens(mongo.uri), 'it stops')
})

t.test(
  'a mongod that is there runs as a replica set of one, on the port asked for',
  { skip: process.platform === 'win32' && 'needs a shell' },
  async t => {
    const fake = fileURLToPath(new URL('fake-mongod.ts', import.meta.url))
    const binary = join(t.testdir({}), 'mongod')
    await writeFile(binary, `#!/bin/sh\nexec '${process.execPath}' --import tsx '${fake}' "$@"\n`, { mode: 0o755 })
    process.env['MONGOMS_SYSTEM_BINARY'] = binary
    process.env['MONGOMS_VERSION'] = '8.0.0'
    t.teardown(() => {
      delete process.env['MONGOMS_SYSTEM_BINARY']
      delete process.env['MONGOMS_VERSION']
    })

    const first = await developmentMongoDB({
      database: 'todos',
      download: false,
      args: ['--setParameter', 'enableTestCommands=1'],
      emulator: false
    })
    t.equal(first.kind, 'mongod')
    t.match(first.description, 'a real mongod')
    const client = new MongoClient(first.uri)
    t.match(await client.db('admin').command({ getParameter: 1 }), { given: 'enableTestCommands=1' })
    await client.close()
    await first.stop()
    t.notOk(await listens(first.uri), 'it stops')

    const port = Number(/:(\d+)\//.exec(first.uri)?.[1])
    const second = await developmentMongoDB({ database: 'todos', port, download: false, emulator: false })
    t.equal(second.uri, first.uri)
    t.ok(await listens(second.uri))
    await second.stop()
  }
)

t.test('a download shows how far it is', { skip: process.platform === 'win32' && 'needs a shell' }, async (t) => {
  const folder = t.testdir({ archive: { bin: {} }, home: {} })
  await writeFile(join(folder, 'archive', 'bin', 'mongod'), randomBytes(3_000_000), { mode: 0o755 })
  await promisify(execFile)('tar', ['-czf', join(folder, 'mongod.tgz'), '-C', join(folder, 'archive'), 'bin'])
  const archive = await readFile(join(folder, 'mongod.tgz'))
  const mirror = createServer((request, response) => {
    const body = request.url?.endsWith('.md5') ? createHash('md5').update(archive).digest('hex') : archive
    response.writeHead(200, { 'content-length': body.length }).end(body)
  }).listen(0, '127.0.0.1')
  t.teardown(() => mirror.close())
  await once(mirror, 'listening')

  const script = `
    import { developmentMongoDB } from '${module}'
    await developmentMongoDB({ emulator: false }).catch(() => {})`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', script],
    {
      env: {
        ...process.env,
        _TAPJS_PROCESSINFO_COVERAGE_: '0',
        MONGOMS_RUNTIME_DOWNLOAD: 'true',
        MONGOMS_VERSION: '8.0.999',
        MONGOMS_DOWNLOAD_DIR: join(folder, 'home'),
        MONGOMS_DOWNLOAD_MIRROR: `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`,
        MONGOMS_USE_HTTP: 'true'
      }
    }
  )
  t.match(
    stdout,
    /^ {2}Downloading MongoDB 8\.0\.999, this once\n( {2}\d+ % of 2\.9 MB\n)* {2}100 % of 2\.9 MB\n {2}mongod 8\.0\.999 could not be started: /
  )
})

t.test('where there is none at all, one error says why and what to do', async (t) => {
  // A version that is nowhere stands in for a mongod that was never downloaded.
  process.env['MONGOMS_VERSION'] = '8.0.999'
  t.teardown(() => delete process.env['MONGOMS_VERSION'])

  await t.rejects(developmentMongoDB({ database: 'todos', download: false, emulator: false }), {
    message:
      /MONGO_URI is not set\n.*mongod 8\.0\.999 has not been downloaded yet\n.*emulator.*\nSet MONGO_URI to .*\n.*docker run .*\n.*rs\.initiate.*\n.*\/todos\?replicaSet=rs0/
  })
})

t.test('the server ends with the process that started it', async (t) => {
  const script = `
    import { developmentMongoDB } from '${module}'
    console.log((await developmentMongoDB({ download: false })).uri)
    setInterval(() => {}, 1000)`

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
      env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' }, // of code that tsx compiled its own way
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const [uri] = await once(createInterface(parent.stdout), 'line') as [string]
    t.ok(await listens(uri), `it runs before ${signal}`)
    parent.kill(signal)
    await once(parent, 'exit')
    t.ok(await goes(uri), `it is gone after ${signal}`)
  }
})

t.test('test databases share a server, and each has a name of its own', async (t) => {
  const [one, two] = [await testDatabase(t), await testDatabase(t)]
  t.not(one.database, two.database)
  t.equal(withDatabase(one.uri, two.database), two.uri)
  t.throws(() => one.stop(), /Other tests use this server/)
})

t.test('a test database with a server of its own comes back, empty, where it was', async (t) => {
  const own = await testDatabase(t, { ownServer: true })
  const client = new MongoClient(own.uri)
  t.teardown(() => client.close())
  await client.db().collection('lists').insertOne({})
  await own.stop()
  t.notOk(await listens(own.uri))
  await own.restart()
  t.equal(await client.db().collection('lists').countDocuments(), 0)
})

t.test('what a test needs decides whether it is skipped', async (t) => {
  t.equal(needs({ kind: 'mongod' }, 'mongod', 'change streams'), false)
  t.equal(needs({ kind: 'SecantusDB' }, 'mongod', 'change streams'), false)
  t.equal(
    needs({ kind: 'emulator' }, 'mongod', 'change streams'),
    'needs mongod or SecantusDB or MONGO_URI for change streams, runs on emulator'
  )
  t.equal(
    needs({ kind: 'MONGO_URI' }, 'ownServer', 'an outage'),
    'needs mongod or SecantusDB or emulator for an outage, runs on MONGO_URI'
  )
})

t.test('a database is put into any connection string', async (t) => {
  t.equal(withDatabase('mongodb://localhost', 'x'), 'mongodb://localhost/x')
  t.equal(withDatabase('mongodb://a:1,b:2/app?replicaSet=rs0', 'x'), 'mongodb://a:1,b:2/x?replicaSet=rs0')
  t.equal(withDatabase('mongodb+srv://me:pw@host/?w=majority', 'x'), 'mongodb+srv://me:pw@host/x?w=majority')
  t.equal(withDatabase('mongodb://me:pw@host/app', 'x'), 'mongodb://me:pw@host/x?authSource=app')
  t.equal(withDatabase('mongodb://me:pw@host/app?authSource=admin', 'x'), 'mongodb://me:pw@host/x?authSource=admin')
})

async function listens (uri: string): Promise<boolean> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 500 })
  try {
    await client.db().command({ ping: 1 })
    return true
  } catch {
    return false
  } finally {
    await client.close()
  }
}

/** mongodb-memory-server looks every two seconds whether its parent is alive. */
async function goes (uri: string): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    if (!await listens(uri)) return true
    await sleep(200)
  }
  return false
}
