import t from 'tap'
import type { CrudTransaction } from '../../index.js'
import { BlockedQueues } from '../../lib/uploads/outcomes.js'

const user = { id: 'user1' }
const transaction = (
  opId: string | undefined,
  { clientId = 'phone', more = [] as string[] } = {}
): CrudTransaction => ({
  clientId,
  operations: [opId, ...more].map((id, index) => ({ op: 'DELETE', table: 'rows', id: `row ${id}`, opId: id, index }))
})

t.test('failures of the same head of a queue are counted until it moves on', async t => {
  const queues = new BlockedQueues()
  queues.succeeded(transaction('1'), user)
  t.equal(queues.failed(transaction('1'), user), 1)
  t.equal(queues.failed(transaction('1', { more: ['2'] }), user), 2, 'a retry may carry more')
  queues.succeeded(transaction('7'), user)
  t.equal(queues.failed(transaction('1'), user), 3)
  queues.succeeded(transaction('1'), user)
  t.equal(queues.failed(transaction('1'), user), 1)
})

t.test('users, clients and operations are counted by themselves', async t => {
  const queues = new BlockedQueues()
  const queuesOf: [CrudTransaction, { id: string }][] = [
    [transaction('1'), user],
    [transaction('1'), { id: 'user2' }],
    [transaction('1', { clientId: 'tablet' }), user],
    [transaction('2'), user],
    [transaction(undefined), user],
    [{ operations: [] }, user]
  ]
  for (const [each, who] of queuesOf) {
    t.equal(queues.failed(each, who), 1)
    t.equal(queues.failed(each, who), 2)
  }
})

t.test('only the latest queues are remembered', async t => {
  const queues = new BlockedQueues(2)
  queues.failed(transaction('1'), user)
  queues.failed(transaction('2'), user)
  t.equal(queues.failed(transaction('1'), user), 2)
  queues.failed(transaction('3'), user)
  t.equal(queues.failed(transaction('1'), user), 3, 'its last failure was later')
  t.equal(queues.failed(transaction('2'), user), 1)
})
