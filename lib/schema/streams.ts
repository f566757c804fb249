import type { Collection, Collections } from '../../types/collections.js'
import { quote } from '../client/sql.js'
import { rulesOf } from './collection.js'
import { fieldsOf, type Field } from './field-list.js'
import { idsOf } from './ids.js'
import type { FieldType } from './types.js'

export interface Stream {
  table: string
  query: string
  /** Points to review before use. */
  remarks: string[]
  /** Why it is printed as a comment: the query gives rows to others than their users, or cannot be read. */
  off?: string
}

/**
 * Sync Streams for PowerSync's configuration: one per table, with the columns of its schema and no others, and the rows
 * that the table's `owner` gives to the user who may write them. A table whose rows would go to everybody, or whose
 * rule is the server's own code, is printed as a comment.
 * @param everybody tables with a stream of all rows to all users
 * @param others streams to print behind those of the collections
 * @see https://docs.powersync.com/sync/streams/overview
 */
export function streamsOf (
  collections: Collections, everybody: readonly string[] = [], others: readonly Stream[] = []
): string {
  const streams = [...streamListOf(collections, everybody), ...others]
  const texts = streams.flatMap(({ table, query, remarks, off }) => {
    const lines = [
      `${JSON.stringify(table)}:`,
      ...remarks.map(remark => `  # ${remark}`),
      '  auto_subscribe: true',
      `  query: ${JSON.stringify(query)}`
    ]
    return off === undefined ? lines.map(line => `  ${line}\n`) : [off, ...lines].map(line => `  # ${line}\n`)
  })
  return `config:\n  edition: 3\nstreams:${streams.every(({ off }) => off) ? ' {}' : ''}\n${texts.join('')}`
}

export function streamListOf (collections: Collections, everybody: readonly string[] = []): Stream[] {
  return Object.entries(collections).map(([table, collection]) => {
    const fields = fieldsOf(table, collection)
    const fault = nameFault(table, collection)
    const rule = fault ?? (everybody.includes(table) ? [] : conditionsOf(table, collections))
    const isText = typeof rule === 'string'
    const remedy = fault ? 'Rename it.' : `To send every row to every user, print it with --everybody ${table}.`
    return {
      table,
      query: queryOf(table, collection, fields, isText ? [] : rule),
      remarks: remarksOn(collection, fields),
      ...isText && { off: `No stream: ${rule}. ${remedy}` }
    }
  })
}

