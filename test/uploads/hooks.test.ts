import t from 'tap'
import { Type } from '@sinclair/typebox'
import {
  bson, collection, PowerSyncFatalError, type CrudOperation, type CrudTransaction, type OperationContext
} from '../../index.js'
import type { TransactionOutcome } from '../../types/index.js'
import { Decimal128, Double, Int32, ObjectId } from '../../lib/bson.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
const mongo = { url: database.uri, monitorCommands: true }
const Todo = Type.Object({
  list_id: Type.Optional(Type.String()),
  text: Type.Optional(Type.String()),
  at: Type.Optional(bson.Date())
})
const List = Type.Object({ owner_id: Type.Optional(Type.String()) })

let table = 0
/** Names of two collections that no other test has. */
const fresh = () => { table++; return { todos: `todos${table}`, lists: `lists${table}` } }
const put = (name: string, id: string, data: Record<string, unknown> = {}) => ({ op: 'PUT', table: name, id, data })

t.test('authorize lets only true pass; a string is the reason', async t => {
  const { todos } = fresh()
  const wrong = { no: false, reason: 'Only admins', undefined, truthy: 1, empty: '' }
  const verdicts: Record<string, unknown> = { yes: true, ...wrong }
  const app = await testServer(t, {
    mongo,
    collections: { [todos]: collection({ schema: Todo, authorize: operation => verdicts[operation.id] as boolean }) }
  })
  for (const [id, verdict] of Object.entries(verdicts)) {
    const { body } = await upload(app, { batch: [put(todos, id)] })
    if (verdict === true) t.same(body.results, [{ status: 'success' }])
    else {
      t.match(
        body.results,
        [
          {
            status: 'fatal_error',
            failed_operation: {
              error_code: 'UNAUTHORIZED',
              operation_index: 0,
              message: id === 'reason' ? 'Only admins' : 'The operation is not allowed'
            }
          }
        ],
        id
      )
    }
  }
  t.same(await app.mongo.db!.collection(todos).distinct('_id'), ['yes'])
})

t.test('hooks see decoded values, the user and the request; those for all collections run first', async t => {
  const { todos } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    authorize: (operation, { user, request }) => {
      seen.push(['all', operation.table, user.id, request?.headers['x-test']])
      return true
    },
    collections: {
      [todos]: collection({
        schema: Todo,
        authorize: operation => {
          seen.push(['own', operation.op === 'DELETE' ? null : operation.data.at?.toISOString()])
          return true
        },
        transform: operation => { seen.push(['transform', operation.metadata, operation.previous]); return operation }
      })
    }
  })
  const operation = {
    ...put(todos, 'a', { at: '2024-10-31 10:33:24' }),
    op: 'PATCH',
    metadata: 'note',
    old: { text: 'x' }
  }
  await upload(app, { batch: [operation] }, { headers: { 'x-test': '1' } })
  t.same(seen, [
    ['all', todos, 'anonymous', '1'],
    ['own', '2024-10-31T10:33:24.000Z'],
    ['transform', 'note', { text: 'x' }]
  ])
})

t.test('existing() shows each document as it stands before the operation, in one find per collection', async t => {
  const { todos, lists } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({ schema: List }),
      [todos]: collection({
        schema: Todo,
        authorize: async (operation, { existing }) => {
          const [own, parent] = await Promise.all([existing(), existing(lists, 'list')])
          seen.push([operation.op, operation.id, own?.['text'], parent?.['owner_id']])
          return true
        }
      })
    }
  })
  const db = app.mongo.db!
  await db.collection<{ _id: string, text: string }>(todos).insertMany([
    { _id: 'a', text: 'stored' },
    { _id: 'b', text: 'stored' }
  ])
  const finds: string[] = []
  app.mongo.client.on('commandStarted', ({ commandName, command }) => {
    if (commandName === 'find') finds.push(command['find'])
  })
  await upload(app, {
    batch: [
      put(lists, 'list', { owner_id: 'user1' }),
      { op: 'PATCH', table: todos, id: 'a', data: { text: 'patched' } },
      put(todos, 'a', { text: 'put' }),
      { op: 'DELETE', table: todos, id: 'a' },
      { op: 'PATCH', table: todos, id: 'a', data: { text: 'too late' } },
      put(todos, 'b', { list_id: 'list' }),
      { op: 'DELETE', table: todos, id: 'none' }
    ]
  })
  t.same(seen, [
    ['PATCH', 'a', 'stored', 'user1'],
    ['PUT', 'a', 'patched', 'user1'],
    ['DELETE', 'a', 'put', 'user1'],
    ['PATCH', 'a', undefined, 'user1'],
    ['PUT', 'b', 'stored', 'user1'],
    ['DELETE', 'none', undefined, 'user1']
  ])
  t.same(finds.sort(), [lists, todos].sort())
  t.same(await db.collection<{ _id: string }>(todos).find().toArray(), [
    { _id: 'b', text: null, list_id: 'list', at: null }
  ])
})

