import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Option } from 'commander'
import type { Collections, Hooks } from '../../types/index.js'
import { CollectionRegistry } from '../rules/registry.js'
import { OptionError } from '../errors.js'
import { checkCollections } from '../options/settings.js'
import { typeWords } from '../type-words.js'
import { usageError } from './io.js'

/** What the plugin gets from an app, as far as a command needs it. */
export interface App {
  collections: Collections
  /** Those for all collections. */
  hooks: Hooks
}

/** Looked for when the user names no file. */
const defaults = ['ts', 'mts', 'js', 'mjs'].map(extension => `powersync.config.${extension}`)

/** The option of a command that reads an app's collections. */
export const configOption = new Option('--config <file>', 'the file that exports your collections (default: powersync.config.ts or .js)')

/** The file that the user named, or the one that is looked for; undefined if there is none. */
export const configPath = (given: string | undefined, cwd: string): string | undefined => given ?? defaults.find(name => existsSync(resolve(cwd, name)))

/**
 * The collections that a user's file exports, as `collections` or as a default export that has them: JavaScript, or
 * TypeScript where Node strips types or the file's project has tsx. They are checked as the plugin checks them.
 *
 * @param given as the user gave it
 * @param cwd the working directory, which the path starts from, and where `powersync.config.ts` is looked for
 * @throws {CommandError} when there is no such file, it cannot be loaded, or what it exports are no collections
 */
export async function loadConfig (given: string | undefined, cwd: string): Promise<Collections> {
  return (await loadApp(given, cwd)).collections
}

/** The same with the hooks for all collections that the file exports beside them, by the names of the plugin's options. */
export async function loadApp (given: string | undefined, cwd: string): Promise<App> {
  const path = configPath(given, cwd)
  if (path === undefined) throw usageError('--config is missing, and there is no powersync.config.ts', 'pass the path of the file that exports your collections')
  const file = resolve(cwd, path)
  if (!existsSync(file)) throw usageError(`there is no file ${path}`, '--config takes the path of the file that exports your collections')
  const { collections, authorize, transform, resolveConflict, updateBatch, onResult } = exportOf(await load(path, file))
  if (typeof collections !== 'object' || collections === null) throw usageError(`${path} exports no collections`, expected)
  const hooks = { authorize, transform, resolveConflict, updateBatch, onResult }
  for (const [name, hook] of Object.entries(hooks)) {
    if (hook !== undefined && typeof hook !== 'function') throw usageError(`${path} exports ${name}, which is ${typeWords(hook)}`, 'export the hook for all collections by that name, a function, or rename it')
  }
  const app = { collections, hooks } as App
  try {
    // The registry checks what the rules mean, and the schema of the options how they are written.
    const registry = new CollectionRegistry(app.collections, {})
    checkCollections(app.collections)
    return registry && app
  } catch (error) {
    if (!(error instanceof OptionError)) throw usageError(`${path} exports collections that collection() did not make`, expected)
    throw usageError(`${path}: ${error.message}`)
  }
}

const expected = 'write "export const collections = { table: collection({ schema }) }"'

/** A default export that was compiled to CommonJS arrives within another one. */
function exportOf (module: Exports): Exports {
  return [module, module.default, module.default?.default].find(each => each?.collections !== undefined) ?? {}
}

interface Exports extends Partial<Record<'collections' | keyof Hooks, unknown>> { default?: Exports }

async function load (path: string, file: string): Promise<Exports> {
  const url = pathToFileURL(file).href
  const typescript = /\.[cm]?ts$/.test(file)
  const { tsImport } = typescript ? await tsxNear(file) : {}
  try {
    return tsImport ? await tsImport(url, url) : await import(url)
  } catch (error) {
    const { code, message } = Object(error) as NodeJS.ErrnoException
    if (`${code} ${message}`.includes('ERR_UNKNOWN_FILE_EXTENSION')) {
      throw usageError(`${path} is of a kind that Node.js ${process.versions.node} cannot load`, `if it is TypeScript, ${installTsx}; or compile it, or use Node.js 22.18 or later`)
    }
    throw usageError(`${path} cannot be loaded: ${message}`, typescript && !tsImport ? `correct it; if it needs more than Node.js' own TypeScript, ${installTsx}` : 'correct it: "node" with its path shows more')
  }
}

const installTsx = 'npm install --save-dev tsx in its project: this command then loads it by that'

interface Tsx { tsImport?: (url: string, parent: string) => Promise<Exports> }

/** The tsx of the file's own project, if it has one. */
async function tsxNear (file: string): Promise<Tsx> {
  try {
    const folder = dirname(createRequire(file).resolve('tsx/package.json'))
    return await import(pathToFileURL(join(folder, 'dist', 'esm', 'api', 'index.mjs')).href)
  } catch {
    return {}
  }
}
