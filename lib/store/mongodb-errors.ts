import type { mongodb } from '../bson.js'
import { MongoError, PowerSyncFatalError, WriteError } from '../errors.js'
import { listWords } from '../type-words.js'

interface ServerError {
  code?: number
  errmsg?: string
  message?: string
  errInfo?: unknown
  /** Fields of a unique index: `{ email: 1 }`. */
  keyPattern?: Record<string, unknown>
  keyValue?: Record<string, unknown>
  writeErrors?: unknown
}

const invalid = (message: string) => () => new PowerSyncFatalError('INVALID_DATA', message)
const tooLarge = invalid('The document would be larger than MongoDB\'s limit of 16 MiB')
const badValue = invalid('MongoDB refuses a value or a name in the document')
const badGeometry = invalid('A geospatial index of the collection refuses the document\'s geometry')
const badIndexKey = invalid('An index of the collection cannot hold the document\'s values')

export const BSONObjectTooLarge = 10334

/**
 * The server's codes that only data can cause, those of the app's own indexes included, and what the client is told:
 * never the server's own message, since that repeats values. All others are retryable: the network, time-outs,
 * elections and shutdowns, write conflicts, a full disk, missing permissions, and every unknown code.
 * Source: error_codes.yml, and the numbered assertions of the index key generators, in the MongoDB server.
 */
const dataFaults: Readonly<Record<number, (error: ServerError) => PowerSyncFatalError>> = {
  2: badValue, // BadValue
  52: badValue, // DollarPrefixedFieldName
  55: badValue, // InvalidDBRef
  56: badValue, // EmptyFieldName
  57: badValue, // DottedFieldName
  121: ({ errInfo }) => new PowerSyncFatalError(
    'DOCUMENT_VALIDATION_FAILURE', 'The document fails the validation rules of its MongoDB collection',
    { details: { failures: validationFailures(errInfo) } }),
  171: badIndexKey, // CannotIndexParallelArrays
  201: badIndexKey, // CannotBuildIndexKeys
  [BSONObjectTooLarge]: tooLarge,
  11000: error => {
    const index = indexName(error)
    const { keyPattern, keyValue = {} } = error
    const fields = keyPattern && { fields: Object.keys(keyPattern) }
    // The only value that is told: the server itself stores it for a column that a client leaves out.
    const nulls = Object.keys(keyValue).filter(field => keyValue[field] === null)
    const hint = nulls.length ? `, null in ${listWords(nulls)}: null counts as a value, unless the index is partial` : ''
    return new PowerSyncFatalError('DUPLICATE_KEY',
      `Another document has the same value in the unique index ${index}${hint}`, { details: { index, ...fields } })
  },
  13026: badGeometry, // 2d: coordinates that are not numbers
  13027: badGeometry, // 2d: a point outside the index's bounds
  13067: badGeometry, // 2d: no coordinates
  13068: badGeometry, // 2d: a field with one number only
  16572: badGeometry, // 2dsphere: the geometry cannot be read
  16746: badIndexKey, // a path of the index is a position in an array, and a field of its elements
  16755: badGeometry, // 2dsphere: keys cannot be extracted from the geometry
  16756: badGeometry, // 2dsphere: the element is no geometry
  16766: badIndexKey, // hashed index: an array
  16775: badGeometry, // geoHaystack: no pair of coordinates
  16776: badGeometry, // geoHaystack: coordinates that are not numbers
  16804: badGeometry, // 2d: a list of something else than locations
  17261: badIndexKey, // text index: the language override is not a string
  17262: badIndexKey, // text index: the language is not supported
  17280: badValue, // KeyTooLong
  17419: tooLarge, // the document after an update
  17420: tooLarge // the document after a replacement
}

/** How the operator overrules the table: `{ 13: 'reject' }`. */
export type FaultRules = Readonly<Record<number, 'retry' | 'reject'>>

/**
 * The fault of the data behind an error of a write, which no retry can help; undefined if it is retryable. Call it for
 * errors of writes only: a hook's own query, the ledger or a commit may fail with the same codes and say nothing of it.
 */
export function dataFault (error: unknown, rules: FaultRules = {}): PowerSyncFatalError | undefined {
  if (error instanceof PowerSyncFatalError) return error
  const failure = firstWriteError(rootOf(error))
  const { code = 0 } = failure
  if (rules[code] === 'retry' || isOfWriteConcern(error)) return undefined
  if (hasLabel(error, 'TransientTransactionError')) return undefined
  const known = dataFaults[code]?.(failure)
  if (known || rules[code] !== 'reject') return known
  return new PowerSyncFatalError('UNCLASSIFIED_ERROR', `MongoDB refuses the transaction with code ${code}`,
    { details: { code } })
}

/**
 * Whether an error of the app's own code can be that of a write: another with a code of that number can not (gRPC's
 * are small ones), nor can a query that the server refuses, BadValue for the whole command.
 */
