import t from 'tap'
import { Type } from '@sinclair/typebox'
import { ObjectId } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { bson } from '../../lib/schema/fields.js'
import type { CollectionOptions } from '../../types/collections.js'
import { compileCollection } from './decode.js'

const schema = Type.Object({
  name: Type.String(),
  due: Type.Optional(bson.Date()),
  done: Type.Union([bson.Boolean(), Type.Null()]),
  owner_id: bson.ObjectId()
})
const hex = '507f1f77bcf86cd799439011'
const owner = new ObjectId(hex)
const compile = (options: Partial<CollectionOptions<typeof schema>> = {}) =>
  compileCollection('todos', collection({ schema, ...options }))

t.test('PUT gives every field, in the schema\'s order, null for what is absent', async t => {
  const row = compile().put({ owner_id: hex, name: 'a' })
  t.strictSame(row, { name: 'a', due: null, done: null, owner_id: owner })
  t.strictSame(Object.keys(row), ['name', 'due', 'done', 'owner_id'])
  t.equal(Object.getPrototypeOf(row), Object.prototype)
})

t.test('PUT takes null and undefined for absent', async t => {
  t.strictSame(compile().put({ name: 'a', due: null, done: undefined, owner_id: hex }), {
    name: 'a',
    due: null,
    done: null,
    owner_id: owner
  })
})

t.test('PUT needs every required field', async t => {
  t.match(compile().put({ owner_id: hex }), {
    code: 'INVALID_DATA',
    path: 'name',
    expected: 'text',
    found: 'nothing',
    message: 'name is required: expected text, found nothing'
  })
  t.match(compile().put({ owner_id: hex, name: null }), { message: 'name is required: expected text, found null' })
})

t.test('PUT may come without the owner, which the storage fills in', async t => {
  t.strictSame(compile({ owner: 'owner_id' }).put({ name: 'a' }), { name: 'a', due: null, done: null, owner_id: null })
  t.match(compile({ owner: 'owner_id' }).put({ name: 'a', owner_id: 'me' }), { code: 'INVALID_DATA', path: 'owner_id' })
})

t.test('PATCH gives the changed fields only, null for what is cleared', async t => {
  t.strictSame(compile().patch({ due: '2024-10-31' }), { due: new Date('2024-10-31T00:00:00Z') })
  t.strictSame(compile().patch({ due: null, done: null }), { due: null, done: null })
  t.strictSame(compile().patch({ due: undefined }), {})
  t.strictSame(compile().patch({}), {})
  t.strictSame(compile().patch(Object.assign(Object.create(null), { name: 'b' })), { name: 'b' })
})

t.test('PATCH cannot clear a required field, nor give one a wrong value', async t => {
  t.match(compile().patch({ name: null }), {
    code: 'INVALID_DATA',
    message: 'name is required: expected text, found null'
  })
  t.match(compile({ owner: 'owner_id' }).patch({ owner_id: null }), { code: 'INVALID_DATA', path: 'owner_id' })
  t.match(compile().patch({ name: 5 }), { code: 'INVALID_DATA', path: 'name', found: 'a number' })
  t.match(compile().patch({ due: 'soon' }), { code: 'INVALID_DATA', path: 'due', found: 'text' })
})

t.test('unknown columns are rejected, dropped or stored', async t => {
  const data = { name: 'a', owner_id: hex, colour: 'red' }
  const row = { name: 'a', due: null, done: null, owner_id: owner }
  t.match(compile().put(data), {
    code: 'SCHEMA_MISMATCH',
    path: 'colour',
    message: 'colour is not in the schema: expected one of name, due, done or owner_id, found another name'
  })
  t.match(compile().patch({ colour: null }), { code: 'SCHEMA_MISMATCH' })
  t.strictSame(compile({ unknownFields: 'drop' }).put(data), row)
  t.strictSame(compile({ unknownFields: 'store' }).put(data), { ...row, colour: 'red' })
  t.strictSame(compile({ unknownFields: 'store' }).patch({ colour: null, nested: { a: [1] } }), {
    colour: null,
    nested: { a: [1] }
  })
  t.match(compile({ unknownFields: 'store' }).patch({ nested: { a: [{ _bsontype: 1 }] } }), {
    code: 'INVALID_DATA',
    path: 'nested.a[0]._bsontype'
  })
  t.strictSame(compile().put({ name: 'a', owner_id: hex, colour: undefined }), row)
})

