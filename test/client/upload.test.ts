/** What the connector sends: which transactions, how many at a time, and in which form. */
import type { FastifyReply } from 'fastify'
import t from 'tap'
import { createConnector, type ConnectorOptions } from '../../lib/client/index.js'
import { inserts, queueOf, type Change } from './queue.js'
import { scriptedServer, silence, status, success, type Answer, type ScriptedServer } from './scripted-server.js'

const store = (reply: FastifyReply) => {
  const { transactions } = reply.request.body as { transactions: object[] }
  return { results: transactions.map(() => success) }
}

/** A server that stores everything, after these answers. */
async function storing (t: Parameters<typeof scriptedServer>[0], ...before: Answer[]) {
  return scriptedServer(t, ...before, store)
}

/** The `op_id`s of each request, by transaction. */
const sent = ({ requests }: ScriptedServer) =>
  requests
    .filter(({ route }) => route === '/upload')
    .map(({ body }) =>
      body.transactions.map(({ crud }: { crud: Array<{ op_id: number }> }) => crud.map(({ op_id: opId }) => opId))
    )

const sizes = (server: ScriptedServer) => sent(server).map(({ length }) => length)

const changes = (...counts: number[]): Change[][] =>
  counts.map(count => Array.from({ length: count }, () => ({ id: 'row' })))

t.test('an upload has the client\'s id, and of each operation everything the client knows', async t => {
  const server = await storing(t)
  const rows = queueOf(
    [
      { id: 'a', opData: { text: 'x', size: 2.5, gone: null }, metadata: 'typed' },
      { id: 'a', op: 'PATCH', opData: {}, previousValues: { text: 'x' } }
    ],
    [{ id: 'a', op: 'DELETE', opData: undefined, previousValues: { text: null }, metadata: 'swiped away' }]
  )
  await createConnector({ url: server.url }).uploadData(rows)
  t.same(server.requests.at(-1)?.body, {
    client_id: 'phone',
    schema_version: 1,
    transactions: [
      {
        transaction_id: 1,
        crud: [
          { op_id: 1, op: 'PUT', type: 'rows', id: 'a', data: { text: 'x', size: 2.5, gone: null }, metadata: 'typed' },
          { op_id: 2, op: 'PATCH', type: 'rows', id: 'a', data: {}, old: { text: 'x' } }
        ]
      },
      {
        transaction_id: 2,
        crud: [{ op_id: 3, op: 'DELETE', type: 'rows', id: 'a', old: { text: null }, metadata: 'swiped away' }]
      }
    ]
  })
})

t.test('nothing to upload: no request', async t => {
  const server = await storing(t)
  const { uploadData } = createConnector({ url: server.url })
  await uploadData(queueOf())
  await uploadData({ getClientId: async () => 'phone', getNextCrudTransaction: async () => null })
  t.same(server.requests, [])
})

const batches: Array<{ name: string, queue: Change[][], limits?: ConnectorOptions['limits'], first: number }> = [
  { name: 'by default 20 transactions', queue: inserts(60), first: 20 },
  { name: 'at most limits.transactions', queue: inserts(60), limits: { transactions: 50 }, first: 50 },
  { name: 'one at a time', queue: inserts(3), limits: { transactions: 1 }, first: 1 },
  { name: 'by default 1 000 operations', queue: changes(400, 600, 1), first: 2 },
  { name: 'what would be over limits.operations waits', queue: changes(4, 4, 4), limits: { operations: 10 }, first: 2 },
  {
    name: 'a transaction that is larger than the limit goes alone',
    queue: changes(11, 1),
    limits: { operations: 10 },
    first: 1
  },
  { name: 'and what comes before it goes without it', queue: changes(1, 11, 1), limits: { operations: 10 }, first: 1 },
  { name: 'all there is', queue: changes(3, 3), limits: { operations: 10 }, first: 2 }
]

for (const { name, queue, limits, first } of batches) {
  t.test(`${name}: ${first} of ${queue.length}`, async t => {
    const server = await storing(t)
    const rows = queueOf(...queue)
    const all = rows.left()
    const { uploadData } = createConnector({ url: server.url, limits })
    await uploadData(rows)
    t.same(sent(server)[0], all.slice(0, first), 'whole transactions from the head')
    t.same(rows.left(), all.slice(first))
    while (rows.left().length > 0) await uploadData(rows)
    t.same(sent(server).flat(), all)
  })
}

for (const [name, without] of [
  ['a database without getCrudTransactions', { getCrudTransactions: undefined }],
  ['a platform without Symbol.asyncIterator', { getCrudTransactions: () => ({}) }]
] as const) {
  t.test(`${name} uploads one transaction at a time`, async t => {
    const server = await storing(t)
    const rows = queueOf(...inserts(2))
    const database = { ...rows, ...without } as unknown as typeof rows
    const { uploadData } = createConnector({ url: server.url })
    await uploadData(database)
    t.same(rows.left(), [[2]])
    await uploadData(database)
    t.same(sent(server), [[[1]], [[2]]])
  })
}

