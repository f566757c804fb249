import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Option, type Command } from 'commander'
import type { Collections } from '../../types/collections.js'
import { generateKeys } from '../keys/generate.js'
import { readKeys, type Environment } from '../options/settings.js'
import { CollectionRegistry } from '../rules/registry.js'
import { clientSchemaOf } from '../schema/client-schema.js'
import { collection } from '../schema/collection.js'
import { bson } from '../schema/fields.js'
import { streamsOf } from '../schema/streams.js'
import { packageFolder, readEnvironment, version } from './config.js'
import { jsonText, linesOf, questionsOf, screenOf, usageError, type CommandIO } from './terminal.js'

const columnTypes = {
  text: { source: 'Type.String()', schema: Type.String(), sample: 'text' },
  integer: { source: 'bson.Int32()', schema: bson.Int32(), sample: 1 },
  number: { source: 'bson.Double()', schema: bson.Double(), sample: 1.5 },
  boolean: { source: 'bson.Boolean()', schema: bson.Boolean(), sample: 1 },
  date: { source: 'bson.Date()', schema: bson.Date(), sample: '2026-01-15T09:30:00Z' },
  owner: { source: 'Type.String()', schema: Type.String(), sample: 'ada' }
}

const defaultTables = [
  'lists: name, created_at? date, owner_id owner',
  'todos: list_id, description, completed? boolean, owner_id owner'
]

/** Values of `authenticate`. The reader fills in issuers and audiences, by docs/authentication.md. */
const signIns = {
  development: 'developmentAuth()',
  own: 'async request => null // give { id } of the user that your session or API key knows, or null',
  auth0: "jwtIssuers({ issuers: 'https://<tenant>.<region>.auth0.com/', audience: 'https://api.example.com' })",
  clerk: "jwtIssuers({ issuers: 'https://<slug>.clerk.accounts.dev', claims: { azp: 'https://app.example.com' } })",
  cognito: "jwtIssuers({ issuers: 'https://cognito-idp.<region>.amazonaws.com/<pool>', audience: '<client>' })",
  firebase: "jwtIssuers({ issuers: 'https://securetoken.google.com/<project>', audience: '<project>' })",
  keycloak: "jwtIssuers({ issuers: 'https://<host>/realms/<realm>', claims: { azp: '<client>' } })",
  supabase: `jwtIssuers({
    issuers: {
      issuer: 'https://<ref>.supabase.co/auth/v1',
      jwksUri: 'https://<ref>.supabase.co/auth/v1/.well-known/jwks.json'
    },
    audience: 'authenticated'
  })`
}

const languages = ['ts', 'js'] as const

type Table = ReturnType<typeof parseTable>
interface Project { tables: Table[], signIn: keyof typeof signIns, language: typeof languages[number] }
interface Options extends Partial<Omit<Project, 'tables'>> { table?: string[], yes?: true, json?: true }

export function addInit (program: Command, io: CommandIO): void {
  program.command('init')
    .description('write a server, PowerSync\'s configuration and a client into this folder; keep existing files')
    .option('--table <text...>', `table with its columns, as in "${defaultTables[0]}"`)
    .addOption(new Option('--sign-in <name>', 'how your users sign in').choices(Object.keys(signIns)))
    .addOption(new Option('--language <name>', 'TypeScript or JavaScript').choices(languages))
    .option('--yes', 'ask nothing; the defaults are a todo app, development sign-in and TypeScript')
    .option('--json', 'print { files: [{ path, status }] }')
    .addHelpText('after', '\nExample:\n  npx fastify-powersync-mongo init --yes')
    .action(async (options: Options) => {
      const project = await describeProject(options, io)
      const files = await writeProject(io.cwd(), project).catch((error: NodeJS.ErrnoException) => {
        if (error.path === undefined) throw error
        throw usageError(`${error.path} cannot be written (${error.code})`, 'run init in an empty folder, or in your app')
      })
      io.stdout.write(options.json ? jsonText({ files }) : await inWords(files, project, io))
    })
}

async function describeProject ({ table, signIn, language, yes }: Options, io: CommandIO): Promise<Project> {
  const asks = !yes && !(table && signIn && language)
  const withoutTerminal = 'pass --yes, or --table, --sign-in and --language'
  if (asks && !io.stdin.isTTY) throw usageError('there is no terminal to ask on', withoutTerminal)
  const questions = asks ? questionsOf(io) : undefined
  const ask = async (question: string, otherwise: string) =>
    (await questions?.ask(`${question} [${otherwise}]: `)) || otherwise
  const choose = async <Choice extends string>(question: string, choices: readonly Choice[]): Promise<Choice> => {
    const answer = await ask(`${question}: ${choices.join(', ')}`, choices[0]!) as Choice
    if (!choices.includes(answer)) throw usageError(`"${answer}" is not one of ${choices.join(', ')}`)
    return answer
  }
  try {
    const question = 'Tables with their columns, separated by ;'
    const tables = table ?? (await ask(question, defaultTables.join('; '))).split(';')
    return {
      tables: checked(tables.map(parseTable)),
      signIn: signIn ?? await choose('Sign-in', Object.keys(signIns) as Project['signIn'][]),
      language: language ?? await choose('Language', languages)
    }
  } finally {
    questions?.close()
  }
}