/** Collections whose finds are noted by the name of the collection. */
async function countFinds (
  app: Awaited<ReturnType<typeof testServer>>,
  work: () => Promise<unknown>
): Promise<string[]> {
  const finds: string[] = []
  const listen = ({ commandName, command }: { commandName: string, command: Record<string, string> }) => {
    if (commandName === 'find') finds.push(command['find']!)
  }
  app.mongo.client.on('commandStarted', listen)
  await work()
  app.mongo.client.off('commandStarted', listen)
  return finds.sort()
}

for (const [order, ask] of Object.entries<
  (operation: CrudOperation, existing: OperationContext['existing'], lists: string) => Promise<unknown>
    >({
      'the row, then its parent': async ({ data }, existing, lists) => {
        const before = await existing()
        for (const list of [before?.['list_id'], data?.['list_id']]) {
          if (list && !(await existing(lists, String(list)))) return false
        }
        return true
      },
      'both at once': async ({ data }, existing, lists) =>
        (await Promise.all([existing(), existing(lists, String(data?.['list_id']))]))[1],
      'the parent, then the row': async ({ data }, existing, lists) =>
        (await existing(lists, String(data?.['list_id']))) && [await existing()]
    })) {
  t.test(`authorising 300 operations with existing() on two collections takes two finds: ${order}`, async t => {
    const { todos, lists } = fresh()
    let asked = 0
    const app = await testServer(t, {
      mongo,
      collections: {
        [lists]: collection({ schema: List }),
        [todos]: collection({
          schema: Todo,
          authorize: async (operation, { existing }) => {
            asked++
            return Boolean(await ask(operation, existing, lists))
          },
          updateBatch: () => {} // The storage is not what is measured.
        })
      }
    })
    const db = app.mongo.db!
    const numbers = Array.from({ length: 300 }, (_, number) => number)
    await db
      .collection<{ _id: string }>(lists)
      .insertMany(numbers.flatMap(number => [{ _id: `old ${number}` }, { _id: `new ${number}` }]))
    await db
      .collection<{ _id: string, list_id: string }>(todos)
      .insertMany(numbers.map(number => ({ _id: `t${number}`, list_id: `old ${number}` })))
    const batch = numbers.map(number => ({
      op: 'PATCH',
      table: todos,
      id: `t${number}`,
      data: { list_id: `new ${number}` }
    }))
    const finds = await countFinds(app, async () =>
      t.same((await upload(app, { batch })).body.results, [{ status: 'success' }])
    )
    t.equal(asked, 300)
    t.same(finds, [lists, todos].sort())
  })
}

t.test(
  'existing() finds what later operations will ask for in fields of every id type, and in documents of documents',
  async t => {
    const { todos, lists } = fresh()
    const Linked = Type.Object({
      parent: Type.Optional(bson.ObjectId()),
      note: Type.Optional(bson.Json(Type.Unknown()))
    })
    const seen: unknown[] = []
    const app = await testServer(t, {
      mongo,
      collections: {
        [lists]: collection({ id: 'integer', schema: Type.Object({ name: Type.Optional(Type.String()) }) }),
        [todos]: collection({ id: 'objectId', schema: Type.Object({ list: Type.Optional(Type.Integer()) }) }),
        [`${todos}_comments`]: collection({
          schema: Linked,
          authorize: async ({ data }, { existing }) => {
            const todo = await existing(todos, String(data?.parent))
            seen.push((await existing(lists, String(todo?.['list'])))?.['name'])
            return true
          }
        })
      }
    })
    const db = app.mongo.db!
    const ids = Array.from({ length: 3 }, () => new ObjectId())
    await db
      .collection<{ _id: number, name: string }>(lists)
      .insertMany(ids.map((_, index) => ({ _id: index + 1, name: `list ${index}` })))
    await db.collection(todos).insertMany(ids.map((_id, index) => ({ _id, list: index + 1 })))
    const note = { toString: 1 }
    const batch = ids.map((id, index) => put(`${todos}_comments`, `c${index}`, { parent: String(id), note }))
    t.same(
      await countFinds(app, async () => t.match((await upload(app, { batch })).body.results, [{ status: 'success' }])),
      [lists, todos].sort()
    )
    t.same(seen, ['list 0', 'list 1', 'list 2'])
  }
)

