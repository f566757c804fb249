import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'

/**
 * An error as it may be logged. MongoDB's own messages repeat values and a rejection's message may repeat a client's
 * names, so that of those only their kind, their codes and their place are kept.
 *
 * What is not an Error has its sentence as `reason`: an object with a `message` is taken for an Error by the logger's
 * serializer, which leaves out its type and its cause.
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

/** A cause as plain data: the logger's serializer would print an Error's own causes again. */
function describe (cause: unknown): unknown {
  const shown = loggable(cause)
  if (!(shown instanceof Error)) return shown
  const { name: type, message: reason, stack } = shown
  return { type, reason, stack }
}
