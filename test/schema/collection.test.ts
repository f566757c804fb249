import { createRequire } from 'node:module'
import t from 'tap'
import { FormatRegistry, Kind, Type, type Static, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Value } from '@sinclair/typebox/value'
import { Binary, Decimal128, Double, Long, ObjectId, UUID, type mongodb } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import type { Collection, CollectionOptions, Collections } from '../../types/collections.js'
import { compileCollection } from './decode.js'

const schema = Type.Object({
  name: Type.String(),
  due: Type.Optional(bson.Date()),
  price: bson.Double(),
  count: bson.Long()
})

t.test('a collection is its options, complete and frozen', async t => {
  const authorize = () => true
  const definition = collection({
    schema,
    owner: 'name',
    name: undefined,
    authorize,
    writable: ['name', 'due', 'count']
  })
  t.strictSame(Object.fromEntries(Object.entries(definition)), {
    schema,
    id: 'string',
    name: undefined,
    fields: {},
    owner: [{ field: 'name' }],
    authorizeTransfer: undefined,
    operations: ['PUT', 'PATCH', 'DELETE'],
    writable: ['name', 'due', 'count'],
    put: 'merge',
    nulls: 'store',
    unknownFields: 'reject',
    defaults: {},
    migrations: {},
    authorize
  })
  for (const part of [
    definition,
    definition.fields,
    definition.owner,
    definition.operations,
    definition.writable,
    definition.defaults
  ]) { t.ok(Object.isFrozen(part)) }
})

t.test('hooks and options are typed from the schema', async t => {
  const typed = collection({
    schema,
    defaults: { due: () => new Date() },
    authorize: operation => {
      if (operation.op === 'PUT') {
        const row: { name: string, due?: Date | null, price: mongodb.Double, count: bigint } = operation.data
        return row.name !== ''
      }
      if (operation.op === 'PATCH') {
        const name: string | undefined = operation.data.name
        return name === undefined
      }
      const nothing: undefined = operation.data
      return nothing === undefined
    }
  })
  const untyped = collection({ schema: 'any', authorize: ({ data }) => data?.['name'] === 'a' })
  const collections: Collections = { typed, untyped }
  t.ok(collections)
  // @ts-expect-error not a field
  collection({ schema, owner: 'owner_id' })
  // @ts-expect-error not a field
  collection({ schema, writable: ['names'] })
  // @ts-expect-error not a field
  collection({ schema, fields: { Name: 'Name' } })
  // @ts-expect-error not a date
  collection({ schema, defaults: { due: () => 'now' } })
  // @ts-expect-error not a number
  collection({ schema, authorize: operation => operation.op !== 'PUT' || operation.data.name > 5 })

  const types = Type.Object({
    date: bson.Date(),
    boolean: bson.Boolean(),
    objectId: bson.ObjectId(),
    uuid: bson.UUID(),
    int: bson.Int32(),
    long: bson.Long(),
    double: bson.Double(),
    decimal: bson.Decimal128(),
    binary: bson.Binary(),
    json: bson.Json(Type.Object({ at: bson.Date() }))
  })
  const row: Static<typeof types> = {
    date: new Date(),
    boolean: true,
    objectId: new ObjectId(),
    uuid: new UUID(),
    int: 1,
    long: 1n,
    double: new Double(1),
    decimal: Decimal128.fromString('1'),
    binary: new Binary(),
    json: { at: new Date() }
  }
  t.ok(Value.Check(types, row))
})

t.test('TypeBox\'s own functions know the types, as values in hooks', async t => {
  const good: Array<[TSchema, unknown]> = [
    [bson.Date(), new Date()],
    [bson.Boolean(), true],
    [bson.ObjectId(), new ObjectId()],
    [bson.UUID(), new UUID()],
    [bson.Int32(), -5],
    [bson.Long(), 5n],
    [bson.Double(), new Double(5)],
    [bson.Decimal128(), Decimal128.fromString('5')],
    [bson.Binary(), new Binary()],
    [bson.Json(Type.Array(bson.Int32())), [1]]
  ]
  const bad = [new Date(NaN), 1, '507f1f77bcf86cd799439011', 2 ** 31, 2n ** 63n, Long.fromNumber(5), null, [1.5], {}]
  for (const [type, value] of good) {
    const compiled = TypeCompiler.Compile(Type.Object({ value: type }))
    t.ok(Value.Check(type, value), `${type[Kind]} accepts`)
    t.ok(compiled.Check({ value }))
    for (const other of bad) {
      if (type[Kind] === 'BsonInt32' && other === 1) continue
      t.notOk(Value.Check(type, other), `${type[Kind]} rejects`)
      t.notOk(compiled.Check({ value: other }))
    }
    t.ok(Value.Check(Type.Partial(Type.Object({ value: type })), {}))
  }
})

