import t from 'tap'
import { readUpload } from '../../lib/wire/read.js'

const columns = { name: 'Groceries', owner_id: 'user1' }

t.test('every shape that clients send becomes the same operation', async t => {
  const expected = {
    op: 'PATCH',
    table: 'lists',
    id: 'a',
    data: columns,
    previous: { name: 'Old' },
    metadata: 'note',
    opId: '7',
    index: 0
  }
  const raw = {
    op: 'PATCH',
    type: 'lists',
    id: 'a',
    data: columns,
    old: { name: 'Old' },
    metadata: 'note',
    op_id: 7,
    tx_id: 3
  }
  const shapes = {
    'raw CrudEntry.toJSON() in batch': {
      batch: [raw]
    },
    'Dart, which keeps nulls': {
      batch: [{ ...raw, table: null, opData: null }],
      client_id: null
    },
    'in-memory property names in operations': {
      operations: [
        {
          op: 'PATCH',
          table: 'lists',
          id: 'a',
          opData: columns,
          previousValues: { name: 'Old' },
          metadata: 'note',
          clientId: 7,
          transactionId: 3
        }
      ]
    },
    'the reference write API': {
      transactions: [
        {
          transaction_id: 3,
          crud: [
            {
              op: 'PATCH',
              table: 'lists',
              id: 'a',
              op_data: columns,
              previous_values: { name: 'Old' },
              metadata: 'note',
              op_id: '7'
            }
          ]
        }
      ]
    },
    'the reference write API with the id on the operation': {
      transactions: [
        {
          crud: [
            {
              op: 'PATCH',
              table: 'lists',
              id: 'a',
              op_data: columns,
              previous_values: { name: 'Old' },
              metadata: 'note',
              op_id: 7,
              transaction_id: 3
            }
          ]
        }
      ]
    },
    'unknown fields are tolerated': {
      version: 2,
      batch: [{ ...raw, extra: [1] }]
    }
  }
  for (const [name, body] of Object.entries(shapes)) {
    t.same(
      readUpload(body, undefined).transactions,
      [{ id: '3', clientId: undefined, schemaVersion: undefined, operations: [expected] }],
      name
    )
  }
})

t.test('a minimal operation has no previous values, metadata, ids or data', async t => {
  const { transactions } = readUpload(
    {
      batch: [
        { op: 'DELETE', table: 'lists', id: 'a', data: null },
        { op: 'PATCH', table: 'lists', id: 'b' }
      ]
    },
    undefined
  )
  t.same(transactions[0]?.operations, [
    {
      op: 'DELETE',
      table: 'lists',
      id: 'a',
      data: undefined,
      previous: undefined,
      metadata: undefined,
      opId: undefined,
      index: 0
    },
    {
      op: 'PATCH',
      table: 'lists',
      id: 'b',
      data: {},
      previous: undefined,
      metadata: undefined,
      opId: undefined,
      index: 1
    }
  ])
})

t.test('the schema version comes from the body, else from the header', async t => {
  const batch = [{ op: 'DELETE', table: 'lists', id: 'a' }]
  t.equal(readUpload({ batch, schema_version: 3 }, undefined, '2').transactions[0]?.schemaVersion, 3)
  t.equal(
    readUpload({ transactions: [{ crud: batch }], schema_version: null }, undefined, '2').transactions[0]
      ?.schemaVersion,
    2
  )
  t.equal(readUpload({ batch }).transactions[0]?.schemaVersion, undefined)
  for (const version of [0, 1.5, -1, '2', true, {}]) {
    t.throws(() => readUpload({ batch, schema_version: version }), {
      code: 'FST_PSM_BODY',
      message: /^schema_version: expected a whole number from 1, found /
    })
  }
  for (const header of ['', '0', '1.5', '-1', '2, 3', 'two']) {
    t.throws(() => readUpload({ batch }, undefined, header), {
      code: 'FST_PSM_BODY',
      message: /^The header x-schema-version: expected a whole number from 1, found other text$/
    })
  }
})

t.test('the client id comes from the body, else from the header', async t => {
  const batch = [{ op: 'DELETE', table: 'lists', id: 'a' }]
  t.equal(readUpload({ batch, client_id: 'body' }, 'header').transactions[0]?.clientId, 'body')
  t.equal(readUpload({ batch }, 'header').transactions[0]?.clientId, 'header')
  t.equal(readUpload({ batch, client_id: '' }, '').transactions[0]?.clientId, undefined)
})

t.test('neighbours with one transaction id make a transaction, and so do neighbours without any', async t => {
  const operation = (id: string, transaction?: number) => ({ op: 'DELETE', type: 'lists', id, tx_id: transaction })
  const { transactions } = readUpload(
    {
      batch: [
        operation('a', 1),
        operation('b', 1),
        operation('c'),
        operation('d'),
        operation('e', 2),
        operation('f', 1)
      ]
    },
    undefined
  )
  t.same(transactions.map(({ id, operations }) => [id, operations.map(each => `${each.id}${each.index}`)]), [
    ['1', ['a0', 'b1']], [undefined, ['c0', 'd1']], ['2', ['e0']], ['1', ['f0']]
  ])
})

t.test('an empty list is an upload of nothing', async t => {
  t.same(readUpload({ batch: [] }, undefined), { container: 'batch', transactions: [] })
  t.same(readUpload({ operations: [] }, undefined), { container: 'operations', transactions: [] })
  t.same(readUpload({ transactions: [{ crud: [] }] }, undefined).transactions, [
    { id: undefined, clientId: undefined, schemaVersion: undefined, operations: [] }
  ])
})

