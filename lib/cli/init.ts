import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { Option, type Command } from 'commander'
import { generateKeys } from '../keys/generate.js'
import { loadKeys } from '../keys/load.js'
import { readKeys } from '../options/settings.js'
import { clientSchemaOf } from '../schema/client-schema.js'
import { streamsOf } from '../schema/streams.js'
import { collectionsOf, configOf, defaultTables, parseTable, sampleOf, type Table } from './init-project.js'
import { foreignEncoding } from './environment.js'
import { usageError, type CommandIO } from './io.js'
import { questionsOf } from './questions.js'
import { screenOf } from './screen.js'

/** How users sign in: what `authenticate` is. Issuers and audiences are for the reader to fill in, by docs/authentication.md. */
const signIns = {
  development: '',
  own: 'async request => null // give { id } of the user that your session or API key knows, or null',
  auth0: "jwtIssuers({ issuers: 'https://<tenant>.<region>.auth0.com/', audience: 'https://api.example.com' })",
  clerk: "jwtIssuers({ issuers: 'https://<slug>.clerk.accounts.dev', claims: { azp: 'https://app.example.com' } })",
  cognito: "jwtIssuers({ issuers: 'https://cognito-idp.<region>.amazonaws.com/<pool>', audience: '<client>' })",
  firebase: "jwtIssuers({ issuers: 'https://securetoken.google.com/<project>', audience: '<project>' })",
  keycloak: "jwtIssuers({ issuers: 'https://<host>/realms/<realm>', claims: { azp: '<client>' } })",
  supabase: "jwtIssuers({ issuers: { issuer: 'https://<ref>.supabase.co/auth/v1', jwksUri: 'https://<ref>.supabase.co/auth/v1/.well-known/jwks.json' }, audience: 'authenticated' })"
}

interface Description { tables: Table[], signIn: keyof typeof signIns, language: 'ts' | 'js' }

interface Options { table?: string[], signIn?: keyof typeof signIns, language?: 'ts' | 'js', yes?: true, json?: true }

/** `powersync-mongo init`: writes the files that are missing, and says what to type next. */
export function addInit (program: Command, io: CommandIO): void {
  program.command('init')
    .description('write a server, PowerSync\'s configuration and a client into this folder; files that are there stay as they are')
    .option('--table <text...>', `a table with its columns, as in "${defaultTables[0]}"`)
    .addOption(new Option('--sign-in <name>', 'how your users sign in').choices(Object.keys(signIns)))
    .addOption(new Option('--language <name>', 'TypeScript or JavaScript').choices(['ts', 'js']))
    .option('--yes', 'ask nothing, and take a todo app, the sign-in development and TypeScript for what is not given')
    .option('--json', 'print { files: [{ path, status }] }')
    .addHelpText('after', '\nExample:\n  npx fastify-powersync-mongo init --yes')
    .action(async (options: Options) => {
      const description = await describeProject(options, io)
      const files: { path: string, status: string }[] = []
      const environment = await completeEnvironment(io.cwd(), files)
      for (const [path, text] of Object.entries(await filesOf(description, environment))) {
        files.push({ path, status: await writeNew(resolve(io.cwd(), path), text) ? 'written' : 'kept' })
      }
      io.stdout.write(options.json ? `${JSON.stringify({ files }, null, 2)}\n` : await inWords(files, description, io))
    })
}

async function describeProject ({ table, signIn, language, yes }: Options, io: CommandIO): Promise<Description> {
  const asks = !yes && !(table && signIn && language)
  if (asks && !io.stdin.isTTY) throw usageError('there is no terminal to ask on', 'pass --yes for the defaults, or --table, --sign-in and --language')
  const questions = asks ? questionsOf(io) : undefined
  const ask = async (question: string, otherwise: string) => await questions?.ask(`${question} [${otherwise}]: `) || otherwise
  const choose = async <Choice extends string>(question: string, choices: Choice[]): Promise<Choice> => {
    const answer = await ask(`${question}: ${choices.join(', ')}`, choices[0]!) as Choice
    if (!choices.includes(answer)) throw usageError(`"${answer}" is not one of ${choices.join(', ')}`)
    return answer
  }
  try {
    const asked = table ?? (await ask('Tables with their columns, separated by ;', defaultTables.join('; '))).split(';')
    return {
      tables: asked.map(parseTable),
      signIn: signIn ?? await choose('How users sign in', Object.keys(signIns) as (keyof typeof signIns)[]),
      language: language ?? await choose('Language', ['ts', 'js'])
    }
  } finally {
    questions?.close()
  }
}

/** Adds the variables that .env does not have, and keeps it out of git. */
async function completeEnvironment (folder: string, files: { path: string, status: string }[]): Promise<Record<string, string | undefined>> {
  const bytes = await readFile(join(folder, '.env')).catch(() => Buffer.alloc(0))
  const encoding = foreignEncoding(bytes)
  if (encoding) throw usageError(`.env is ${encoding}, in which Node.js does not find the variables`, 'save it as UTF-8 without a byte order mark')
  const text = bytes.toString()
  const existing = parseEnv(text)
  const keys = existing['POWERSYNC_PRIVATE_KEY'] ? undefined : await generateKeys()
  const added = Object.entries({
    MONGO_URI: 'mongodb://localhost:27017/app?directConnection=true',
    POWERSYNC_URL: 'http://localhost:8080',
    ...keys && { POWERSYNC_PUBLIC_KEY: keys.publicKeyBase64, POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64 }
  }).filter(([name]) => !existing[name])
  files.push({ path: '.env', status: await appendLines(join(folder, '.env'), added.map(([name, value]) => `${name}=${value}`)) })
  const ignored = await readFile(join(folder, '.gitignore'), 'utf8').catch(() => '')
  const missing = ['node_modules', '.env'].filter(name => !ignored.split(/\r?\n/).some(line => line.replaceAll('/', '') === name))
  files.push({ path: '.gitignore', status: await appendLines(join(folder, '.gitignore'), missing) })
  return { ...existing, ...Object.fromEntries(added) }
}

