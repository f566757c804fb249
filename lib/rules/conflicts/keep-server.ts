/**
 * A `resolveConflict` for rows that stay as the server has them: clients create them and never change them.
 * To be called as well, in a hook of one's own, where that is the outcome.
 *
 * @example
 * collection({ schema, resolveConflict: keepServer })
 */
export const keepServer = (): null => null
