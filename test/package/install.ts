/**
 * What someone gets who installs the package: packs it as it would be published, installs the tarball into an empty
 * Fastify app in a temporary directory, and runs it there by `import`, by `require` and with TypeScript. Then does in
 * another one what the README says.
 *
 * Takes its time and needs npm's registry, so .ci/run runs it and `npm test` does not: npx tsx test/package/install.ts
 */
import { execFile, spawn } from 'node:child_process'
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import Fastify from 'fastify'
import powersyncMongo, { collection, generateKeys } from '../../index.js'
import { page } from '../../examples/page.js'
import { testDatabase } from '../support/database.js'
import { codeBlocks, readDocument, section } from '../support/documents.js'
import { freePort } from '../support/free-port.js'

const checkout = fileURLToPath(new URL('../../', import.meta.url))
const app = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
t.setTimeout(600_000) // npm builds, downloads and asks
t.teardown(() => rm(app, { recursive: true, force: true }))

const collections = `{
    lists: collection({ schema: Type.Object({ name: Type.String(), created_at: Type.Optional(bson.Date()) }) })
  }`

const useServer = `
async function main () {
  const app = Fastify()
  await app.register(powersyncMongo, {
    prefix: '/powersync',
    authenticate: developmentAuth(),
    collections: ${collections}
  })
  const url = await app.listen({ port: 0 })
  const jwks = await fetch(url + '/powersync/jwks')
  const upload = await fetch(url + '/powersync/upload', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ batch: [{ op: 'PUT', table: 'lists', id: 'a', data: { name: 'Name', created_at: '2024-10-31 10:33:24' } }] })
  })
  console.log(JSON.stringify({ jwks: [jwks.status, await jwks.json()], upload: [upload.status, await upload.json()] }))
  await app.close()
}
main()
`

const files = {
  'package.json': '{ "name": "empty-app", "private": true }',
  'by-import.mjs': `
import Fastify from 'fastify'
import powersyncMongo, { bson, collection, developmentAuth, Type } from 'fastify-powersync-mongo'
${useServer}`,
  'by-require.cjs': `
const Fastify = require('fastify')
const powersyncMongo = require('fastify-powersync-mongo')
const { bson, collection, developmentAuth, Type } = powersyncMongo
${useServer}`,
  'typed.mts': `
import Fastify from 'fastify'
import powersyncMongo, { bson, collection, developmentAuth, Type } from 'fastify-powersync-mongo'
import { versioned } from 'fastify-powersync-mongo/conflicts'

const app = Fastify()
await app.register(powersyncMongo, {
  prefix: '/powersync',
  authenticate: developmentAuth(),
  collections: ${collections}
})
const { keys } = app.powersync.jwks
collection({ schema: Type.Object({ version: bson.Int32() }), resolveConflict: versioned({ field: 'version' }) })
const kid: string | undefined = keys[0]?.kid
// @ts-expect-error authenticate and collections are required
app.register(powersyncMongo, { prefix: '/other' })
console.log(kid)
`,
  // Of a package that "npm init --yes" made: CommonJS.
  'server.ts': `
import Fastify from 'fastify'
import powersyncMongo, { bson, collection, developmentAuth, powersyncOptions, Type } from 'fastify-powersync-mongo'
import { createConnector } from 'fastify-powersync-mongo/client'
import { lastWriteWins } from 'fastify-powersync-mongo/conflicts'

createConnector({ url: 'https://app.example.com/powersync' })
collection({ schema: Type.Object({ at: bson.Date() }), resolveConflict: lastWriteWins({ field: 'at' }) })

async function main (): Promise<void> {
  const app = Fastify()
  await app.register(powersyncMongo, powersyncOptions({
    authenticate: developmentAuth(),
    collections: { todos: collection({ schema: Type.Object({ name: Type.String(), done: bson.Boolean() }), owner: 'name' }) },
    updateBatch: async ({ operations }, { log }, next) => {
      const done: boolean[] = operations.map(operation => operation.op === 'PUT' && operation.data.done)
      log.info({ done })
      await next()
    }
  }))
}
main()
`
}