/** With the line ends that the file has. */
async function appendLines (file: string, lines: string[]): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (lines.length === 0) return 'kept'
  const end = text?.includes('\r\n') ? '\r\n' : '\n'
  await writeFile(file, `${text ?? ''}${text && !text.endsWith('\n') ? end : ''}${lines.map(line => `${line}${end}`).join('')}`, { mode: file.endsWith('.env') ? 0o600 : 0o644 })
  return text === undefined ? 'written' : `${lines.length} lines added`
}

const root = dirname(createRequire(import.meta.url).resolve('fastify-powersync-mongo/package.json'))

/** The text of each file, by its path. */
async function filesOf ({ tables, signIn, language }: Description, environment: Record<string, string | undefined>): Promise<Record<string, string>> {
  const template = (name: string) => readFile(join(root, 'examples', 'init', ...name.split('/')), 'utf8')
  const collections = collectionsOf(tables)
  const owned = tables.find(({ owner }) => owner)
  const development = signIn === 'development'
  const app = await template('app.ts')
  const [publicKey] = loadKeys(...readKeys(undefined, environment)).published
  return {
    'package.json': packageOf(language, owned !== undefined),
    ...language === 'ts' && { 'tsconfig.json': `${JSON.stringify({ compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, skipLibCheck: true, noEmit: true, types: ['node'] }, exclude: ['client'] }, null, 2)}\n` },
    [`powersync.config.${language}`]: configOf(tables),
    [`app.${language}`]: development
      ? app
      : app.replace(/ {2}\/\/ For development.*\n/, '').replace('developmentAuth()', signIns[signIn]).replace(', { developmentAuth }', signIn === 'own' ? '' : ', { jwtIssuers }').replace('or null,', 'or null'),
    [`server.${language}`]: await template('server.ts'),
    ...owned && {
      [`test/rules.test.${language}`]: (await template('test/rules.test.ts')).replace(/const row = .*/, () => `const row = ${sampleOf(owned)}`).replace("'lists'", `'${owned.name}'`)
    },
    'docker-compose.yml': await template('docker-compose.yml'),
    'powersync/service.yaml': (await template('powersync/service.yaml')).replace('keys: []', () => `keys:\n      - ${JSON.stringify(publicKey)}`),
    'powersync/streams.yaml': streamsOf(collections),
    [`client/connector.${language}`]: await template(development ? 'client/connector.development.ts' : 'client/connector.ts'),
    [`client/schema.${language}`]: clientSchemaOf(collections, 'js')
  }
}

function packageOf (language: 'ts' | 'js', hasTest: boolean): string {
  const { version } = createRequire(import.meta.url)('fastify-powersync-mongo/package.json') as { version: string }
  const runner = language === 'ts' ? 'tsx' : 'node'
  return `${JSON.stringify({
    name: 'powersync-backend',
    private: true,
    type: 'module',
    scripts: { start: `${runner} --env-file=.env server.${language}`, ...hasTest && { test: `${runner} --env-file=.env --test test/rules.test.${language}` } },
    dependencies: { fastify: '^5.0.0', 'fastify-powersync-mongo': `^${version}` },
    ...language === 'ts' && { devDependencies: { '@types/node': '^20.19.0', tsx: '^4.0.0', typescript: '~5.9.0' } }
  }, null, 2)}\n`
}

/** Whether the file was not there. */
async function writeNew (file: string, text: string): Promise<boolean> {
  await mkdir(dirname(file), { recursive: true })
  try {
    await writeFile(file, text, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

async function inWords (files: { path: string, status: string }[], { signIn, language }: Description, { stdout, env, cwd }: CommandIO): Promise<string> {
  const { paint } = screenOf(stdout, env)
  const foreign = !(await readFile(join(cwd(), 'package.json'), 'utf8')).includes('fastify-powersync-mongo')
  const steps = [
    foreign ? 'npm install fastify fastify-powersync-mongo tsx' : 'npm install',
    'docker compose up --detach --wait   # MongoDB and PowerSync; or set MONGO_URI in .env',
    foreign ? `npx tsx --env-file=.env server.${language}   # or register the plugin in a server of yours, as app.${language} does` : 'npm start',
    'npx powersync-mongo doctor --url http://localhost:3000/powersync'
  ]
  return `${files.map(({ path, status }) => `${paint(status === 'kept' ? 'dim' : 'green', status.padEnd(16))}${path}\n`).join('')}
Next:
${steps.map(step => `  ${step}\n`).join('')}${signIn === 'development' ? '' : '\nFill in authenticate in app first: docs/authentication.md of fastify-powersync-mongo.\n'}
client/ is for your app: database.connect(connector), with the schema beside it.
`
}
