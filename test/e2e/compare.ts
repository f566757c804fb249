import type { Test } from 'tap'
import { BSON, Double, UUID, type mongodb } from '../../lib/bson.js'
import { tables, type Client, type ColumnKind } from './client.js'

type Row = Record<string, string | number | null>

/** What a column's value has to be in MongoDB. */
const stored: Record<ColumnKind, (value: string | number) => unknown> = {
  text: value => value,
  uuid: value => new UUID(String(value)),
  date: value => new Date(value),
  boolean: value => value === 1,
  double: value => new Double(Number(value))
}

/**
 * MongoDB holds what the client's own tables say, each value as its BSON type, and nothing else.
 *
 * @param except ids of rows that the server rejected: the client has them until it next syncs, MongoDB must not
 */
export async function sameAsClient (
  t: Pick<Test, 'same'>,
  db: mongodb.Db,
  { database }: Client,
  except: string[] = []
): Promise<void> {
  for (const [table, columns] of Object.entries(tables)) {
    // SQLite itself says which moment a text means: like PowerSync, it takes one without zone for UTC.
    const selected = Object.entries(columns).map(([column, kind]) =>
      kind === 'date' ? `strftime('%Y-%m-%dT%H:%M:%fZ', ${column}) AS ${column}` : column
    )
    const rows = await database.getAll<Row>(`SELECT id, ${selected.join(', ')} FROM ${table}`)
    const expected = rows.filter(({ id }) => !except.includes(String(id))).map(({ id, ...row }) => {
      const fields = Object.entries(row).map(([column, value]) => [
        column,
        value === null ? null : stored[columns[column]!](value)
      ])
      return { _id: new UUID(String(id)), ...Object.fromEntries(fields) }
    })
    const found = await db.collection(table).find({}, { promoteValues: false }).toArray()
    t.same(withTypes(found), withTypes(expected), `${table} as on the client`)
  }
}

/** By id, in canonical Extended JSON, which says of each value which BSON type it has. */
function withTypes (documents: mongodb.Document[]): Record<string, unknown> {
  return Object.fromEntries(documents.map(document => {
    const typed = BSON.EJSON.serialize(document, { relaxed: false })
    return [JSON.stringify(typed['_id']), typed]
  }))
}
