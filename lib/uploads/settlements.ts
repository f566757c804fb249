import type { AnyRow, CommandScope, CrudOperation, CrudTransaction, Since, User } from '../../types/index.js'
import { PowerSyncFatalError, SchemaVersionError } from '../errors.js'
import { fieldOf } from '../rules/conflicts/resolver.js'
import type { CollectionRegistry } from '../rules/registry.js'
import { rowOfUploaded, without } from '../rules/since.js'
import { transactionOf, type DeadLetters } from '../store/dead-letters.js'
import { canonical } from '../store/fingerprint.js'

interface Dependencies { deadLetters: DeadLetters, collections: CollectionRegistry }

/** Whether an operation settles a letter: a DELETE on the table of the user's rejections. */
export const settles = ({ op, table }: CrudOperation, { deadLetters }: Dependencies): boolean =>
  op === 'DELETE' && deadLetters.isMirror(table)

/**
 * Reads the letters that are settled, which may be gone, or somebody else's, by one client transaction: it comes alone.
 * Gives the transactions without the operations that settle letters, the later changes that these go under, by row, the
 * ids of the letters, and the statements that settle them.
 *
 * Where a column is sent as the letter has it, what the letter's client has set there since stays, as in a retry; a
 * column that is sent otherwise is the user's latest word.
 */
export async function settlementsIn (
  transactions: CrudTransaction[], user: User, dependencies: Dependencies, scope: CommandScope
) {
  const { deadLetters, collections } = dependencies
  const since = new Map<string, Since>()
  const [transaction] = transactions as [CrudTransaction]
  const isSettling = (operation: CrudOperation) => settles(operation, dependencies)
  const ids = transaction.operations.filter(isSettling).map(({ id }) => id)
  // Without `op_id` the transaction may be rejected as the same letter again, which stays.
  const settle = (written?: string) =>
    ids.filter(id => id !== written).flatMap(id => deadLetters.settlementOf(id, user))
  if (ids.length === 0) return { transactions, since, settled: ids, settle }
  const rest = { ...transaction, operations: transaction.operations.filter(each => !isSettling(each)) }
  const now = fieldsByRow(rest, collections)
  for (const letter of await deadLetters.lettersOf(user, ids, scope)) {
    const rejected = transactionOf(letter)
    rest.operations = withSums(rest, rejected, collections)
    const before = fieldsByRow(rejected, collections)
    for (const later of letter.since) {
      // The user saw what replaced a row, and writes over it.
      if (later.replaced) continue
      // A row to which hooks have moved operations is none of the uploaded ones: it may have the fields of any of them.
      const [old, sent] = [before, now].map(rows => rows.get(later.row) ?? Object.assign({}, ...rows.values()))
      const isCorrected = (field: string) => canonical(old[field]) !== canonical(sent[field])
      since.set(later.row, without(later, Object.keys({ ...old, ...sent }).filter(isCorrected)))
    }
  }
  return { transactions: [rest], since, settled: ids, settle }
}

/** All that a transaction sends for each row, by field. */
function fieldsByRow (
  { operations, schemaVersion = 0 }: CrudTransaction, collections: CollectionRegistry
): Map<string, AnyRow> {
  const rows = new Map<string, AnyRow>()
  for (const operation of operations) {
    const row = rowOfUploaded(operation, collections)
    if (row === undefined) continue
    const lifted = liftedOf(operation, schemaVersion, collections)
    const { fields } = collections.get(operation.table).definition
    const sent = Object.entries(lifted?.data ?? {}).map(([column, value]) => [fieldOf(fields, column) ?? column, value])
    rows.set(row, { ...rows.get(row), ...Object.fromEntries(sent) })
  }
  return rows
}

function liftedOf (
  operation: CrudOperation, version: number, { migrations }: CollectionRegistry
): CrudOperation | null {
  try {
    return migrations.lift(operation, version)
  } catch (error) {
    // A letter may be older than what is lifted, and what a migration refuses is rejected when it is written.
    if (error instanceof SchemaVersionError || error instanceof PowerSyncFatalError) return operation
    throw error
  }
}

/** With what their client had before them in the letter, where sums are sent as the letter has them: they add that. */
function withSums (
  { operations, schemaVersion = 0 }: CrudTransaction, rejected: CrudTransaction, collections: CollectionRegistry
): CrudOperation[] {
  const { schemaVersion: version = 0 } = rejected
  const lift = (operation: CrudOperation) =>
    version === schemaVersion ? operation : liftedOf(operation, version, collections)
  const before = rejected.operations.filter(({ op, table }) => op === 'PATCH' && collections.has(table)).map(lift)
  return operations.map(operation => {
    const { op, table, id, data, previous } = operation
    if (op !== 'PATCH') return operation
    const at = before.findIndex(each => each?.table === table && each.id === id)
    const [old] = at < 0 ? [] : before.splice(at, 1)
    if (!old?.previous || !previous) return operation
    const { hooks: { resolveConflict }, definition: { fields } } = collections.get(table)
    const sums = resolveConflict.flatMap(({ sumsOf, fields = [] }) => sumsOf ? fields : [])
    const isSum = (column: string) => {
      const alone = { ...operation, data: { [column]: data[column] }, previous: { [column]: previous[column] } }
      const names = Object.keys({ ...liftedOf(alone, schemaVersion, collections)?.previous })
      return names.some(name => sums.includes(fieldOf(fields, name) ?? name))
    }
    const same = Object.entries(old.previous).filter(([column]) =>
      canonical(old.data?.[column]) === canonical(data[column]) && isSum(column))
    return { ...operation, previous: { ...previous, ...Object.fromEntries(same) } }
  })
}
