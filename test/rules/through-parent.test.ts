import t from 'tap'
import { Type } from '@sinclair/typebox'
import {
  bson, collection, MongoDBStorage, throughParent, type Collections, type Conflict, type CrudOperation,
  type CrudTransaction, type User
} from '../../index.js'
import { ObjectId } from '../../lib/bson.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
const success = { status: 'success' }
const refused = {
  status: 'fatal_error',
  failed_operation: { error_code: 'UNAUTHORIZED', message: 'The operation is not allowed', operation_index: 0 }
}

const lists = collection({
  schema: Type.Object({ name: Type.Optional(Type.String()), owner_id: Type.String() }),
  owner: 'owner_id'
})
const Todo = Type.Object({ list_id: Type.Optional(Type.String()), text: Type.Optional(Type.String()) })
const todos = collection({ schema: Todo, owner: throughParent('lists', 'list_id') })
const Comment = Type.Object({ todo_id: Type.String(), text: Type.Optional(Type.String()) })
const comments = collection({ schema: Comment, owner: throughParent('todos', 'todo_id') })

let servers = 0

/** A server with these collections, in which Alice and Bob have a list, a todo and a comment each. */
async function serverWith (t: Parameters<typeof testServer>[0], collections: Collections) {
  const app = await testServer(t, {
    mongo: { url: database.uri.replace(/\/([^/?]+)(\?|$)/, `/$1_${++servers}$2`), monitorCommands: true },
    collections,
    authenticate: request => JSON.parse(String(request.headers['x-user'])) as User,
    token: { claims: ({ org }) => ({ org }) }
  })
  const db = app.mongo.db!
  for (const name of ['alice', 'bob']) {
    await db.collection<{ _id: string, owner_id: string }>('lists').insertOne({ _id: `${name}-list`, owner_id: name })
    await db
      .collection<{ _id: string, list_id: string }>('todos')
      .insertOne({ _id: `${name}-todo`, list_id: `${name}-list` })
    await db
      .collection<{ _id: string, todo_id: string }>('comments')
      .insertOne({ _id: `${name}-comment`, todo_id: `${name}-todo` })
  }
  const finds: string[] = []
  app.mongo.client.on('commandStarted', ({ commandName, command }) => {
    if (commandName === 'find') finds.push(command['find'])
  })
  type Operation = [op: string, table: string, id: string, data?: object | undefined, rest?: object]
  return {
    db,
    finds,
    as: async (user: string | User, ...operations: Operation[]) => (await upload(app,
      { batch: operations.map(([op, table, id, data, rest]) => ({ op, table, id, data, ...rest })) },
      { headers: { 'x-user': JSON.stringify(typeof user === 'string' ? { id: user } : user) } })).body.results
  }
}

t.test(
  'throughParent: the parent that a row is in and the one that it goes to have to be the user\'s; refusals are alike',
  async t => {
    const { db, as } = await serverWith(t, { lists, todos })
    await db.collection<{ _id: string }>('todos').insertOne({ _id: 'orphan', list_id: 'gone' } as { _id: string })
    for (const operation of [
      ['PUT', 'todos', 'new', { list_id: 'bob-list' }],
      ['PUT', 'todos', 'new', { list_id: 'none' }],
      ['PUT', 'todos', 'new', {}],
      ['PUT', 'todos', 'bob-todo', { list_id: 'alice-list' }],
      ['PUT', 'todos', 'orphan', { list_id: 'alice-list' }],
      ['PATCH', 'todos', 'alice-todo', { list_id: 'bob-list' }],
      ['PATCH', 'todos', 'alice-todo', { list_id: 'none' }],
      ['PATCH', 'todos', 'alice-todo', { list_id: null }],
      ['PATCH', 'todos', 'bob-todo', { list_id: 'alice-list' }],
      ['PATCH', 'todos', 'bob-todo', { text: 'x' }],
      ['PATCH', 'todos', 'orphan', { text: 'x' }],
      ['DELETE', 'todos', 'bob-todo'],
      ['DELETE', 'todos', 'orphan']
    ] as Array<Parameters<typeof as>[1]>) {
      t.match(await as('alice', operation), [refused], operation.map(part => JSON.stringify(part)).join(' '))
    }
    t.match(
      await as(
        'alice',
        ['PUT', 'lists', 'second', { name: 'x' }],
        ['PATCH', 'todos', 'alice-todo', { list_id: 'second' }],
        ['PUT', 'todos', 'new', { list_id: 'second' }],
        ['PATCH', 'todos', 'new', { text: 'x' }]
      ),
      [success]
    )
    t.same(await db.collection('todos').find().sort({ _id: 1 }).toArray(), [
      { _id: 'alice-todo', list_id: 'second' },
      { _id: 'bob-todo', list_id: 'bob-list' },
      { _id: 'new', list_id: 'second', text: 'x' },
      { _id: 'orphan', list_id: 'gone' }
    ])
    t.match(await as('alice', ['DELETE', 'todos', 'new']), [success])
  }
)