t.test('existing() reads no row twice, and what only a transform asks for by itself', async t => {
  const { todos, lists } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({ schema: List }),
      [todos]: collection({
        schema: Todo,
        authorize: async ({ data }, { existing }) => {
          for (const list of ['fixed', String(data?.list_id)]) seen.push((await existing(lists, list))?.['_id'])
          return true
        },
        transform: operation =>
          operation.op === 'PUT'
            ? { ...operation, id: `moved ${operation.id}`, data: { list_id: `new ${operation.id}` } }
            : operation
      })
    }
  })
  await app.mongo
    .db!.collection<{ _id: string }>(lists)
    .insertMany(['fixed', 'first', 'new a', 'new b'].map(_id => ({ _id })))
  const asked: string[][] = []
  app.mongo.client.on('commandStarted', ({ commandName, command }) => {
    if (commandName === 'find') asked.push(command['filter']._id.$in)
  })
  await upload(app, { batch: [put(todos, 'a', { list_id: 'first' }), put(todos, 'b', { list_id: 'fixed' })] })
  t.same(seen, ['fixed', 'first', 'fixed', 'new a', 'fixed', 'fixed', 'fixed', 'new b'])
  t.same(asked, [['fixed'], ['first'], ['new a'], ['new b']])
})

t.test('existing() does not believe an operation that the owner\'s filter will stop', async t => {
  const { todos, lists } = fresh()
  const app = await testServer(t, {
    mongo,
    authenticate: () => ({ id: 'mallory' }),
    collections: {
      [lists]: collection({ schema: List, owner: 'owner_id' }),
      [todos]: collection({
        schema: Todo,
        authorize: async (_operation, { user, existing }) =>
          (await existing(lists, 'foreign'))?.['owner_id'] === user.id
      })
    }
  })
  const db = app.mongo.db!
  await db.collection<{ _id: string, owner_id: string }>(lists).insertOne({ _id: 'foreign', owner_id: 'alice' })
  for (const take of [
    { op: 'PATCH', table: lists, id: 'foreign', data: { owner_id: 'mallory' } },
    { op: 'DELETE', table: lists, id: 'foreign' },
    put(lists, 'foreign')
  ]) {
    for (const batch of [[take, put(todos, 'a')], [put(todos, 'a'), take, put(todos, 'b')]]) {
      t.match(
        (await upload(app, { batch })).body.results,
        [{ status: 'fatal_error', failed_operation: { error_code: 'UNAUTHORIZED' } }],
        take.op
      )
    }
  }
  t.equal(await db.collection(todos).countDocuments(), 0)
  t.same(await db.collection(lists).find().toArray(), [{ _id: 'foreign', owner_id: 'alice' }])
})

t.test(
  'existing() of a row that nothing loaded yet reads it, with its own operations applied; of an unknown table it ' +
  'fails for good',
  async t => {
    const { todos, lists } = fresh()
    const seen: unknown[] = []
    const app = await testServer(t, {
      mongo,
      collections: {
        [lists]: collection({ schema: List, id: 'objectId', put: 'replace' }),
        [todos]: collection({
          schema: Todo,
          authorize: async ({ id }, { existing }) => {
            seen.push(
              (await existing(todos, 'first'))?.['text'],
              (await existing(todos, 'other'))?.['text'],
              await existing(lists, 'not an ObjectId')
            )
            return id !== 'unknown' || (await existing('nothing', 'x')) === null
          }
        })
      }
    })
    await app.mongo
      .db!.collection<{ _id: string }>(todos)
      .insertOne({ _id: 'other', text: 'stored' } as { _id: string })
    t.same((await upload(app, { batch: [put(todos, 'first', { text: 'new' }), put(todos, 'second')] })).body.results, [
      { status: 'success' }
    ])
    t.same(seen, [undefined, 'stored', null, 'new', 'stored', null])
    t.match((await upload(app, { batch: [put(todos, 'unknown')] })).body.results, [
      { failed_operation: { error_code: 'SCHEMA_MISMATCH', details: { table: 'nothing' } } }
    ])
  }
)

