import t from 'tap'
import { Type, type TSchema } from '@sinclair/typebox'
import { Binary, Decimal128, Double, Int32, Long, ObjectId, UUID } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import { parseJson } from '../../lib/json.js'
import { bytes, compileCollection } from './decode.js'

const oid = new ObjectId()
const uuid = new UUID()
const binary = new Binary(Buffer.from([1, 2]))
const decimal = Decimal128.fromString('1.50')
const date = new Date(5)

/** What a hook gives for a field of a type → what MongoDB gets, and what is an error. */
const types: Array<[type: TSchema, accepted: Array<[given: unknown, stored: unknown]>, refused: unknown[]]> = [
  [Type.String({ maxLength: 3 }), [['abc', 'abc']], ['abcd', 5, '\ud800', new Date()]],
  [Type.String({ enum: ['a', 'b'] }), [['a', 'a']], ['c']],
  [Type.Boolean(), [[true, true], [false, false]], [1, 'true']],
  [bson.Boolean(), [[true, true]], [0, 'false']],
  [
    Type.Number({ minimum: 0 }),
    [
      [1.5, 1.5],
      [2n, 2],
      [new Double(2.5), 2.5],
      [new Int32(3), 3],
      [Long.fromNumber(4), 4]
    ],
    [NaN, Infinity, -1, '5', 2n ** 53n + 1n]
  ],
  [Type.Integer(), [[5, 5], [5n, 5], [new Double(5), 5]], [NaN, 5.5, '5', 2 ** 53]],
  [bson.Int32(), [[5, 5], [-0, 0], [5n, 5], [new Int32(5), 5]], [NaN, 5.5, 2 ** 31, '5', true, new Date(5)]],
  [
    bson.Long({ minimum: 0 }),
    [
      [5, 5n],
      [5n, 5n],
      [Long.fromNumber(5), 5n],
      [new Int32(5), 5n],
      [2n ** 63n - 1n, 2n ** 63n - 1n]
    ],
    [NaN, 5.5, 2 ** 53, 2n ** 63n, -1, '5']
  ],
  [
    bson.Double(),
    [
      [5, new Double(5)],
      [new Double(0.5), new Double(0.5)],
      [5n, new Double(5)]
    ],
    [NaN, new Double(NaN), Infinity, '5', 2n ** 53n + 1n]
  ],
  [
    bson.Decimal128(),
    [
      [decimal, decimal],
      [0, Decimal128.fromString('0')],
      [0.1, Decimal128.fromString('0.1')],
      [2n ** 60n, Decimal128.fromString(String(2n ** 60n))],
      [new Double(1.5), Decimal128.fromString('1.5')]
    ],
    ['1.50', NaN, 2 ** 60, 10n ** 40n + 1n]
  ],
  [bson.Date({ minimumTimestamp: 0 }), [[date, date]], ['2024-10-31', 5, new Date(NaN), new Date(-1)]],
  [bson.ObjectId(), [[oid, oid]], [oid.toString(), { _bsontype: 'ObjectId' }]],
  [bson.UUID(), [[uuid, uuid]], [uuid.toString(), binary]],
  [
    bson.Binary({ maxByteLength: 2 }),
    [[binary, binary]],
    ['AQI=', new Binary(Buffer.alloc(3)), new Binary(Buffer.from([1]), 5)]
  ],
  [Type.Literal('a'), [['a', 'a']], ['b']],
  [Type.Union([Type.Literal(1), Type.Literal(true)]), [[1, 1], [true, true]], ['1', 0, 'true']],
  [Type.Union([bson.Date(), bson.Long(), Type.Null()]), [[date, date], [5, 5n], [null, null]], ['5', NaN]],
  [Type.Optional(bson.Long()), [[null, null], [5, 5n]], ['x']],
  [Type.Array(bson.Long(), { maxItems: 2 }), [[[1, 2n], [1n, 2n]]], [[1, 2, 3], ['1'], [null], '[1]', { 0: 1 }]],
  [
    Type.Object({ l: bson.Long(), at: Type.Optional(bson.Date()) }),
    [
      [{ l: 5 }, { l: 5n }],
      [
        { l: 5, at: null },
        { l: 5n, at: null }
      ],
      [{ l: 5, at: undefined }, { l: 5n }],
      [
        { l: 5, geo: { x: 1, at: date } },
        { l: 5n, geo: { x: 1, at: date } }
      ]
    ],
    [{}, { at: undefined, l: 'x' }, { l: 5, at: 'soon' }, '{"l":5}', [], JSON.parse('{"l":5,"__proto__":1}')]
  ],
  [
    Type.Record(Type.String({ pattern: '^x' }), bson.Long()),
    [
      [{ x: 5 }, { x: 5n }],
      [{ y: 'the server\'s' }, { y: 'the server\'s' }]
    ],
    [{ x: 'a' }]
  ],
  [
    Type.Record(Type.String(), Type.Unknown()),
    [[{ a: date }, { a: date }], [Object.assign(Object.create(null), { a: 1 }), { a: 1 }]],
    [date, oid, binary, new Map(), /a/, []]
  ],
  [Type.Object({ a: Type.Optional(Type.String()) }), [[{}, {}]], [date, oid, new Map()]],
  [
    Type.Union([Type.Record(Type.String(), bson.Double()), bson.ObjectId(), bson.Date()]),
    [[{ a: 1 }, { a: new Double(1) }], [oid, oid], [date, date]],
    [uuid]
  ],
  [
    bson.Json(Type.Unknown()),
    [[{ a: [date, 5n, oid, NaN] }, { a: [date, 5n, oid, NaN] }]],
    [5, 'text', [() => 1], { a: Symbol('x') }, [2n ** 63n], [undefined]]
  ],
  [
    Type.Unknown(),
    [
      ['x', 'x'],
      [date, date],
      [decimal, decimal],
      [/a/, /a/],
      [Buffer.from([1]), Buffer.from([1])],
      [{ $a: { 'b.c': 1 } }, { $a: { 'b.c': 1 } }],
      [{ a: undefined }, {}]
    ],
    [
      () => 1,
      { a: new Date(NaN) },
      new Map(),
      new (class Money {
        amount = 5
      })(),
      '\ud800',
      JSON.parse('{"__proto__":1}')
    ]
  ]
]