t.test('throughParent: a change of a row that is gone changes nothing and succeeds', async t => {
  const { as } = await serverWith(t, { lists, todos })
  t.match(
    await as(
      'alice',
      ['DELETE', 'todos', 'none'],
      ['PATCH', 'todos', 'none', { text: 'x' }],
      ['PATCH', 'todos', 'none', { list_id: 'alice-list' }]
    ),
    [success]
  )
  t.match(await as('alice', ['PATCH', 'todos', 'none', { list_id: 'bob-list' }]), [refused])
  t.match(await as('alice', ['DELETE', 'todos', 'bob-todo']), [refused])
})

t.test('throughParent: a list and its todos can be deleted in one client transaction, in either order', async t => {
  const deletes = [
    ['DELETE', 'lists', 'alice-list'],
    ['DELETE', 'todos', 'alice-todo']
  ] as Array<['DELETE', string, string]>
  for (const order of [deletes, deletes.toReversed()]) {
    const { db, as } = await serverWith(t, { lists, todos, comments })
    t.match(await as('alice', ...order, ['DELETE', 'comments', 'alice-comment']), [success])
    for (const name of ['lists', 'todos', 'comments']) t.equal(await db.collection(name).countDocuments(), 1)
  }
  const { as } = await serverWith(t, { lists, todos })
  t.match(
    await as('alice', ['DELETE', 'lists', 'bob-list'], ['DELETE', 'todos', 'bob-todo']),
    [{ ...refused, failed_operation: { operation_index: 1 } }],
    'but not somebody else\'s'
  )
  t.match(
    await as(
      'alice',
      ['DELETE', 'lists', 'alice-list', undefined, { tx_id: 1 }],
      ['DELETE', 'todos', 'alice-todo', undefined, { tx_id: 2 }]
    ),
    [success, refused],
    'nor after it, when nothing says any more whose they were'
  )
})

t.test(
  'throughParent: a row may come before its parents in its client transaction, but not in an earlier one',
  async t => {
    const { db, as } = await serverWith(t, { lists, todos, comments })
    const [comment, todo, list] = [
      ['PUT', 'comments', 'c', { todo_id: 't' }],
      ['PUT', 'todos', 't', { list_id: 'l' }],
      ['PUT', 'lists', 'l', {}]
    ] as Array<['PUT', string, string, object]>
    t.match(
      await as(
        'alice',
        comment!,
        ['PATCH', 'comments', 'c', { text: 'early' }],
        todo!,
        ['PATCH', 'todos', 't', { text: 'early' }],
        list!
      ),
      [success]
    )
    t.same(await db.collection('comments').findOne({ _id: 'c' as never }), { _id: 'c', todo_id: 't', text: 'early' })
    const refusedAt = (index: number) => [
      { ...refused, failed_operation: { ...refused.failed_operation, operation_index: index } }
    ]
    t.match(
      await as('alice', ['PUT', 'lists', 'other', {}], comment!, ['PUT', 'todos', 'u', { list_id: 'none' }]),
      refusedAt(2),
      'a parent that never comes'
    )
    t.match(
      await as(
        'alice',
        ['PUT', 'comments', 'd', { todo_id: 'bob-todo' }],
        ['PUT', 'todos', 'bob-todo', { list_id: 'l' }]
      ),
      [refused],
      "nor one that is somebody else's"
    )
    t.match(
      await as('alice', ['PUT', 'todos', 'v', { list_id: 'v' }, { tx_id: 1 }], ['PUT', 'lists', 'v', {}, { tx_id: 2 }]),
      [refused, success]
    )
    t.match(await as('alice', ['PATCH', 'todos', 'v', { text: 'x' }]), [success], 'nothing to change yet')
  }
)

