/**
 * The first minute: from an empty folder, with the package as it would be published, to a server that accepts the first
 * write of a client with PowerSync's own SDK.
 *
 * Takes its time and needs npm's registry, so .ci/run runs it and `npm test` does not: npx tsx test/package/init.ts
 */
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { openClient, sdkMissing } from '../e2e/client.js'
import { testDatabase } from '../support/database.js'
import { freePort } from '../support/free-port.js'

const checkout = fileURLToPath(new URL('../../', import.meta.url))
t.setTimeout(600_000)

const temporary = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const run = (command: string, cwd: string, env: Record<string, string> = {}) =>
  promisify(execFile)('sh', ['-ec', command], { cwd, env: { ...process.env, ...env }, maxBuffer: 10_000_000 })

t.test('three commands lead to the first write', { skip: await sdkMissing() }, async t => {
  const packed = await temporary()
  await run(`npm pack --pack-destination ${packed}`, checkout)
  const tarball = join(packed, (await readdir(packed))[0]!)
  const folder = await temporary()
  const { uri } = await testDatabase(t)
  const port = await freePort()
  // In place of what the docker-compose.yml of the project starts.
  const surroundings = { MONGO_URI: uri, PORT: String(port) }

  // Once published, the package's name stands in place of the tarball.
  const commands = [
    `npx --yes --package ${tarball} fastify-powersync-mongo init --yes`,
    `npm install --no-audit --no-fund ${tarball}`,
    'npm start'
  ]
  t.ok(commands.length <= 3)
  const began = performance.now()
  for (const command of commands.slice(0, -1)) await run(command, folder)
  const server = spawn('sh', ['-c', commands.at(-1)!], {
    cwd: folder,
    env: { ...process.env, ...surroundings },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { if (server.exitCode === null) process.kill(-server.pid!) })
  for await (const line of server.stdout) if (String(line).includes('Server listening')) break

  const connectorFile = join(folder, 'client', 'connector.ts')
  await writeFile(connectorFile, (await readFile(connectorFile, 'utf8')).replace(':3000/', `:${port}/`))
  await symlink(join(checkout, 'node_modules', '@powersync'), join(folder, 'node_modules', '@powersync'))
  const { AppSchema } = await import(pathToFileURL(join(folder, 'client', 'schema.ts')).href)
  const { connector } = await import(pathToFileURL(connectorFile).href)
  const { database } = await openClient(t, { backend: '', session: '', appSchema: AppSchema, connector })
  await database.execute('INSERT INTO lists (id, name, owner_id) VALUES (uuid(), ?, ?)', ['First', 'ada'])
  await connector.uploadData(database)
  t.comment(`${commands.length} commands, ${Math.round((performance.now() - began) / 1000)} s`)

  t.equal(await database.getNextCrudTransaction(), null, 'the SDK\'s queue is empty')
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(() => client.close())
  t.match(await client.db().collection('lists').find().toArray(), [{ name: 'First', owner_id: 'ada' }])

  t.match((await run('npm test', folder, surroundings)).stdout, /^# pass 1$/m, 'the project\'s own test passes')
  t.match((await run('npx tsc', folder)).stdout, '', 'it compiles')
  const { findings } = JSON.parse(
    (
      await run(
        `npx powersync-mongo doctor --json --uri '${uri}' --url http://localhost:${port}/powersync || true`,
        folder
      )
    ).stdout
  ) as { findings: { check: string, status: string }[] }
  for (const check of ['keys', 'jwks', 'mongodb', 'replica-set']) {
    t.equal(findings.find(finding => finding.check === check)?.status, 'ok', check)
  }
})
