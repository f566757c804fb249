import type { DeadLetter, DeadLetterOperation, DeadLetterSummary } from '../store/dead-letters.js'
import { clean, type Screen } from './screen.js'

/** Two paragraphs: which letter and why, of whom and on what. */
export function describe (letter: DeadLetterSummary, { paint, wrap }: Screen): string {
  const { failed_operation: failed, operation_count: count } = letter
  const retried = letter.retried_at && `, rejected again ${letter.attempts} times, last ${letter.retried_at.toISOString()}`
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
    ...uploaded.map(([name, value]) => wrap(clean(`     ${name.padEnd(8)} ${value}`), 14))
  ].map(text => `${text}\n`).join('')
}
