import { OptionError } from '../errors.js'

/** PowerSync's SDKs refuse to open a database with such a table or column (powersync-js, Table.ts). */
const REFUSED = /^$|["'%,.#\s[\]]/
const REFUSED_WORDS = 'quotes, brackets, blanks, "%", ",", "." and "#" are refused in names'

/** PowerSync's own tables and SQLite's, at the client: views of these names are refused, or end the sync. */
const RESERVED = /^(?:ps_|powersync_|sqlite_|pragma_|json_(?:each|tree)$)/i

/** With `trackMetadata`, columns of PowerSync's own: setting `_deleted` deletes the row (powersync-sqlite-core). */
const HIDDEN = /^_(?:metadata|deleted)$/i

/** SQLite compares names without regard to case, in ASCII. */
const folded = (name: string) => name.replace(/[A-Z]/g, letter => letter.toLowerCase())

/** Stops the start at columns that the client's SQLite cannot have side by side. */
export function checkColumns (
  table: string, fields: ReadonlyArray<{ name: string, column: string }>, tracksMetadata: boolean | undefined
): void {
  const fail = (problem: string) => { throw new OptionError(`collections.${table}.schema`, `has ${problem}`) }
  // SQLite takes no more columns in one table, the id and PowerSync's own included.
  const most = tracksMetadata ? 1997 : 1999
  if (fields.length > most) fail(`${fields.length} fields: a table of PowerSync has at most ${most} columns`)
  const taken = new Map([['id', 'id']])
  for (const { name, column } of fields) {
    const map = `map ${JSON.stringify(name)} to another in collections.${table}.fields`
    const isHidden = tracksMetadata && HIDDEN.test(column)
    if (isHidden) fail(`the column ${JSON.stringify(column)}, which trackMetadata keeps for itself: ${map}`)
    checkName(column, taken, problem => fail(`the column ${problem}: ${map}`))
  }
}

export function checkTables (tables: readonly string[]): void {
  const rename = "rename the client's table, and give the collection's own name in its option name"
  const taken = new Map<string, string>()
  for (const table of tables) {
    const fail = (problem: string) => { throw new OptionError('collections', `has the table ${problem}: ${rename}`) }
    if (RESERVED.test(table)) fail(`${JSON.stringify(table)}, a name that PowerSync or SQLite keeps for itself`)
    checkName(table, taken, fail)
  }
}

function checkName (name: string, taken: Map<string, string>, fail: (problem: string) => void): void {
  if (REFUSED.test(name)) fail(`${JSON.stringify(name)}, which PowerSync's clients do not open: ${REFUSED_WORDS}`)
  const other = taken.get(folded(name))
  if (other !== undefined) fail(`${JSON.stringify(name)}, which SQLite does not tell from ${JSON.stringify(other)}`)
  taken.set(folded(name), name)
}
