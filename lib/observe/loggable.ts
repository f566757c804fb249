import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'

/** Errors with the server's own messages, which repeat values, as documents of theirs do. */
const ofServer = /^Mongo(?:Server|BulkWrite|ClientBulkWrite|WriteConcern)Error$/

/**
 * An error for the log: its type, code, message, stack and causes, and nothing else. Clients of HTTP put the request's
 * headers on their errors; messages of MongoDB and of rejections may repeat values. The message is called `reason`: the
 * logger's serializer takes an object with a `message` for an Error.
 * @param levels of causes, which may go in a circle
 */
export function loggable (error: unknown, levels = 4): Record<string, unknown> | undefined {
  if (error === undefined || levels === 0) return undefined
  if (typeof error !== 'object' || error === null) return { type: typeof error, reason: String(error) }
  if (error instanceof PowerSyncFatalError) return { type: error.name, code: error.code, reason: 'rejected' }
  const { name: type, code, codeName, errorLabels, message: reason, stack, cause } = error as Record<string, unknown>
  if (ofServer.test(String(type))) return { type, code, codeName, errorLabels, reason: 'refused by MongoDB' }
  const more = error instanceof HookError || error instanceof WriteError ? error.place : { code, stack }
  return { type, reason, ...more, cause: loggable(cause, levels - 1) }
}