/** PowerSync reads a % at the end of a collection's name as all collections that begin so. */
function nameFault (table: string, collection: Collection): string | undefined {
  const { name = table } = collection
  const names = [table, ...fieldsOf(table, collection).flatMap(({ name, column }) => [name, column])]
  const starred = names.find(each => each.includes('*'))
  const wrong = /["*]|%$/.test(name)
    ? `collection's name ${JSON.stringify(name)}`
    : starred && `name ${JSON.stringify(starred)}`
  return wrong && `PowerSync cannot read the ${wrong}`
}

/** The condition under which a row is the user's; a sentence where SQL cannot express it. */
function conditionsOf (table: string, collections: Collections): string[] | string {
  const { owner } = collections[table]!
  if (typeof owner === 'function') return `the owner of ${table} is a function of the server`
  if (owner.length === 0) return `${table} has no owner`
  const { fields: rules, parents } = rulesOf(owner)
  const fields = new Map(fieldsOf(table, collections[table]!).map(field => [field.name, field]))
  const conditions: string[] = []
  for (const { field: name, claim, value } of rules) {
    const field = fields.get(name)!
    if (value) {
      return `the value of ${name} in the owner of ${table} is a function of the server; a claim can be printed`
    }
    if (!isExact(field.type)) return `${name} in the owner of ${table} has a type that PowerSync compares differently`
    // Tokens have the user's id as sub.
    const isId = claim === undefined || claim === 'id'
    const user = isId ? 'auth.user_id()' : `auth.parameter('${claim.replaceAll("'", "''")}')`
    const isNumber = !isId && field.type.column === 'integer'
    conditions.push(`${textOf(field)} = ${isNumber ? `CAST(${user} AS TEXT)` : user}`)
    // The id is never empty.
    if (!isId && field.type.column === 'text') conditions.push(`${quote(name)} != ''`)
  }
  for (const { parent, field: name } of parents) {
    const { id, name: from = parent } = collections[parent]!
    const { kind } = idsOf(parent, id)
    const above = nameFault(parent, collections[parent]!) ?? conditionsOf(parent, collections)
    if (typeof above === 'string') return above
    const field = fields.get(name)!
    if (!isExact(field.type) || !kind) return `the ids of ${parent} have a type that PowerSync compares differently`
    const _id = kind === 'integer' ? 'CAST("_id" AS TEXT)' : '"_id"'
    conditions.push(`${textOf(field)} IN (SELECT ${_id} FROM ${quote(from)} WHERE ${above.join(' AND ')})`)
  }
  return conditions
}

/**
 * Whether its values as text are equal where MongoDB's are: not so for doubles, literal numbers, decimals, dates, nor
 * where text and numbers mix, since `'5'` may be stored as 5.
 */
function isExact ({ column, t, v = [], o = [] }: FieldType): boolean {
  if (t === 'u') return o.every(variant => isExact(variant) && variant.column === column)
  return column === 'integer' || ['s', 'y'].includes(t) || (t === 'v' && v.every(([each]) => typeof each === 'string'))
}

function remarksOn (collection: Collection, fields: Field[]): string[] {
  const named = (test: (field: Field) => boolean) =>
    fields.filter(test).map(({ name }) => JSON.stringify(name)).join(', ')
  const lossy = named(({ type }) => !isBinary(type) && holdsBinary(type))
  const quoted = named(({ name }) => name.includes('"'))
  const remarks: Array<[applies: boolean, remark: string]> = [
    [collection.schema === 'any', 'Without schema, columns that hold binary data do not sync: select them as base64.'],
    [lossy !== '', `PowerSync leaves binary data within JSON out: ${lossy}. Keep it in a field of its own.`],
    [quoted !== '', `PowerSync finds no field whose name has a double quote: ${quoted}. Rename it.`]
  ]
  return remarks.filter(([applies]) => applies).map(([, remark]) => remark)
}

function queryOf (table: string, { schema, name = table }: Collection, fields: Field[], conditions: string[]): string {
  // Last: a field of the document that is called `id` would otherwise take the place of `_id`.
  const columns = [...schema === 'any' ? ['*'] : fields.map(columnOf), '"_id" AS "id"'].join(', ')
  const from = name === table ? quote(table) : `${quote(name)} AS ${quote(table)}`
  return `SELECT ${columns} FROM ${from}${conditions.length ? ` WHERE ${conditions.join(' AND ')}` : ''}`
}

/**
 * Binary does not sync, but its base64 does, which is also the form of uploads. Null stays null: the service's `base64`
 * turns it into an empty text, which would come back as empty binary.
 */
function columnOf ({ name, column, type }: Field): string {
  const value = quote(name)
  const base64 = `CASE WHEN typeof(${value}) = 'blob' THEN base64(${value}) ELSE ${value} END`
  if (isBinary(type)) return `${base64} AS ${quote(column)}`
  return name === column ? value : `${value} AS ${quote(column)}`
}

/** User ids are text, and a number never equals a text. */
const textOf = ({ name, type }: Field): string =>
  type.column === 'text' ? quote(name) : `CAST(${quote(name)} AS TEXT)`

const isBinary = ({ t, o = [] }: FieldType): boolean => t === 'b' || o.some(isBinary)

/** At any depth. */
const holdsBinary = ({ t, i, o = [], p = {} }: FieldType): boolean =>
  t === 'b' || [...i ? [i] : [], ...o, ...Object.values(p).map(([type]) => type)].some(holdsBinary)
