/** The checker finds what it is there to find: a soak that can find nothing proves nothing. */
import t from 'tap'
import { check, type AuditRow, type History, type Violation } from './checker.js'

/** Two clients that wrote the same row, all applied once, in order. */
function history (): History {
  return {
    clients: [
      {
        clientId: 'phone',
        transactions: [
          [
            { opId: 1, op: 'PUT', table: 'lists', id: 'a', data: { value: 'one', note: null } },
            { opId: 2, op: 'PUT', table: 'todos', id: 'b', data: { value: 'two', note: null } }
          ],
          [{ opId: 3, op: 'PATCH', table: 'lists', id: 'a', data: { value: 'three' } }],
          [{ opId: 4, op: 'DELETE', table: 'todos', id: 'b' }]
        ],
        acknowledged: new Set([1, 2, 3, 4]),
        queued: 0
      },
      {
        clientId: 'tablet',
        transactions: [[{ opId: 1, op: 'PATCH', table: 'lists', id: 'a', data: { note: 'from the tablet' } }]],
        acknowledged: new Set([1]),
        queued: 0
      }
    ],
    audit: [
      applied('phone', 1, 'first', 1, 1), applied('phone', 2, 'first', 1, 2),
      applied('tablet', 1, 'second', 1, 3),
      // The server was started again, and counts anew.
      applied('phone', 3, 'third', 2, 1), applied('phone', 4, 'fourth', 2, 2)
    ],
    rows: { lists: { a: { value: 'three', note: 'from the tablet' } }, todos: {}, notes: {} }
  }
}

function applied (clientId: string, opId: number, mongoTransaction: string, start: number, sequence: number): AuditRow {
  return { id: `${clientId} ${opId} ${start} ${sequence}`, clientId, opId, mongoTransaction, start, sequence, existed: true }
}

const kinds = (found: Violation[]) => found.map(({ kind }) => kind).sort()

/** What the checker says of the history after `change`. */
function found (change: (history: History) => void): string[] {
  const changed = history()
  change(changed)
  return kinds(check(changed))
}

/** Takes an operation's application out of the audit and the row that it made out of the database. */
function remove ({ audit }: History, clientId: string, opId: number): AuditRow {
  const index = audit.findIndex(row => row.clientId === clientId && row.opId === opId)
  return audit.splice(index, 1)[0]!
}

t.test('a history without violation', async t => {
  t.same(check(history()), [])
  t.same(found(({ audit }) => audit.reverse()), [], 'in which order the audit is read makes no difference')
  t.same(check({ clients: [], audit: [], rows: { lists: {}, todos: {}, notes: {} } }), [])
})

t.test('neighbouring transactions in one MongoDB transaction are none either', async t => {
  t.same(found(({ audit }) => { for (const row of audit) if (row.clientId === 'phone') row.mongoTransaction = 'first' }), [])
})

t.test('an acknowledged transaction that is not in the database is lost', async t => {
  t.same(found(history => {
    remove(history, 'phone', 3)
    history.rows.lists['a']!.value = 'one'
  }), ['lost'])
})

t.test('a whole transaction that is lost', async t => {
  t.same(found(history => {
    remove(history, 'phone', 1)
    remove(history, 'phone', 2)
    history.rows.lists = {}
  }), ['lost', 'lost'])
})

t.test('one that was not acknowledged is not lost, but not uploaded either', async t => {
  t.same(found(history => {
    remove(history, 'tablet', 1)
    history.rows.lists['a']!.note = null
    history.clients[1]!.acknowledged = new Set()
  }), ['not uploaded'])
  t.same(found(({ clients }) => { clients[0]!.queued = 1 }), ['not uploaded'])
})

t.test('a transaction that was applied twice is doubled', async t => {
  t.same(found(({ audit }) => audit.push(applied('phone', 1, 'again', 2, 3), applied('phone', 2, 'again', 2, 4))),
    ['doubled', 'doubled', 'wrong row', 'wrong row'], 'the second application also undoes what came after the first')
  t.same(found(({ audit }) => audit.push(applied('phone', 4, 'again', 2, 3))), ['doubled'], 'even if it changes no row')
})

t.test('a transaction of which a part was applied is half-applied', async t => {
  t.same(found(history => {
    remove(history, 'phone', 2)
    history.clients[0]!.acknowledged = new Set([3, 4])
  }), ['half-applied', 'not uploaded'])
  t.same(found(({ audit }) => { audit[1]!.mongoTransaction = 'another' }), ['half-applied', 'half-applied'],
    'all of it, but in two MongoDB transactions: a crash between them would have left one half')
})

t.test('a transaction that was applied before an earlier one is reordered', async t => {
  t.same(found(({ audit }) => { [audit[3]!.sequence, audit[4]!.sequence] = [2, 1] }), ['reordered'])
  t.same(found(({ audit }) => { audit[3]!.start = 3 }), ['reordered'], 'across a start of the server')
})

t.test('a change that met no document has not changed the one that another client created at the same time', async t => {
  t.same(found(({ audit, rows }) => {
    audit.find(({ clientId }) => clientId === 'tablet')!.existed = false
    rows.lists['a']!.note = null
  }), [])
})

t.test('an operation that nobody wrote', async t => {
  t.same(found(({ audit }) => audit.push(applied('phone', 99, 'fifth', 2, 3), applied('nobody', 1, 'sixth', 2, 4))), ['unknown', 'unknown'])
})

t.test('a row that is not what the operations made it', async t => {
  t.same(found(({ rows }) => { rows.lists['a']!.note = null }), ['wrong row'], 'an update that got lost')
  t.same(found(({ rows }) => { rows.notes['c'] = { value: 'x', note: null } }), ['wrong row'], 'a row from nowhere')
  t.same(found(({ rows }) => { delete rows.lists['a'] }), ['wrong row'], 'a row that is gone')
})
