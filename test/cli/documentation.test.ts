import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection, generateKeys } from '../../index.js'
import { run } from '../../lib/cli/run.js'
import { allCommands, configFile } from '../support/command-line.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8')
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, block]) => block!)

t.test('docs/cli.md has a table of all options, by the descriptions that the program prints', async t => {
  const options = new Map<string, string[]>()
  for (const { name, command } of allCommands) {
    for (const { flags, description, argChoices, defaultValue } of command.options) {
      const otherwise = [argChoices && `one of ${argChoices.join(', ')}`, defaultValue && `default: ${defaultValue}`]
        .filter(Boolean)
        .join('; ')
      const meaning = `${description}${otherwise && ` (${otherwise})`}`
      const key = `\`${flags}\` | ${meaning.replaceAll('|', '\\|')}`
      options.set(key, [...options.get(key) ?? [], `\`${name.join(' ')}\``])
    }
  }
  const table = [...options]
    .map(([key, commands]) => `| ${key.replace(' | ', ` | ${commands.join(', ')} | `)} |\n`)
    .join('')
  const [, documented] = /\| option \| of \| meaning \|\n\| --- \| --- \| --- \|\n((?:\|.*\n)+)/.exec(text)!
  t.equal(documented, table)
})

/** Those of an app that does not know notes, and has short descriptions. */
const collections = {
  todos: collection({
    schema: Type.Object({ list_id: Type.String(), description: Type.String({ maxLength: 20 }), done: bson.Boolean() })
  })
}

async function rejectedUploads (uri: string): Promise<void> {
  const app = await testServer(t, { collections, mongo: { url: uri } })
  const todo = {
    op: 'PUT',
    table: 'todos',
    id: 'todo-1',
    op_id: 1,
    tx_id: 1,
    data: { list_id: 'groceries', description: 'Milk, bread, butter and jam', done: 0 }
  }
  const note = { op: 'PUT', table: 'notes', id: 'note-1', op_id: 2, tx_id: 2, data: { text: 'Ask for a receipt' } }
  await upload(app, { client_id: 'phone', batch: [todo, note] }, { url: '/upload?user_id=ada' })
}

t.test('docs/cli.md shows what the commands print', async t => {
  const config = await configFile(t, blocks('ts')[0]!, { name: 'powersync.config.ts', inProject: true })
  const mongo = await startWireServer({
    on: {
      connectionStatus: () => ({
        ok: 1,
        authInfo: {
          authenticatedUsers: [{ user: 'app', db: 'admin' }],
          authenticatedUserPrivileges: [
            {
              resource: { db: 'app', collection: '' },
              actions: ['find', 'insert', 'update', 'remove', 'createIndex', 'createCollection']
            }
          ]
        }
      })
    }
  })
  t.teardown(() => mongo.stop())
  const gone = await startWireServer()
  await gone.stop()
  const { uri } = await testDatabase(t)
  await rejectedUploads(uri)
  const keys = await generateKeys({ kid: '2026-01' })
  const uriOf = (line: string) => line.includes('dead-letters') ? uri : mongo.uri.replace('/test', '/app')
  const service = `http://127.0.0.1:${gone.port}`
  const server = await testServer(t, {
    collections,
    mongo: { url: mongo.uri },
    prefix: '/powersync',
    keys: { signing: keys.privateKey },
    authenticate: () => null
  })
  const url = `${await server.listen({ host: '127.0.0.1', port: 0 })}/powersync`
  await writeFile(
    join(dirname(config), '.env'),
    `NODE_ENV=production\nPOWERSYNC_URL=${service}\nPOWERSYNC_PRIVATE_KEY=${keys.privateKeyBase64}\n`
  )

  /** In a terminal of 100 columns without colours. */
  async function session (line: string): Promise<string> {
    let shown = ''
    const screen = { isTTY: true, columns: 100, write: (text: string) => { shown += text } }
    const args = line.replace('http://127.0.0.1:3000/powersync', url).split(' ').slice(3)
    await run(args, {
      stdin: Readable.from([]),
      stdout: screen,
      stderr: screen,
      env: { NO_COLOR: '1', MONGO_URI: uriOf(line) },
      cwd: () => dirname(config)
    })
    return `${line}\n${shown}`
  }

  // What differs from run to run: progress, ports, keys, times.
  const asDocumented = (text: string) => text
    .replace(/[^\n]*\r\x1b\[K/g, '') // eslint-disable-line no-control-regex
    .replaceAll(service, 'http://127.0.0.1:8080')
    .replaceAll(url, 'http://127.0.0.1:3000/powersync')
    .replace(/=eyJ\S+/g, '=eyJ…')
    .replace(/\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ/g, '2026-01-15T09:24:31.052Z')

  for (const block of blocks('console')) {
    const lines = block.split('\n').filter(line => line.startsWith('$ '))
    const shown: string[] = []
    for (const line of lines) shown.push(asDocumented(await session(line)))
    t.equal(shown.join('\n'), block)
  }
})