t.test('a long list of known columns is cut in messages', async t => {
  const columns = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`c${index}`, Type.Optional(Type.String())])
  )
  const fault = compileCollection('wide', collection({ schema: Type.Object(columns) })).patch({ x: 1 })
  t.match(fault, { expected: /^one of c0, .*, c19, …$/ })
})

t.test('names that data never set are rejected, whatever the collection does with unknown columns', async t => {
  const names = ['_id', 'id', '', '$set', '$', 'a.b', 'a\0', '__proto__', '_bsontype', '\ud800']
  for (const unknownFields of ['reject', 'drop', 'store'] as const) {
    const compiled = compile({ unknownFields })
    for (const name of names) {
      for (const value of ['1', 'null', '{}']) {
        const data = JSON.parse(`{"name":"a","owner_id":"${hex}",${JSON.stringify(name)}:${value}}`)
        t.match(compiled.put(data), { code: 'INVALID_DATA', found: 'a name that data never set' })
        t.match(compiled.patch(data), { code: 'INVALID_DATA', found: 'a name that data never set' })
      }
    }
  }
  t.equal(({} as { a?: unknown }).a, undefined)
})

t.test('names of JavaScript objects are unknown columns like any other', async t => {
  const data = { toString: 'x', constructor: 'x', hasOwnProperty: 'x', prototype: 'x' }
  t.match(compile().patch(data), { code: 'SCHEMA_MISMATCH' })
  t.strictSame(Object.entries(compile({ unknownFields: 'store' }).patch(data)), Object.entries(data))
})

t.test('a schema may have odd names', async t => {
  const names = [
    'toString',
    'constructor',
    'hasOwnProperty',
    'valueOf',
    'prototype',
    '`',
    '\\',
    '{x}',
    '*/',
    '日本',
    'class',
    'data',
    'row',
    '0',
    '-'
  ]
  const compiled = compileCollection(
    'odd',
    collection({ schema: Type.Object(Object.fromEntries(names.map(name => [name, Type.Optional(Type.String())]))) })
  )
  const all = Object.fromEntries(names.map(name => [name, `value of ${name}`]))
  t.strictSame(new Set(Object.keys(compiled.put({}))), new Set(names))
  t.strictSame(Object.values(compiled.put({})), names.map(() => null), 'what objects inherit is not data')
  t.strictSame(compiled.patch({}), {})
  t.strictSame(Object.entries(compiled.put(all)).sort(), Object.entries(all).sort())
  t.strictSame(Object.entries(compiled.patch(all)).sort(), Object.entries(all).sort())
  t.match(compiled.put({ toString: 5 }), { path: 'toString' })
  t.strictSame(compiled.fields.map(({ name }) => name).sort(), [...names].sort())
})

t.test('a polluted Object.prototype adds nothing to a row', async t => {
  const compiled = compile({ unknownFields: 'store' })
  const prototype = Object.prototype as Record<string, unknown>
  prototype['polluted'] = 'x'
  t.teardown(() => { delete prototype['polluted'] })
  t.strictSame(Object.keys(compiled.put({ name: 'a', owner_id: hex })), ['name', 'due', 'done', 'owner_id'])
  delete prototype['polluted']
})

