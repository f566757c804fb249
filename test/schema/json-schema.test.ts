import fc from 'fast-check'
import t from 'tap'
import { Type, type TSchema } from '@sinclair/typebox'
import { bson, collection, jsonSchemaOf } from '../../index.js'
import { DecodeFault } from '../../lib/client/values.js'
import { satisfies } from '../support/json-schema-checker.js'
import { compileCollection } from './decode.js'

const Everything = Type.Object({
  text: Type.String({ minLength: 1, maxLength: 5, pattern: '^\\S*$' }),
  note: Type.Optional(Type.String({ format: 'email' })),
  flag: bson.Boolean(),
  other: Type.Optional(Type.Boolean()),
  count: bson.Int32({ minimum: 0, exclusiveMaximum: 10 }),
  big: Type.Optional(bson.Long({ exclusiveMinimum: -5n, maximum: 2 ** 53 - 1, multipleOf: 2 })),
  size: Type.Optional(bson.Double({ exclusiveMinimum: 0, maximum: 100 })),
  any: Type.Optional(Type.Number({ minimum: 1, exclusiveMinimum: 0 })),
  whole: Type.Optional(Type.Integer({ maximum: 5, exclusiveMaximum: 9 })),
  price: Type.Optional(bson.Decimal128()),
  at: bson.Date(),
  ref: Type.Optional(bson.ObjectId()),
  uuid: Type.Optional(bson.UUID()),
  bytes: Type.Optional(bson.Binary()),
  state: Type.Union([Type.Literal('open'), Type.Literal('done')]),
  maybe: Type.Union([Type.Literal('x'), Type.Null()]),
  mixed: Type.Optional(Type.Union([bson.Int32(), Type.String({ maxLength: 3 })])),
  kinds: Type.Optional(Type.Union([bson.Date(), Type.Boolean(), Type.Null()])),
  address: Type.Optional(
    bson.Json(
      Type.Object({ street: Type.String(), zip: Type.Optional(Type.String()), at: Type.Optional(bson.Date()) })
    )
  ),
  bare: Type.Optional(Type.Object({ a: Type.Optional(Type.Integer()) })),
  tags: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 3 })),
  table: Type.Optional(Type.Record(Type.String(), Type.Integer())),
  anything: Type.Optional(Type.Unknown())
})
const definition = collection({ schema: Everything })

t.test('each type and constraint that MongoDB knows is in the schema', async t => {
  t.same(jsonSchemaOf(definition), {
    bsonType: 'object',
    required: ['text', 'flag', 'count', 'at', 'state'],
    properties: {
      _id: { bsonType: 'string' },
      text: { bsonType: 'string', minLength: 1, maxLength: 5 },
      note: { bsonType: ['string', 'null'] },
      flag: { bsonType: 'bool' },
      other: { bsonType: ['bool', 'null'] },
      count: { bsonType: 'int', minimum: 0, maximum: 10, exclusiveMaximum: true },
      big: { bsonType: ['long', 'null'], minimum: -5, exclusiveMinimum: true, maximum: 9007199254740991 },
      size: { bsonType: ['double', 'null'], minimum: 0, exclusiveMinimum: true, maximum: 100 },
      any: { bsonType: ['number', 'null'], minimum: 1 },
      whole: { bsonType: ['number', 'null'], maximum: 5 },
      price: { bsonType: ['decimal', 'null'] },
      at: { bsonType: 'date' },
      ref: { bsonType: ['objectId', 'null'] },
      uuid: { bsonType: ['binData', 'null'] },
      bytes: { bsonType: ['binData', 'null'] },
      state: { enum: ['open', 'done'] },
      maybe: { enum: ['x', null] },
      mixed: { anyOf: [{ bsonType: 'int' }, { bsonType: 'string', maxLength: 3 }, { bsonType: 'null' }] },
      kinds: { bsonType: ['date', 'bool', 'null'] },
      address: {
        bsonType: ['object', 'null'],
        required: ['street'],
        properties: {
          street: { bsonType: 'string' },
          zip: { bsonType: ['string', 'null'] },
          at: { bsonType: ['date', 'null'] }
        }
      },
      bare: { bsonType: ['object', 'null'], properties: { a: { bsonType: ['number', 'null'] } } },
      tags: { bsonType: ['array', 'null'], items: { bsonType: 'string' }, minItems: 1, maxItems: 3 },
      table: { bsonType: ['object', 'null'], additionalProperties: { bsonType: 'number' } },
      anything: {}
    }
  })
})