/** Tables that the plugin starts with, before any file is written. */
function checked (tables: Table[]): Table[] {
  const twice = tables.find(({ name }, index) => tables.findIndex(other => other.name === name) < index)
  if (twice) throw usageError(`the table "${twice.name}" is named twice`, 'name all its columns in one --table')
  try {
    const registry = new CollectionRegistry(collectionsOf(tables), {})
    return tables.filter(({ name }) => registry.has(name))
  } catch (error) {
    throw usageError((error as Error).message, 'choose other names')
  }
}

function parseTable (text: string) {
  const [, name, list = ''] = /^\s*([a-z]\w*)\s*:([^:]+)$/i.exec(text) ?? []
  const columns = list.split(',').flatMap(parseColumn)
  const owners = columns.filter(({ type }) => type === 'owner')
  const isWhole = new Set(columns.map(({ name }) => name)).size === list.split(',').length
  if (name && isWhole && owners.length < 2) return { name, columns, owner: owners[0]?.name }
  const fix = `write a name and columns, as in "${defaultTables[0]}": ? marks columns that may be null, the types are ` +
    `${Object.keys(columnTypes).join(', ')}, and one column may be the owner's; every table has an id by itself`
  throw usageError(`the table "${text}" cannot be read`, fix)
}

/** Nothing for a text that cannot be read. */
function parseColumn (text: string) {
  const [, name = 'id', optional, type = 'text'] = /^([a-z]\w*)(\?)?(?:\s+(\w+))?$/i.exec(text.trim()) ?? []
  if (name === 'id' || !Object.hasOwn(columnTypes, type)) return []
  const column = { name, type, ...columnTypes[type as keyof typeof columnTypes] }
  const { source, schema } = column
  return [optional ? { ...column, source: `Type.Optional(${source})`, schema: Type.Optional(schema) } : column]
}

async function writeProject (folder: string, project: Project) {
  const existing = await readEnvironment(folder)
  const keys = existing['POWERSYNC_PRIVATE_KEY'] ? undefined : await generateKeys()
  const added = Object.entries({
    MONGO_URI: 'mongodb://localhost:27017/app?directConnection=true',
    POWERSYNC_URL: 'http://localhost:8080',
    ...keys && { POWERSYNC_PUBLIC_KEY: keys.publicKeyBase64, POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64 }
  }).filter(([name]) => !existing[name])
  const ignored = await readFile(join(folder, '.gitignore'), 'utf8').catch(() => '')
  const ignoredNames = ignored.split(/\r?\n/).map(line => line.replaceAll('/', ''))
  const missing = ['node_modules', '.env'].filter(name => !ignoredNames.includes(name))
  const lines = added.map(([name, value]) => `${name}=${value}`)
  const files = [await appendLines(folder, '.env', lines), await appendLines(folder, '.gitignore', missing)]
  for (const [path, text] of Object.entries(await filesOf(project, { ...existing, ...Object.fromEntries(added) }))) {
    const file = join(folder, path)
    await mkdir(dirname(file), { recursive: true })
    const status = await writeFile(file, text, { flag: 'wx' }).then(() => 'written', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
      return 'kept'
    })
    files.push({ path, status })
  }
  return files
}

async function appendLines (folder: string, path: string, lines: string[]) {
  const file = join(folder, path)
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (lines.length === 0) return { path, status: 'kept' }
  const end = text?.includes('\r\n') ? '\r\n' : '\n'
  const before = !text || text.endsWith('\n') ? text ?? '' : text + end
  await writeFile(file, before + lines.map(line => line + end).join(''), { mode: path === '.env' ? 0o600 : 0o644 })
  return { path, status: text === undefined ? 'written' : `${lines.length} lines added` }
}