t.test('413 for several transactions: half as many at once, then one more with each success', async t => {
  const server = await storing(t, status(413), status(413))
  const { uploadData } = createConnector({ url: server.url, limits: { transactions: 5 } })
  const rows = queueOf(...inserts(20))
  await uploadData(rows)
  t.same(sizes(server), [5, 3, 2])
  while (rows.left().length > 0) await uploadData(rows)
  t.same(sizes(server), [5, 3, 2, 3, 4, 5, 5, 1])
})

for (const code of [400, 403, 408, 429, 500, 502, 503, 504, 520, 524]) {
  t.test(
    `${code} for more than 4 transactions, perhaps of a proxy: each try has half as many, until they get through`,
    async t => {
      const refuse: Answer = reply =>
        (reply.request.body as { transactions: object[] }).transactions.length > 4
          ? reply.code(code).send()
          : store(reply)
      const server = await scriptedServer(t, refuse)
      const { uploadData } = createConnector({ url: server.url })
      const rows = queueOf(...inserts(40))
      for (let size = 20; size > 4; size = Math.ceil(size / 2)) {
        await t.rejects(uploadData(rows), { code: 'PSM_STATUS', status: code })
      }
      while (rows.left().length > 0) await uploadData(rows).catch(error => t.match(error, { status: code }))
      t.same(sizes(server).slice(0, 4), [20, 10, 5, 3])
    }
  )
}

t.test('a page in place of the answer for more than one transaction, perhaps of a proxy: half as many', async t => {
  const server = await storing(t, reply => reply.type('text/html').send('<h1>Blocked</h1>'))
  const { uploadData } = createConnector({ url: server.url })
  const rows = queueOf(...inserts(4))
  await t.rejects(uploadData(rows), { code: 'PSM_ANSWER' })
  await uploadData(rows)
  t.same(sizes(server), [4, 2])
})

t.test('413 for a single transaction is an error that says so', async t => {
  const server = await storing(t, status(413), status(413))
  const rows = queueOf(...inserts(2))
  await t.rejects(createConnector({ url: server.url }).uploadData(rows), {
    code: 'PSM_TOO_LARGE',
    status: 413,
    message: /upload\.bodyLimit/
  })
  t.same(sizes(server), [2, 1])
  t.same(rows.left(), [[1], [2]])
})

t.test('after no answer the next try is smaller: a slow connection gets through in the end', async t => {
  const server = await storing(t, silence, reply => reply.raw.destroy())
  const { uploadData } = createConnector({ url: server.url, timeout: 200 })
  const rows = queueOf(...inserts(3))
  await t.rejects(uploadData(rows), { code: 'PSM_TIMEOUT' })
  await t.rejects(uploadData(rows), { code: 'PSM_NETWORK' })
  await uploadData(rows)
  t.same(sizes(server), [3, 2, 1])
  t.same(rows.left(), [[2], [3]])
})

t.test('when the client cannot complete, its error is the SDK\'s to see', async t => {
  const server = await storing(t)
  const mine = new Error('disk full')
  const rows = queueOf(...inserts(1))
  const [transaction] = [await rows.getNextCrudTransaction()]
  transaction!.complete = async () => { throw mine }
  await t.rejects(createConnector({ url: server.url }).uploadData(rows), mine)
})

const mistakes: Array<[options: Record<string, unknown>, message: RegExp]> = [
  [{ url: '' }, /option url: expected/],
  [{ url: undefined }, /option url: expected/],
  [{ limits: { transactions: 0 } }, /option limits.transactions: expected a whole number from 1 to 50/],
  [{ limits: { transactions: 51 } }, /option limits.transactions/],
  [{ limits: { transactions: 1.5 } }, /option limits.transactions/],
  [{ limits: { operations: 0 } }, /option limits.operations/],
  [{ timeout: 0 }, /option timeout/],
  [{ timeout: Infinity }, /option timeout/],
  [{ uploadWith: 'cookies' }, /option uploadWith/],
  [{ headers: { authorization: 'Bearer …' } }, /option headers: expected a function/],
  [{ header: () => ({}) }, /option header: expected one of url, headers, uploadWith, .*, limits.operations/],
  [{ onfatal: () => 'discard' }, /option onfatal: expected one of url,/],
  [{ limits: { transaction: 5 } }, /option limits.transaction: expected one of .*, limits.transactions, limits/]
]

for (const [options, message] of mistakes) {
  t.test(`options ${JSON.stringify(options)}: refused`, async t => {
    t.throws(() => createConnector({ url: 'https://app.example.com', ...options } as unknown as ConnectorOptions), {
      code: 'PSM_OPTION',
      message
    })
  })
}
