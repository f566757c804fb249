import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { testDatabase } from './support/database.js'
import { keys } from './support/server.js'

const root = join(import.meta.dirname, '..')
const documents = ['README.md', ...(await readdir(join(root, 'docs'))).filter(file => file.endsWith('.md')).map(file => join('docs', file)), 'examples/express-migration.md']
const texts = await Promise.all(documents.map(file => readFile(join(root, file), 'utf8')))
const blocks = texts.flatMap(text => [...text.matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code!))
const [example, users] = blocks as [string, string]

/** A folder inside the project, so that its packages are found. */
const folder = await mkdtemp(join(root, 'test', '.readme-'))
t.teardown(() => rm(folder, { recursive: true }))
await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
await writeFile(join(folder, 'users.ts'), users)

t.test('every TypeScript block is without type errors', async t => {
  t.ok(blocks.length >= 5)
  const files = await Promise.all(blocks.map(async (code, index) => {
    const file = join(folder, `block-${index}.ts`)
    await writeFile(file, code)
    return file
  }))
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const errors = ts.getPreEmitDiagnostics(ts.createProgram(files, options))
  t.same(errors.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`), [])
})

t.test('the example runs as printed', async t => {
  const database = await testDatabase(t)
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  // Only what depends on where it runs: the package's name, the port, and a session to sign in with.
  await writeFile(join(folder, 'server.ts'), example.replace('\'fastify-powersync-mongo\'', '\'../../index.js\'').replace('port: 3000', `port: ${port}`))
  await writeFile(join(folder, 'users.ts'), users.replace('from \'fastify-powersync-mongo\'', 'from \'../../index.js\'').replace('new Map<string, User>()', 'new Map<string, User>([[\'session1\', { id: \'user1\' }]])'))
  const server = spawn(process.execPath, [...process.execArgv, join(folder, 'server.ts')], {
    env: { ...process.env, MONGO_URI: database.uri, POWERSYNC_URL: 'https://test.powersync.example', POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64 },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => server.kill())
  await new Promise<void>((resolve, reject) => {
    server.stdout.on('data', data => { if (String(data).includes('listening')) resolve() })
    server.once('exit', code => reject(new Error(`The example ended with ${code}`)))
  })

  const url = `http://127.0.0.1:${port}/powersync`
  t.equal((await fetch(`${url}/token`)).status, 401)
  t.equal((await fetch(`${url}/token`, { headers: { authorization: 'session1' } })).status, 200)
  const upload = async (...batch: object[]) => {
    const response = await fetch(`${url}/upload`, { method: 'POST', headers: { authorization: 'session1', 'content-type': 'application/json' }, body: JSON.stringify({ batch }) })
    return await response.json() as { results: object[] }
  }
  const list = { op: 'PUT', table: 'lists', id: 'list', data: { name: 'Groceries', created_at: '2024-10-31 10:33:24' } }
  const todo = { op: 'PUT', table: 'todos', id: 'todo', data: { list_id: 'list', description: 'Milk', completed: 0 } }
  t.same(await upload(list, todo), { results: [{ status: 'success' }] })
  t.match(await upload({ ...todo, id: 'other', data: { ...todo.data, list_id: 'none' } }), { results: [{ status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }] })
})