t.test('an optional enum may be null, ids have their type, and a field that nobody sets is not required', async t => {
  const Literal = Type.Object({
    a: Type.Optional(Type.Union([Type.Literal('x'), Type.Literal(1)])),
    b: Type.String(),
    c: Type.String()
  })
  const schema = (id: Parameters<typeof collection>[0]['id']) =>
    jsonSchemaOf(collection({ schema: Literal, id, writable: ['a'], defaults: { c: () => 'x' } }), 'table')
  t.match(schema('uuid'), { required: ['c'], properties: { _id: { bsonType: 'string' }, a: { enum: ['x', 1, null] } } })
  t.match(schema({ type: 'uuid', store: 'bson' }), { properties: { _id: { bsonType: 'binData' } } })
  t.match(schema('objectId'), { properties: { _id: { bsonType: 'objectId' } } })
  t.match(schema('integer'), { properties: { _id: { bsonType: ['int', 'long'] } } })
  t.notOk('_id' in (schema({ decode: text => text, encode: String })!['properties'] as object))
  t.same(jsonSchemaOf(collection({ schema: Type.Object({}) })), {
    bsonType: 'object',
    properties: { _id: { bsonType: 'string' } }
  })
  t.equal(jsonSchemaOf(collection({ schema: 'any' })), undefined)
  t.match(jsonSchemaOf(collection({ schema: Type.Object({ a: Type.Any() }) })), { properties: { a: {} } })
})

t.test('a field that some users cannot write may be missing, unless the server sets it', async t => {
  const fields = { name: Type.String(), state: Type.String(), org: Type.String(), note: Type.Optional(Type.String()) }
  const schema = Type.Object(fields)
  const required = (options: object) => jsonSchemaOf(collection({ schema, ...options }))!['required']
  t.same(required({}), ['name', 'state', 'org'])
  t.same(required({ writable: () => ['name'] }), undefined)
  t.same(required({ writable: () => ['name'], owner: 'org', defaults: { state: () => 'open' } }), ['state', 'org'])
})

t.test('null is in a schema once, wherever it comes from, and sizes that MongoDB refuses are left out', async t => {
  const nullable = Type.Union([Type.String(), Type.Null()])
  const schema = jsonSchemaOf(collection({
    schema: Type.Object({
      twice: Type.Optional(nullable),
      mixed: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.String(), Type.Null()])),
      long: Type.String({ minLength: 0.5, maxLength: Infinity }),
      list: Type.Array(nullable, { minItems: -1 })
    })
  }))
  const { twice, mixed, long, list } = schema!['properties'] as Record<string, unknown>
  t.same(twice, { bsonType: ['string', 'null'] })
  t.same(mixed, { anyOf: [{ bsonType: 'number', minimum: 1 }, { bsonType: 'string' }, { bsonType: 'null' }] })
  t.same(long, { bsonType: 'string' })
  t.same(list, { bsonType: 'array', items: { bsonType: ['string', 'null'] } })
})

t.test('a value is in an enum once, however often the schema names it, since MongoDB refuses the list', async t => {
  const union = (...values: string[]) => Type.Union(values.map(value => Type.Literal(value)))
  const schema = jsonSchemaOf(collection({
    schema: Type.Object({
      text: Type.String({ enum: ['a', 'b', 'a'] }),
      literals: union('a', 'b', 'a'),
      overlapping: Type.Union([union('a', 'b'), union('b', 'c')]),
      nullable: Type.Optional(Type.Union([union('a', 'b'), union('b', 'c'), Type.Null()]))
    })
  }))
  t.same(schema!['properties'], {
    _id: { bsonType: 'string' },
    text: { enum: ['a', 'b'] },
    literals: { enum: ['a', 'b'] },
    overlapping: { enum: ['a', 'b', 'c'] },
    nullable: { enum: ['a', 'b', 'c', null] }
  })
})

t.test('names that MongoDB reads as paths are left out', async t => {
  const names = Object.fromEntries(['', '$a', 'a.b', 'c'].map(name => [name, Type.Integer()]))
  const { properties } = jsonSchemaOf(collection({ schema: Type.Object({ value: Type.Object(names) }) }))!
  t.match(properties, {
    value: { bsonType: 'object', required: ['c'], properties: { c: { bsonType: 'number' } } }
  })
  const { value } = properties as { value: { properties: object } }
  t.strictSame(Object.keys(value.properties), ['c'])
})