t.test('fields that are not writable are left out of what is written', async t => {
  const compiled = compile({ writable: ['name', 'done'] })
  t.strictSame(compiled.put({ name: 'a', due: 'soon', owner_id: hex }), { name: 'a', done: null })
  t.strictSame(compiled.put({ name: 'a' }), { name: 'a', done: null }, 'also when they are required')
  t.strictSame(compiled.patch({ due: 'soon', owner_id: null, done: 1 }), { done: true })
  t.strictSame(compiled.fields.filter(field => !field.readOnly).map(({ name }) => name), ['name', 'done'])
})

t.test('defaults are computed where a PUT has nothing', async t => {
  let count = 0
  const compiled = compile({ defaults: { due: () => new Date(++count), name: () => 'unnamed', done: () => null } })
  t.strictSame(compiled.put({ owner_id: hex }), { name: 'unnamed', due: new Date(1), done: null, owner_id: owner })
  t.strictSame(compiled.put({ owner_id: hex, due: null, name: null }), {
    name: 'unnamed',
    due: new Date(2),
    done: null,
    owner_id: owner
  })
  t.strictSame(compiled.put({ owner_id: hex, due: '1970-01-01', name: 'a' }), {
    name: 'a',
    due: new Date(0),
    done: null,
    owner_id: owner
  })
  t.strictSame(compiled.patch({ name: 'b' }), { name: 'b' })
  t.match(compiled.patch({ name: null }), { code: 'INVALID_DATA' })
  t.strictSame(compiled.onInsert(), {})
  t.equal(count, 2)
})

t.test('a default that gives nothing does not stand for a required field', async t => {
  t.match(compile({ defaults: { name: () => null as unknown as string } }).put({ owner_id: hex }), {
    code: 'INVALID_DATA',
    path: 'name'
  })
})

t.test('defaults of read-only fields are for new documents', async t => {
  const compiled = compile({ writable: ['name'], defaults: { due: () => new Date(0), done: () => null } })
  t.strictSame(compiled.put({ name: 'a' }), { name: 'a' })
  t.strictSame(compiled.onInsert(), { due: new Date(0), done: null })
})

t.test('columns are renamed to fields', async t => {
  const compiled = compile({ fields: { ownerId: 'owner_id', due: 'done', done: 'due' } })
  t.strictSame(compiled.put({ name: 'a', ownerId: hex, due: 1, done: '1970-01-01' }), {
    name: 'a',
    due: new Date(0),
    done: true,
    owner_id: owner
  })
  t.strictSame(compiled.patch({ ownerId: hex }), { owner_id: owner })
  t.match(compiled.patch({ ownerId: 'me' }), { path: 'ownerId' })
  t.match(compiled.patch({ ownerId: null }), { message: /^ownerId is required/ })
  t.strictSame(
    compiled.fields.map(({ name, column }) => [name, column]),
    [
      ['name', 'name'],
      ['due', 'done'],
      ['done', 'due'],
      ['owner_id', 'ownerId']
    ]
  )
})

t.test('a renamed field is not to be had by its own name', async t => {
  for (const unknownFields of ['reject', 'drop', 'store'] as const) {
    const compiled = compile({ fields: { ownerId: 'owner_id' }, unknownFields })
    t.match(compiled.patch({ owner_id: 'anybody' }), { code: 'SCHEMA_MISMATCH', path: 'owner_id' })
  }
})

t.test('one value of one field', async t => {
  const compiled = compile()
  t.strictSame(compiled.decodeField('owner_id', hex), owner)
  t.match(compiled.decodeField('owner_id', 'me'), { code: 'INVALID_DATA', path: 'owner_id' })
})

t.test('without schema, values are stored as they came and names are checked', async t => {
  const compiled = compileCollection('notes', collection({ schema: 'any' }))
  const data = { text: 'a', number: 1.5, yes: true, nothing: null, list: [1, { a: 'b' }], date: '2024-10-31' }
  t.strictSame(compiled.put(data), data)
  t.strictSame(compiled.patch(data), data)
  t.strictSame(compiled.put({}), {})
  t.strictSame(compiled.fields, [])
  for (const name of ['_id', 'id', '$a', 'a.b', '_bsontype']) {
    t.match(compiled.put({ [name]: 1 }), { code: 'INVALID_DATA' })
  }
  t.match(compiled.put(JSON.parse('{"a":{"__proto__":1}}')), { code: 'INVALID_DATA', path: 'a.__proto__' })
  t.match(compiled.put({ a: '\ud800' }), { code: 'INVALID_DATA', path: 'a' })
})

