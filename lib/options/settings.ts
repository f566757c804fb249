import type { Collections, KeyOptions, PowerSyncMongoOptions } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { wasGeneratedHere } from '../keys/generate.js'
import { loadKeys, type KeyInputs, type KeyNames, type KeySet } from '../keys/load.js'
import type { DeadLetterSettings } from '../store/dead-letters.js'
import type { LedgerOptions } from '../store/ledger.js'
import { checkCollection } from '../schema/collection.js'
import { typeWords } from '../type-words.js'
import { isProtected } from '../urls.js'
import { checkOptions } from './check.js'
import { collectionOptions, deduplicateDays, pluginOptions } from './schema.js'

/** The environment variables that stand in for options. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface Settings {
  expiresIn: number
  bodyLimit: number
  maxOperations: number
  deadline: number
  /** Undefined: as many as MongoDB's pool has connections. */
  maxConcurrent: number | undefined
  /** Undefined: uploads are not deduplicated. */
  deduplicate: LedgerOptions | undefined
  deadLetters: DeadLetterSettings
}

/** What to write instead, where the schema's words are not enough. */
const advice: ReadonlyArray<[option: keyof PowerSyncMongoOptions, isMistake: (value: unknown) => boolean, sentence: string]> = [
  ['authenticate', value => typeof value !== 'function', 'pass (request) => ({ id }) for a user who may have a token and null for anybody else; developmentAuth() to try things out'],
  ['collections', value => typeof value !== 'object' || value === null || Object.keys(value).length === 0, 'pass { table: collection({ schema }) } for each table that clients may write'],
  ['mongo', value => typeof value === 'string', "pass { url: 'mongodb://…' }, or set MONGO_URI"]
]

/**
 * Checks all options that are plain values, and fills in defaults.
 * @throws {OptionError} for the first mistake: the option, what was found, what to do
 */
export function readOptions (options: PowerSyncMongoOptions, environment: Environment): Settings {
  for (const [option, isMistake, sentence] of advice) {
    const value = options[option]
    if (isMistake(value)) throw new OptionError(option, `is ${value === undefined ? 'missing' : typeWords(value)}: ${sentence}`)
  }
  checkOptions(pluginOptions, options)
  checkCollections(options.collections)
  const production = environment['NODE_ENV'] === 'production'
  const { authenticate, token = {}, upload = {} } = options
  checkMirror(options.collections, upload.deadLetters?.mirror)
  if (production && (authenticate.development || upload.authenticate?.development)) {
    throw new OptionError('authenticate', 'is developmentAuth(), which lets anybody be anybody, and NODE_ENV is production: pass a function that knows your users')
  }
  const { expiresIn } = pluginOptions.properties.token.properties
  const { bodyLimit, maxOperations, deadline } = pluginOptions.properties.upload.properties
  return {
    expiresIn: token.expiresIn ?? expiresIn.default as number,
    bodyLimit: upload.bodyLimit ?? bodyLimit.default as number,
    maxOperations: upload.maxOperations ?? maxOperations.default as number,
    deadline: upload.deadline ?? deadline.default as number,
    maxConcurrent: upload.maxConcurrent,
    deduplicate: upload.deduplicate === false ? undefined : { days: Object(upload.deduplicate).days ?? deduplicateDays.default },
    deadLetters: { expireAfterDays: upload.deadLetters?.expireAfterDays, mirror: upload.deadLetters?.mirror }
  }
}

/** Clients write to the mirror by settling letters, and in no other way. */
function checkMirror (collections: Collections, mirror: string | undefined): void {
  for (const [table, { name = table }] of Object.entries(collections)) {
    if (mirror === table || mirror === name) throw new OptionError('upload.deadLetters.mirror', `is ${mirror}, which is in collections.${table}: name a collection that no table writes to`)
  }
}

/**
 * Checks what `collection()` was given, for the plugin and for the command line: a typo never means "allowed" in either.
 * @throws {OptionError} for the first mistake
 */
export function checkCollections (collections: Collections): void {
  for (const [table, collection] of Object.entries(collections)) {
    checkCollection(table, collection)
    checkOptions(collectionOptions, collection, `collections.${table}`)
  }
}

/**
 * The keys and the audience of tokens. Undefined in write-only mode: with the routes `token` and `jwks` off nothing is
 * signed or published, unless the option `keys` says otherwise.
 */
export function readSigning ({ routes = {}, keys, powersyncUrl }: PowerSyncMongoOptions, environment: Environment): { keys: KeySet, powersyncUrl: string } | undefined {
  if (routes.token === false && routes.jwks === false && keys === undefined) return undefined
  const production = environment['NODE_ENV'] === 'production'
  return { powersyncUrl: readUrl(powersyncUrl, environment, production), keys: refuseMadeUpKey(loadKeys(...readKeys(keys, environment)), production) }
}

/** The configured keys, and their names in errors. */
export function readKeys (keys: KeyOptions | undefined, environment: Environment): [KeyInputs, Partial<KeyNames>] {
  if (keys) return [{ signing: keys.signing, published: keys.published }, {}]
  // A variable that is set to nothing counts as not set.
  const variable = (name: string) => environment[name] || undefined
  const names = { signing: 'POWERSYNC_PRIVATE_KEY', publicKey: 'POWERSYNC_PUBLIC_KEY', published: 'POWERSYNC_PUBLISHED_KEYS' }
  return [{ signing: variable(names.signing), publicKey: variable(names.publicKey), published: variable(names.published) }, names]
}

/** A key that `generateKeys()` made in this process: the next start and every other process would have another one. */
function refuseMadeUpKey (keys: KeySet, production: boolean): KeySet {
  if (production && wasGeneratedHere(keys.published[0])) {
    throw new OptionError('keys.signing', 'was made by generateKeys() in this process, and NODE_ENV is production: each process and each start would sign with another key, which the PowerSync Service does not know. Run "npx powersync-mongo generate-keys" once, and set POWERSYNC_PRIVATE_KEY')
  }
  return keys
}

/** @throws {OptionError} if the URL is missing, invalid, or plain http in production */
export function readUrl (option: string | undefined, environment: Environment, production: boolean): string {
  const source = option === undefined ? 'POWERSYNC_URL' : 'powersyncUrl'
  const url = option ?? environment['POWERSYNC_URL']
  if (!url) throw new OptionError('powersyncUrl', 'is missing: pass it or set POWERSYNC_URL to the URL of your PowerSync instance, as in https://<id>.powersync.journeyapps.com')
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new OptionError('powersyncUrl', `(from ${source}) is not a URL: expected one that starts with https://`)
  }
  if (production && !isProtected(new URL(url))) {
    throw new OptionError('powersyncUrl', `(from ${source}) is plain http, and NODE_ENV is production: clients would send their tokens there for anybody to read. Use the https URL that clients connect to`)
  }
  return url.replace(/\/+$/, '')
}
