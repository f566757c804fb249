import { OptionError } from '../errors.js'

/** PowerSync's SDKs refuse to open a database with such a table or column (powersync-js, Table.ts). */
const REFUSED = /["'%,.#\s[\]]/
const REFUSED_WORDS = 'quotes, brackets, blanks, "%", ",", "." and "#" are refused'

/** PowerSync's own tables and SQLite's, at the client. */
const RESERVED = /^(?:ps_|sqlite_)/i

/** More columns than that SQLite does not take in one table, the id included. */
const MOST_COLUMNS = 1999

/** SQLite compares names without regard to case, in ASCII. */
const folded = (name: string) => name.replace(/[A-Z]/g, letter => letter.toLowerCase())

/**
 * Columns must be such that the client's SQLite can have them side by side.
 * @throws {OptionError} naming the columns
 */
export function checkColumns (table: string, fields: ReadonlyArray<{ name: string, column: string }>): void {
  if (fields.length > MOST_COLUMNS) throw new OptionError(`collections.${table}.schema`, `has ${fields.length} fields: a table of PowerSync has at most ${MOST_COLUMNS} columns`)
  const taken = new Map([['id', 'id']])
  for (const { name, column } of fields) {
    const map = `map ${JSON.stringify(name)} to another in collections.${table}.fields`
    if (REFUSED.test(column)) throw new OptionError(`collections.${table}.schema`, `has the column ${JSON.stringify(column)}, which PowerSync's clients do not open: ${REFUSED_WORDS} in names; ${map}`)
    const other = taken.get(folded(column))
    if (other !== undefined) throw new OptionError(`collections.${table}.schema`, `has the column ${JSON.stringify(column)}, which SQLite does not tell from ${JSON.stringify(other)}: ${map}`)
    taken.set(folded(column), column)
  }
}

/**
 * The same of tables.
 * @throws {OptionError} naming the tables
 */
export function checkTables (tables: readonly string[]): void {
  const taken = new Map<string, string>()
  for (const table of tables) {
    const rename = "rename the client's table, and give the collection's own name in its option name"
    if (REFUSED.test(table) || table === '') throw new OptionError('collections', `has the table ${JSON.stringify(table)}, which PowerSync's clients do not open: ${REFUSED_WORDS} in names; ${rename}`)
    if (RESERVED.test(table)) throw new OptionError('collections', `has the table ${JSON.stringify(table)}, a name that PowerSync or SQLite keeps for itself: ${rename}`)
    const other = taken.get(folded(table))
    if (other !== undefined) throw new OptionError('collections', `has the tables ${JSON.stringify(other)} and ${JSON.stringify(table)}, which SQLite does not tell apart: ${rename}`)
    taken.set(folded(table), table)
  }
}
