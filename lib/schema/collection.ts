import type { Collection, CollectionOptions, CollectionSchema, FieldName, Owner, OwnerField } from '../../types/collections.js'

export type { Collection, CollectionOptions } from '../../types/collections.js'

/**
 * Describes one table of the client and the MongoDB collection behind it.
 *
 * @param options see `CollectionOptions`; they are checked when the plugin registers, which names the table
 * @returns the definition, frozen, for the plugin's option `collections`
 * @example
 * collection({
 *   schema: Type.Object({ name: Type.String(), created_at: bson.Date(), owner_id: Type.String() }),
 *   owner: 'owner_id'
 * })
 */
export function collection<const Schema extends CollectionSchema, Writable extends FieldName<Schema> = FieldName<Schema>> (options: CollectionOptions<Schema, Writable>): Collection<Schema> {
  return Object.freeze({
    id: 'string',
    name: undefined,
    put: 'merge',
    nulls: 'store',
    unknownFields: 'reject',
    authorizeTransfer: undefined,
    writable: undefined,
    ...withoutUndefined(options),
    owner: ownerOf(options.owner),
    operations: Object.freeze([...options.operations ?? ['PUT', 'PATCH', 'DELETE']]),
    fields: Object.freeze({ ...options.fields }),
    readOnly: Object.freeze([...options.readOnly ?? []]),
    defaults: Object.freeze({ ...options.defaults })
  }) as unknown as Collection<Schema> // hooks give up the type of their row here
}

function ownerOf (owner: Owner | undefined): Collection['owner'] {
  if (typeof owner === 'function') return owner as Exclude<Collection['owner'], readonly OwnerField[]>
  const fields = owner === undefined ? [] : [owner].flat() as Array<string | OwnerField>
  return Object.freeze(fields.map(field => Object.freeze(typeof field === 'string' ? { field } : { ...field })))
}

function withoutUndefined (options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}
