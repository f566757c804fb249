import type { Check, Collections } from '../../types/index.js'
import { quote } from '../client/sql.js'
import { fieldsOf } from './field-list.js'

/**
 * SQLite's DDL for raw tables, with the constraints of the schema that SQLite can hold.
 * @see https://docs.powersync.com/client-sdks/advanced/raw-tables
 */
export function rawTablesOf (collections: Collections): string {
  const tables = Object.entries(collections).map(([table, collection]) => {
    const perUser = [collection.writable, collection.owner].some(rule => typeof rule === 'function')
    const lines = fieldsOf(table, collection).map(({ column, type, nullable, readOnly, owner, default: byDefault }) => {
      const name = quote(column)
      const constraint = constraintOf(type, name)
      const notNull = nullable || readOnly || owner || byDefault || perUser ? '' : ' NOT NULL'
      const checked = constraint.length ? ` CHECK (${constraint.join(' AND ')})` : ''
      return `${name} ${type.column.toUpperCase()}${notNull}${checked}`
    })
    return `CREATE TABLE ${quote(table)} (\n  ${['id TEXT PRIMARY KEY NOT NULL', ...lines].join(',\n  ')}\n);\n`
  })
  const remark = '-- Rows that sync down have to meet these constraints as well: ' +
    'run powersync-mongo apply-validators first.'
  return `${remark}\n${tables.join('\n')}`
}

/** Conditions, as far as SQLite has them; null meets every CHECK. */
function constraintOf ({ t, v, c: [least, most] = [null, null], r = [] }: Check, name: string): string[] {
  const within = (subject: string, ...limits: NonNullable<Check['r']>) => ['>=', '<=', '>', '<']
    .flatMap((sign, index) => (limits[index] ?? null) === null ? [] : [`${subject} ${sign} ${limits[index]}`])
  const oneOf = v ? [`${name} IN (${[...new Set(v.flat().map(literal))].join(', ')})`] : []
  if (t === 's') return [...within(`length(${name})`, least || null, most), ...oneOf]
  if (t === 'n' || t === 'l') return within(name, ...r)
  return t === 'j' ? [`json_valid(${name})`] : oneOf
}

const literal = (value: unknown) =>
  typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(Number(value))
