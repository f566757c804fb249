import type { Collections, PowerSyncMongoOptions, TypedOptions } from '../types/index.js'

/**
 * Types the plugin's hooks by the collections: `operation.table` narrows `operation.data`, which Fastify's `register`
 * cannot infer. At run time it returns its argument.
 *
 * @example
 * await app.register(powersyncMongo, powersyncOptions({
 *   authenticate,
 *   collections: { lists, todos },
 *   authorize: operation => operation.table !== 'lists' || operation.op !== 'DELETE'
 * }))
 */
export function powersyncOptions<const Tables extends Collections> (
  options: TypedOptions<Tables>
): PowerSyncMongoOptions {
  // A hook for these tables accepts fewer operations than one for any table, and gets no others.
  return options as unknown as PowerSyncMongoOptions
}
