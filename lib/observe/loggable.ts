import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'

/**
 * An error as it may be logged. MongoDB's own messages repeat values and a rejection's message may repeat a client's
 * names, so that of those only their kind, their codes and their place are kept.
 */
export function loggable (error: unknown): unknown {
  if (error instanceof PowerSyncFatalError) return { type: error.name, code: error.code, message: 'rejected' }
  if (error instanceof HookError || error instanceof WriteError) {
    const { name: type, message, place, cause } = error
    return { type, ...place, message, cause: describe(cause) }
  }
  const { name, code, codeName, errorLabels } = Object(error) as Record<string, unknown>
  if (name === 'UnknownCommitError') return { type: name, message: (error as Error).message, cause: describe((error as Error).cause) }
  if (name !== 'MongoServerError' && name !== 'MongoBulkWriteError') return error
  return { type: name, code, codeName, errorLabels, message: 'refused by MongoDB' }
}

/** A cause as plain data: the logger's serializer would print an Error's own causes again. */
function describe (cause: unknown): unknown {
  const shown = loggable(cause)
  return shown instanceof Error ? { type: shown.name, message: shown.message, stack: shown.stack } : shown
}
