import type { AnyRow, CrudOperation, CrudTransaction, DeadLetter, Since, User } from '../../types/index.js'
import { rowOf } from '../rules/plan.js'
import type { CollectionRegistry } from '../rules/registry.js'
import { without } from '../rules/since.js'
import { transactionOf, type DeadLetters } from '../store/dead-letters.js'
import { canonical } from '../store/fingerprint.js'
import type { Statement } from '../store/statements.js'
import type { CommandScope } from '../store/transaction.js'

interface Dependencies { deadLetters: DeadLetters, collections: CollectionRegistry }

/** The letters that client transactions settle, and the rest of the transactions. */
export interface Settlements {
  /** Without the operations that settle letters. */
  transactions: CrudTransaction[]
  /** The later changes that the transactions go under, by row. */
  since: Map<string, Since>
  /** @param written the letter that is written with it. Without `op_id` it may be the same again, and stays. */
  settle (written?: string): Statement[]
}

/** Whether an operation settles a letter: a DELETE on the table of the user's rejections. */
export const settles = ({ op, table }: CrudOperation, { deadLetters }: Dependencies): boolean =>
  op === 'DELETE' && deadLetters.isMirror(table)

/**
 * Reads the letters that are settled, which may be gone, or somebody else's, by one client transaction: it comes alone.
 * Where it sends a column as its letter has it, what the letter's client has set there since stays, as in a retry; a
 * column that it sends otherwise is the user's latest word.
 */
export async function settlementsIn (
  transactions: CrudTransaction[], user: User, dependencies: Dependencies, scope: CommandScope
): Promise<Settlements> {
  const { deadLetters, collections } = dependencies
  const since = new Map<string, Since>()
  const [transaction] = transactions as [CrudTransaction]
  const settling = transaction.operations.filter(operation => settles(operation, dependencies))
  const ids = settling.map(({ id }) => id)
  if (ids.length === 0) return { transactions, since, settle: () => [] }
  const rest = { ...transaction, operations: transaction.operations.filter(operation => !settling.includes(operation)) }
  for (const letter of await deadLetters.lettersOf(user, ids, scope)) {
    for (const later of laterThan(letter, rest, collections)) since.set(later.row, later)
  }
  return {
    transactions: [rest],
    since,
    settle: written => ids.filter(id => id !== written).flatMap(id => deadLetters.settlementOf(id, user))
  }
}

/** A letter's later changes of rows that are sent again, without the columns that are sent otherwise. */
function laterThan (letter: DeadLetter, sent: CrudTransaction, collections: CollectionRegistry): Since[] {
  const now = columnsByRow(sent, collections)
  const before = columnsByRow(transactionOf(letter), collections)
  return letter.since.flatMap(later => {
    const row = now.get(later.row)
    // The user saw what replaced the row, and writes over it.
    if (!row || later.replaced) return []
    const old = before.get(later.row)?.columns ?? {}
    const isCorrected = (column: string) => canonical(old[column]) !== canonical(row.columns[column])
    const corrected = Object.keys({ ...old, ...row.columns }).filter(isCorrected)
    return [without(later, corrected.map(column => row.fields[column] ?? column))]
  })
}

interface RowColumns { columns: AnyRow, fields: Readonly<Record<string, string>> }

/**
 * All columns that a transaction has for each row, and the fields of those with another name. A letter may be older
 * than what is lifted.
 */
function columnsByRow (
  { operations, schemaVersion = 0 }: CrudTransaction, collections: CollectionRegistry
): Map<string, RowColumns> {
  const rows = new Map<string, RowColumns>()
  const { lift, takes } = collections.migrations
  for (const operation of operations) {
    const { table, id } = operation
    const collection = collections.has(table) ? collections.get(table) : undefined
    const _id = collection?.tryId(id)
    if (!collection || _id === undefined) continue
    const row = rowOf(collection.name, _id)
    const lifted = takes(schemaVersion) ? lift(operation, schemaVersion) : operation
    rows.set(row, { columns: { ...rows.get(row)?.columns, ...lifted?.data }, fields: collection.definition.fields })
  }
  return rows
}
