import type { CrudOperation } from '../../../types/operations.js'

/** What a client wrote to `_metadata`, where that is JSON of an object; else nothing. */
export function metadataOf ({ metadata }: CrudOperation): Map<string, unknown> {
  if (metadata === undefined) return new Map()
  try {
    return new Map(Object.entries(Object(JSON.parse(metadata))))
  } catch {
    return new Map()
  }
}
