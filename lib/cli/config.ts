/** What commands read: this package, variables, the app's collections, and MongoDB. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { Option } from 'commander'
import type { Collections, Hooks } from '../../types/index.js'
import { CollectionRegistry } from '../rules/registry.js'
import { HookError, OptionError } from '../errors.js'
import { checkOptions } from '../check-options.js'
import { hooks } from '../options/schema.js'
import { checkCollections } from '../options/settings.js'
import { databaseIn } from '../store/connect.js'
import { nameOf, remedyOf, rootOf } from '../store/mongodb-errors.js'
import { isPlain } from '../type-words.js'
import { CommandError, usageError, type CommandIO } from './terminal.js'

const require = createRequire(import.meta.url)

/** The folder of this package, from its sources and from `dist`. */
export const packageFolder = dirname(require.resolve('fastify-powersync-mongo/package.json'))

export const { version } = require('fastify-powersync-mongo/package.json') as { version: string }

/** Not called `--env-file`: Node.js 20 takes that for its own, even behind a script's name. */
export const envOption = new Option('--env <file>', 'file of variables that the environment lacks (default: .env)')

/** Byte order marks of the encodings that editors and shells of Windows write, in hexadecimal. */
const marks = { efbbbf: 'UTF-8 with a byte order mark (BOM)', fffe: 'UTF-16', feff: 'UTF-16' }

export async function readEnvironment (cwd: string, given?: string): Promise<Record<string, string | undefined>> {
  const name = given === undefined ? '.env' : `--env ${given}`
  const bytes = await readFile(resolve(cwd, given ?? '.env')).catch(({ code }: NodeJS.ErrnoException) => {
    if (given === undefined && code === 'ENOENT') return Buffer.alloc(0)
    throw usageError(`${name} cannot be read (${code})`)
  })
  const found = Object.entries(marks).find(([mark]) => bytes.toString('hex', 0, 3).startsWith(mark))
  if (!found) return parseEnv(bytes.toString())
  const fix = 'save it as UTF-8 without a byte order mark'
  throw usageError(`${name} is encoded as ${found[1]}: Node.js finds no variable in it`, fix)
}

export const configOption =
  new Option('--config <file>', 'file that exports your collections (default: powersync.config.ts or .js)')

export const configPath = (given: string | undefined, cwd: string): string | undefined =>
  given ??
  ['ts', 'mts', 'js', 'mjs'].map(type => `powersync.config.${type}`).find(name => existsSync(resolve(cwd, name)))

export async function loadApp (given: string | undefined, cwd: string, mirror?: string) {
  const path = configPath(given, cwd)
  const file = path && resolve(cwd, path)
  if (!file || !existsSync(file)) {
    const found = path ? `there is no file ${path}` : '--config is missing, and there is no powersync.config.ts'
    throw usageError(found, 'pass the file that exports your collections')
  }
  const { collections, ...exported } = exportOf(await load(path, file))
  const expected = 'write "export const collections = { table: collection({ schema }) }"'
  if (!isPlain(collections) || Object.keys(collections).length === 0) throw usageError(`${path} exports no collections`, expected)
  try {
    for (const [name, schema] of Object.entries(hooks)) {
      if (exported[name] !== undefined) checkOptions(schema, exported[name], name)
    }
    // The registry checks what the rules mean, the schema of the options how they are written.
    const registry = new CollectionRegistry(collections, exported as Hooks)
    checkCollections(collections, mirror)
    return { collections, registry }
  } catch (error) {
    if (error instanceof OptionError) throw usageError(`${path}: ${error.message}`)
    throw usageError(`${path} exports collections that collection() did not make`, expected)
  }
}

interface Exports { [name: string]: unknown, collections?: Collections | null, default?: Exports }

/** A default export that was compiled to CommonJS is nested in another one. */
const exportOf = (module: Exports): Exports =>
  [module, module.default, module.default?.default].find(each => each?.collections !== undefined) ?? {}

async function load (path: string, file: string): Promise<Exports> {
  const url = pathToFileURL(file).href
  const typescript = /\.[cm]?ts$/.test(file)
  const tsx = typescript && await tsxNear(file)
  const installTsx = 'npm install --save-dev tsx in its project'
  try {
    return tsx ? await tsx.tsImport(url, url) : await import(url)
  } catch (error) {
    const { code, message = String(error) } = Object(error) as NodeJS.ErrnoException
    if (`${code} ${message}`.includes('ERR_UNKNOWN_FILE_EXTENSION')) {
      const fix = `if it is TypeScript, ${installTsx}, or use Node.js 22.18 or later`
      throw usageError(`Node.js ${process.versions.node} cannot load ${path}`, fix)
    }
    const mayNeedTsx = typescript && !tsx ? `; if it needs more than the TypeScript of Node.js, ${installTsx}` : ''
    throw usageError(`${path} cannot be loaded: ${message}`, `correct it: "node" with its path shows more${mayNeedTsx}`)
  }
}

/** The tsx of the file's own project. Its build for `require` does not find its own modules. */
async function tsxNear (file: string) {
  try {
    const folder = dirname(createRequire(file).resolve('tsx/package.json'))
    const tsx = await import(pathToFileURL(join(folder, 'dist/esm/api/index.mjs')).href)
    return tsx as { tsImport (url: string, parent: string): Promise<Exports> }
  } catch {}
}

export const uriOption =
  new Option('--uri <url>', 'connection string with the database in its path (default: MONGO_URI)')

/** Without it the driver takes the database `test`. */
export const pathOfDatabase = 'put it in the path, as in mongodb://host/app?replicaSet=rs0'

export async function withMongo (
  uri: string | undefined, role: string, { env }: CommandIO, work: (client: mongodb.MongoClient) => Promise<void>
): Promise<void> {
  const found = uri ?? env['MONGO_URI']
  if (!found) throw usageError('the connection string of MongoDB is missing', 'pass --uri or set MONGO_URI')
  let client
  try {
    client = new fastifyMongodb.mongodb.MongoClient(found, { serverSelectionTimeoutMS: 7500 })
    if (!databaseIn(found)) throw usageError('the connection string names no database', pathOfDatabase)
    await work(client)
  } catch (error) {
    // A wrong escape, or a host that DNS does not know.
    const isOfNode = error instanceof URIError || 'syscall' in Object(error)
    if (!isOfNode && !isOfMongo(error)) throw error
    throw new CommandError(`MongoDB failed (${nameOf(error)})`, `${remedyOf(error, role)}, and run this again`, 1)
  } finally {
    await client?.close()
  }
}

/** An error without the message of MongoDB, which may quote documents, and with the hook that failed. */
export function reasonOf (error: unknown): string {
  const root = rootOf(error) as Error
  const reason = isOfMongo(root) ? `MongoDB (${nameOf(root)})` : `${root.name}: ${root.message}`
  return error instanceof HookError && root !== error ? `${error.message}: ${reason}` : reason
}

/** By name: errors of the driver's own packages share no class with its others. */
const isOfMongo = (error: unknown) => (error as Error).name.startsWith('Mongo')
