/**
 * Random histories of one client on two rows, and what they give: operations that show when they are lost, doubled or
 * out of order.
 */
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import type { Random } from '../support/random.js'

export type Row = { a: number, b: number, s: number } | null

const rowNames = ['x', 'y'] as const
export type RowName = typeof rowNames[number]

interface Operation {
  row: RowName
  kind: 'PUT' | 'SETA' | 'SETB' | 'ADD' | 'DEL'
  /** Another one for each operation. */
  tag: number
  /** What the client takes the sum for. */
  before: number
}

export interface History {
  transactions: Array<{ rejected: boolean, operations: Operation[] }>
  /** Which rows are there before. */
  present: Record<RowName, boolean>
}

/** A row that is there before. */
export const initial = { a: -1, b: -2, s: 7 }

export function historyOf (random: Random): History {
  let tag = 0
  const transactions = Array.from({ length: random.integer(1, 4) }, () => ({
    rejected: random.chance(0.5),
    operations: Array.from({ length: random.integer(1, 2) }, (): Operation => ({
      row: random.chance(0.75) ? 'x' : 'y',
      kind: random.pick(['PUT', 'SETA', 'SETB', 'ADD', 'ADD', 'DEL']),
      tag: ++tag,
      before: random.integer(0, 50)
    }))
  }))
  return { transactions, present: { x: random.chance(0.5), y: random.chance(0.5) } }
}

/** The rows after a history without some of its transactions. */
export function rowsAfter ({ transactions, present }: History, without: ReadonlySet<number>): Map<RowName, Row> {
  const rows = new Map<RowName, Row>(rowNames.map(row => [row, present[row] ? initial : null]))
  for (const [index, { operations }] of transactions.entries()) {
    if (!without.has(index)) {
      for (const operation of operations) rows.set(operation.row, applied(rows.get(operation.row)!, operation))
    }
  }
  return rows
}

function applied (row: Row, { kind, tag }: Operation): Row {
  if (kind === 'PUT') return { a: tag, b: tag, s: 100 * tag }
  if (!row) return null
  switch (kind) {
    case 'SETA': return { ...row, a: tag }
    case 'SETB': return { ...row, b: tag }
    case 'ADD': return { ...row, s: row.s + amountOf(tag) }
    case 'DEL': return null
  }
}

/** Each operation adds another amount, so that a lost or doubled one shows. */
const amountOf = (tag: number) => 1000 * 3 ** tag

/** The `op_id`s of a transaction's operations. */
export const opIdsOf = ({ transactions }: History, index: number): number[] =>
  transactions[index]!.operations.map((_, position) => 10 * index + position)

/** One transaction as a client uploads it; ids of rows begin with the client's. */
export function uploadedOf (history: History, index: number, client: string): object[] {
  const opIds = opIdsOf(history, index)
  return history.transactions[index]!.operations.map((operation, position) =>
    ({ op_id: opIds[position], tx_id: index, type: 'rows', id: `${client}-${operation.row}`, ...changeOf(operation) }))
}

function changeOf ({ kind, tag, before }: Operation): object {
  switch (kind) {
    case 'PUT': return { op: 'PUT', data: { a: tag, b: tag, s: 100 * tag } }
    case 'SETA': return { op: 'PATCH', data: { a: tag } }
    case 'SETB': return { op: 'PATCH', data: { b: tag } }
    case 'ADD': return { op: 'PATCH', data: { s: before + amountOf(tag) }, old: { s: before } }
    case 'DEL': return { op: 'DELETE' }
  }
}

/** @param wrong `<client>:<op_id>` of operations that something is wrong with at the moment */
export function historyCollections (wrong: ReadonlySet<string>) {
  const sums = additive<{ a: number, b: number, s: number }>(['s'])
  // A PUT sets all, so that it is what the model says.
  const resolveConflict: typeof sums = Object.assign<typeof sums, object>((conflict, context) =>
    conflict.operation.op === 'PUT' ? conflict.operation : sums(conflict, context), { sumsOf: sums.sumsOf })
  return {
    rows: collection({
      schema: Type.Object({ a: bson.Int32(), b: bson.Int32(), s: bson.Int32() }),
      authorize: operation => !wrong.has(`${operation.id.split('-')[0]}:${operation.opId}`),
      resolveConflict
    })
  }
}
