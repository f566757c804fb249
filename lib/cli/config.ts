import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Option } from 'commander'
import type { Collections, Hooks } from '../../types/index.js'
import { CollectionRegistry } from '../rules/registry.js'
import { OptionError } from '../errors.js'
import { checkOptions } from '../options/check.js'
import { hooks } from '../options/schema.js'
import { checkCollections } from '../options/settings.js'
import { usageError } from './terminal.js'

export const configOption =
  new Option('--config <file>', 'file that exports your collections (default: powersync.config.ts or .js)')

/** The file that the user named, else the first that exists by a default name. */
export const configPath = (given: string | undefined, cwd: string): string | undefined =>
  given ??
  ['ts', 'mts', 'js', 'mjs'].map(type => `powersync.config.${type}`).find(name => existsSync(resolve(cwd, name)))

/** Loads the file's `collections` and its hooks for all collections, and checks them as the plugin does. */
export async function loadApp (given: string | undefined, cwd: string) {
  const path = configPath(given, cwd)
  const file = path && resolve(cwd, path)
  if (!file || !existsSync(file)) {
    const found = path ? `there is no file ${path}` : '--config is missing, and there is no powersync.config.ts'
    throw usageError(found, 'pass the file that exports your collections')
  }
  const { collections, ...exported } = exportOf(await load(path, file))
  const expected = 'write "export const collections = { table: collection({ schema }) }"'
  if (!isCollections(collections)) throw usageError(`${path} exports no collections`, expected)
  try {
    for (const [name, schema] of Object.entries(hooks)) {
      if (exported[name] !== undefined) checkOptions(schema, exported[name], name)
    }
    // The registry checks what the rules mean, the schema of the options how they are written.
    const registry = new CollectionRegistry(collections, exported as Hooks)
    checkCollections(collections)
    return { collections, registry }
  } catch (error) {
    if (error instanceof OptionError) throw usageError(`${path}: ${error.message}`)
    throw usageError(`${path} exports collections that collection() did not make`, expected)
  }
}

const isCollections = (value: unknown): value is Collections => typeof value === 'object' && value !== null

interface Exports { [name: string]: unknown, default?: Exports }

/** A default export that was compiled to CommonJS is nested in another one. */
const exportOf = (module: Exports): Exports =>
  [module, module.default, module.default?.default].find(each => each?.['collections'] !== undefined) ?? {}

async function load (path: string, file: string): Promise<Exports> {
  const url = pathToFileURL(file).href
  const typescript = /\.[cm]?ts$/.test(file)
  const tsx = typescript ? await tsxNear(file) : undefined
  const installTsx = 'npm install --save-dev tsx in its project'
  try {
    return tsx ? await tsx.tsImport(url, url) : await import(url)
  } catch (error) {
    const { code, message } = Object(error) as NodeJS.ErrnoException
    if (`${code} ${message}`.includes('ERR_UNKNOWN_FILE_EXTENSION')) {
      const fix = `if it is TypeScript, ${installTsx}, or use Node.js 22.18 or later`
      throw usageError(`Node.js ${process.versions.node} cannot load ${path}`, fix)
    }
    const mayNeedTsx = typescript && !tsx ? `; if it needs more than the TypeScript of Node.js, ${installTsx}` : ''
    throw usageError(`${path} cannot be loaded: ${message}`, `correct it: "node" with its path shows more${mayNeedTsx}`)
  }
}

interface Tsx { tsImport (url: string, parent: string): Promise<Exports> }

/** The tsx of the file's own project. Its build for `require` does not find its own modules. */
async function tsxNear (file: string): Promise<Tsx | undefined> {
  try {
    const folder = dirname(createRequire(file).resolve('tsx/package.json'))
    return await import(pathToFileURL(join(folder, 'dist/esm/api/index.mjs')).href)
  } catch {
    return undefined
  }
}