t.test('throughParent: holds for what hooks and the storage write, and together with fields', async t => {
  const into = (list: string) => ({ op: 'PUT' as const, table: 'todos', id: list, data: { list_id: list } })
  const own = { schema: Todo, owner: throughParent('lists', 'list_id') }
  const put: ['PUT', string, string, object] = ['PUT', 'todos', 'new', { list_id: 'alice-list', text: 'x' }]
  for (const [name, hooks] of Object.entries({
    transform: {
      transform: (operation: CrudOperation) =>
        operation.op === 'PUT' ? { ...operation, data: { ...operation.data, list_id: 'bob-list' } } : operation
    },
    transformed: { transform: () => into('bob-list') },
    updateBatch: {
      updateBatch: (transaction: CrudTransaction, _: unknown, next: (transaction: CrudTransaction) => Promise<void>) =>
        next({ ...transaction, operations: [{ ...into('bob-list'), index: 0 }] })
    }
  })) {
    const { db, as } = await serverWith(t, { lists, todos: collection({ ...own, ...hooks } as typeof own) })
    t.match(await as('alice', put), [{ failed_operation: { error_code: 'UNAUTHORIZED' } }], name)
    t.equal(await db.collection('todos').countDocuments(), 2, name)
    const storage = new MongoDBStorage(db, { lists, todos })
    const write = (id: string) =>
      storage.updateBatch(
        { id: undefined, clientId: undefined, operations: [{ ...into(id), index: 0 }] } as CrudTransaction,
        { user: { id: 'alice' } }
      )
    await t.rejects(write('bob-list'), { code: 'UNAUTHORIZED' })
    await write('alice-list')
  }
  const conflict = {
    resolveConflict: ({ operation }: Conflict) =>
      operation.op === 'PATCH' ? { ...operation, data: { list_id: 'bob-list' } } : operation
  }
  const moved = await serverWith(t, { lists, todos: collection({ ...own, ...conflict } as typeof own) })
  t.match(await moved.as('alice', ['PATCH', 'todos', 'alice-todo', { text: 'x' }]), [refused], 'resolveConflict')

  const { db, as } = await serverWith(t, {
    lists,
    todos: collection({
      schema: Type.Object({ ...Todo.properties, by: Type.Optional(Type.String()) }),
      owner: ['by', throughParent('lists', 'list_id')]
    })
  })
  t.match(await as('alice', put, ['PATCH', 'todos', 'new', { text: 'y' }]), [success])
  t.match(await db.collection('todos').findOne({ _id: 'new' as never }), { by: 'alice', text: 'y' })
  t.match(
    await as('alice', ['PATCH', 'todos', 'alice-todo', { text: 'y' }]),
    [refused],
    'the list is hers, the todo is not by her'
  )
})

t.test('throughParent: parents of parents, each table in one find', async t => {
  const { db, finds, as } = await serverWith(t, {
    lists,
    todos,
    comments: collection({ schema: Comment, owner: throughParent('todos', 'todo_id'), updateBatch: () => {} })
  })
  const numbers = Array.from({ length: 300 }, (_, number) => number)
  await db
    .collection<{ _id: string, owner_id: string }>('lists')
    .insertMany(numbers.map(number => ({ _id: `l${number}`, owner_id: 'alice' })))
  await db
    .collection<{ _id: string, list_id: string }>('todos')
    .insertMany(numbers.map(number => ({ _id: `t${number}`, list_id: `l${number}` })))
  t.match(
    await as(
      'alice',
      ...numbers.map((number): ['PUT', string, string, object] => [
        'PUT',
        'comments',
        `c${number}`,
        { todo_id: `t${number}` }
      ])
    ),
    [success]
  )
  t.same(finds, ['comments', 'todos', 'lists'])
  t.match(await as('alice', ['PUT', 'comments', 'new', { todo_id: 'bob-todo' }]), [refused])
  t.match(await as('alice', ['PATCH', 'comments', 'bob-comment', { text: 'x' }]), [refused])
  t.match(await as('bob', ['PATCH', 'comments', 'bob-comment', { text: 'x' }]), [success])
})

t.test('throughParent: authorising 1 000 operations that move rows costs two finds', async t => {
  const { db, finds, as } = await serverWith(t, {
    lists,
    todos: collection({ schema: Todo, owner: throughParent('lists', 'list_id'), updateBatch: () => {} })
  })
  const numbers = Array.from({ length: 1000 }, (_, number) => number)
  await db.collection<{ _id: string, owner_id: string }>('lists').insertMany(
    numbers.flatMap(number => [
      { _id: `old ${number}`, owner_id: 'alice' },
      { _id: `new ${number}`, owner_id: 'alice' }
    ])
  )
  await db
    .collection<{ _id: string, list_id: string }>('todos')
    .insertMany(numbers.map(number => ({ _id: `t${number}`, list_id: `old ${number}` })))
  t.match(
    await as(
      'alice',
      ...numbers.map((number): ['PATCH', string, string, object] => [
        'PATCH',
        'todos',
        `t${number}`,
        { list_id: `new ${number}` }
      ])
    ),
    [success]
  )
  t.same(finds, ['todos', 'lists'])
})

