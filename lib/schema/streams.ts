import { Kind, type TSchema } from '@sinclair/typebox'
import type { Collection, Collections } from '../../types/collections.js'
import { fieldsOf, type Field } from './field-list.js'

/**
 * Sync Streams for PowerSync's configuration: one per table, with the columns of its schema and no others, and where
 * the collection has an owner, each user's own rows. Comments say what to look at before they are used.
 *
 * `_id` comes last, as `id`: a column of a document that is called `id` would else take its place.
 * @see https://docs.powersync.com/sync/streams/overview
 */
export function streamsOf (collections: Collections): string {
  const streams = streamListOf(collections).map(({ table, query, remarks }) => `  ${JSON.stringify(table)}:
${remarks.map(remark => `    # ${remark}\n`).join('')}    auto_subscribe: true
    query: ${JSON.stringify(query)}
`)
  return `config:
  edition: 3
streams:
${streams.join('')}`
}

export interface Stream {
  table: string
  query: string
  /** What to look at before it is used. */
  remarks: string[]
}

/** The same as data. */
export function streamListOf (collections: Collections): Stream[] {
  return Object.entries(collections).map(([table, collection]) => {
    const fields = fieldsOf(table, collection)
    return { table, query: queryOf(table, collection, fields), remarks: remarksOn(collection, fields) }
  })
}

function remarksOn (collection: Collection, fields: Field[]): string[] {
  const { owner, schema } = collection
  const decided = typeof owner === 'function' ? '' : owner.filter(({ value }) => value).map(({ field }) => JSON.stringify(field)).join(', ')
  const lossy = namesOf(fields.filter(({ schema }) => !isBinary(schema) && holdsBinary(schema)))
  const quoted = namesOf(fields.filter(({ name, column }) => /["*]/.test(`${name}${column}`)))
  return [
    ...ownedById(collection).length ? [] : ['Every user gets every row: add a WHERE, unless that is what you want.'],
    ...typeof owner === 'function' ? ['Whose rows they are is what a function of the server says: add the same to the WHERE.'] : [],
    ...decided ? [`Whose rows they are is also a matter of what the server finds of the user: add a condition on ${decided}.`] : [],
    ...schema === 'any' ? ['Without schema, columns that hold binary data do not sync: select them as base64.'] : [],
    ...lossy ? [`PowerSync leaves binary data within JSON out: ${lossy}. Keep it in a field of its own.`] : [],
    ...quoted ? [`PowerSync finds no field whose name has a double quote or an asterisk: ${quoted}. Rename it.`] : []
  ]
}

const namesOf = (fields: Field[]) => fields.map(({ name }) => JSON.stringify(name)).join(', ')

/** Names of the fields that hold the user's id. */
const ownedById = ({ owner }: Collection): string[] => typeof owner === 'function' ? [] : owner.filter(({ value }) => !value).map(({ field }) => field)

function queryOf (table: string, collection: Collection, fields: Field[]): string {
  const { schema, name = table } = collection
  const columns = schema === 'any' ? ['*'] : fields.map(columnOf)
  const from = name === table ? quote(table) : `${quote(name)} AS ${quote(table)}`
  const own = ownedById(collection)
  const where = fields.filter(field => own.includes(field.name)).map(field => `${textOf(field)} = auth.user_id()`)
  return `SELECT ${[...columns, '"_id" AS "id"'].join(', ')} FROM ${from}${where.length ? ` WHERE ${where.join(' AND ')}` : ''}`
}

/**
 * Binary does not sync as it is: as base64 it does, which is also what an upload has to send. What is none goes as it
 * is: the service's `base64` makes an empty text of null, which would come back as empty binary.
 */
function columnOf ({ name, column, schema }: Field): string {
  const value = quote(name)
  if (isBinary(schema)) return `CASE WHEN typeof(${value}) = 'blob' THEN base64(${value}) ELSE ${value} END AS ${quote(column)}`
  return name === column ? value : `${value} AS ${quote(column)}`
}

/** User ids are text, and a number never equals a text. */
function textOf ({ name, codec }: Field): string {
  return codec.column === 'text' ? quote(name) : `CAST(${quote(name)} AS TEXT)`
}

function isBinary (schema: TSchema): boolean {
  return schema[Kind] === 'BsonBinary' || (schema[Kind] === 'Union' && (schema['anyOf'] as TSchema[]).some(isBinary))
}

/** At any depth. */
function holdsBinary (node: unknown): boolean {
  return typeof node === 'object' && node !== null && ((node as TSchema)[Kind] === 'BsonBinary' || Object.values(node).some(holdsBinary))
}

/** Always: `order`, `group` or `user` are names that fields have and words of SQL. */
const quote = (name: string) => `"${name.replaceAll('"', '""')}"`