t.test('existing() takes ids as documents have them, and finds no row without an id', async t => {
  const { todos, lists } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({ schema: List, id: 'objectId' }),
      [todos]: collection({
        schema: Todo,
        authorize: async ({ data }, { existing }) => {
          const before = await existing()
          for (const id of [before?.['list'], data?.list_id, null, {}]) seen.push(await existing(lists, id))
          seen.push(await existing(todos, data?.list_id))
          return true
        }
      })
    }
  })
  const list = { _id: new ObjectId() }
  await app.mongo.db!.collection(lists).insertOne(list)
  await app.mongo.db!.collection<{ _id: string }>(todos).insertOne({ _id: 'a', list: list._id } as { _id: string })
  const { body } = await upload(app, { batch: [{ op: 'PATCH', table: todos, id: 'a', data: { text: 'x' } }] })
  t.same(body['results'], [{ status: 'success' }])
  t.same(seen, [list, null, null, null, null])
})

t.test('existing() of a row that is put whole shows it without what was there before', async t => {
  const { lists } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({
        schema: List,
        put: 'replace',
        authorize: async (_operation, { existing }) => {
          seen.push(await existing())
          return true
        }
      })
    }
  })
  await app.mongo.db!.collection<{ _id: string }>(lists).insertOne({ _id: 'a', server_only: 1 } as { _id: string })
  await upload(app, { batch: [put(lists, 'a', { owner_id: 'user1' }), { op: 'DELETE', table: lists, id: 'a' }] })
  t.same(seen, [{ _id: 'a', server_only: 1 }, { _id: 'a', owner_id: 'user1' }])
})

t.test('existing() finds a row by whatever an id codec gives', async t => {
  const codecs: Record<string, (text: string) => unknown> = {
    double: text => new Double(Number(text)),
    int: text => new Int32(Number(text)),
    decimal: text => Decimal128.fromString(text),
    nested: text => ({ n: BigInt(text), d: new Double(Number(text)), at: new Date(Number(text)) }),
    binary: text => Buffer.from(text)
  }
  for (const [name, decode] of Object.entries(codecs)) {
    const { todos } = fresh()
    const seen: unknown[] = []
    const app = await testServer(t, {
      mongo,
      collections: {
        [todos]: collection({
          id: { decode, encode: () => '5' },
          schema: Todo,
          authorize: async (_operation, { existing }) => {
            seen.push((await existing())?.['text'])
            return true
          }
        })
      }
    })
    for (const text of ['first', 'second']) await upload(app, { batch: [put(todos, '5', { text })] })
    t.strictSame(seen, [undefined, 'first'], name)
    t.equal(await app.mongo.db!.collection(todos).countDocuments(), 1)
  }
})

t.test('transform writes nothing, something else, or several operations in order', async t => {
  const { todos, lists } = fresh()
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({ schema: List }),
      [todos]: collection({
        schema: Todo,
        transform: operation => {
          if (operation.id === 'none') return null
          if (operation.id === 'gone') return { op: 'DELETE', table: todos, id: 'a' }
          if (operation.op !== 'PUT') return operation
          return [
            { ...operation, data: { ...operation.data, text: 'changed' } },
            { op: 'PUT', table: lists, id: `list of ${operation.id}`, data: { owner_id: 'server', audit: new Date(0) } }
          ]
        }
      })
    }
  })
  t.same(
    (
      await upload(app, {
        batch: [
          put(todos, 'none'),
          put(todos, 'a', { text: 'x' }),
          { op: 'PATCH', table: todos, id: 'a', data: { list_id: 'l' } }
        ]
      })
    ).body.results,
    [{ status: 'success' }]
  )
  t.same(await app.mongo.db!.collection(todos).find().toArray(), [
    { _id: 'a', text: 'changed', at: null, list_id: 'l' }
  ])
  t.same(await app.mongo.db!.collection(lists).find().toArray(), [
    { _id: 'list of a', owner_id: 'server', audit: new Date(0) }
  ])
  await upload(app, { batch: [put(todos, 'gone')] })
  t.equal(await app.mongo.db!.collection(todos).countDocuments(), 0)
})

