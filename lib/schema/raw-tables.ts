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
      return `${quote(column.name)} ${column.type.toUpperCase()}${notNull}${constraint && ` CHECK (${constraint})`}`
    })
    return `CREATE TABLE ${quote(name)} (\n  ${['id TEXT PRIMARY KEY NOT NULL', ...lines].join(',\n  ')}\n);\n`
  })
  const remark = '-- Rows that sync down have to meet these constraints as well: ' +
    'run powersync-mongo apply-validators first.'
  return `${remark}\n${tables.join('\n')}`
}

/** A condition; null meets every CHECK. Empty where SQLite has none. */
function constraintOf (check: Check, name: string): string {
  const { t, v, c, r = [] } = check
  const oneOf = v ? [`${name} IN (${[...new Set(v.flat().map(literal))].join(', ')})`] : []
  if (t === 'v') return oneOf.join()
  if (t === 's') return [...bounds(c, `length(${name})`), ...oneOf].join(' AND ')
  if (t === 'j') return `json_valid(${name})`
  if (t !== 'n' && t !== 'l') return ''
  const signs = ['>=', '<=', '>', '<']
  const conditions = signs.map((sign, index) => (r[index] ?? null) === null ? '' : `${name} ${sign} ${r[index]}`)
  return conditions.filter(Boolean).join(' AND ')
}

function bounds ([least, most]: [number | null, number | null] = [null, null], what: string): string[] {
  return [...least ? [`${what} >= ${least}`] : [], ...most === null ? [] : [`${what} <= ${most}`]]
}

const literal = (value: unknown) =>
  typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(Number(value))
