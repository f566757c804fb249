import { Kind } from '@sinclair/typebox'
import { OptionError } from '../errors.js'
import { isPlain, present, typeWords } from '../type-words.js'
import type {
  Collection, CollectionOptions, Collections, CollectionSchema, FieldName, Owner, OwnerField, OwnerRule,
  PowerSyncMongoOptions, ThroughParent, TypedOptions
} from '../../types/index.js'

/**
 * Describes one table of the client and the MongoDB collection behind it.
 *
 * @param options see `CollectionOptions`; each is checked when the plugin registers, which names the table
 * @returns the definition, frozen, for the plugin's option `collections`
 * @example
 * collection({
 *   schema: Type.Object({ name: Type.String(), created_at: bson.Date(), owner_id: Type.String() }),
 *   owner: 'owner_id'
 * })
 */
export function collection<
  const Schema extends CollectionSchema, Writable extends FieldName<Schema> = FieldName<Schema>
> (
  options: CollectionOptions<Schema, Writable>
): Collection<Schema> {
  if (!isPlain(options) || Kind in options) throw misused('collection()', options)
  const { operations = ['PUT', 'PATCH', 'DELETE'], fields = {}, defaults = {}, migrations = {} } = options
  return Object.freeze({
    [mark]: true,
    id: 'string',
    name: undefined,
    put: 'merge',
    nulls: 'store',
    unknownFields: 'reject',
    authorizeTransfer: undefined,
    ...present(options),
    writable: frozenCopy(options.writable),
    owner: ownerOf(options.owner),
    operations: frozenCopy(operations),
    fields: frozenCopy(fields),
    defaults: frozenCopy(defaults),
    migrations: frozenCopy(migrations)
  }) as unknown as Collection<Schema> // hooks give up the type of their row here
}

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

/** Marks collections, also those of another copy of this package: a configuration in TypeScript has its own. */
const mark = Symbol.for('fastify-powersync-mongo.collection')

/** @throws {OptionError} for what `collection()` did not make: what to write instead */
export function checkCollection (table: string, value: unknown): asserts value is Collection {
  if (typeof value === 'object' && value !== null && mark in value) return
  throw misused(`collections.${table}`, value)
}

const misused = (option: string, value: unknown) => new OptionError(option, Kind in Object(value)
  ? 'is a TypeBox schema: write collection({ schema: Type.Object({ … }) })'
  : `is ${typeWords(value)}: write collection({ schema, … })`)

/** A wrong type stays as it is, for the check at start to name it. */
function frozenCopy (value: unknown): unknown {
  if (Array.isArray(value)) return Object.freeze([...value])
  return isPlain(value) ? Object.freeze(present(value)) : value
}

function ownerOf (owner: Owner | undefined): Collection['owner'] {
  if (typeof owner === 'function') return owner as Extract<Collection['owner'], (...args: never) => unknown>
  if (owner === undefined) return Object.freeze([])
  // An empty array would open the rows to everybody: as one invalid rule, the check at start refuses it.
  const rules = (Array.isArray(owner) && owner.length > 0 ? owner : [owner]) as OwnerRule[]
  return Object.freeze(rules.map(rule => Object.freeze(typeof rule === 'string' ? { field: rule } : { ...rule })))
}

/** The rules of an owner, by kind; those of a function are known for each user only. */
export function rulesOf (owner: Collection['owner']): { fields: OwnerField[], parents: ThroughParent[] } {
  const rules = typeof owner === 'function' ? [] : owner
  const isParent = (rule: OwnerField | ThroughParent): rule is ThroughParent => 'parent' in Object(rule)
  return { fields: rules.filter(rule => !isParent(rule)), parents: rules.filter(isParent) }
}
