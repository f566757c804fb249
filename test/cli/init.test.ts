import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { transform } from 'esbuild'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { loadKeys } from '../../lib/keys/load.js'
import { powersyncMongoIn } from '../support/command-line.js'
import { root } from '../support/documents.js'

const templates = join(root, 'examples', 'init')

/** Every file of the folder with its text. */
async function filesIn (folder: string): Promise<Record<string, string>> {
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(entry => entry.isFile())
  const texts = entries.map(
    async ({ parentPath, name }) =>
      [join(parentPath, name).slice(folder.length + 1), await readFile(join(parentPath, name), 'utf8')] as const
  )
  return Object.fromEntries(await Promise.all(texts))
}

const init = (t: Test, files: Parameters<Test['testdir']>[0], ...args: string[]) => {
  const cwd = t.testdir(files)
  return { cwd, run: () => powersyncMongoIn({ cwd }, 'init', ...args) }
}

t.test('an empty folder becomes a project, by the templates', async t => {
  const { cwd, run } = init(t, {}, '--yes')
  const { code, stdout, stderr } = await run()
  t.equal(code, 0)
  t.equal(stderr, '')
  const files = await filesIn(cwd)
  t.same(stdout.match(/^written +\S+$/gm)!.map(line => line.slice(16).trim()).sort(), Object.keys(files).sort())
  t.match(stdout, /\nNext:\n {2}npm install\n.*\n {2}npm start\n/)
  for (const name of [
    'app.ts',
    'server.ts',
    'powersync.config.ts',
    'test/rules.test.ts',
    'docker-compose.yml',
    'client/schema.ts'
  ]) {
    const expected = (await readFile(join(templates, name), 'utf8')).replace(
      'const row = { name: \'text\', owner_id: \'ada\' }',
      'const row = { name: \'text\', created_at: \'2026-01-15T09:30:00Z\', owner_id: \'ada\' }'
    )
    t.equal(files[name], expected, name)
  }
  t.match(parse(files['powersync/streams.yaml']!), {
    streams: { lists: { query: /WHERE "owner_id" = auth.user_id\(\)/ }, todos: {} }
  })

  const environment = parseEnv(files['.env']!)
  const { published } = loadKeys({
    signing: environment['POWERSYNC_PRIVATE_KEY'],
    publicKey: environment['POWERSYNC_PUBLIC_KEY']
  })
  t.match(parse(files['powersync/service.yaml']!, { customTags: [] }).client_auth, {
    audience: [environment['POWERSYNC_URL']],
    jwks: { keys: published }
  })
  t.equal(files['.gitignore'], 'node_modules\n.env\n')
})

t.test('its files run as CommonJS, too: the package.json of npm init says so', async t => {
  const { cwd, run } = init(t, { 'package.json': '{ "name": "mine", "type": "commonjs" }' }, '--yes')
  t.equal((await run()).code, 0)
  const sources = Object.entries(await filesIn(cwd)).filter(([name]) => name.endsWith('.ts'))
  t.ok(sources.length >= 6)
  for (const [name, text] of sources) await t.resolves(transform(text, { loader: 'ts', format: 'cjs' }), name)
})

t.test('where it cannot write, it says so', async t => {
  t.match(await init(t, { client: 'a file' }, '--yes').run(), {
    code: 2,
    stderr: /\/client cannot be written \(EEXIST\)\n {2}→ run init in an empty folder, or in your app\n$/
  })
})

t.test('run again, it changes nothing, and writes what is missing', async t => {
  const { cwd, run } = init(t, {}, '--yes')
  await run()
  await writeFile(join(cwd, 'app.ts'), '// mine\n')
  const before = await filesIn(cwd)
  t.notMatch((await run()).stdout, /^written/m)
  t.same(await filesIn(cwd), before)

  const { cwd: other, run: again } = init(t, { 'server.ts': '// mine\n' }, '--yes', '--json')
  t.match(
    JSON.parse((await again()).stdout).files.filter(({ status }: { status: string }) => status === 'kept'),
    [{ path: 'server.ts', status: 'kept' }]
  )
  t.equal((await filesIn(other))['server.ts'], '// mine\n')
})

t.test('.env and .gitignore keep their values and line ends', async t => {
  const { cwd, run } = init(
    t,
    { '.env': 'MONGO_URI=mongodb://mine/app\r\nOTHER=1', '.gitignore': '/node_modules/\n*.log\n' },
    '--yes'
  )
  t.match((await run()).stdout, /^3 lines added +\.env$[^]*^1 lines added +\.gitignore$/m)
  const files = await filesIn(cwd)
  t.match(
    files['.env'],
    /^MONGO_URI=mongodb:\/\/mine\/app\r\nOTHER=1\r\nPOWERSYNC_URL=http:\/\/localhost:8080\r\nPOWERSYNC_PUBLIC_KEY=\S+\r\nPOWERSYNC_PRIVATE_KEY=\S+\r\n$/
  )
  t.equal(files['.gitignore'], '/node_modules/\n*.log\n.env\n')
})