t.test('what transform moves to another row or table is authorised there', async t => {
  const { todos, lists } = fresh()
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({ schema: List, authorize: () => 'Lists are read-only' }),
      [todos]: collection({
        schema: Todo,
        authorize: ({ id }) => id !== 'forbidden',
        transform: operation =>
          operation.id === 'to-table'
            ? { ...operation, table: lists }
            : { ...operation, id: operation.id.replace('to-', '') }
      })
    }
  })
  const result = async (id: string) =>
    (await upload(app, { batch: [put(todos, 'first'), put(todos, id)] })).body.results[0]
  t.match(await result('to-table'), {
    failed_operation: { error_code: 'UNAUTHORIZED', message: 'Lists are read-only', operation_index: 1 }
  })
  t.match(await result('to-forbidden'), { failed_operation: { error_code: 'UNAUTHORIZED', operation_index: 1 } })
  t.match(await result('to-allowed'), { status: 'success' })
  t.same((await app.mongo.db!.collection(todos).distinct('_id')).sort(), ['allowed', 'first'])
})

t.test('a second transform sees the row to which the first has moved the operation', async t => {
  const { todos } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    transform: operation => ({ ...operation, id: 'moved' }),
    collections: {
      [todos]: collection({
        schema: Todo,
        transform: async (operation, { existing }) => {
          seen.push((await existing())?.['text'])
          return operation
        }
      })
    }
  })
  const rows = ['a', 'moved'].map(_id => ({ _id, text: `of ${_id}` }))
  await app.mongo.db!.collection<{ _id: string, text: string }>(todos).insertMany(rows)
  await upload(app, { batch: [{ op: 'PATCH', table: todos, id: 'a', data: { text: 'x' } }] })
  t.same(seen, ['of moved'])
})

t.test('a transform that gives what cannot be written is the app\'s fault: to be tried again, not lost', async t => {
  const { todos } = fresh()
  for (const data of [{ $set: 1 }, { 'a.b': 1 }, { _id: 'x' }]) {
    const app = await testServer(t, {
      mongo,
      collections: { [todos]: collection({ schema: Todo }) },
      transform: operation => ({ ...operation, op: 'PUT', data })
    })
    const { status, body } = await upload(app, { batch: [put(todos, 'a')] })
    t.equal(status, 503)
    t.match(body.results, [{ status: 'retryable_error' }])
    t.equal(await app.mongo.db!.collection(todos).countDocuments(), 0)
  }
})

t.test('what a hook writes with the session commits or fails with the transaction', async t => {
  const { todos } = fresh()
  const app = await testServer(t, {
    mongo,
    collections: { [todos]: collection({ schema: Todo }) },
    transform: async (operation, { db, session, user }) => {
      await db.collection(`${todos}_audit`).insertOne({ row: operation.id, by: user.id }, { session })
      if (operation.id === 'bad') throw new PowerSyncFatalError('NO', 'No', { operationIndex: 7 })
      return operation
    }
  })
  t.match((await upload(app, { batch: [put(todos, 'good'), put(todos, 'bad')] })).body.results, [
    { failed_operation: { error_code: 'NO', operation_index: 7 } }
  ])
  t.equal(await app.mongo.db!.collection(`${todos}_audit`).countDocuments(), 0)
  t.match((await upload(app, { batch: [put(todos, 'good')] })).body.results, [{ status: 'success' }])
  t.match(await app.mongo.db!.collection(`${todos}_audit`).find().toArray(), [{ row: 'good', by: 'anonymous' }])
})

t.test(
  'updateBatch wraps the storage: for all collections outermost, then each collection\'s own with its operations',
  async t => {
    const { todos, lists } = fresh()
    const seen: unknown[] = []
    const ids = ({ operations }: CrudTransaction) => operations.map(({ id }) => id)
    const app = await testServer(t, {
      mongo,
      updateBatch: async (transaction, { session, db }, next) => {
        seen.push(['all', ids(transaction)])
        await next({ ...transaction, operations: transaction.operations.filter(({ id }) => id !== 'dropped') })
        seen.push(['written', await db.collection(todos).countDocuments({}, { session })])
      },
      collections: {
        [lists]: collection({ schema: List }),
        [todos]: collection({
          schema: Todo,
          updateBatch: async (transaction, _context, next) => {
            seen.push(['own', ids(transaction)])
            await next()
          }
        })
      }
    })
    t.same(
      (await upload(app, { batch: [put(todos, 'a'), put(lists, 'b'), put(todos, 'c'), put(lists, 'dropped')] })).body
        .results,
      [{ status: 'success' }]
    )
    t.same(seen, [['all', ['a', 'b', 'c', 'dropped']], ['own', ['a', 'c']], ['written', 2]])
    t.same(await app.mongo.db!.collection(lists).distinct('_id'), ['b'])
  }
)