t.test('a body that cannot be read is refused by place, finding and expectation, without a value of it', async t => {
  const operation = { op: 'PUT', table: 'lists', id: 'secret', data: columns }
  const cases: [unknown, RegExp][] = [
    [undefined, /^The body: expected an object with one of "batch", "operations" and "transactions", found nothing$/],
    [null, /^The body: expected an object/],
    ['secret', /^The body: expected an object/],
    [[operation], /^The body: expected an object/],
    [{}, /^The body: expected an object with one of .*, found none of them$/],
    [{ batch: null }, /^The body: expected an object with one of .*, found none of them$/],
    [{ batch: operation }, /^batch: expected an array of operations, found an object$/],
    [{ batch: 'secret' }, /^batch: expected an array of operations, found text$/],
    [{ batch: [null] }, /^batch\[0\]: expected an operation, found null$/],
    [{ batch: [[]] }, /^batch\[0\]: expected an operation, found an array$/],
    [
      { batch: [operation, { ...operation, op: 'put' }] },
      /^batch\[1\]\.op: expected "PUT", "PATCH" or "DELETE", found text$/
    ],
    [{ batch: [{ ...operation, op: 1 }] }, /^batch\[0\]\.op: expected "PUT"/],
    [{ batch: [{ Op: 'PUT', Table: 'lists', Id: 'secret' }] }, /^batch\[0\]\.op: expected "PUT"/],
    [{ batch: [{ ...operation, id: 1 }] }, /^batch\[0\]\.id: expected the row's id as text, found a number$/],
    [{ batch: [{ op: 'PUT', table: 'lists' }] }, /^batch\[0\]\.id: expected the row's id as text, found nothing$/],
    [
      { batch: [{ ...operation, table: undefined }] },
      /^batch\[0\]: expected the table's name in "table" or "type", found neither$/
    ],
    [
      { batch: [{ ...operation, table: 5 }] },
      /^batch\[0\]\.table: expected text of at most 1024 characters, found a number$/
    ],
    [{ batch: [{ ...operation, data: [] }] }, /^batch\[0\]\.data: expected an object of columns, found an array$/],
    [{ batch: [{ ...operation, data: 'secret' }] }, /^batch\[0\]\.data: expected an object of columns, found text$/],
    [
      { batch: [{ ...operation, table: 't'.repeat(1025) }] },
      /^batch\[0\]\.table: expected text of at most 1024 characters, found text of 1025 characters$/
    ],
    [
      { batch: [{ ...operation, op_id: true }] },
      /^batch\[0\]\.op_id: expected an integer or text of at most 1024 characters, found a boolean$/
    ],
    [
      { batch: [{ ...operation, tx_id: {} }] },
      /^batch\[0\]\.tx_id: expected an integer or text of at most 1024 characters, found an object$/
    ],
    [
      { batch: [], client_id: 5 },
      /^client_id: expected the client database's id as text of at most 1024 characters, none of them a control character, found a number$/
    ],
    [{ batch: [], client_id: 'a\nb' }, /^client_id: expected .*, found text$/],
    [{ operations: {} }, /^operations: expected an array of operations, found an object$/],
    [{ transactions: [] }, /^transactions: expected 1 to 50 transactions, found 0$/],
    [{ transactions: Array(51).fill({ crud: [] }) }, /^transactions: expected 1 to 50 transactions, found 51$/],
    [{ transactions: 'secret' }, /^transactions: expected 1 to 50 transactions, found text$/],
    [
      { batch: [], transactions: [{ crud: [] }] },
      /^The body: expected an object with one of .*, found "batch" and "transactions"$/
    ],
    [
      { batch: [operation], operations: [], transactions: null },
      /^The body: expected an object with one of .*, found "batch" and "operations"$/
    ],
    [{ transactions: [{}] }, /^transactions\[0\]\.crud: expected an array of operations, found nothing$/],
    [{ transactions: [{ crud: [{ ...operation, op: 'put' }] }] }, /^transactions\[0\]\.crud\[0\]\.op: expected "PUT"/],
    [
      { transactions: [{ crud: [{ ...operation, table: null }] }] },
      /^transactions\[0\]\.crud\[0\]: expected the table's name in "table" or "type", found neither$/
    ]
  ]
  for (const [body, message] of cases) {
    t.throws(() => readUpload(body, undefined), { code: 'FST_PSM_BODY', statusCode: 400, message })
  }
  t.throws(() => readUpload({ batch: [] }, 'secret\x9b'), {
    code: 'FST_PSM_BODY',
    message: /^The header x-client-id: expected the client database's id as text .*, found other text$/
  })
  t.notOk(cases.some(([, message]) => message.source.includes('secret')))
})

t.test('values of an operation have at most 100 levels', async t => {
  const read = (text: string) => readUpload(JSON.parse(text), undefined)
  const levels = (count: number, name = 'data') =>
    `{"op":"PUT","type":"lists","id":"a","${name}":{"name":${'['.repeat(count)}${']'.repeat(count)}}}`
  const tooDeep = (place: string) => ({
    code: 'FST_PSM_BODY',
    message: `${place}: expected values of at most 100 levels, found a deeper one`
  })
  t.ok(read(`{"batch":[${levels(99)},${levels(99, 'old')}]}`))
  t.throws(() => read(`{"batch":[${levels(1)},${levels(100)}]}`), tooDeep('batch[1]'))
  t.throws(() => read(`{"batch":[${levels(100, 'old')}]}`), tooDeep('batch[0]'))
  t.throws(() => read(`{"transactions":[{"crud":[${levels(40_000)}]}]}`), tooDeep('transactions[0].crud[0]'))
})
