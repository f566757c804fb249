import type { DeadLetter, DeadLetterOperation, DeadLetterSummary, RetryResult } from '../store/dead-letters.js'
import { clean, type Screen, type Style } from './screen.js'

/** Two paragraphs: which letter and why, of whom and on what. */
export function describe (letter: DeadLetterSummary, { paint, wrap }: Screen): string {
  const { failed_operation: failed, operation_count: count } = letter
  const retried = letter.retried_at && `, rejected again ${letter.attempts === 1 ? 'once' : `${letter.attempts} times`}, last ${letter.retried_at.toISOString()}`
  const origin = `  ${count} ${count === 1 ? 'operation' : 'operations'} on ${letter.tables.join(', ')} by user ${letter.user_id}, client ${letter.client_id ?? 'unknown'}, ` +
    `transaction ${letter.transaction_id ?? 'unknown'}, request ${letter.request_id ?? 'unknown'}${retried ?? ''}`
  return [
    wrap(`${paint('bold', clean(letter._id))}  ${letter.created_at.toISOString()}  ${paint('red', clean(failed.error_code))}: ${clean(failed.message)}`, 2),
    wrap(clean(origin), 2)
  ].map(text => `${text}\n`).join('')
}

/** The operation and below it what was uploaded; the one that failed is marked. */
export function describeOperation ({ failed_operation: failed }: DeadLetter, operation: DeadLetterOperation, { paint, wrap }: Screen): string {
  const { index, op, table, id, op_id: opId, data, previous, metadata } = operation
  const mark = index === failed.operation_index ? paint('red', '>') : ' '
  const uploaded = Object.entries({ data, previous, metadata }).filter(([, value]) => value !== null)
  return [
    wrap(` ${mark} ${clean(`${index} ${op} ${table} ${id}${opId === null ? '' : ` (op_id ${opId})`}`)}`, 5),
    ...uploaded.map(([name, value]) => `     ${name.padEnd(8)} ${wrap(clean(String(value)), 14)}`)
  ].map(text => `${text}\n`).join('')
}

/** What is behind a letter and before it: later changes of its rows, and older letters. */
export function describeChain ({ since }: DeadLetter, waitsFor: readonly string[], { wrap }: Screen): string {
  const later = since.map(({ row, replaced, set, unset, sums }) => {
    const [collection, id = ''] = row.split('\0')
    const changes = replaced ? 'replaced or deleted: left alone' : JSON.stringify({ ...set, ...Object.fromEntries(unset.map(field => [field, null])), ...sums })
    return ['since', `${collection} ${id.slice(1)} ${changes}`]
  })
  const waiting = waitsFor.length ? [['waits', `for ${waitsFor.join(', ')}`]] : []
  return [...later, ...waiting].map(([name, text]) => `     ${name!.padEnd(8)} ${wrap(clean(text!), 14)}\n`).join('')
}

export type Outcome = RetryResult | { status: 'retryable_error', error: string }

/** What became of a retry: for the count, and how it is said. */
export const outcomes = {
  success: { name: 'applied', style: 'green' },
  fatal_error: { name: 'rejected', style: 'red' },
  not_attempted: { name: 'waiting', style: 'yellow' },
  retryable_error: { name: 'failed', style: 'yellow' }
} as const satisfies Record<Outcome['status'], { name: string, style: Style }>

export function describeOutcome (id: string, outcome: Outcome, { paint, wrap }: Screen): string {
  const { name, style } = outcomes[outcome.status]
  return `${wrap(`${clean(id)}: ${paint(style, name)}${clean(detailsOf(outcome))}`, 2)}\n`
}

function detailsOf (outcome: Outcome): string {
  switch (outcome.status) {
    case 'success': return ''
    case 'fatal_error': return ` again, and kept: ${outcome.failed_operation.error_code}: ${outcome.failed_operation.message}`
    case 'not_attempted': return ` for older letters of its client on the same rows: retry or discard ${outcome.waits_for.join(', ')} first`
    case 'retryable_error': return `, not by its data: ${outcome.error}. Run this again when that is over`
  }
}