async function filesOf ({ tables, signIn, language }: Project, environment: Environment) {
  const template = (name: string) => readFile(join(packageFolder, 'examples/init', name), 'utf8')
  const collections = collectionsOf(tables)
  const owned = tables.find(({ owner }) => owner)
  const [publicKey] = readKeys(undefined, environment).published
  const connector = signIn === 'development' ? 'client/connector.development.ts' : 'client/connector.ts'
  return {
    'package.json': packageOf(language, owned !== undefined),
    ...language === 'ts' && { 'tsconfig.json': jsonText(tsconfig) },
    [`powersync.config.${language}`]: configOf(tables),
    [`app.${language}`]: appOf(await template('app.ts'), signIn),
    [`server.${language}`]: await template('server.ts'),
    ...owned && { [`test/rules.test.${language}`]: testOf(await template('test/rules.test.ts'), owned) },
    'docker-compose.yml': await template('docker-compose.yml'),
    'powersync/service.yaml': (await template('powersync/service.yaml'))
      .replace('keys: []', () => `keys:\n      - ${JSON.stringify(publicKey)}`),
    'powersync/streams.yaml': streamsOf(collections),
    [`client/connector.${language}`]: await template(connector),
    [`client/schema.${language}`]: clientSchemaOf(collections, 'js')
  }
}

const collectionsOf = (tables: Table[]): Collections =>
  Object.fromEntries(tables.map(({ name, columns, owner }) => {
    const properties = Object.fromEntries(columns.map(({ name, schema }) => [name, schema]))
    return [name, collection({ schema: Type.Object(properties), owner })]
  }))

function configOf (tables: Table[]): string {
  const text = tables.map(({ name, columns, owner }) => {
    const properties = columns.map(({ name, source }) => `      ${name}: ${source}`)
    const rule = owner === undefined ? '' : `,\n    owner: '${owner}'`
    return `  ${name}: collection({\n    schema: Type.Object({\n${properties.join(',\n')}\n    })${rule}\n  })`
  }).join(',\n')
  return `import { ${text.includes('bson.') ? 'bson, ' : ''}collection, Type } from 'fastify-powersync-mongo'

/** What clients may write, with types and owners. The command line reads this file, too. */
export const collections = {
${text}
}
`
}

function testOf (template: string, { name, columns }: Table): string {
  const values = columns.map(({ name, sample }) => `${name}: ${JSON.stringify(sample)}`)
  const row = `const row = { ${values.join(', ').replaceAll('"', "'")} }`
  return template.replace(/const row = .*/, () => row).replace("'lists'", `'${name}'`)
}

const tsconfig = {
  compilerOptions: {
    target: 'es2023', module: 'nodenext', strict: true, skipLibCheck: true, noEmit: true, types: ['node']
  },
  exclude: ['client']
}

/** The template signs users in for development. */
function appOf (template: string, signIn: Project['signIn']): string {
  if (signIn === 'development') return template
  return template
    .replace(/ {2}\/\/ For development.*\n/, '')
    .replace('developmentAuth(),', signIn === 'own' ? signIns.own.replace(' //', ', //') : `${signIns[signIn]},`)
    .replace(', { developmentAuth }', signIn === 'own' ? '' : ', { jwtIssuers }')
}

function packageOf (language: Project['language'], hasTest: boolean): string {
  const runner = language === 'ts' ? 'tsx' : 'node'
  return jsonText({
    name: 'powersync-backend',
    private: true,
    type: 'module',
    scripts: {
      start: `${runner} --env-file=.env server.${language}`,
      ...hasTest && { test: `${runner} --env-file=.env --test test/rules.test.${language}` }
    },
    dependencies: { fastify: '^5.0.0', 'fastify-powersync-mongo': `^${version}` },
    ...language === 'ts' && { devDependencies: { '@types/node': '^20.19.0', tsx: '^4.0.0', typescript: '~5.9.0' } }
  })
}

async function inWords (
  files: Array<{ path: string, status: string }>, { signIn, language }: Project, { stdout, env, cwd }: CommandIO
): Promise<string> {
  const { paint } = screenOf(stdout, env)
  const written = files.map(({ path, status }) => paint(status === 'kept' ? 'dim' : 'green', status.padEnd(16)) + path)
  const isOurs = (await readFile(join(cwd(), 'package.json'), 'utf8')).includes('fastify-powersync-mongo')
  const start = `npx tsx --env-file=.env server.${language}   # or register the plugin in your own server, as app.${language} does`
  const authentication = '\nFill in authenticate in app first: docs/authentication.md of fastify-powersync-mongo.\n'
  return `${linesOf(written)}
Next:
  npm install${isOurs ? '' : ' fastify fastify-powersync-mongo tsx'}
  docker compose up --detach --wait   # MongoDB and PowerSync; or set MONGO_URI in .env
  ${isOurs ? 'npm start' : start}
  npx powersync-mongo doctor --url http://localhost:3000/powersync
${signIn === 'development' ? '' : authentication}
In your app, use client/: database.connect(connector) with the schema beside it.
`
}
