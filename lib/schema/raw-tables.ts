import type { Collections } from '../../types/collections.js'
import type { Check } from '../../types/validators.js'
import { quote } from '../client/sql.js'
import { clientTablesOf } from './client-schema.js'
import { descriptionsOf } from './descriptions.js'

/**
 * SQLite's DDL for raw tables, with the constraints of the schema that SQLite can hold.
 * @see https://docs.powersync.com/client-sdks/advanced/raw-tables
 */
export function rawTablesOf (collections: Collections): string {
  const descriptions = descriptionsOf(collections)
  const tables = clientTablesOf(collections).map(({ name, columns }) => {
    const { columns: checks, perUser } = descriptions[name]!
    const lines = columns.map(column => {
      const [check, by] = checks[column.name]!
      const constraint = constraintOf(check, quote(column.name))
      const notNull = check.n || by || perUser ? '' : ' NOT NULL'
      const checked = constraint.length ? ` CHECK (${constraint.join(' AND ')})` : ''
      return `${quote(column.name)} ${column.type.toUpperCase()}${notNull}${checked}`
    })
    return `CREATE TABLE ${quote(name)} (\n  ${['id TEXT PRIMARY KEY NOT NULL', ...lines].join(',\n  ')}\n);\n`
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