await t.test('it packs and installs into an empty app', { bail: true }, async (t) => {
  await run('npm', ['pack', '--pack-destination', app], checkout)
  const tarball = await packed()
  // Half of it is for readers: documents, declarations, and the sources that their maps lead to.
  t.ok((await stat(join(app, tarball))).size <= 400_000, 'the tarball has at most 400 kB')
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(app, name), text)))
  await run('npm', ['install', '--no-audit', '--no-fund', 'fastify', `./${tarball}`])
  t.strictSame(Object.keys((await manifest(app)).dependencies ?? {}), ['fastify', 'fastify-powersync-mongo'])
})

await t.test('the package holds what users need, and nothing else', async (t) => {
  const root = join(app, 'node_modules', 'fastify-powersync-mongo')
  const contents = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1).replaceAll('\\', '/'))
  const expected = [
    /^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/,
    /^docs\/[\w-]+\.md$/,
    /^dist\/(index|lib\/.+|types\/.+)\.(js|d\.ts|d\.ts\.map)$/,
    /^(index|lib\/.+|types\/[\w-]+)\.ts$/,
    /^examples\/(connectors\/connector\.\w+|init\/.+\.(ts|yml|yaml))$/i
  ]
  t.strictSame(contents.filter((name) => !expected.some((pattern) => pattern.test(name))), [])
  for (const name of ['README.md', 'CHANGELOG.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts']) {
    t.ok(contents.includes(name), name)
  }
  const maps = contents.filter((name) => name.endsWith('.d.ts.map'))
  t.equal(maps.length, contents.filter((name) => name.endsWith('.d.ts')).length)
  for (const map of maps) {
    const { sources } = JSON.parse(await readFile(join(root, map), 'utf8')) as { sources: string[] }
    for (const source of sources) t.ok(contents.includes(posix.join(posix.dirname(map), source)), `${map}: ${source}`)
  }
  const { bin = {} } = await manifest(root)
  for (const [command, path] of Object.entries(bin)) {
    t.match(await readFile(join(root, path), 'utf8'), /^#!\/usr\/bin\/env node\n/, `${command} is a program`)
  }
})

await t.test('nothing of the examples and tests is installed with it', async (t) => {
  const { packages } = JSON.parse(await readFile(join(app, 'node_modules', '.package-lock.json'), 'utf8')) as {
    packages: object
  }
  const ours = /\/(@jongodb|@powersync|mongodb-memory-server|tsx|tap|typescript|eslint|better-sqlite3)\b/
  t.strictSame(Object.keys(packages).filter((path) => ours.test(path)), [])
  t.ok(Object.keys(packages).includes('node_modules/@fastify/mongodb'), 'the list is the installed one')
})

await t.test('it has few dependencies, and none with a known vulnerability', async (t) => {
  const { dependencies = {} } = await manifest(checkout)
  t.ok(Object.keys(dependencies).length <= 7, `at most seven: ${Object.keys(dependencies)}`)

  const audit = await npmAudit()
  if (!audit.metadata) {
    return t.pass('no known vulnerability', { skip: `npm's registry does not audit here: ${audit.message}` })
  }
  t.strictSame(audit.vulnerabilities, {})
})

await t.test('npm, bundlers and TypeScript have nothing to say against it', async (t) => {
  const tarball = join(app, await packed())
  await t.resolves(run('npx', ['publint', 'run', tarball, '--strict'], checkout))
  // Node 10's way to resolve knows no "exports"; TypeScript has "typesVersions" for it. An ES module for those who
  // require() is what is meant here: every Node.js from 20.19 on can do that, as by-require.cjs shows.
  await t.resolves(
    run('npx', ['attw', tarball, '--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm'], checkout)
  )

  // What was packed above is built, so not again.
  const { stdout, stderr } = await promisify(execFile)('npm', ['publish', '--dry-run', '--ignore-scripts'], {
    cwd: checkout
  })
  t.match(stdout, /^\+ fastify-powersync-mongo@\d/m)
  const complaints = stderr
    .split('\n')
    .filter(line => /^npm (warn|error)/.test(line) && !line.includes('requires you to be logged in'))
  t.strictSame(complaints, [])
})