t.test('without schema, the other options work on the fields that they name', async t => {
  const compiled = compileCollection(
    'notes',
    collection({
      schema: 'any',
      owner: 'owner_id',
      fields: { ownerId: 'owner_id' },
      writable: ['text', 'at'],
      defaults: { at: () => new Date(0) }
    })
  )
  t.same(compiled.put({ ownerId: 'me', stars: 5, text: 'a' }), { owner_id: 'me', at: new Date(0), text: 'a' })
  t.match(compiled.put({ owner_id: 'me' }), { code: 'SCHEMA_MISMATCH' })
  t.equal(compiled.decodeField('owner_id', 'me'), 'me')
})

t.test('columns of a type that has no shortcut in the generated code', async t => {
  const compiled = compileCollection('rows', collection({
    schema: Type.Object({
      long: Type.String({ maxLength: 5 }),
      short: Type.String({ minLength: 3 }),
      any: Type.Any(),
      integer: Type.Integer({ minimum: 0 }),
      n: Type.Number()
    })
  }))
  t.strictSame(compiled.put({ long: '12345', short: '123', integer: '5', n: '2.5' }), {
    long: '12345',
    short: '123',
    any: null,
    integer: 5,
    n: 2.5
  })
  t.match(compiled.put({ long: '123456' }), { path: 'long' })
  t.match(compiled.put({ long: '1', short: '12' }), { path: 'short' })
})

t.test('a user\'s rights: what is not theirs to write is refused, what the server sets may be absent', async t => {
  const compiled = compile({ defaults: { done: () => true } })
  const rights = { owned: new Set(['owner_id']), writable: new Set(['name']) }
  t.strictSame(compiled.decode({ op: 'PUT', id: 'a', data: { name: 'a', due: null } }, rights), {
    name: 'a',
    owner_id: null
  })
  t.match(compiled.decode({ op: 'PUT', id: 'a', data: { name: 'a', done: 1 } }, rights), {
    code: 'UNAUTHORIZED',
    path: 'done'
  })
  t.match(compiled.decode({ op: 'PATCH', id: 'a', data: { done: null } }, rights), {
    code: 'UNAUTHORIZED',
    path: 'done'
  })
  t.strictSame(compiled.decode({ op: 'PATCH', id: 'a', data: { name: 'b', owner_id: hex } }, rights), {
    name: 'b',
    owner_id: owner
  })
  t.strictSame(
    compiled.onInsert(rights),
    { done: true },
    'a default of a field that is not theirs is for new documents'
  )
  t.strictSame(compiled.decode({ op: 'PUT', id: 'a', data: { name: 'a' } }, { ...rights, writable: undefined }), {
    name: 'a',
    due: null,
    done: true,
    owner_id: null
  })
  const open = compile({ unknownFields: 'store' })
  t.match(open.decode({ op: 'PATCH', id: 'a', data: { colour: 'red' } }, rights), {
    code: 'UNAUTHORIZED',
    path: 'colour'
  })
})

t.test('a field that the schema does not have is one of any type where there is no schema', async t => {
  const compiled = compileCollection('notes', collection({ schema: 'any' }))
  t.ok(compiled.has('owner_id'))
  t.notOk(compiled.has('$set'))
  t.notOk(compile().has('colour'))
  t.equal(compiled.decodeField('owner_id', 'me'), 'me')
  t.match(compiled.decodeField('owner_id', Infinity), { code: 'INVALID_DATA', path: 'owner_id' })
})
