import { Type } from '@sinclair/typebox'
import { expect, test } from 'tstyche'
import { bson, collection, powersyncOptions, throughParent, type CrudOperation, type User } from '../../index.js'
import type { OperationOf } from '../index.js'
import { additive, fieldLevel, keepServer, lastWriteWins, versioned } from '../../lib/rules/conflicts/index.js'

const List = Type.Object({ name: Type.String(), created_at: bson.Date(), color: Type.Optional(Type.String()) })
const Todo = Type.Object({ done: bson.Boolean(), size: Type.Optional(bson.Long()) })
const lists = collection({ schema: List })
const todos = collection({ schema: Todo })

test('a collection\'s hooks know its rows: whole in a PUT, partial in a PATCH, none in a DELETE', () => {
  collection({
    schema: List,
    authorize: (operation, context) => {
      expect(context.user).type.toBe<User>()
      if (operation.op === 'PUT') {
        expect(operation.data.name).type.toBe<string>()
        expect(operation.data.created_at).type.toBe<Date>()
        expect(operation.data.color).type.toBe<string | null | undefined>()
      } else if (operation.op === 'PATCH') {
        expect(operation.data.name).type.toBe<string | undefined>()
      } else {
        expect(operation.data).type.toBe<undefined>()
      }
      return true
    }
  })
})

test('updateBatch of a collection gets its operations with their rows', () => {
  collection({
    schema: List,
    updateBatch: async ({ operations }, context, next) => {
      for (const operation of operations) {
        if (operation.op === 'PUT') expect(operation.data.created_at).type.toBe<Date>()
        if (operation.op === 'PATCH') expect(operation.data.name).type.toBe<string | undefined>()
      }
      await next()
    }
  })
})

test('an unknown field, in data or in an option, is an error', () => {
  collection({
    schema: List,
    transform: operation => {
      if (operation.op === 'PUT') expect(operation.data).type.not.toHaveProperty('nmae')
      return operation
    }
  })
  expect(collection).type.not.toBeCallableWith({ schema: List, owner: 'owner_id' })
  expect(collection).type.not.toBeCallableWith({ schema: List, writable: ['nmae'] })
  expect(collection).type.toBeCallableWith({ schema: List, owner: 'name', writable: ['created_at'] })
  expect(collection).type.not.toBeCallableWith({ schema: Type.String() })
})

test('hooks for all collections: the table narrows the row', () => {
  powersyncOptions({
    authenticate: () => null,
    collections: { lists, todos },
    authorize: operation => {
      expect(operation.table).type.toBe<'lists' | 'todos'>()
      if (operation.table === 'lists' && operation.op === 'PUT') {
        expect(operation.data.name).type.toBe<string>()
        expect(operation.data).type.not.toHaveProperty('done')
      }
      if (operation.table === 'todos' && operation.op === 'PATCH') {
        expect(operation.data.done).type.toBe<boolean | undefined>()
        expect(operation.data.size).type.toBe<bigint | null | undefined>()
      }
      return true
    },
    transform: operation => operation.table === 'lists' ? null : operation,
    resolveConflict: ({ table, operation, existing }) => {
      if (table === 'lists') expect(existing.name).type.toBe<string>()
      if (table === 'todos' && operation.op === 'PATCH') expect(operation.data.done).type.toBe<boolean | undefined>()
      return operation
    },
    updateBatch: async (transaction, { db }, next) => {
      for (const operation of transaction.operations) {
        expect(operation.table).type.toBe<'lists' | 'todos'>()
        if (operation.table === 'todos' && operation.op === 'PUT') expect(operation.data.done).type.toBe<boolean>()
        if (operation.table === 'lists' && operation.op === 'PATCH') {
          expect(operation.data.name).type.toBe<string | undefined>()
        }
      }
      await db.collection('log').insertOne({ client: transaction.clientId })
      await next({ ...transaction, operations: transaction.operations.filter(({ op }) => op !== 'DELETE') })
    }
  })
  expect<OperationOf<{ lists: typeof lists }>['table']>().type.toBe<'lists'>()
  expect<OperationOf<{ lists: typeof lists }>>().type.toBeAssignableTo<CrudOperation>()
})

