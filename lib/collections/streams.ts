import { Kind, type TSchema } from '@sinclair/typebox'
import type { Collection, Collections } from '../../types/collections.js'
import { fieldsOf, type Field } from './field-list.js'

/**
 * Sync Streams for PowerSync's configuration: one per table, with the columns of its schema and no others, and where
 * the collection has an owner, each user's own rows.
 *
 * `_id` comes last, as `id`: a column of a document that is called `id` would else take its place.
 * @see https://docs.powersync.com/sync/streams/overview
 */
export function streamsOf (collections: Collections): string {
  const streams = Object.entries(collections).map(([table, collection]) => `  ${JSON.stringify(table)}:
    auto_subscribe: true
    query: ${JSON.stringify(queryOf(table, collection))}
`)
  return `config:
  edition: 3
streams:
${streams.join('')}`
}

function queryOf (table: string, collection: Collection): string {
  const fields = collection.schema === 'any' ? ['*'] : fieldsOf(table, collection).map(columnOf)
  const name = collection.name ?? table
  const from = name === table ? quote(table) : `${quote(name)} AS ${quote(table)}`
  const where = collection.owner === undefined ? '' : ` WHERE ${quote(collection.owner)} = auth.user_id()`
  return `SELECT ${[...fields, '_id AS id'].join(', ')} FROM ${from}${where}`
}

/** Binary does not sync as it is: as base64 it does, which is also what an upload has to send. */
function columnOf ({ name, column, schema }: Field): string {
  const value = isBinary(schema) ? `base64(${quote(name)})` : quote(name)
  return value === quote(column) ? value : `${value} AS ${quote(column)}`
}

const isBinary = (schema: TSchema) => schema[Kind] === 'BsonBinary'

const quote = (name: string) => /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