t.test('what hooks give is encoded by the schema, or refused', async t => {
  for (const [type, accepted, refused] of types) {
    const { encode } = compileCollection('todos', collection({ schema: Type.Object({ value: type }) }))
    for (const [given, stored] of accepted) t.equal(bytes(encode('value', given, 'transform')), bytes(stored))
    for (const given of refused) {
      t.throws(
        () => encode('value', given, 'transform'),
        { message: /^transform gave .+ for todos\.value/, name: 'Error' },
        `${type[Object.getOwnPropertySymbols(type)[0] as never]}: ${String(given)}`
      )
    }
  }
})

t.test('a value that was decoded is its own encoded value', async t => {
  const uploads: Array<[TSchema, unknown]> = [
    [Type.String(), 'a'],
    [bson.Boolean(), 1],
    [bson.Int32(), '5'],
    [bson.Long(), '9007199254740993'],
    [Type.Union([Type.Record(Type.String(), Type.Unknown()), bson.ObjectId()]), oid.toString()],
    [bson.Double(), 5],
    [bson.Decimal128(), 'NaN'],
    [bson.Date(), '2024-10-31'],
    [bson.ObjectId(), oid.toString()],
    [bson.UUID(), uuid.toString()],
    [bson.Binary(), 'AQI='],
    [Type.Array(bson.Long()), '[1,9223372036854775807]'],
    [Type.Object({ d: bson.Double(), u: Type.Union([bson.Date(), Type.Null()]) }), '{"d":1,"u":null}'],
    [Type.Union([bson.Date(), Type.String()]), 'soon'],
    [Type.Record(Type.String(), bson.Decimal128()), '{"a":0.1}'],
    [Type.Unknown(), { a: [null, 1.5] }]
  ]
  for (const [type, uploaded] of uploads) {
    const compiled = compileCollection('todos', collection({ schema: Type.Object({ value: type }) }))
    const { value } = compiled.put({ value: uploaded }) as { value: unknown }
    t.equal(bytes(compiled.encode('value', value, 'transform')), bytes(value))
  }
})

