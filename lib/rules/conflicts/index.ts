/**
 * Ready-made `resolveConflict` hooks: `fastify-powersync-mongo/conflicts`. Each says what the client's table must track
 * for it, which `client-schema` prints.
 */
export { additive } from './additive.js'
export { fieldLevel, type FieldLevelOptions } from './field-level.js'
export { lastWriteWins, type LastWriteWinsOptions } from './last-write-wins.js'
export { versioned, type VersionedOptions } from './versioned.js'

/**
 * A `resolveConflict` for rows that stay as the server has them: clients create them and never change them.
 * To be called as well, in a hook of one's own, where that is the outcome.
 *
 * @example
 * collection({ schema, resolveConflict: keepServer })
 */
export const keepServer = (): null => null
