import { Option } from 'commander'
import { rejectionColumns } from '../client/rejections.js'
import { quote } from '../client/sql.js'
import type { ClientTable } from '../schema/client-schema.js'
import type { Stream } from '../schema/streams.js'

/** The option of commands that print for clients. */
export const rejectionsOption = new Option(
  '--rejections <table>', 'also print the table of rejected changes, named as in upload.deadLetters.mirror'
)

type Type = ClientTable['columns'][number]['type']

const columns = Object.entries(rejectionColumns<Type, Type>({ text: 'text', integer: 'integer' }))

/** The mirror of dead letters as clients have it. */
export const rejectionsTable = (table: string): ClientTable =>
  ({ name: table, columns: columns.map(([name, type]) => ({ name, type })), options: {} })

/** A user's own letters, and nobody else's. */
export function rejectionsStream (table: string): Stream {
  const names = columns.map(([name]) => quote(name)).join(', ')
  const query = `SELECT ${names}, "_id" AS "id" FROM ${quote(table)} WHERE "user_id" = auth.user_id()`
  return { table, query, remarks: [] }
}
