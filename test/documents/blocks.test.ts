import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { parse as parseYaml } from 'yaml'
import { testDatabase } from '../support/database.js'
import { codeBlocks, documentNames, readDocument, root, section } from '../support/documents.js'
import { keys } from '../support/server.js'

const documents = await documentNames()
const useIt = codeBlocks(section(await readDocument('README.md'), '## Use it')).filter(
  ({ language }) => language === 'ts'
)

/** A folder inside the project, so that its packages are found. */
const folder = await mkdtemp(join(root, 'test', '.readme-'))
t.teardown(() => rm(folder, { recursive: true }))
await writeFile(join(folder, 'package.json'), '{ "type": "module" }')

/** The languages whose blocks are neither run nor compiled, and why. */
const notRun: Record<string, string> = {
  text: 'drawings',
  js: 'parts of a client app, or of a program with other packages: their syntax is checked',
  json: 'bodies and answers: parsed',
  yaml: 'parts of other programs\' configurations: parsed',
  ini: 'environments: the names of the variables are checked',
  dockerfile: 'the instructions are checked; test/examples/containers.test.ts has a whole one'
}

/** How the blocks of a language are checked. */
const checks: Record<string, (code: string, t: Test, document: string) => unknown> = {
  ts: () => {}, // all together, below
  js: (code, t) => {
    t.strictSame(ts.transpileModule(code, { reportDiagnostics: true }).diagnostics, [], 'without syntax errors')
    t.notMatch(code, /from 'fastify-powersync-mongo/, 'what uses this package is TypeScript, and compiled')
  },
  sh: () => {}, // in commands.test.ts
  console: onlyOfCommands,
  text: (code, t) => t.match(code, /[─│▶▼]/, 'a drawing'),
  json: code => JSON.parse(code),
  yaml: code => parseYaml(code),
  ini: (code, t) => {
    for (const line of code.trimEnd().split('\n')) {
      t.match(line, /^(POWERSYNC_(URL|PRIVATE_KEY|PUBLIC_KEY|PUBLISHED_KEYS)|MONGO_URI|NODE_ENV)=\S+$/)
    }
  },
  dockerfile: (code, t) => {
    for (const line of code.trimEnd().split('\n')) {
      t.match(line, /^(FROM|WORKDIR|COPY|RUN|USER|ENV|EXPOSE|CMD|HEALTHCHECK) \S|^#/)
    }
  }
}

/** What the command line prints is checked in test/cli/documentation.test.ts. */
function onlyOfCommands (code: string, t: Test, document: string): void {
  t.equal(document, 'docs/cli.md')
}

for (const document of documents) {
  t.test(`every block of ${document} is in a language that is checked`, async t => {
    for (const { language, code, line } of codeBlocks(await readDocument(document))) {
      const check = checks[language]
      if (check) await check(code, t, document)
      t.ok(check, `line ${line}: ${language || 'no language'}`)
    }
  })
}

t.test('what is neither run nor compiled has a reason, and is less than half of all', async t => {
  const all = (await Promise.all(documents.map(async document =>
    codeBlocks(await readDocument(document)).map(({ language, line }) => ({ language, place: `${document}:${line}` }))
  ))).flat()
  const left = all.filter(({ language }) => notRun[language] !== undefined)
  for (const [language, reason] of Object.entries(notRun)) {
    const places = left.filter(block => block.language === language).map(({ place }) => place)
    t.comment(`${places.length} ${language}, ${reason}: ${places.join(', ')}`)
    t.ok(places.length > 0, `${language} is in use`)
  }
  t.ok(left.length < all.length / 2, `${left.length} of ${all.length}`)
  const run = ['ts', 'sh', 'console']
  t.strictSame(Object.keys(checks).filter(language => !run.includes(language)).sort(), Object.keys(notRun).sort())
})

t.test('every TypeScript block is without type errors', async t => {
  const files: string[] = []
  for (const document of documents) {
    // Beside the files of the README, which some build on.
    const ofDocument = join(folder, document.replaceAll(/\W/g, '-'))
    await mkdir(ofDocument)
    const blocks = codeBlocks(await readDocument(document)).filter(({ language }) => language === 'ts')
    for (const { code, file, line } of [...useIt, ...blocks]) {
      const path = join(ofDocument, file ?? `line-${line}.ts`)
      await writeFile(path, code)
      files.push(path)
    }
  }
  t.ok(files.length > 30)
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const errors = ts.getPreEmitDiagnostics(ts.createProgram(files, options))
  t.same(
    errors.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`),
    []
  )
})

t.test('the example runs as printed', async t => {
  t.strictSame(useIt.map(({ file }) => file), ['server.ts'])
  const example = useIt[0]!.code
  const database = await testDatabase(t)
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  // Only what depends on where it runs: the package's name, and the port.
  await writeFile(
    join(folder, 'server.ts'),
    example.replace('\'fastify-powersync-mongo\'', '\'../../index.js\'').replace('port: 3000', `port: ${port}`)
  )
  const server = spawn(process.execPath, [...process.execArgv, join(folder, 'server.ts')], {
    env: {
      ...process.env,
      MONGO_URI: database.uri,
      POWERSYNC_URL: 'https://test.powersync.example',
      POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => server.kill())
  await new Promise<void>((resolve, reject) => {
    server.stdout.on('data', data => { if (String(data).includes('listening')) resolve() })
    server.once('exit', code => reject(new Error(`The example ended with ${code}`)))
  })

  const url = `http://127.0.0.1:${port}/powersync`
  t.equal((await fetch(`${url}/token?user_id=ann`)).status, 200)
  const upload = async (user: string, ...batch: object[]) => {
    const response = await fetch(`${url}/upload?user_id=${user}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ batch })
    })
    return await response.json() as { results: object[] }
  }
  const list = { op: 'PUT', table: 'lists', id: 'list', data: { name: 'Groceries', created_at: '2024-10-31 10:33:24' } }
  const todo = { op: 'PUT', table: 'todos', id: 'todo', data: { list_id: 'list', description: 'Milk', completed: 0 } }
  const refused = { results: [{ status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }] }
  t.same(await upload('ann', list, todo), { results: [{ status: 'success' }] })
  t.match(await upload('ann', { ...todo, id: 'other', data: { ...todo.data, list_id: 'none' } }), refused)
  t.match(await upload('bob', { ...todo, op: 'PATCH', data: { completed: 1 } }), refused, 'a list of somebody else')
  t.match(await upload('bob', { ...todo, op: 'DELETE', data: undefined }), refused)
  t.same(
    await upload('bob', { op: 'DELETE', table: 'todos', id: 'gone' }),
    { results: [{ status: 'success' }] },
    'what is gone already'
  )
})
