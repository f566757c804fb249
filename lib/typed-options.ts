import type { Collections, PowerSyncMongoOptions, TypedOptions } from '../types/index.js'

/**
 * The plugin's options with hooks for all collections that know them: `operation.table` narrows `operation.data`.
 * Fastify's `register` cannot infer this by itself; at run time it gives back what it gets.
 *
 * @example
 * await app.register(powersyncMongo, powersyncOptions({
 *   authenticate,
 *   collections: { lists, todos },
 *   authorize: operation => operation.table !== 'lists' || operation.op !== 'DELETE'
 * }))
 */
export function powersyncOptions<const Tables extends Collections> (options: TypedOptions<Tables>): PowerSyncMongoOptions {
  // A hook of these tables takes fewer operations than one of any; it will get no others.
  return options as unknown as PowerSyncMongoOptions
}
