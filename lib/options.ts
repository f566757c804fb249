import { wasMadeHere } from './keys/generate.js'
import type { KeyInputs, KeyNames, KeySet } from './keys/load.js'
import type { KeyOptions, PowerSyncMongoOptions, UploadOptions } from '../types/index.js'
import { OptionError } from './errors.js'
import type { DeadLetterSettings } from './store/dead-letters.js'
import type { LedgerOptions } from './store/ledger.js'
import { typeWords } from './type-words.js'
import { isProtected } from './urls.js'

/** The environment variables that stand in for options. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface Settings {
  powersyncUrl: string
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

const known = new Set([
  'prefix', 'name', 'powersyncUrl', 'keys', 'mongo', 'authenticate', 'token', 'upload', 'collections', 'validators', 'checkpoints', 'routes',
  'authorize', 'transform', 'resolveConflict', 'updateBatch', 'onResult'
])

const hooks = ['authorize', 'transform', 'resolveConflict', 'updateBatch', 'onResult'] as const

/**
 * Checks the options that are plain values and fills in defaults.
 * @throws {OptionError} for the first mistake: which option, what was found, what to do
 */
export function readOptions (options: PowerSyncMongoOptions, environment: Environment): Settings {
  const production = environment['NODE_ENV'] === 'production'
  for (const option of Object.keys(options)) {
    if (!known.has(option)) throw new OptionError(option, `is unknown: expected one of ${[...known].join(', ')}`)
  }
  const { authenticate, collections, upload, token } = options
  if (typeof authenticate !== 'function') {
    throw new OptionError('authenticate', 'is missing: pass (request) => ({ id }) for whoever may have a token and null for everybody else; developmentAuth() to try things out')
  }
  if (upload?.authenticate !== undefined) checkFunction('upload.authenticate', upload.authenticate)
  if (upload?.requiresClientHandling !== undefined) checkFunction('upload.requiresClientHandling', upload.requiresClientHandling)
  checkChoice('validators', options.validators || undefined, ['apply', 'check'])
  if (options.checkpoints !== undefined && typeof options.checkpoints !== 'boolean') {
    throw new OptionError('checkpoints', `is ${typeWords(options.checkpoints)}: expected true or false`)
  }
  for (const [code, rule] of Object.entries(upload?.faults ?? {})) checkChoice(`upload.faults[${code}]`, rule, ['retry', 'reject'])
  if (production && (authenticate.development || upload?.authenticate?.development)) {
    throw new OptionError('authenticate', 'is developmentAuth(), which lets anybody be anybody, and NODE_ENV is production: pass a function that knows your users')
  }
  if (typeof collections !== 'object' || collections === null || Object.keys(collections).length === 0) {
    throw new OptionError('collections', 'is missing or empty: pass { table: collection({ schema }) } for each table that clients may write')
  }
  for (const hook of hooks) if (options[hook] !== undefined) checkFunction(hook, options[hook])
  if (token?.claims !== undefined) checkFunction('token.claims', token.claims)
  if (options.name !== undefined && !/^\w+$/.test(options.name)) {
    throw new OptionError('name', 'has other characters than letters, digits and _: it becomes a property, fastify.powersync.<name>')
  }
  return {
    powersyncUrl: readUrl(options.powersyncUrl, environment, production),
    expiresIn: readInteger('token.expiresIn', token?.expiresIn, { byDefault: 300, minimum: 60, maximum: 86_400, unit: 'seconds' }),
    bodyLimit: readInteger('upload.bodyLimit', upload?.bodyLimit, { byDefault: 16 * 1024 * 1024, minimum: 1024, maximum: 16 * 1024 * 1024, unit: 'bytes' }),
    maxOperations: readInteger('upload.maxOperations', upload?.maxOperations, { byDefault: 100_000, minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: 'operations' }),
    deadline: readInteger('upload.deadline', upload?.deadline, { byDefault: 20_000, minimum: 100, maximum: 600_000, unit: 'milliseconds' }),
    maxConcurrent: readInteger('upload.maxConcurrent', upload?.maxConcurrent, { byDefault: undefined, minimum: 1, maximum: 1_000_000, unit: 'uploads' }),
    deduplicate: readDeduplicate(upload?.deduplicate),
    deadLetters: readDeadLetters(upload?.deadLetters)
  }
}