t.test('the hooks of a client transaction see what those before it in the upload have become', async t => {
  const { todos, lists } = fresh()
  const seen: unknown[] = []
  const app = await testServer(t, {
    mongo,
    collections: {
      [lists]: collection({
        schema: List,
        updateBatch: async (transaction, _context, next) => {
          const operations = transaction.operations.map(each => ({ ...each, data: { owner_id: 'the hook' } }))
          await next({ ...transaction, operations: operations as typeof transaction.operations })
        }
      }),
      [todos]: collection({
        schema: Todo,
        authorize: async ({ op, data }, { db, session, existing }) => {
          if (data?.list_id) seen.push((await existing(lists, data.list_id))?.['owner_id'])
          // A query of the app's own.
          const filter = { _id: 'first' as never }
          return op === 'PUT' || await db.collection(todos).countDocuments(filter, { session }) === 1
        }
      })
    }
  })
  const first = [{ ...put(lists, 'l'), tx_id: 1 }, { ...put(todos, 'first', { list_id: 'l' }), tx_id: 2 }]
  const change = { op: 'PATCH', table: todos, id: 'first', data: { text: 'x' }, tx_id: 3 }
  t.same((await upload(app, { batch: [...first, change] })).body.results, Array(3).fill({ status: 'success' }))
  t.same(new Set(seen), new Set(['the hook']))
})

t.test('updateBatch may replace the storage, and fail for good', async t => {
  const { todos } = fresh()
  const app = await testServer(t, {
    mongo,
    collections: {
      [todos]: collection({
        schema: Todo,
        updateBatch: async ({ operations }, { db, session }) => {
          if (operations.some(({ id }) => id === 'bad')) throw new PowerSyncFatalError('QUOTA', 'Too many')
          await db.collection<{ _id: string }>(todos).insertMany(
            operations.map(({ id }) => ({ _id: id, own: true })),
            { session }
          )
        }
      })
    }
  })
  t.match((await upload(app, { batch: [put(todos, 'a')] })).body.results, [{ status: 'success' }])
  t.match((await upload(app, { batch: [put(todos, 'b'), put(todos, 'bad')] })).body.results, [
    { status: 'fatal_error', failed_operation: { error_code: 'QUOTA', message: 'Too many' } }
  ])
  t.match(
    (await upload(app, { batch: [put(todos, 'a')] })).body.results,
    [{ status: 'fatal_error', failed_operation: { error_code: 'DUPLICATE_KEY' } }],
    'MongoDB\'s own faults count from here too'
  )
  t.same(await app.mongo.db!.collection(todos).find().toArray(), [{ _id: 'a', own: true }])
})

t.test('onResult observes every outcome; an error in it is logged and changes nothing', async t => {
  const { todos, lists } = fresh()
  const seen: [string, TransactionOutcome['result']['status'], string[]][] = []
  const log: string[] = []
  const observe =
    (name: string) =>
      ({ transaction, result }: TransactionOutcome) => {
        seen.push([name, result.status, transaction.operations.map(({ id }) => id)])
      }
  const app = await testServer(t, {
    mongo,
    onResult: observe('all'),
    collections: {
      [todos]: collection({ schema: Todo, onResult: observe('todos') }),
      [lists]: collection({ schema: List, onResult: async () => { throw new Error('metrics are down') } })
    }
  }, { logger: { stream: { write: line => { log.push(line) } } } })
  const batch = [put(todos, 'a'), { ...put(lists, 'b'), tx_id: 1 }, { ...put('unknown', 'c'), tx_id: 2 }]
  t.match((await upload(app, { batch })).body.results, [
    { status: 'success' },
    { status: 'success' },
    { status: 'fatal_error' }
  ])
  t.same(seen, [
    ['all', 'success', ['a']],
    ['todos', 'success', ['a']],
    ['all', 'success', ['b']],
    ['all', 'fatal_error', ['c']]
  ])
  t.match(log.join(''), /metrics are down/)
})