await t.test('its command makes the keys, and by import and require it serves them', async (t) => {
  const { uri } = await testDatabase(t)
  const generated = await run('npx', ['--no-install', 'powersync-mongo', 'generate-keys'])
  const keys = Object.fromEntries(
    [...generated.matchAll(/^(POWERSYNC_\w+)=(.*)$/gm)].map(([, name, value]) => [name, value])
  )
  t.strictSame(Object.keys(keys).sort(), ['POWERSYNC_PRIVATE_KEY', 'POWERSYNC_PUBLIC_KEY'])
  const published = JSON.parse(Buffer.from(String(keys['POWERSYNC_PUBLIC_KEY']), 'base64').toString())

  for (const file of ['by-import.mjs', 'by-require.cjs']) {
    const output = await run(process.execPath, [file], app, {
      ...keys,
      MONGO_URI: uri,
      POWERSYNC_URL: 'https://me.powersync.example'
    })
    t.strictSame(JSON.parse(output), {
      jwks: [200, { keys: [published] }],
      upload: [200, { results: [{ status: 'success' }] }]
    }, file)
  }
})

await t.test('TypeScript finds its types', async (t) => {
  const types = join(checkout, 'node_modules', '@types')
  await t.resolves(
    run(process.execPath, [
      join(checkout, 'node_modules', 'typescript', 'bin', 'tsc'),
      'typed.mts',
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--skipLibCheck',
      '--types',
      'node',
      '--typeRoots',
      types
    ])
  )
})

await t.test(
  'every TypeScript takes them, in CommonJS too, with the declarations checked and without a tsconfig',
  async t => {
    await run('npm', [
      'install',
      '--no-audit',
      '--no-fund',
      '@types/node@20',
      'typescript-5@npm:typescript@~5.9.0',
      'typescript-7@npm:typescript@7'
    ])
    const strict = ['--strict', '--exactOptionalPropertyTypes', '--target', 'es2023']
    const settings = {
      'typescript-5': [
        [...strict, '--module', 'nodenext'],
        [...strict, '--module', 'preserve', '--moduleResolution', 'bundler'],
        [...strict, '--module', 'esnext', '--moduleResolution', 'bundler'],
        // Its default target is ES5, which has no private names.
        ['--module', 'esnext', '--moduleResolution', 'bundler'],
        ['--module', 'commonjs', '--esModuleInterop']
      ],
      // Its defaults, as without a tsconfig, but for the types of Node.js, which fastify itself needs.
      'typescript-7': [[], ['--module', 'nodenext'], ['--module', 'commonjs', '--moduleResolution', 'bundler']]
    }
    for (const [version, all] of Object.entries(settings)) {
      for (const flags of all) {
        const tsc = join('node_modules', version, 'bin', 'tsc')
        await t.resolves(
          run(process.execPath, [tsc, 'server.ts', '--noEmit', '--skipLibCheck', 'false', '--types', 'node', ...flags]),
          `${version} ${flags.join(' ')}`
        )
      }
    }
  }
)