t.test('names that an object or a record does not list have a type, unless MongoDB would find others among them', t => {
  const shapeOf = (type: TSchema) =>
    (jsonSchemaOf(collection({ schema: Type.Object({ value: type }) })) as any)['properties'].value
  const additionalProperties = { bsonType: ['date', 'null'] }
  const date = Type.Union([bson.Date(), Type.Null()])
  t.strictSame(shapeOf(Type.Record(Type.String(), date)), { bsonType: 'object', additionalProperties })
  t.strictSame(shapeOf(Type.Object({ a: bson.Int32() }, { additionalProperties: date })), {
    bsonType: 'object', required: ['a'], properties: { a: { bsonType: 'int' } }, additionalProperties
  })
  t.strictSame(shapeOf(Type.Object({ 'a.b': bson.Int32() }, { additionalProperties: date })), {
    bsonType: 'object', properties: {}
  })
  t.strictSame(shapeOf(Type.Record(Type.String({ pattern: '^x' }), date)), { bsonType: 'object' })
  t.strictSame(shapeOf(Type.Record(Type.String(), Type.Unknown())), { bsonType: 'object' })
  t.end()
})

t.test('limits of a long are numbers, and those beyond 2⁵³ are left out', t => {
  const { properties } = jsonSchemaOf(collection({
    schema: Type.Object({ value: bson.Long({ minimum: -(2n ** 60n), maximum: 2n ** 53n, exclusiveMaximum: 5 }) })
  }))!
  t.match(properties, { value: { bsonType: 'long', maximum: 5, exclusiveMaximum: true } })
  t.end()
})

/** What clients send for each column, right or wrong. */
const uploaded = fc.record({
  text: fc.string({ maxLength: 7 }),
  note: fc.constantFrom('a@example.com', null, 'x'),
  flag: fc.constantFrom(0, 1, true, 'true'),
  other: fc.constantFrom(0, 1, null),
  count: fc.integer({ min: -1, max: 11 }),
  big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }).map(String),
  size: fc.double({ min: -1, max: 101, noNaN: true }),
  any: fc.double({ min: 0, max: 5, noNaN: true }),
  whole: fc.integer({ min: -5, max: 9 }),
  price: fc.constantFrom('1.50', '1E+3', null),
  at: fc.date({ noInvalidDate: true }).map(date => date.toISOString()),
  ref: fc.constantFrom('61d19021a565468600000001', null),
  uuid: fc.uuid(),
  bytes: fc.uint8Array().map(bytes => Buffer.from(bytes).toString('base64')),
  state: fc.constantFrom('open', 'done', 'gone'),
  maybe: fc.constantFrom('x', null, 'y'),
  mixed: fc.constantFrom(1, 'abc', 'abcd', null),
  kinds: fc.constantFrom('2024-10-31 10:33:24', 1, null),
  address: fc.constantFrom(
    '{"street":"s"}',
    '{"street":"s","zip":"z","at":"2024-10-31T10:33:24Z"}',
    '{"street":"s","zip":null,"at":null}',
    '{}',
    null
  ),
  bare: fc.constantFrom('{"a":1}', '{"a":null}', '{}', '[]'),
  tags: fc.array(fc.string(), { maxLength: 4 }).map(tags => JSON.stringify(tags)),
  table: fc.constantFrom('{"a":1}', '{"a":"b"}', null),
  anything: fc.constantFrom(1, 'x', 1.5, null)
}, { requiredKeys: ['text', 'flag', 'count', 'at', 'state', 'maybe'] })

t.test('whatever the decoder lets through passes the schema, as a PUT and as a PATCH of what is there', async t => {
  const compiled = compileCollection('table', definition)
  const schema = jsonSchemaOf(definition)!
  let stored: Record<string, unknown> | undefined
  let passed = 0
  const required = new Set(jsonSchemaOf(definition)!['required'] as string[])
  fc.assert(fc.property(uploaded, row => {
    // With what is wrong in optional columns left out, more rows get through.
    const accepted = Object.entries(row).filter(
      ([column, value]) => required.has(column) || !(compiled.patch({ [column]: value }) instanceof DecodeFault)
    )
    const document = compiled.put(Object.fromEntries(accepted))
    if (!(document instanceof DecodeFault)) {
      stored = { _id: 'a', ...document }
      if (!satisfies(stored, schema)) return false
      passed++
    }
    for (const [column, value] of Object.entries(row)) {
      const patch = compiled.patch({ [column]: value })
      if (stored && !(patch instanceof DecodeFault) && !satisfies({ ...stored, ...patch }, schema)) return false
    }
    return true
  }), { numRuns: 2000 })
  t.ok(passed > 100, `${passed} rows passed`)
})

interface Sample { schema: TSchema, value: fc.Arbitrary<unknown> }