t.test('formats of the host come first, and its own work too', async t => {
  const accepts = (format: string, value: string) =>
    !(
      compileCollection('rows', collection({ schema: Type.Object({ value: Type.String({ format }) }) })).put({
        value
      }) instanceof DecodeFault
    )
  t.throws(() => accepts('zip', '1'), {
    message: /unknown format "zip": use uuid, email, date, date-time, uri, or register it/
  })
  t.notOk(FormatRegistry.Has('email'), 'nothing is registered')
  FormatRegistry.Set('zip', value => value.length === 5)
  FormatRegistry.Set('email', value => value.endsWith('@example.com'))
  t.teardown(() => FormatRegistry.Clear())
  t.ok(accepts('zip', '12345'))
  t.notOk(accepts('zip', '1'))
  t.ok(accepts('email', 'a@example.com'))
  t.notOk(accepts('email', 'a@example.org'))
})

t.test('every type says what it is in MongoDB and in the client', async t => {
  const types: Array<[TSchema, object, string]> = [
    [Type.String(), { bsonType: 'string' }, 'text'],
    [Type.String({ enum: ['a'] }), { enum: ['a'] }, 'text'],
    [Type.Boolean(), { bsonType: 'bool' }, 'integer'],
    [Type.Number(), { bsonType: 'number' }, 'real'],
    [Type.Integer(), { bsonType: 'number' }, 'integer'],
    [Type.Literal('a'), { enum: ['a'] }, 'text'],
    [Type.Literal(1), { enum: [1] }, 'real'],
    [Type.Union([Type.Literal('a'), Type.Literal(true)]), { enum: ['a', true] }, 'text'],
    [Type.Union([bson.Date(), bson.ObjectId()]), { bsonType: ['date', 'objectId'] }, 'text'],
    [Type.Union([bson.Date(), bson.Int32()]), { bsonType: ['date', 'int'] }, 'text'],
    [Type.Array(Type.String()), { bsonType: 'array', items: { bsonType: 'string' } }, 'text'],
    [Type.Object({}), { bsonType: 'object' }, 'text'],
    [
      Type.Record(Type.String(), Type.String()),
      { bsonType: 'object', additionalProperties: { bsonType: 'string' } },
      'text'
    ],
    [Type.Unknown(), {}, 'text'],
    [Type.Any(), {}, 'text'],
    [bson.Date(), { bsonType: 'date' }, 'text'],
    [bson.Boolean(), { bsonType: 'bool' }, 'integer'],
    [bson.ObjectId(), { bsonType: 'objectId' }, 'text'],
    [bson.UUID(), { bsonType: 'binData' }, 'text'],
    [bson.Int32(), { bsonType: 'int' }, 'integer'],
    [bson.Long(), { bsonType: 'long' }, 'integer'],
    [bson.Double(), { bsonType: 'double' }, 'real'],
    [bson.Decimal128(), { bsonType: 'decimal' }, 'text'],
    [bson.Binary(), { bsonType: 'binData' }, 'text'],
    [bson.Json(Type.Object({})), { bsonType: 'object' }, 'text']
  ]
  for (const [type, shape, column] of types) {
    const [field] = compileCollection('rows', collection({ schema: Type.Object({ value: type }) })).fields
    t.same(field!.type.shape, shape)
    t.equal(field!.type.column, column)
  }
})

t.test('a schema that cannot be stored stops the start, and the message says what to use', async t => {
  const wrong: Array<[TSchema, RegExp]> = [
    [Type.Date(), /is wrong at value: it is a Type\.Date, .*use bson\.Date\(\)$/],
    [Type.BigInt(), /use bson\.Long\(\)/],
    [Type.Uint8Array(), /use bson\.Binary\(\)/],
    [Type.Null(), /use Type\.Union/],
    [Type.Undefined(), /use Type\.Optional/],
    [Type.Function([], Type.Void()), /use one of Type\.String, .*bson\.Date/],
    [Type.Unsafe({ type: 'string' }), /use Type\.Unknown/],
    [Type.Intersect([Type.Object({}), Type.Object({})]), /use Type\.Composite/],
    [Type.Transform(Type.String()).Decode(Number).Encode(String), /is a Type\.Transform: use/],
    [{ [Kind]: 'constructor' } as TSchema, /use one of/],
    [Type.Union([Type.Null(), Type.Null()]), /has no type but null/],
    [Type.Object({ in: Type.Array(Type.Date()) }), /is wrong at value\.in\[\]: it is a Type\.Date/],
    [bson.Json(Type.String()), /holds a Type\.String as JSON: use a Type\.Object/],
    [bson.Json(Type.Union([Type.Object({}), Type.String()])), /holds a Type\.Union as JSON/],
    [Type.Object({ 'a\0': Type.String() }), /has the property "a\\u0000"/],
    [Type.Object({ _bsontype: Type.String() }), /has the property "_bsontype"/],
    [Type.Object({}, { minProperties: 1 }), /uses "minProperties", which is not supported/],
    [Type.Record(Type.String(), Type.String(), { maxProperties: 1 }), /uses "maxProperties"/],
    [Type.Array(Type.String(), { contains: Type.String() }), /uses "contains"/],
    [Type.String({ pattern: '(' }), /has a pattern that is not a regular expression/],
    [Type.String({ format: 'postcode' }), /has the unknown format "postcode"/],
    [
      Type.String({ maxLength: '5; process.exit()' as unknown as number }),
      /has maxLength set to something that is not a number/
    ],
    [bson.Int32({ minimum: NaN }), /has minimum set to/],
    [bson.Long({ minimum: 1.5 }), /has minimum set to something that is not a whole number/],
    [bson.Date({ minimumTimestamp: 1e99 }), /has a limit that is not a date/],
    [bson.Binary({ subType: 4 }), /use bson\.UUID/],
    [bson.Binary({ subType: 256 }), /has a subType that is not a byte/]
  ]
  for (const [type, message] of wrong) {
    t.throws(
      () => compileCollection('todos', collection({ schema: Type.Object({ value: type }) })),
      { code: 'FST_PSM_OPTION', message },
      String(message)
    )
  }
})