t.test('an error names who gave what for which field, and no value', async t => {
  const schema = Type.Object({
    due: bson.Date(),
    count: bson.Int32(),
    ref: bson.ObjectId(),
    address: Type.Object({ since: bson.Date() })
  })
  const { encode } = compileCollection('todos', collection({ schema }))
  const message = (field: string, value: unknown) => {
    try {
      return encode(field, value, 'resolveConflict')
    } catch (error) {
      return (error as Error).message
    }
  }
  t.equal(message('due', 'secret'), 'resolveConflict gave text for todos.due: expected a valid Date')
  t.equal(message('due', new Date(NaN)), 'resolveConflict gave an invalid Date for todos.due: expected a valid Date')
  t.equal(message('count', NaN), 'resolveConflict gave NaN for todos.count: expected a whole number of 32 bits')
  t.equal(message('count', null), 'resolveConflict gave null for todos.count: expected a whole number of 32 bits')
  t.equal(
    message('ref', new UUID()),
    "resolveConflict gave a UUID for todos.ref: expected an ObjectId of @fastify/mongodb's driver"
  )
  t.equal(
    message('address', { since: 'secret' }),
    'resolveConflict gave text for todos.address.since: expected a valid Date'
  )
  t.equal(message('address', {}), 'resolveConflict gave nothing for todos.address.since: expected a valid Date')
  t.equal(
    message('other', { a: [() => 1] }),
    'resolveConflict gave a function for todos.other.a[0]: expected any BSON value'
  )
  t.equal(message('other', 5n), 5n)
})

t.test('defaults are encoded by the schema, from the option and from the schema itself', async t => {
  const compiled = compileCollection('todos', collection({
    schema: Type.Object({
      l: bson.Long(),
      d: bson.Double(),
      m: bson.Decimal128(),
      done: Type.Boolean({ default: false }),
      at: bson.Date({ default: () => new Date(5) }),
      tags: Type.Array(Type.String(), { default: [] }),
      state: Type.Union([Type.Literal('open'), Type.Literal('done')], { default: 'open' }),
      note: Type.Optional(Type.String({ default: 'overruled' })),
      locked: Type.Boolean({ default: true })
    }),
    defaults: { l: () => 0 as never, d: () => 0 as never, m: () => 0 as never, note: () => null },
    writable: ['l', 'd', 'm', 'done', 'at', 'tags', 'state', 'note']
  }))
  const row = {
    l: 0n,
    d: new Double(0),
    m: Decimal128.fromString('0'),
    done: false,
    at: new Date(5),
    tags: [],
    state: 'open',
    note: null
  }
  t.equal(bytes(compiled.put({})), bytes(row))
  t.equal(bytes(compiled.put({ done: null, state: 'done' })), bytes({ ...row, state: 'done' }))
  t.strictSame(compiled.patch({}), {})
  t.match(compiled.patch({ done: null }), { code: 'INVALID_DATA' })
  t.strictSame(compiled.onInsert(), { locked: true })
  const [first, second] = [compiled.put({}), compiled.put({})] as [{ tags: unknown }, { tags: unknown }]
  t.not(first.tags, second.tags, 'rows share nothing')
})