test('options without authenticate or collections are an error', () => {
  expect(powersyncOptions).type.not.toBeCallableWith({ collections: { lists } })
  expect(powersyncOptions).type.not.toBeCallableWith({ authenticate: () => null })
  expect(powersyncOptions).type.not.toBeCallableWith({
    authenticate: () => ({ name: 'no id' }),
    collections: { lists }
  })
})

test('rules know the fields of their schema', () => {
  expect(collection).type.toBeCallableWith({
    schema: List,
    owner: ['name', { field: 'color' as const, value: (user: User) => user['color'] }]
  })
  expect(collection).type.not.toBeCallableWith({ schema: List, owner: { field: 'colour' as const } })
  collection({
    schema: List,
    owner: user => ({ name: user.id }),
    writable: user => (user.id === 'admin' ? true : ['name', 'color'])
  })
  collection({ schema: List, writable: () => ['name'] })
  expect(collection).type.not.toBeCallableWith({ schema: List, writable: () => ['nmae' as const] })
  expect(collection).type.not.toBeCallableWith({ schema: List, operations: ['INSERT'] })
  collection({
    schema: List,
    owner: 'name',
    authorizeTransfer: operation => {
      expect(operation.data.name).type.toBe<string | undefined>()
      return operation.op === 'PATCH'
    }
  })
})

test('a conflict has the operation, what the server has and what the client had, in the types of the schema', () => {
  collection({
    schema: Todo,
    resolveConflict: ({ operation, existing, previous, decode }) => {
      expect(existing.done).type.toBe<boolean>()
      expect(existing.size).type.toBe<bigint | null | undefined>()
      expect(existing['anything']).type.toBe<unknown>()
      expect(previous).type.toBe<{ done?: boolean, size?: bigint | null } | undefined>()
      expect(decode('size', '1')).type.toBe<bigint>()
      expect(decode).type.not.toBeCallableWith('sise', '1')
      if (operation.op === 'PATCH') return { ...operation, data: { ...operation.data, done: existing.done } }
      return operation.op === 'DELETE' ? null : operation
    }
  })
})

test('the helpers know the fields of the schema, and which of them they can work with', () => {
  expect(collection).type.toBeCallableWith({ schema: List, resolveConflict: keepServer })
  collection({
    schema: List,
    resolveConflict: lastWriteWins({ field: 'created_at' }),
    authorize: ({ op }) => op === 'PUT'
  })
  collection({ schema: Todo, resolveConflict: versioned({ field: 'size', onStale: 'keep' }) })
  collection({ schema: 'any', resolveConflict: versioned({ field: 'anything' }) })
  collection({ schema: Todo, resolveConflict: additive(['size']) })
  collection({ schema: List, resolveConflict: fieldLevel({ metadata: 'times' }) })
  expect<Parameters<typeof additive<{ size: bigint, done: boolean, at: Date }>>[0]>().type.toBe<readonly 'size'[]>()
  expect<Parameters<typeof versioned<{ size: bigint, done: boolean }>>[0]['field']>().type.toBe<'size'>()
  expect<Parameters<typeof lastWriteWins<{ at: Date, name: string, done: boolean }>>[0]['field']>().type.toBe<
    'at' | 'name'
  >()
})

test('owner names fields of the schema, alone, with a claim, or with a parent', () => {
  const schema = Type.Object({ list_id: Type.String(), org: Type.String() })
  expect(collection).type.toBeCallableWith({ schema, owner: throughParent('lists', 'list_id') })
  expect(collection).type.toBeCallableWith({
    schema,
    owner: ['org' as const, { field: 'org' as const, claim: 'org' }, throughParent('lists', 'list_id')]
  })
  expect(collection).type.not.toBeCallableWith({ schema, owner: throughParent('lists', 'lsit_id') })
  expect(collection).type.not.toBeCallableWith({ schema, authorize: throughParent('lists', 'list_id') })
})
