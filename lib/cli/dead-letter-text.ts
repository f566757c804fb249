import type { DeadLetter, DeadLetterOperation, DeadLetterSummary, RetryResult } from '../../types/dead-letters.js'
import { clean, type Screen } from './terminal.js'

/** Two paragraphs: the letter with its reason, and its origin. */
export function describe (letter: DeadLetterSummary, { paint, wrap }: Screen): string {
  const { failed_operation: failed, operation_count: count, attempts, retried_at: last } = letter
  const origin = [
    `${count} ${count === 1 ? 'operation' : 'operations'} on ${letter.tables.join(', ')} by user ${letter.user_id}`,
    `client ${letter.client_id ?? 'unknown'}`,
    `transaction ${letter.transaction_id ?? 'unknown'}`,
    `request ${letter.request_id ?? 'unknown'}`,
    ...last ? [`rejected again ${attempts === 1 ? 'once' : `${attempts} times`}`, `last ${last.toISOString()}`] : []
  ]
  const reason = `${paint('red', clean(failed.error_code))}: ${clean(failed.message)}`
  return linesOf([
    wrap(`${paint('bold', clean(letter._id))}  ${letter.created_at.toISOString()}  ${reason}`, 2),
    wrap(clean(`  ${origin.join(', ')}`), 2)
  ])
}

/** The operation, marked if it is the one that failed, and below it the uploaded values. */
export function describeOperation (letter: DeadLetter, operation: DeadLetterOperation, screen: Screen): string {
  const { paint, wrap } = screen
  const { index, op, table, id, op_id: opId, data, previous, metadata } = operation
  const mark = index === letter.failed_operation.operation_index ? paint('red', '>') : ' '
  const uploaded = Object.entries({ data, previous, metadata }).filter(([, value]) => value !== null)
  return linesOf([
    wrap(` ${mark} ${clean(`${index} ${op} ${table} ${id}${opId === null ? '' : ` (op_id ${opId})`}`)}`, 5),
    ...uploaded.map(([name, value]) => detail(name, String(value), wrap))
  ])
}

/** Later changes of the letter's rows by its client, and the older letters to run first. */
export function describeChain ({ since }: DeadLetter, waitsFor: readonly string[], { wrap }: Screen): string {
  return linesOf([
    ...since.map(({ row, replaced, set, unset, sums }) => {
      const [collection, id = ''] = row.split('\0')
      const changes = { ...set, ...Object.fromEntries(unset.map(field => [field, null])), ...sums }
      const text = replaced ? 'replaced or deleted: retry leaves it alone' : JSON.stringify(changes)
      return detail('since', `${collection} ${id.slice(1)} ${text}`, wrap)
    }),
    ...waitsFor.length ? [detail('waits', `for ${waitsFor.join(', ')}`, wrap)] : []
  ])
}

const detail = (name: string, text: string, wrap: Screen['wrap']) => `     ${name.padEnd(8)} ${wrap(clean(text), 14)}`

const linesOf = (lines: string[]) => lines.map(line => `${line}\n`).join('')

/** Names of the outcomes of a retry, for the count and for people. */
export const outcomes = {
  success: { name: 'applied', style: 'green' },
  fatal_error: { name: 'rejected', style: 'red' },
  not_attempted: { name: 'waiting', style: 'yellow' },
  retryable_error: { name: 'failed', style: 'yellow' }
} as const

export type Outcome = RetryResult | { status: 'retryable_error', error: string }

export function describeOutcome (id: string, outcome: Outcome, { paint, wrap }: Screen): string {
  const { name, style } = outcomes[outcome.status]
  return `${wrap(`${clean(id)}: ${paint(style, name)}${clean(detailsOf(outcome))}`, 2)}\n`
}

function detailsOf (outcome: Outcome): string {
  if (outcome.status === 'success') return ''
  if (outcome.status === 'not_attempted') {
    return ` for older letters of its client on the same rows: retry or discard ${outcome.waits_for.join(', ')} first`
  }
  if (outcome.status === 'retryable_error') return `, not because of its data: ${outcome.error}. Run this again later`
  return ` again and kept: ${outcome.failed_operation.error_code}: ${outcome.failed_operation.message}`
}
