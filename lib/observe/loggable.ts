import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'

/**
 * An error for the log. MongoDB's messages repeat values, and those of rejections may repeat a client's names: of these
 * only type, codes and place are kept. The message is called `reason`: the logger's serializer takes an object with a
 * `message` for an Error, and omits its type and cause.
 */
export function loggable (error: unknown): unknown {
  if (error instanceof PowerSyncFatalError) return { type: error.name, code: error.code, reason: 'rejected' }
  if (error instanceof HookError || error instanceof WriteError) {
    const { name: type, message: reason, place, cause } = error
    return { type, ...place, reason, cause: describe(cause) }
  }
  const { name: type, code, codeName, errorLabels, message: reason, cause } = Object(error) as Record<string, unknown>
  if (type === 'UnknownCommitError') return { type, reason, cause: describe(cause) }
  if (type !== 'MongoServerError' && type !== 'MongoBulkWriteError') return error
  return { type, code, codeName, errorLabels, reason: 'refused by MongoDB' }
}

/** A cause as plain data: the logger's serializer would print the causes of an Error again. */
function describe (cause: unknown): unknown {
  const shown = loggable(cause)
  if (!(shown instanceof Error)) return shown
  const { name: type, message: reason, stack } = shown
  return { type, reason, stack }
}