t.test('a default that does not fit is an error that names it', async t => {
  const table = (schema: TSchema, defaults = {}) =>
    compileCollection('todos', collection({ schema: Type.Object({ value: schema }), defaults }))
  t.throws(() => table(bson.Date(), { value: () => 'now' }).put({}), {
    message: 'defaults gave text for todos.value: expected a valid Date'
  })
  t.throws(() => table(bson.Int32(), { value: () => NaN }).put({}), {
    message: 'defaults gave NaN for todos.value: expected a whole number of 32 bits'
  })
  t.throws(() => table(bson.Date({ default: () => 'now' })).put({}), {
    message: 'the default in the schema gave text for todos.value: expected a valid Date'
  })
  t.throws(() => table(bson.Date({ default: 'now' })), {
    code: 'FST_PSM_OPTION',
    message: /is wrong at value: it has a default that does not fit: the default in the schema gave text/
  })
  t.throws(() => table(Type.Boolean({ default: null })), {
    code: 'FST_PSM_OPTION',
    message: /is wrong at value: it has the default null, and is required: use Type\.Optional/
  })
  t.strictSame(table(Type.Optional(Type.Boolean({ default: null }))).put({}), { value: null })
  const closed = compileCollection('todos', collection({
    schema: Type.Object({ name: Type.String(), locked: Type.Boolean(), note: Type.Optional(Type.String()) }),
    writable: ['name'],
    defaults: { locked: () => null as never, note: () => null }
  }))
  t.throws(() => closed.onInsert(), {
    message: 'defaults gave null for todos.locked: expected true or false'
  }, 'clients have no part in a field that they cannot write')
  t.strictSame(closed.onInsert(undefined, { locked: true }), { note: null })
  t.type(
    table(Type.String(), { value: () => undefined }).put({}),
    DecodeFault,
    'nothing does not stand for a required field'
  )
})

t.test('what the driver read has the types of the schema, at any depth', async t => {
  const { read } = compileCollection('todos', collection({
    schema: Type.Object({
      l: bson.Long(),
      d: bson.Double(),
      maybe: Type.Union([bson.Long(), Type.Null()]),
      either: Type.Union([bson.Double(), Type.String()]),
      text: Type.String(),
      list: Type.Array(bson.Long()),
      record: Type.Record(Type.String(), bson.Double()),
      json: Type.Object({ l: bson.Long(), other: Type.String() }),
      mixed: Type.Union([Type.String(), bson.Long()]),
      ref: Type.Optional(Type.Union([Type.Record(Type.String(), bson.Double()), bson.ObjectId()]))
    })
  }))
  t.strictSame(
    read({
      _id: 1,
      l: 5,
      d: 5,
      maybe: null,
      either: 1.5,
      text: 'x',
      list: [1, Long.MAX_VALUE],
      record: { a: 1 },
      json: { l: 1, other: 'x', more: 5 },
      mixed: 7,
      unknown: 5
    }),
    {
      _id: 1,
      l: 5n,
      d: new Double(5),
      maybe: null,
      either: new Double(1.5),
      text: 'x',
      list: [1n, 2n ** 63n - 1n],
      record: { a: new Double(1) },
      json: { l: 1n, other: 'x', more: 5 },
      mixed: 7n,
      unknown: 5
    }
  )
  t.strictSame(read({ l: 'written by others', list: 'x', record: null, json: [1], either: true }), {
    l: 'written by others',
    list: 'x',
    record: null,
    json: [1],
    either: true
  })
  t.strictSame(read({ ref: oid, record: date }), { ref: oid, record: date })
  const keyed = Type.Object({ value: Type.Record(Type.String({ pattern: '^x' }), bson.Long()) })
  t.strictSame(
    compileCollection('rows', collection({ schema: keyed })).read({ value: { x1: 1, count: 1 } }),
    { value: { x1: 1n, count: 1 } }
  )
  // The driver reads the long ±2^53 as a number.
  t.strictSame(read({ list: [2 ** 53, -(2 ** 53)] }), { list: [2n ** 53n, -(2n ** 53n)] })
  const document = { _id: 1 }
  t.equal(compileCollection('rows', collection({ schema: 'any' })).read(document), document)
})

t.test('digits that an operation came with are numbers for MongoDB in whatever a hook makes of them', async t => {
  const { encode } = compileCollection('todos', collection({ schema: Type.Object({ value: Type.Unknown() }) }))
  const uploaded = parseJson('{"l":9007199254740993,"d":[0.12345678901234567890]}') as object
  const given = { ...uploaded, at: date, none: null, absent: undefined }
  t.equal(
    bytes(encode('value', given, 'transform')),
    bytes({ l: 9007199254740993n, d: [Decimal128.fromString('0.12345678901234567890')], at: date, none: null })
  )
})