export function isOfWrite (error: unknown): boolean {
  const { name, code, errorResponse } = Object(error)
  return error instanceof WriteError || error instanceof PowerSyncFatalError ||
    (String(name).startsWith('Mongo') && !(code === 2 && errorResponse?.ok === 0))
}

/** The write was done, and too few members are known to have it: whatever the code, it says nothing of the data. */
export const isOfWriteConcern = (error: unknown): boolean => Object(rootOf(error)).name === 'MongoWriteConcernError'

/** Whether the server does not know a command, or not yet: CommandNotFound, CommandNotSupported. */
export const hasNoSuchCommand = (error: unknown): boolean => [59, 115].includes(codeOf(error) as number)

export const isDuplicateId = (error: unknown): boolean => {
  const failure = firstWriteError(error)
  return failure.code === 11000 && indexName(failure) === '_id_'
}

export const isDuplicateKey = (error: unknown): boolean => firstWriteError(error).code === 11000

/** Whether an error, or one that it was caused by, has a label of the driver's. */
export function hasLabel (error: unknown, label: string): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ((at as Partial<mongodb.MongoError>).hasErrorLabel?.(label)) return true
  }
  return false
}

/** The error at the bottom: this package's own wrap those of the driver. */
export function rootOf (error: unknown): unknown {
  let root = error
  while (root instanceof Error && wrappers.has(root.name) && root.cause !== undefined) root = root.cause
  return root
}

const wrappers = new Set(['HookError', 'WriteError', 'UnknownCommitError'])

export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code

/** A bulk write's error holds that of its failed statement, `client.bulkWrite`'s in a Map; a single write's is it. */
export function firstWriteError (error: unknown): ServerError & { index?: number } {
  const failure = Object(error) as ServerError
  const { writeErrors } = failure
  const [first] = Array.isArray(writeErrors) ? writeErrors : writeErrors instanceof Map ? writeErrors.values() : []
  return first ?? failure
}

/** E11000 duplicate key error collection: db.name index: email_1 collation: { … } dup key: { … } */
function indexName ({ errmsg, message, keyPattern = {} }: ServerError): string {
  const [beforeKey = ''] = (errmsg ?? message ?? '').split(' dup key: ')
  const name = / index: (.+?)(?: collation: |$)/.exec(beforeKey)?.[1]
  // A clustered collection has no index on _id: the documents themselves are in its order.
  return name ?? (Object.keys(keyPattern).join() === '_id' ? '_id_' : '')
}

/**
 * The rules that a document broke (code 121), as field and name of the rule, for example `bsonType`. The server also
 * quotes the values, which must not get to clients or logs. Of an unknown form, the result is empty.
 * @see https://www.mongodb.com/docs/manual/core/schema-validation/view-existing-validation-rules/
 */
export function validationFailures (errInfo: unknown): Array<{ path: string, rule: string }> {
  return brokenRules(Object(Object(errInfo).details).schemaRulesNotSatisfied, '')
}

function brokenRules (rules: unknown, path: string): Array<{ path: string, rule: string }> {
  const at = (name: unknown) => path === '' ? String(name) : `${path}.${String(name)}`
  return listOf(rules).flatMap(broken => {
    const { operatorName: rule, propertiesNotSatisfied, missingProperties, itemIndex, details } = broken
    if (typeof rule !== 'string') return []
    const inside = [
      ...listOf(propertiesNotSatisfied).flatMap(property => brokenRules(property.details, at(property.propertyName))),
      ...listOf(missingProperties).map(missing => ({ path: at(missing), rule })),
      // `items` tells which of them failed.
      ...itemIndex === undefined ? [] : brokenRules(details, `${path}[${itemIndex}]`)
    ]
    return inside.length ? inside : [{ path, rule }]
  })
}

const listOf = (value: unknown): mongodb.Document[] => Array.isArray(value) ? value : []

/** The name of a server's or driver's error. Its message stays out: it may quote documents and connection strings. */
export const nameOf = (error: unknown): string => {
  const { codeName, name } = error as { codeName?: string, name: string }
  return codeName ?? name
}

const indexConflict = 'drop the index that is on the same fields with another name or other options'

/** By codes of errors that reading or changing validators, collections or indexes gave. */
const remedies: Readonly<Record<number, string>> = {
  13: "give this server's user the role %s on the database", // Unauthorized
  59: 'use a MongoDB server, since this one has no validators', // CommandNotFound
  85: indexConflict, // IndexOptionsConflict
  86: indexConflict // IndexKeySpecsConflict
}

export function remedyOf (error: unknown, role: string): string {
  const otherwise = 'check that the server runs and that the connection string is right'
  return (remedies[codeOf(error) as number] ?? otherwise).replace('%s', role)
}

/** For `catch`: stops the start with what MongoDB refused, and the remedy. */
export const refused = (what: string, role: string, otherwise = '') => (error: unknown): never => {
  if (error instanceof MongoError) throw error
  throw new MongoError(`MongoDB did not let ${what} (${nameOf(error)}): ${remedyOf(error, role)}${otherwise}`)
}