/** Any schema that a JSON column can have inside, with values that it accepts. */
const { any: nested } = fc.letrec<{ any: Sample, leaf: Sample, container: Sample }>(tie => ({
  leaf: fc.constantFrom<Sample>(
    { schema: Type.String({ minLength: 1, maxLength: 2 }), value: fc.constantFrom('a', 'é😀') },
    { schema: Type.String({ pattern: '^\\s.?$' }), value: fc.constantFrom('\u00a0', '\u00a0b') },
    { schema: Type.Boolean(), value: fc.constantFrom(0, true, '1') },
    {
      schema: Type.Number({ exclusiveMinimum: 0, minimum: -1, multipleOf: 0.1 }),
      value: fc.constantFrom(0.3, '1e3', 5e-324, 0.1 + 0.2)
    },
    { schema: Type.Integer({ multipleOf: 7, maximum: 1e15 }), value: fc.constantFrom(-7, '0', -0, 7e14) },
    { schema: bson.Int32({ minimum: 0 }), value: fc.constantFrom(0, '2147483647') },
    { schema: bson.Long({ maximum: 9n }), value: fc.constantFrom(9, '-9223372036854775808') },
    { schema: bson.Double({ exclusiveMaximum: 1.5, maximum: 1 }), value: fc.constantFrom(1, '-0', -1e300) },
    { schema: bson.Decimal128(), value: fc.constantFrom('1E+3', 'NaN', 1.5) },
    { schema: bson.Date({ minimumTimestamp: 0 }), value: fc.constantFrom('2024-10-31 10:33:24', '+010000-01-01') },
    { schema: bson.UUID(), value: fc.constant('00000000-0000-4000-8000-000000000000') },
    { schema: bson.Binary({ subType: 5 }), value: fc.constant('AAAA') },
    { schema: Type.Literal(1), value: fc.constantFrom(1, '1', '1.0') },
    { schema: Type.Unknown(), value: fc.constantFrom(null, [1, { a: null }], 'x') }
  ),
  container: fc.oneof(
    fc
      .tuple(tie('any'), fc.boolean())
      .map(([{ schema, value }, uniqueItems]) => ({
        schema: Type.Array(schema, { uniqueItems }),
        value: fc.array(value, { maxLength: 3 })
      })),
    tie('any').map(({ schema, value }) => ({
      schema: Type.Record(Type.String(), schema),
      value: fc.dictionary(fc.constantFrom('a', 'b'), value)
    })),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => ({
      schema: Type.Object({ a: a.schema, b: Type.Optional(b.schema) }),
      value: fc.record({ a: a.value, b: fc.option(b.value) }, { requiredKeys: ['a'] })
    }))
  ),
  any: fc.oneof({ maxDepth: 4 }, tie('leaf'), tie('container'),
    tie('any').map(({ schema, value }) => ({ schema: Type.Union([schema, Type.Null()]), value: fc.option(value) })),
    fc
      .tuple(tie('any'), tie('any'))
      .map(([a, b]) => ({ schema: Type.Union([a.schema, b.schema]), value: fc.oneof(a.value, b.value) })))
}))

t.test('whatever the decoder lets through passes the schema, for any schema', async t => {
  let passed = 0
  const sample = nested.chain(({ schema, value }) => fc.tuple(fc.constant(schema), value))
  fc.assert(fc.property(sample, ([schema, value]) => {
    const definition = collection({ schema: Type.Object({ json: Type.Object({ value: schema }) }) })
    const document = compileCollection('table', definition).put({ json: JSON.stringify({ value }) })
    if (document instanceof DecodeFault) return true
    passed++
    return satisfies({ _id: 'a', ...document }, jsonSchemaOf(definition)!)
  }), { numRuns: 2000 })
  t.ok(passed > 500, `${passed} documents passed`)
})

t.test('a document that another program breaks does not pass', async t => {
  const compiled = compileCollection('table', definition)
  const good = {
    _id: 'a',
    ...compiled.put({ text: 'x', flag: 1, count: 5, at: '2024-10-31', state: 'open', maybe: null })
  }
  const schema = jsonSchemaOf(definition)!
  t.ok(satisfies(good, schema))
  t.ok(satisfies({ ...good, server_only: 1 }, schema), 'the server may have fields of its own')
  const broken: Record<string, unknown> = {
    _id: 5,
    text: 'too long',
    flag: 1,
    count: 10,
    big: 1,
    size: 0,
    any: 0.5,
    whole: 6,
    at: '2024-10-31',
    state: 'gone',
    maybe: 'y',
    mixed: 'abcd',
    kinds: 'x',
    address: {},
    tags: [],
    table: 5
  }
  for (const [field, value] of Object.entries(broken)) t.notOk(satisfies({ ...good, [field]: value }, schema), field)
  for (const field of ['text', 'flag', 'count', 'at', 'state']) {
    const { [field]: _, ...rest } = good as Record<string, unknown>
    t.notOk(satisfies(rest, schema), `without ${field}`)
  }
})