t.test('fastify.powersync.upload runs the same hooks for the app itself', async t => {
  const { todos } = fresh()
  const app = await testServer(t, {
    mongo,
    collections: {
      [todos]: collection({
        schema: Todo,
        authorize: (_operation, { user, request }) => user['role'] === 'job' && request === undefined
      })
    }
  })
  const transaction: CrudTransaction = {
    operations: [{ op: 'PUT', table: todos, id: 'a', data: { at: '2024-10-31 10:33:24' }, index: 0 }]
  }
  t.match(await app.powersync.upload([transaction], { id: 'x', role: 'guest' }), [{ status: 'fatal_error' }])
  t.same(await app.powersync.upload([transaction], { id: 'x', role: 'job' }), [{ status: 'success' }])
  t.match(await app.mongo.db!.collection(todos).find().toArray(), [{ _id: 'a', at: new Date('2024-10-31T10:33:24Z') }])
})

t.test('owner: a row belongs to who created it, inside the write itself', async t => {
  const { lists } = fresh()
  const users = (request: { headers: Record<string, unknown> }) => ({ id: String(request.headers['x-user']) })
  const app = await testServer(t, {
    mongo,
    authenticate: users as never,
    collections: {
      [lists]: collection({
        schema: Type.Object({ owner_id: Type.String(), name: Type.Optional(Type.String()) }),
        owner: 'owner_id'
      })
    }
  })
  const as = async (user: string, ...batch: object[]) =>
    (await upload(app, { batch }, { headers: { 'x-user': user } })).body.results[0]
  const stored = () => app.mongo.db!.collection(lists).find().toArray()
  const mine = [{ _id: 'a', owner_id: 'me', name: 'mine' }]

  t.match(await as('me', put(lists, 'a', { name: 'mine', owner_id: 'somebody else' })), { status: 'success' })
  t.same(await stored(), mine, 'the owner is who is signed in, whatever was sent')
  t.match(await as('you', put(lists, 'a', { name: 'yours' })), {
    status: 'fatal_error',
    failed_operation: { error_code: 'UNAUTHORIZED', operation_index: 0, message: 'The row belongs to another owner' }
  })
  t.match(await as('you', put(lists, 'b'), put(lists, 'a', { name: 'yours' })), {
    status: 'fatal_error',
    failed_operation: { error_code: 'UNAUTHORIZED', operation_index: 1 }
  })
  t.same(await stored(), mine)
  t.match(await as('you', { op: 'PATCH', table: lists, id: 'a', data: { name: 'yours' } }), { status: 'success' })
  t.match(await as('you', { op: 'DELETE', table: lists, id: 'a' }), { status: 'success' })
  t.same(await stored(), mine, 'PATCH and DELETE find nothing of theirs, as if the row did not exist')
  t.match(await as('me', { op: 'PATCH', table: lists, id: 'a', data: { owner_id: 'you' } }), {
    status: 'fatal_error',
    failed_operation: { error_code: 'UNAUTHORIZED', details: { path: 'owner_id' } }
  })
  t.match(
    await as('me', { op: 'PATCH', table: lists, id: 'a', data: { owner_id: 'me', name: 'new' } }, put(lists, 'c')),
    { status: 'success' }
  )
  t.match(await as('me', put(lists, 'a', { name: 'again' }), { op: 'DELETE', table: lists, id: 'c' }), {
    status: 'success'
  })
  t.same(await stored(), [{ _id: 'a', owner_id: 'me', name: 'again' }])
})

t.test('owner: the user\'s id takes the field\'s type', async t => {
  const { lists } = fresh()
  const id = '61d19021a565468600000001'
  const app = await testServer(t, {
    mongo,
    collections: { [lists]: collection({ schema: Type.Object({ owner_id: bson.ObjectId() }), owner: 'owner_id' }) }
  })
  const as = async (user: string, operation: object) =>
    (await upload(app, { batch: [operation] }, { url: `/upload?user_id=${user}` })).body.results[0]
  t.match(await as(id, put(lists, 'a')), { status: 'success' })
  t.match(await as(id, { op: 'PATCH', table: lists, id: 'a', data: { owner_id: id } }), { status: 'success' })
  t.match(await as('no-object-id', put(lists, 'b')), {
    status: 'fatal_error',
    failed_operation: { error_code: 'UNAUTHORIZED' }
  })
  t.same(await app.mongo.db!.collection(lists).find().toArray(), [{ _id: 'a', owner_id: new app.mongo.ObjectId(id) }])
})