await t.test('who follows the README word by word, in an empty directory, has a server that works', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const { uri } = await testDatabase(t)
  const port = await freePort()
  const service = await standInService(t, uri)
  const answers: unknown[] = []
  const blocks = codeBlocks(section(await readDocument('README.md'), '## Use it'))
  const code = blocks.filter(({ language }) => language === 'ts')
  t.ok(
    code.length > 0 &&
      code
        .map(({ code }) => code)
        .join('')
        .trimEnd()
        .split('\n').length <= 40,
    'at most 40 lines of code, blank ones and comments included'
  )

  // As printed, but for what depends on where it runs: the tarball in place of the registry's package, the database,
  // the port.
  const tarball = join(app, await packed())
  for (const { language, code, file } of blocks) {
    if (file) {
      await appendFile(
        join(folder, file),
        code
          .replace(/^MONGO_URI=.*$/m, `MONGO_URI=${uri}`)
          .replace(/^POWERSYNC_URL=.*$/m, `POWERSYNC_URL=${service}`)
          .replace('port: 3000', `port: ${port}`)
      )
    } else if (language === 'json') t.strictSame(answers.at(-1), JSON.parse(code), 'the answer is the printed one')
    else if (code.startsWith('npx tsx ')) await start(t, code, folder, 'Server listening')
    else if (code.startsWith('curl ')) {
      answers.push(JSON.parse(await run('sh', ['-ec', code.replace(':3000', `:${port}`)], folder)))
    } else await run('sh', ['-ec', code.replace(/ fastify-powersync-mongo(?= |$)/m, ` ${tarball}`)], folder)
  }

  t.match(answers, [{ token: String, powersync_url: service }, { results: [{}] }])
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(() => client.close())
  t.strictSame(await client.db().collection('lists').find().toArray(), [
    { _id: 'list1', name: 'Groceries', created_at: new Date('2024-10-31T10:33:24Z'), owner_id: 'ann' }
  ])
  t.strictSame(await client.db().collection('todos').find().toArray(), [
    { _id: 'todo1', list_id: 'list1', description: 'Milk', completed: false }
  ])

  await t.resolves(
    run(
      'npx',
      [
        'tsc',
        '--noEmit',
        '--strict',
        '--exactOptionalPropertyTypes',
        '--module',
        'nodenext',
        '--target',
        'es2023',
        'server.ts'
      ],
      folder
    ),
    'without type errors'
  )

  await t.test('and who goes on to "Getting started" has streams, a schema, and two devices in sync', async (t) => {
    const blocks = codeBlocks(await readDocument('docs/getting-started.md'))
    for (const { code, file, language } of blocks) {
      if (file) await writeFile(join(folder, file), code.replaceAll(':3000', `:${port}`))
      else if (/^npx tsx device\.ts phone/.test(code)) await start(t, code, folder, 'phone: Bread, Milk')
      else if (/^npx tsx device\.ts laptop/.test(code)) await start(t, code, folder, 'laptop: Bread, Milk')
      // SQLite is compiled where its package has no binary to download: without optimisation, which takes longer than
      // the test.
      else if (language === 'sh' && /^(npm|npx powersync-mongo .* >)/.test(code)) {
        await run('sh', ['-ec', code], folder, { CFLAGS: '-O0' })
      }
    }
    t.match(await readFile(join(folder, 'sync-config.yaml'), 'utf8'), /^streams:[^]*"lists"[^]*"todos"/m)
    t.match(await readFile(join(folder, 'schema.js'), 'utf8'), /lists: new Table[^]*todos: new Table/)
  })
})

/** In place of a PowerSync Service: what the page of the examples has in its place. */
async function standInService (t: Pick<Test, 'teardown'>, uri: string): Promise<string> {
  const service = Fastify({ forceCloseConnections: true })
  t.teardown(() => service.close())
  await service.register(powersyncMongo, {
    mongo: { url: uri },
    powersyncUrl: 'https://me.powersync.example',
    keys: { signing: (await generateKeys()).privateKey },
    authenticate: () => null,
    collections: { lists: collection({ schema: 'any' }), todos: collection({ schema: 'any' }) }
  })
  await service.register(page, { hasService: false })
  return `${await service.listen({ host: '127.0.0.1', port: 0 })}/page/service`
}

/** Standard output; an error holds what the program wrote. */
async function run (
  command: string,
  args: string[],
  cwd = app,
  env: Record<string, string | undefined> = {}
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, env: { ...process.env, ...env } })
    return stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string, stderr?: string }
    throw new Error(`${command} ${args[0]} failed:\n${stderr}${stdout}`, { cause: error })
  }
}

/** Runs the command until the test ends; resolves when it has printed the text. */
async function start (t: Pick<Test, 'teardown'>, command: string, cwd: string, text: string): Promise<void> {
  // A process group, since npx passes no signal on.
  const server = spawn('sh', ['-c', command], { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => { if (server.exitCode === null) process.kill(-server.pid!) })
  let output = ''
  await new Promise<void>((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.on('data', (data) => {
        output += String(data)
        if (output.includes(text)) resolve()
      })
    }
    server.once('exit', () => reject(new Error(`${command} ended:\n${output}`)))
    setTimeout(() => reject(new Error(`${command} printed no "${text}" in two minutes:\n${output}`)), 120_000).unref()
  })
}

/** What npm knows of what is installed; without `metadata` if its registry does not answer that. */
async function npmAudit (): Promise<{ metadata?: object, vulnerabilities?: object, message?: string }> {
  const { stdout } = await promisify(execFile)('npm', ['audit', '--omit=dev', '--json'], { cwd: app })
    .catch((error: { stdout: string }) => error) // it fails when it finds something
  return JSON.parse(stdout)
}

/** Name of the tarball. */
async function packed (): Promise<string> {
  const [tarball] = (await readdir(app)).filter((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack left no tarball')
  return tarball
}

async function manifest (
  directory: string
): Promise<{ bin?: Record<string, string>, dependencies?: Record<string, string> }> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'))
}
