/** The checker finds what it is there to find: a soak that can find nothing proves nothing. */
import t from 'tap'
import { check, type History } from './checker.js'
import type { ClientHistory, Operation } from './client.js'
import type { Application } from './history.js'

/**
 * Two clients that wrote the same rows, all applied once and in order, and a transaction of the phone in a dead letter.
 */
function history () {
  const phone = {
    clientId: 'phone',
    transactions: [
      [
        { opId: 1, op: 'PUT', table: 'lists', id: 'a', data: { value: 'one', note: null } },
        { opId: 2, op: 'PUT', table: 'counters', id: 'b', data: { value: 'two', note: null, amount: 5 } }
      ],
      [{ opId: 3, op: 'PATCH', table: 'archive', id: 'a', data: { value: 'three' } }],
      [
        { opId: 4, op: 'PUT', table: 'notes', id: 'c', data: { value: '!four', note: null } },
        { opId: 5, op: 'PATCH', table: 'lists', id: 'a', data: { note: 'five' } }
      ],
      [{ opId: 6, op: 'DELETE', table: 'notes', id: 'd' }]
    ] as Operation[][],
    acknowledged: new Set([1, 2, 3, 4, 5, 6]),
    verdicts: new Map<number, Set<'success' | 'fatal_error'>>([
      [0, new Set(['success'])],
      [2, new Set(['fatal_error'])]
    ]),
    cuts: false
  }
  const tablet = {
    clientId: 'tablet',
    transactions: [
      [{ opId: 1, op: 'PATCH', table: 'counters', id: 'b', data: { amount: 10 }, previous: { amount: 7 } }]
    ] as Operation[][],
    acknowledged: new Set([1]),
    verdicts: new Map(),
    cuts: false
  }
  return {
    clients: [phone, tablet] satisfies ClientHistory[],
    byClient: new Map([
      ['phone', [upload('phone', 1, 2), upload('phone', 3), upload('phone', 6)]],
      ['tablet', [upload('tablet', 1)]]
    ]),
    byRow: new Map([
      ['lists a', [upload('phone', 1), upload('phone', 3)]],
      ['counters b', [upload('phone', 2), upload('tablet', 1)]],
      ['notes d', [upload('phone', 6)]]
    ]),
    letters: [{ clientId: 'phone', opIds: [4, 5] }],
    discarded: [] as History['discarded'],
    rows: new Map([
      ['lists a', { value: 'three', note: null as string | null, amount: null }],
      ['counters b', { value: 'two', note: null, amount: 8 }]
    ])
  }
}

type Planted = ReturnType<typeof history>

const application = (from: Application['from'], clientId: string, opIds: number[]): Application => ({
  id: '',
  clientId,
  opIds,
  from,
  mended: false
})
const upload = (clientId: string, ...opIds: number[]) => application('upload', clientId, opIds)
const retry = (...opIds: number[]) => application('letter', 'phone', opIds)

/** The checker's verdicts on the history after `change`. */
function found (change: (history: Planted) => void): string[] {
  const changed = history()
  change(changed)
  return check(changed).map(({ kind }) => kind).sort()
}

/** Takes operations of the phone out of its list and out of their row's. */
function remove ({ byClient, byRow }: Planted, row: string, opId: number): void {
  for (const [lists, name] of [[byClient, 'phone'], [byRow, row]] as const) {
    for (const each of lists.get(name)!) each.opIds = each.opIds.filter(id => id !== opId)
  }
}

t.test('a history without violation', async t => {
  t.same(check(history()), [])
  t.same(check({ clients: [], byClient: new Map(), byRow: new Map(), letters: [], discarded: [], rows: new Map() }), [])
})

t.test('an acknowledged operation that was not applied is lost', async t => {
  t.same(found(({ byClient, byRow, rows }) => {
    byClient.get('phone')!.splice(1, 1)
    byRow.get('lists a')!.pop()
    rows.get('lists a')!.value = 'one'
  }), ['lost'])
  t.same(
    found(({ letters }) => letters.pop()),
    ['lost', 'lost', 'wrong answer'],
    'a dead letter that is gone, though nobody discarded it'
  )
  t.same(found(({ letters, discarded }) => discarded.push(letters.pop()!)), [])
})

t.test('one that was not acknowledged is not lost, but not uploaded either', async t => {
  t.same(found(({ clients, byClient, byRow, rows }) => {
    clients[1]!.acknowledged.clear()
    byClient.set('tablet', [])
    byRow.get('counters b')!.pop()
    rows.get('counters b')!.amount = 5
  }), ['not uploaded'])
})

t.test('a transaction that was applied twice is doubled', async t => {
  t.same(
    found(({ byClient }) => byClient.get('phone')!.push(upload('phone', 6))),
    ['doubled'],
    'even if it changes no row'
  )
  t.same(found(({ byClient, byRow, rows }) => {
    byClient.get('tablet')!.push(upload('tablet', 1))
    byRow.get('counters b')!.push(upload('tablet', 1))
    rows.get('counters b')!.amount = 11
  }), ['doubled'])
  t.same(
    found(({ rows }) => {
      rows.get('counters b')!.amount = 11
    }),
    ['wrong row'],
    'as the sum in the row shows by itself'
  )
})

t.test('a transaction of which a part was applied is half-applied', async t => {
  t.same(found(history => {
    remove(history, 'counters b', 2)
    history.byRow.get('counters b')!.shift()
    history.rows.delete('counters b')
  }), ['half-applied', 'lost'])
  t.same(
    found(({ byClient }) => byClient.get('phone')!.splice(0, 1, upload('phone', 1), upload('phone', 2))),
    ['half-applied', 'half-applied'],
    'all of it, but in two MongoDB transactions: a crash between them would have left one half'
  )
  t.same(found(({ clients, byClient }) => {
    clients[0]!.cuts = true
    byClient.get('phone')!.splice(0, 1, upload('phone', 1), upload('phone', 2))
  }), [], 'unless its client cut it')
})

