/** What happens on the way: the upload queue, the answers of the server, the dead letters. */
import type { Answer, QueuedOperation } from './database.js'
import { byId, element, keyedList } from './dom.js'
import type { Letter } from './server.js'

export interface LetterActions {
  retry: (id: string) => void
  discard: (id: string) => void
}

export const queueList = (): (queue: QueuedOperation[]) => void =>
  keyedList(byId('queue'), ({ op_id: id }) => String(id), operation => {
    const { op_id: id, tx_id: transaction, op, table, data } = operation
    return fixed(element('li', {},
      element('div', { className: 'head' }, tag(op), element('strong', {}, table), element('span', { className: 'quiet' }, short(operation.id)), element('span', { className: 'end quiet' }, `op ${id}, transaction ${transaction}`)),
      ...data ? [element('code', { className: 'data' }, JSON.stringify(data))] : []))
  })

export const answerList = (): (answers: Answer[]) => void =>
  keyedList(byId('answers'), ({ id }) => id, ({ at, http_status: httpStatus, status, code, message, operations }) =>
    fixed(element('li', {},
      element('div', { className: 'head' }, tag(code ?? status, status), element('span', {}, ...described(operations)), element('span', { className: 'end quiet' }, `${httpStatus ? `HTTP ${httpStatus}` : 'no answer'}, ${time(at)}`)),
      ...message ? [element('p', {}, message)] : [])))

export const letterList = ({ retry, discard }: LetterActions): (letters: Letter[]) => void =>
  keyedList(byId('letters'), ({ _id: id }) => id, ({ _id: id, created_at: at, failed_operation: failed, operations }) => {
    const named = `the transaction of ${time(Number(at.$date.$numberLong))}: ${failed.error_code}`
    return fixed(element('li', {},
      element('div', { className: 'head' }, tag(failed.error_code, 'fatal_error'), element('span', {}, ...described(operations)), element('span', { className: 'end quiet' }, time(Number(at.$date.$numberLong)))),
      element('p', {}, failed.message),
      ...operations.flatMap(({ data }) => data ? [element('code', { className: 'data' }, data)] : []),
      element('div', { className: 'actions' },
        element('button', { type: 'button', textContent: 'Run again', ariaLabel: `Run again ${named}`, onclick: () => retry(id) }),
        element('button', { type: 'button', textContent: 'Discard', ariaLabel: `Discard ${named}`, className: 'danger', onclick: () => discard(id) }))))
  })

const fixed = (node: HTMLElement) => ({ node, update: () => {} })

function tag (text: string, kind = 'operation'): HTMLElement {
  const node = element('span', { className: 'tag' }, text)
  node.dataset['kind'] = kind
  return node
}

function described (operations: Array<Pick<QueuedOperation, 'op' | 'table' | 'id'>>): Array<Node | string> {
  const [first, ...others] = operations
  if (!first) return ['no operation']
  return [`${first.op} `, element('strong', {}, first.table), ' ', element('span', { className: 'quiet' }, short(first.id) + (others.length ? ` and ${others.length} more` : ''))]
}

const short = (id: string) => id.length > 12 ? `${id.slice(0, 8)}…` : id
const time = (at: string | number) => new Date(at).toLocaleTimeString('en-GB')
