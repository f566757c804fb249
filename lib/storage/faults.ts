import type { mongodb } from '../bson.js'
import { PowerSyncFatalError } from '../errors.js'
import { validationFailures } from './validation-failure.js'

/** Faults of the data: trying again cannot help. Everything else is to be tried again, the unknown included. */
export interface DataFault {
  code: string
  message: string
  details?: Record<string, unknown> | undefined
}

interface ServerError {
  code?: number
  errmsg?: string
  message?: string
  errInfo?: unknown
  /** Fields of a unique index: `{ email: 1 }`. */
  keyPattern?: Record<string, unknown>
  writeErrors?: unknown
}

export const tooLarge = (): DataFault => ({ code: 'INVALID_DATA', message: 'The document would be larger than MongoDB\'s limit of 16 MiB' })
const badValue = (): DataFault => ({ code: 'INVALID_DATA', message: 'MongoDB refuses a value or a name in the document' })

/**
 * The server's codes that are known to be the data's fault, and what the client is told: never the server's own
 * message, since that repeats values. All others are to be tried again: the network, time-outs, elections and
 * shutdowns, write conflicts, a full disk, missing permissions, and whatever is not known.
 * Source: error_codes.yml in the MongoDB server.
 */
const dataFaults: Readonly<Record<number, (error: ServerError) => DataFault>> = {
  2: badValue, // BadValue
  52: badValue, // DollarPrefixedFieldName
  56: badValue, // EmptyFieldName
  57: badValue, // DottedFieldName
  121: ({ errInfo }) => ({
    code: 'DOCUMENT_VALIDATION_FAILURE',
    message: 'The document fails the validation rules of its MongoDB collection',
    details: { failures: validationFailures(errInfo) }
  }),
  10334: tooLarge, // BSONObjectTooLarge
  11000: error => {
    const index = indexName(error)
    const { keyPattern } = error
    const fields = keyPattern && Object.keys(keyPattern)
    return { code: 'DUPLICATE_KEY', message: `Another document has the same value in the unique index ${index}`, details: { index, ...fields && { fields } } }
  },
  17280: badValue, // KeyTooLong
  17419: tooLarge, // the document after an update
  17420: tooLarge // the document after a replacement
}

/** What the operator says of codes of MongoDB: `{ 13: 'reject' }` overrules the table. */
export type FaultRules = Readonly<Record<number, 'retry' | 'reject'>>

/** What a failed transaction is for the client, or undefined when it has to be tried again. */
export function dataFault (error: unknown, rules: FaultRules = {}): DataFault | undefined {
  if (error instanceof PowerSyncFatalError) return error
  const failure = firstWriteError(error)
  const { code = 0 } = failure
  if (rules[code] === 'retry' || hasLabel(error, 'TransientTransactionError')) return undefined
  const known = dataFaults[code]?.(failure)
  return known ?? (rules[code] === 'reject' ? { code: 'UNCLASSIFIED_ERROR', message: `MongoDB refuses the transaction with code ${code}`, details: { code } } : undefined)
}

/** Whether the server does not know a command, or not yet: CommandNotFound, CommandNotSupported. */
export const hasNoSuchCommand = (error: unknown): boolean => [59, 115].includes((error as ServerError).code as number)

export const isDuplicateId = (error: unknown): boolean => {
  const failure = firstWriteError(error)
  return failure.code === 11000 && indexName(failure) === '_id_'
}

export function hasLabel (error: unknown, label: string): boolean {
  return (error as Partial<mongodb.MongoError> | null)?.hasErrorLabel?.(label) ?? false
}

/** A bulk write's error holds the one of its failed statement; a single write's is that itself. */
export function firstWriteError (error: unknown): ServerError & { index?: number } {
  const failure = Object(error) as ServerError
  return Array.isArray(failure.writeErrors) && failure.writeErrors.length ? failure.writeErrors[0] : failure
}

/** E11000 duplicate key error collection: db.name index: email_1 dup key: { … } */
const indexName = ({ errmsg, message }: ServerError) => /index: (\S+)/.exec(errmsg ?? message ?? '')?.[1] ?? ''

/** An error as it may be logged: the server's own messages repeat values, and a rejection's the client's names, so of those only what they are about. */
export function loggable (error: unknown): unknown {
  if (error instanceof PowerSyncFatalError) return { type: error.name, code: error.code, message: 'rejected' }
  const { name, code, codeName, errorLabels } = Object(error) as Record<string, unknown>
  if (name !== 'MongoServerError' && name !== 'MongoBulkWriteError') return error
  return { type: name, code, codeName, errorLabels, message: 'refused by MongoDB' }
}