/** The configured keys, and what to call them in errors. */
export function readKeys (keys: KeyOptions | undefined, environment: Environment): [KeyInputs, Partial<KeyNames>] {
  if (keys) return [{ signing: keys.signing, published: keys.published }, {}]
  return [
    // A variable that is set to nothing counts as not set.
    {
      signing: environment['POWERSYNC_PRIVATE_KEY'] || undefined,
      publicKey: environment['POWERSYNC_PUBLIC_KEY'] || undefined,
      published: environment['POWERSYNC_PUBLISHED_KEYS'] || undefined
    },
    { signing: 'POWERSYNC_PRIVATE_KEY', publicKey: 'POWERSYNC_PUBLIC_KEY', published: 'POWERSYNC_PUBLISHED_KEYS' }
  ]
}

/**
 * @throws {OptionError} in production, for a signing key that `generateKeys()` made in this process: the next start
 * and every other process would have another one
 */
export function refuseMadeUpKey ({ published: [own] }: KeySet, environment: Environment): void {
  if (environment['NODE_ENV'] === 'production' && wasMadeHere(own)) {
    throw new OptionError('keys.signing', 'was made by generateKeys() in this process, and NODE_ENV is production: each process and each start would sign with another key, which the PowerSync Service does not know. Run "npx powersync-mongo generate-keys" once, and set POWERSYNC_PRIVATE_KEY')
  }
}

function checkFunction (option: string, value: unknown): void {
  if (typeof value !== 'function') throw new OptionError(option, `is ${typeof value}: expected a function`)
}

function checkChoice (option: string, value: unknown, choices: string[]): void {
  if (value !== undefined && !choices.includes(value as string)) throw new OptionError(option, `is ${JSON.stringify(value)}: expected ${choices.map(choice => `'${choice}'`).join(' or ')}`)
}

/** @throws {OptionError} when there is none, or it is none, or anybody could listen in production */
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

function readDeduplicate (option: UploadOptions['deduplicate'] = true): LedgerOptions | undefined {
  if (option === false) return undefined
  const { days } = option === true ? {} : option
  return {
    days: readInteger('upload.deduplicate.days', days, { byDefault: 60, minimum: 1, maximum: 3650, unit: 'days' })
  }
}

function readDeadLetters ({ expireAfterDays, mirror }: NonNullable<UploadOptions['deadLetters']> = {}): DeadLetterSettings {
  if (mirror !== undefined && (typeof mirror !== 'string' || !/^(?!system\.|_?powersync)[^$\0]+$/.test(mirror))) {
    throw new OptionError('upload.deadLetters.mirror', `is ${typeof mirror === 'string' ? JSON.stringify(mirror) : typeWords(mirror)}: expected the name of a collection of yours`)
  }
  return {
    expireAfterDays: readInteger('upload.deadLetters.expireAfterDays', expireAfterDays, { byDefault: undefined, minimum: 1, maximum: 3650, unit: 'days' }),
    mirror
  }
}

interface Range<Default> { byDefault: Default, minimum: number, maximum: number, unit: string }

/** @throws {OptionError} for anything but an integer of the range, or nothing */
export function readInteger<Default extends number | undefined> (option: string, value: number | undefined, { byDefault, minimum, maximum, unit }: Range<Default>): number | Default {
  if (value === undefined) return byDefault
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new OptionError(option, `is ${typeof value === 'number' ? value : typeof value}: expected an integer from ${minimum} to ${maximum} ${unit}`)
  }
  return value
}
