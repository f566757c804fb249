import { Value } from '@sinclair/typebox/value'
import type { Collections, KeyOptions, PowerSyncMongoOptions, UploadOptions } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { wasGeneratedHere } from '../keys/generate.js'
import { loadKeys, type KeySet } from '../keys/load.js'
import { checkCollection } from '../schema/collection.js'
import { isProtected } from '../urls.js'
import { checkOptions } from '../check-options.js'
import { collectionOptions, deduplicateDays, idOptions, pluginOptions } from './schema.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** Checks all options, and fills in the defaults of plain values. @throws {OptionError} for the first mistake */
export function readOptions (options: PowerSyncMongoOptions, environment: Environment) {
  checkOptions(pluginOptions, options)
  const { collections, authenticate, token, upload } = options
  const { deadLetters = {}, deduplicate } = upload ?? {}
  checkCollections(collections, deadLetters.mirror)
  if (isProduction(environment) && (authenticate.development || upload?.authenticate?.development)) {
    const problem = `is developmentAuth(), and ${inProduction}: pass a function that knows your users`
    throw new OptionError('authenticate', problem)
  }
  const { properties } = pluginOptions
  const { expiresIn } = Value.Default(properties.token, { ...token }) as { expiresIn: number }
  const days: number = Object(deduplicate).days ?? deduplicateDays.default
  return {
    ...Value.Default(properties.upload, { ...upload }) as UploadOptions & Limits,
    expiresIn,
    /** Undefined: off. */
    deduplicate: deduplicate === false ? undefined : { days },
    deadLetters
  }
}

type Limits = Record<'bodyLimit' | 'maxOperations' | 'deadline', number>

/** Also checks the mirror of dead letters: clients have it as a table, and write to it by settling letters only. */
export function checkCollections (collections: Collections, mirror?: string): void {
  for (const [table, collection] of Object.entries(collections)) {
    checkCollection(table, collection)
    checkOptions(collectionOptions, collection, `collections.${table}`)
    // SQLite compares names without regard to case.
    if (mirror !== undefined && (mirror.toLowerCase() === table.toLowerCase() || mirror === collection.name)) {
      const problem = `is ${mirror}, which collections.${table} writes to: name a collection that no table writes to`
      throw new OptionError('upload.deadLetters.mirror', problem)
    }
    const { id } = collection
    const ofId = typeof id === 'object' && id !== null && !('decode' in id) && idOptions.get(id.type)
    if (ofId) checkOptions(ofId, id, `collections.${table}.id`)
  }
}

const isProduction = (environment: Environment) => environment['NODE_ENV'] === 'production'
const inProduction = 'NODE_ENV is production'

/** The keys and the audience of tokens; undefined in write-only mode: without `keys` and the routes of tokens. */
export function readSigning (
  options: PowerSyncMongoOptions, environment: Environment
): { keys: KeySet, powersyncUrl: string } | undefined {
  const { routes = {}, keys: given } = options
  if (routes.token === false && routes.jwks === false && given === undefined) return undefined
  const powersyncUrl = readUrl(options.powersyncUrl, environment, isProduction(environment))
  const keys = readKeys(given, environment)
  if (isProduction(environment) && wasGeneratedHere(keys.published[0])) {
    const fix = 'Run "npx powersync-mongo generate-keys" once, and set POWERSYNC_PRIVATE_KEY'
    const risk = 'each process and each start would sign with another key'
    throw new OptionError('keys.signing', `was generated in this process, and ${inProduction}: ${risk}. ${fix}`)
  }
  return { powersyncUrl, keys }
}

export function readKeys (keys: KeyOptions | undefined, environment: Environment): KeySet {
  if (keys) return loadKeys(keys)
  const names = {
    signing: 'POWERSYNC_PRIVATE_KEY', publicKey: 'POWERSYNC_PUBLIC_KEY', published: 'POWERSYNC_PUBLISHED_KEYS'
  }
  // An empty variable counts as not set.
  const inputs = Object.entries(names).map(([input, name]) => [input, environment[name] || undefined])
  return loadKeys(Object.fromEntries(inputs), names)
}

export function readUrl (option: string | undefined, environment: Environment, production: boolean): string {
  const url = (option ?? environment['POWERSYNC_URL'])?.trim()
  const fail = (problem: string) => new OptionError('powersyncUrl', problem)
  if (!url) throw fail('is missing: set POWERSYNC_URL, as in https://<id>.powersync.journeyapps.com')
  const source = `(from ${option === undefined ? 'POWERSYNC_URL' : 'powersyncUrl'})`
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw fail(`${source} is not a URL: expected one that starts with https://`)
  }
  const risk = 'anybody on the network could read tokens'
  if (production && !isProtected(new URL(url))) {
    throw fail(`${source} is plain http, and ${inProduction}: ${risk}. Use an https URL`)
  }
  return url.replace(/\/+$/, '')
}