t.test('a definition that cannot work stops the start, and the message names the option', async t => {
  const wrong: Array<[Record<string, unknown>, RegExp]> = [
    [{ schema: undefined }, /collections\.todos\.schema is missing: pass Type\.Object/],
    [{ schema: null }, /collections\.todos\.schema is missing/],
    [{ schema: 'all' }, /collections\.todos\.schema is missing/],
    [{ schema: Type.String() }, /collections\.todos\.schema is missing/],
    [
      { owner: 'owner_id' },
      /collections\.todos\.owner names "owner_id", which is not in the schema: one of name, due, price or count/
    ],
    [{ owner: 'toString' }, /names "toString"/],
    [{ writable: ['x'] }, /collections\.todos\.writable names "x"/],
    [{ defaults: { x: () => 1 } }, /collections\.todos\.defaults names "x"/],
    [{ defaults: { name: 'unnamed' } }, /collections\.todos\.defaults has no function for "name": use \(\) => value/],
    [{ fields: { x: 'y' } }, /collections\.todos\.fields names "y"/],
    [{ fields: { a: 'name', b: 'name' } }, /collections\.todos\.fields maps both "a" and "b" to "name": keep one/],
    [
      { fields: { due: 'name' } },
      /collections\.todos\.fields makes the column "due" both "name" and "due": rename one/
    ],
    [{ fields: { id: 'name' } }, /collections\.todos\.fields has the name "id"/],
    [{ fields: { 'a.b': 'name' } }, /collections\.todos\.fields has the name "a\.b"/],
    ...['_id', 'id', '$x', 'a.b', 'a\0', '', '_bsontype', '__proto__'].map((name): [Record<string, unknown>, RegExp] =>
      [{ schema: Type.Object({ [name]: Type.String() }) }, /collections\.todos\.schema has the name/])
  ]
  for (const [options, message] of wrong) {
    const definition = collection({ schema, ...options } as CollectionOptions) as Collection
    t.throws(() => compileCollection('todos', definition), { code: 'FST_PSM_OPTION', message }, String(message))
  }
})

t.test(
  'schemas of another copy of @sinclair/typebox work as well; those of typebox 1.x are refused with the import to ' +
  'write',
  async t => {
    const { Type: Other } = createRequire(import.meta.url)('@sinclair/typebox') as typeof import('@sinclair/typebox')
    t.not(Other, Type, 'the CommonJS copy')
    const fields = {
      name: Other.String({ maxLength: 3 }),
      tags: Other.Optional(Other.Array(Other.Union([Other.Literal('a'), Other.Literal('b')]))),
      at: bson.Date()
    }
    const { put } = compileCollection('lists', collection({ schema: Other.Object(fields) }))
    t.match(put({ name: 'abc', tags: '["b"]', at: '2026-01-01 00:00:00Z' }), {
      name: 'abc',
      tags: ['b'],
      at: new Date('2026-01-01')
    })
    t.ok(put({ name: 'abcd', at: '2026-01-01 00:00:00Z' }) instanceof DecodeFault)

    const { Type: Type1 } = await import('typebox') as unknown as { Type: typeof Type }
    const refused = /: it is a schema of typebox 1\.x: write import \{ Type \} from 'fastify-powersync-mongo'/
    for (const wrong of [
      Type1.Object({ name: Type1.String() }),
      Type.Object({ name: Type1.String() }),
      Type.Object({ names: Type.Array(Type1.String()) })
    ]) {
      t.throws(() => compileCollection('lists', collection({ schema: wrong })), { message: refused })
    }
    t.throws(
      () =>
        compileCollection(
          'lists',
          collection({ schema: Type.Object({ name: { type: 'string' } as unknown as TSchema }) })
        ),
      { message: /at name: it is not a schema of @sinclair\/typebox 0\.34/ }
    )
  }
)