t.test('an existing project keeps its package.json, and is told what to install', async t => {
  const { cwd, run } = init(t, { 'package.json': '{"name":"mine"}' }, '--yes')
  t.match((await run()).stdout, /^kept +package\.json$[^]*npm install fastify fastify-powersync-mongo tsx\n/m)
  t.equal((await filesIn(cwd))['package.json'], '{"name":"mine"}')
})

t.test('tables, sign-in and language are as they are given', async t => {
  const { cwd, run } = init(
    t,
    {},
    '--table',
    'notes: text?, price number, count integer',
    'marks: at date, mine owner',
    '--sign-in',
    'clerk',
    '--language',
    'js'
  )
  t.equal((await run()).code, 0)
  const files = await filesIn(cwd)
  t.match(
    files['powersync.config.js'],
    /text: Type\.Optional\(Type\.String\(\)\),\n {6}price: bson\.Double\(\),\n {6}count: bson\.Int32\(\)\n {4}\}\)\n {2}\}\),\n {2}marks: collection/
  )
  t.match(
    files['app.js'],
    /import powersyncMongo, \{ jwtIssuers \}[^]*authenticate: jwtIssuers\(\{ issuers: 'https:\/\/<slug>\.clerk/
  )
  t.match(files['client/connector.js'], /headers: \(\) =>/)
  t.match(files['test/rules.test.js'], /const row = \{ at: '2026-01-15T09:30:00Z', mine: 'ada' \}[^]*table: 'marks'/)
  t.match(JSON.parse(files['package.json']!), { scripts: { start: 'node --env-file=.env server.js' } })
  t.notOk(files['tsconfig.json'])

  const { cwd: free, run: runFree } = init(t, {}, '--yes', '--table', 'notes: text', '--sign-in', 'own')
  await runFree()
  const { 'package.json': manifest, 'app.ts': app, 'powersync.config.ts': config, ...others } = await filesIn(free)
  t.notOk('test' in JSON.parse(manifest!).scripts || others['test/rules.test.ts'], 'no rule to test')
  t.match(app, /import powersyncMongo from [^]*authenticate: async request => null, \/\/ give[^\n]*\n {2}collections\n/)
  t.match(config, /import \{ collection, Type \} from/)
})

t.test('on a terminal it asks for what is not given', async t => {
  const cwd = t.testdir({})
  const { code, stderr } = await powersyncMongoIn(
    { cwd, columns: 100, stdin: 'notes: text, mine owner\nown\njs\n' },
    'init'
  )
  t.equal(code, 0)
  t.match(
    stderr,
    /^Tables with their columns, separated by ; \[lists: .*\]: Sign-in: development, own, .*: Language: ts, js \[ts\]: $/
  )
  t.match(await filesIn(cwd), { 'powersync.config.js': /notes: collection/, 'app.js': /async request => null/ })
  t.match(await powersyncMongoIn({ cwd: t.testdir({}), columns: 100, stdin: '\nnobody\n' }, 'init'), {
    code: 2,
    stderr: /"nobody" is not one of development, own/
  })
})

t.test('what makes no sense is refused before anything is written', async t => {
  const cases: [args: string[], message: RegExp][] = [
    [[], /there is no terminal to ask on\n {2}→ pass --yes/],
    [['--yes', '--sign-in', 'nobody'], /argument 'nobody' is invalid/],
    [['--yes', '--table', 'notes: a', 'notes: b'], /the table "notes" is named twice\n {2}→ name all its columns in one/],
    [['--yes', '--table', 'notes: a', 'Notes: b'], /table "Notes", which SQLite does not tell from "notes".*\n {2}→ choose/],
    [['--yes', '--table', 'notes: a, A'], /column "A", which SQLite does not tell from "a"/],
    [['--yes', '--table', 'ps_crud: a'], /"ps_crud", a name that PowerSync or SQLite keeps/],
    [['--yes', '--table', 'powersync_notes: a'], /"powersync_notes", which is reserved/],
    ...[
      '',
      'notes',
      'notes:',
      'notes: id',
      'notes: a, a',
      'notes: a money',
      'notes: a owner, b owner',
      '1: a',
      'a: b: c',
      '$a: b'
    ]
      .filter(Boolean)
      .map(
        table =>
          [
            ['--yes', '--table', table],
            /the table ".+" cannot be read\n {2}→ write a name and columns, as in "lists: /
          ] as [string[], RegExp]
      )
  ]
  for (const [args, message] of cases) {
    const { cwd, run } = init(t, {}, ...args)
    t.match(await run(), { code: 2, stdout: '', stderr: message }, args.join(' '))
    t.same(await filesIn(cwd), {})
  }
  const { cwd, run } = init(t, { '.env': 'POWERSYNC_PRIVATE_KEY=x' }, '--yes')
  t.match(await run(), { code: 2, stderr: /POWERSYNC_PRIVATE_KEY/ })
  t.notOk((await filesIn(cwd))['app.ts'])
})
