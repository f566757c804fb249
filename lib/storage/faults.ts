import type { mongodb } from '../bson.js'
import { PowerSyncFatalError } from '../errors.js'

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
  writeErrors?: unknown
}

/**
 * The server's codes that are known to be the data's fault, and what the client is told: never the server's own
 * message, since that repeats values.
 * Source: error_codes.yml in the MongoDB server.
 */
const dataFaults: Record<number, (error: ServerError) => DataFault> = {
  11000: error => {
    const index = indexName(error)
    return { code: 'DUPLICATE_KEY', message: `Another document has the same value in the unique index ${index}`, details: { index } }
  },
  121: () => ({ code: 'DOCUMENT_VALIDATION_FAILURE', message: 'The document fails the validation rules of its MongoDB collection' })
}

/** What a failed transaction is for the client, or undefined when it has to be tried again. */
export function dataFault (error: unknown): DataFault | undefined {
  if (error instanceof PowerSyncFatalError) return error
  if (hasLabel(error, 'TransientTransactionError')) return undefined
  const failure = firstWriteError(error)
  return dataFaults[failure.code ?? 0]?.(failure)
}

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

/** An error as it may be logged: the server's own messages repeat values, so of those only what they are about. */
export function loggable (error: unknown): unknown {
  const { name, code, codeName, errorLabels } = Object(error) as Record<string, unknown>
  if (name !== 'MongoServerError' && name !== 'MongoBulkWriteError') return error
  return { type: name, code, codeName, errorLabels, message: 'refused by MongoDB' }
}