t.test('throughParent: an authorize beside it decides as well', async t => {
  const asked: string[] = []
  const { as } = await serverWith(t, {
    lists,
    todos: collection({
      schema: Todo,
      owner: throughParent('lists', 'list_id'),
      authorize: ({ op, id, data }) => {
        asked.push(id)
        return op === 'PUT' && data.text !== '' ? true : 'Say what to do'
      }
    })
  })
  t.match(await as('alice', ['PUT', 'todos', 'new', { list_id: 'alice-list', text: 'x' }]), [success])
  t.match(await as('alice', ['PUT', 'todos', 'empty', { list_id: 'alice-list', text: '' }]), [
    { failed_operation: { error_code: 'UNAUTHORIZED', message: 'Say what to do' } }
  ])
  t.match(await as('alice', ['PUT', 'todos', 'foreign', { list_id: 'bob-list', text: 'x' }]), [refused])
  t.same(asked, ['new', 'empty', 'foreign'])
})

t.test(
  'throughParent: ids of any type; a parent of everybody has to be there; who can have no parents has no rows',
  async t => {
    const { db, as } = await serverWith(t, {
      projects: collection({
        id: 'objectId',
        schema: Type.Object({ org: Type.String() }),
        owner: user => (typeof user['org'] === 'string' ? { org: user['org'] } : null)
      }),
      tags: collection({ id: 'integer', schema: Type.Object({}) }),
      tasks: collection({
        schema: Type.Object({ project: bson.ObjectId() }),
        owner: throughParent('projects', 'project')
      }),
      labels: collection({ schema: Type.Object({ tag: bson.Long() }), owner: throughParent('tags', 'tag') })
    })
    const [mine, theirs] = [new ObjectId(), new ObjectId()]
    await db.collection('projects').insertMany([{ _id: mine, org: 'red' }, { _id: theirs, org: 'blue' }])
    await db.collection<{ _id: number }>('tags').insertOne({ _id: 7 })
    const red = { id: 'alice', org: 'red' }
    t.match(await as(red, ['PUT', 'tasks', 'a', { project: String(mine) }], ['DELETE', 'tasks', 'a']), [success])
    t.match(await as(red, ['PUT', 'tasks', 'a', { project: String(theirs) }]), [refused])
    for (const project of [mine, theirs, new ObjectId()]) {
      t.match(await as('alice', ['PUT', 'tasks', 'a', { project: String(project) }]), [
        { failed_operation: { error_code: 'UNAUTHORIZED', message: 'The user can have no rows in this table' } }
      ])
    }
    t.match(await as('alice', ['PUT', 'labels', 'a', { tag: 7 }]), [success])
    t.match(await as('alice', ['PUT', 'labels', 'b', { tag: 8 }]), [refused])
  }
)

t.test('throughParent: the field may be left to the server where no client creates rows, or hooks set it', async t => {
  const rules = { schema: Todo, owner: throughParent('lists', 'list_id'), writable: ['text'] } as const
  const { as } = await serverWith(t, {
    lists,
    todos: collection({ ...rules, operations: ['PATCH', 'DELETE'] }),
    drafts: collection({
      ...rules,
      transform: operation => operation.op === 'PUT'
        ? { ...operation, data: { ...operation.data, list_id: 'alice-list' } }
        : operation
    })
  })
  t.match(await as('alice', ['PATCH', 'todos', 'alice-todo', { text: 'x', list_id: 'bob-list' }]), [success])
  t.match(await as('alice', ['PUT', 'drafts', 'a', { text: 'x' }]), [success])
})

t.test('throughParent: a chain that leads nowhere stops the start', async t => {
  const to = (table: string, field = 'parent') =>
    collection({ schema: Type.Object({ parent: Type.String() }), owner: throughParent(table, field as 'parent') })
  for (const [collections, message] of [
    [
      { rows: to('nothing') },
      /collections\.rows\.owner goes through the parent table "nothing", which is not one of collections/
    ],
    [{ rows: to('rows') }, /collections\.rows\.owner goes through rows in a circle/],
    [{ a: to('b'), b: to('c'), c: to('b') }, /collections\.a\.owner goes through b in a circle/],
    [{ lists, rows: to('lists', 'list') }, /collections\.rows\.owner names "list", which is not in the schema/],
    [
      { lists, todos: collection({ schema: Todo, owner: throughParent('lists', 'list_id'), writable: ['text'] }) },
      /collections\.todos\.writable lacks "list_id", so that no new row could name its parent: add it/
    ]
  ] as Array<[Collections, RegExp]>) {
    await t.rejects(serverWith(t, collections), { code: 'FST_PSM_OPTION', message })
  }
})
