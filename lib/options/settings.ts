import type { Collections, KeyOptions, PowerSyncMongoOptions } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { wasGeneratedHere } from '../keys/generate.js'
import { loadKeys, type KeyInputs, type KeyNames, type KeySet } from '../keys/load.js'
import type { DeadLetterSettings } from '../../types/dead-letters.js'
import type { LedgerOptions } from '../store/ledger.js'
import { checkCollection } from '../schema/collection.js'
import { typeWords } from '../type-words.js'
import { isProtected } from '../urls.js'
import { checkOptions } from './check.js'
import { collectionOptions, deduplicateDays, pluginOptions } from './schema.js'

/** Environment variables, some of which replace options. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface Settings {
  expiresIn: number
  bodyLimit: number
  maxOperations: number
  deadline: number
  /** Default: the size of MongoDB's connection pool. */
  maxConcurrent: number | undefined
  /** Undefined: off. */
  deduplicate: LedgerOptions | undefined
  deadLetters: DeadLetterSettings
}

type Advice = [option: keyof PowerSyncMongoOptions, isMistake: (value: unknown) => boolean, fix: string]

/** Fixes for mistakes that need more words than the schema has. */
const advice: readonly Advice[] = [
  [
    'authenticate', value => typeof value !== 'function',
    'pass (request) => ({ id }) for users who may have a token, null for others; developmentAuth() for development'
  ],
  [
    'collections', value => Object.keys(Object(value)).length === 0 || typeof value !== 'object',
    'pass { table: collection({ schema }) } for each table that clients may write'
  ],
  ['mongo', value => typeof value === 'string', "pass { url: 'mongodb://…' }, or set MONGO_URI"]
]

/**
 * Checks all options, and fills in the defaults of plain values.
 * @throws {OptionError} for the first mistake
 */
export function readOptions (options: PowerSyncMongoOptions, environment: Environment): Settings {
  for (const [option, isMistake, fix] of advice) {
    const value = options[option]
    if (isMistake(value)) {
      throw new OptionError(option, `is ${value === undefined ? 'missing' : typeWords(value)}: ${fix}`)
    }
  }
  checkOptions(pluginOptions, options)
  checkCollections(options.collections)
  const production = environment['NODE_ENV'] === 'production'
  const { authenticate, token = {}, upload = {} } = options
  checkMirror(options.collections, upload.deadLetters?.mirror)
  if (production && (authenticate.development || upload.authenticate?.development)) {
    throw new OptionError(
      'authenticate',
      `is developmentAuth(), and ${inProduction}: pass a function that knows your users`
    )
  }
  const { expiresIn } = pluginOptions.properties.token.properties
  const { bodyLimit, maxOperations, deadline } = pluginOptions.properties.upload.properties
  return {
    expiresIn: token.expiresIn ?? expiresIn.default as number,
    bodyLimit: upload.bodyLimit ?? bodyLimit.default as number,
    maxOperations: upload.maxOperations ?? maxOperations.default as number,
    deadline: upload.deadline ?? deadline.default as number,
    maxConcurrent: upload.maxConcurrent,
    deduplicate: upload.deduplicate === false
      ? undefined
      : { days: Object(upload.deduplicate).days ?? deduplicateDays.default },
    deadLetters: { expireAfterDays: upload.deadLetters?.expireAfterDays, mirror: upload.deadLetters?.mirror }
  }
}

/** Clients write to the mirror by settling letters, and in no other way. */
function checkMirror (collections: Collections, mirror: string | undefined): void {
  for (const [table, { name = table }] of Object.entries(collections)) {
    if (mirror !== table && mirror !== name) continue
    const problem = `is ${mirror}, which collections.${table} writes to: name a collection that no table writes to`
    throw new OptionError('upload.deadLetters.mirror', problem)
  }
}

/**
 * Checks the options of `collection()`, for the plugin and for the command line.
 * @throws {OptionError} for the first mistake
 */
export function checkCollections (collections: Collections): void {
  for (const [table, collection] of Object.entries(collections)) {
    checkCollection(table, collection)
    checkOptions(collectionOptions, collection, `collections.${table}`)
  }
}

const inProduction = 'NODE_ENV is production'

interface Signing { keys: KeySet, powersyncUrl: string }

/**
 * The keys and the audience of tokens; undefined in write-only mode, with the routes `token` and `jwks` off and without
 * the option `keys`.
 */
export function readSigning (options: PowerSyncMongoOptions, environment: Environment): Signing | undefined {
  const { routes = {}, keys: given } = options
  if (routes.token === false && routes.jwks === false && given === undefined) return undefined
  const production = environment['NODE_ENV'] === 'production'
  const powersyncUrl = readUrl(options.powersyncUrl, environment, production)
  const keys = loadKeys(...readKeys(given, environment))
  if (production && wasGeneratedHere(keys.published[0])) {
    throw new OptionError(
      'keys.signing',
      `was generated in this process, and ${inProduction}: each process and each start ` +
        'would sign with another key. Run "npx powersync-mongo generate-keys" once, and set POWERSYNC_PRIVATE_KEY'
    )
  }
  return { powersyncUrl, keys }
}

/** The configured keys with their names in errors. */
export function readKeys (keys: KeyOptions | undefined, environment: Environment): [KeyInputs, Partial<KeyNames>] {
  if (keys) return [{ signing: keys.signing, published: keys.published }, {}]
  // An empty variable counts as not set.
  const variable = (name: string) => environment[name] || undefined
  const names = {
    signing: 'POWERSYNC_PRIVATE_KEY', publicKey: 'POWERSYNC_PUBLIC_KEY', published: 'POWERSYNC_PUBLISHED_KEYS'
  }
  const { signing, publicKey, published } = names
  return [{ signing: variable(signing), publicKey: variable(publicKey), published: variable(published) }, names]
}

/** @throws {OptionError} if the URL is missing, invalid, or plain http in production */
export function readUrl (option: string | undefined, environment: Environment, production: boolean): string {
  const url = option ?? environment['POWERSYNC_URL']
  const fail = (problem: string) => new OptionError('powersyncUrl', problem)
  if (!url) throw fail('is missing: set POWERSYNC_URL, as in https://<id>.powersync.journeyapps.com')
  const source = `(from ${option === undefined ? 'POWERSYNC_URL' : 'powersyncUrl'})`
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw fail(`${source} is not a URL: expected one that starts with https://`)
  }
  if (production && !isProtected(new URL(url))) {
    throw fail(
      `${source} is plain http, and ${inProduction}: anybody on the network could read tokens. Use an https URL`
    )
  }
  return url.replace(/\/+$/, '')
}