t.test('a transaction that was applied before an earlier one is reordered', async t => {
  t.same(found(({ byClient }) => byClient.get('phone')!.reverse()), ['reordered', 'reordered', 'reordered'])
})

t.test('an operation that was applied has no dead letter', async t => {
  t.same(found(({ letters }) => letters.push({ clientId: 'phone', opIds: [3] })),
    ['applied and kept', 'rejected without a reason'])
  t.same(
    found(({ letters, byClient }) => {
      letters[0]!.opIds = [4, 5, 6]
      byClient.get('phone')!.push(retry(4, 5))
    }),
    ['applied and kept', 'applied and kept', 'applied and kept', 'rejected without a reason'],
    'a letter that was run again is gone'
  )
})

t.test('a client that was told otherwise', async t => {
  t.same(found(({ clients }) => clients[0]!.verdicts.get(0)!.add('fatal_error')), ['wrong answer'])
  t.same(found(({ clients }) => clients[0]!.verdicts.get(2)!.add('success')), ['wrong answer'])
})

t.test('an operation that nobody wrote', async t => {
  t.same(found(({ byClient }) => byClient.get('phone')!.push(upload('phone', 99))), ['unknown'])
  t.same(found(({ byClient }) => byClient.set('stranger', [upload('stranger', 1)])), ['unknown'])
})

t.test('a row that is not what the operations made it', async t => {
  t.same(found(({ rows }) => { rows.get('lists a')!.value = 'one' }), ['wrong row'], 'an update that got lost')
  t.same(
    found(({ rows }) => rows.set('notes e', { value: 'x', note: null, amount: null as never })),
    ['wrong row'],
    'a row from nowhere'
  )
  t.same(found(({ rows }) => rows.delete('lists a')), ['wrong row'], 'a row that is gone')
})

t.test(
  'a dead letter that is run again goes under the later changes of its client, and over those of others',
  async t => {
    const rowsAfter = (letter: Operation[], later: Operation[], row: object | null, ofOthers: Operation[] = []) => {
      const start: Operation[] = [
        { opId: 1, op: 'PUT', table: 'counters', id: 'b', data: { value: 'one', note: 'one', amount: 5 } }
      ]
      const rejected = letter.map((operation, index) => ({ ...operation, opId: 2 + index }))
      const applied = later.map((operation, index) => ({ ...operation, opId: 10 + index }))
      const all = [start, rejected, applied].filter(operations => operations.length > 0)
      const client = (clientId: string, transactions: Operation[][]): ClientHistory => ({
        clientId,
        transactions,
        acknowledged: new Set(transactions.flat().map(({ opId }) => opId)),
        verdicts: new Map(),
        cuts: true
      })
      const ids = (operations: Operation[]) => operations.map(({ opId }) => opId)
      const phone = [upload('phone', ...ids(start)), upload('phone', ...ids(applied)), retry(...ids(rejected))]
      const tablet = upload('tablet', ...ids(ofOthers))
      return check({
        clients: [client('phone', all), client('tablet', [ofOthers])],
        byClient: new Map([['phone', phone], ['tablet', [tablet]]]),
        byRow: new Map([['counters b', phone.toSpliced(1, 0, tablet)]]),
        letters: [],
        discarded: [],
        rows: new Map(row ? [['counters b', { value: null, note: null, amount: null, ...row }]] : [])
      }).filter(({ kind }) => kind === 'wrong row')
    }
    const patch = (data: object, before?: number): Operation => ({
      opId: 1,
      op: 'PATCH',
      table: 'counters',
      id: 'b',
      data,
      ...(before !== undefined && { previous: { amount: before } })
    })
    const put = (data: object): Operation => ({ opId: 1, op: 'PUT', table: 'counters', id: 'b', data })
    const remove: Operation = { opId: 1, op: 'DELETE', table: 'counters', id: 'b' }

    t.same(
      rowsAfter([patch({ value: 'old', note: 'old' })], [patch({ value: 'done' })], {
        value: 'done',
        note: 'old',
        amount: 5
      }),
      []
    )
    t.same(
      rowsAfter([patch({ amount: 7 }, 5)], [patch({ amount: 10 }, 7)], { value: 'one', note: 'one', amount: 10 }),
      [],
      'sums add up'
    )
    t.same(
      rowsAfter([patch({ value: 'old' })], [put({ value: 'new', note: null, amount: 1 })], {
        value: 'new',
        note: null,
        amount: 5
      }),
      [],
      'a row that was replaced is left alone'
    )
    t.same(
      rowsAfter([put({ value: 'old', note: null, amount: 1 })], [remove], null),
      [],
      'and so is one that was deleted'
    )
    t.same(rowsAfter([remove], [patch({ value: 'done' })], null), [])
    t.same(
      rowsAfter([remove, put({ value: 'new', note: null, amount: 2 })], [patch({ amount: 4 }, 2)], {
        value: 'new',
        note: null,
        amount: 4
      }),
      []
    )
    t.same(
      rowsAfter([patch({ value: 'old' })], [], { value: 'old', note: 'theirs', amount: 5 }, [
        patch({ value: 'theirs', note: 'theirs' })
      ]),
      []
    )
    t.not(
      rowsAfter([patch({ value: 'old' })], [patch({ value: 'done' })], { value: 'old', note: 'one', amount: 5 }).length,
      0
    )
  }
)
