import t from 'tap'
import { FormatRegistry, Kind, Type, type TSchema } from '@sinclair/typebox'
import { Double } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import { compileCollection, decoderOf, decodersOf } from './decode.js'

const address = Type.Object({
  street: Type.String(),
  since: Type.Optional(bson.Date()),
  lines: Type.Array(Type.Object({ primary: bson.Boolean() }), { maxItems: 2 })
})

const fault = (type: TSchema, value: unknown) => {
  const { code, path, expected, found } = decoderOf(type)(value) as DecodeFault
  return [code, path, expected, found]
}

t.test('a JSON column is read from text or as a parsed value, and converted at every depth', async t => {
  const expected = {
    lines: [{ primary: true }, { primary: false }],
    since: new Date('2024-10-31T00:00:00Z'),
    street: 'x'
  }
  const uploaded = { lines: [{ primary: 1 }, { primary: 'false' }], since: '2024-10-31', street: 'x' }
  for (const type of [address, bson.Json(address), Type.Union([address, Type.Null()])]) {
    t.strictSame(decoderOf(type)(JSON.stringify(uploaded)), expected)
    t.strictSame(decoderOf(type)(uploaded), expected)
  }
})

t.test('what is of a class is no object, since its properties are not its value', async t => {
  for (const type of [Type.Record(Type.String(), Type.Unknown()), Type.Object({ a: Type.Optional(Type.String()) })]) {
    for (const value of [new Date(0), new Map(), Buffer.from('a')]) t.type(decoderOf(type)(value), DecodeFault)
    t.strictSame(decoderOf(type)(Object.create(null)), {})
  }
})

t.test('a JSON column may be null if its content may', async t => {
  const nullable = Type.Union([address, Type.Null()])
  for (const type of [nullable, bson.Json(nullable)]) {
    t.equal(decoderOf(type)(null), null)
    t.equal(decoderOf(type)(undefined), null)
  }
  t.match(decoderOf(bson.Json(address))(null), { code: 'INVALID_DATA', problem: 'is required' })
  t.match(decoderOf(bson.Json(Type.Unknown()))(null), { code: 'INVALID_DATA', problem: 'is required' })
})

t.test('names keep the order in which they came', async t => {
  const decoded = decoderOf(address)('{"street":"x","lines":[]}')
  t.strictSame(Object.keys(decoded as object), ['street', 'lines'])
})

t.test('a fault says where in the JSON it is', async t => {
  t.strictSame(fault(address, '{"street":"x","lines":[{"primary":1},{"primary":"yes"}]}'), [
    'INVALID_DATA',
    'value.lines[1].primary',
    '1, 0, true or false',
    'text'
  ])
  t.strictSame(fault(address, '{"street":"x"}'), ['INVALID_DATA', 'value.lines', 'an array of 0 to 2 items', 'nothing'])
  t.strictSame(fault(address, '{"street":null,"lines":[]}'), ['INVALID_DATA', 'value.street', 'text', 'null'])
  t.strictSame(fault(address, '{"street":"x","lines":[{},{},{}]}'), [
    'INVALID_DATA',
    'value.lines[0].primary',
    '1, 0, true or false',
    'nothing'
  ])
  t.strictSame(fault(address, { street: 'x', lines: [{ primary: 1 }, { primary: 1 }, { primary: 1 }] }), [
    'INVALID_DATA',
    'value.lines',
    'an array of 0 to 2 items',
    'an array'
  ])
  t.strictSame(fault(address, { street: 'x', lines: 'none' }), [
    'INVALID_DATA',
    'value.lines',
    'an array of 0 to 2 items',
    'text'
  ])
  t.strictSame(fault(address, { street: 'x', lines: [], colour: 1 }), [
    'SCHEMA_MISMATCH',
    'value.colour',
    'one of street, since or lines',
    'another name'
  ])
  t.strictSame(fault(address, '[]'), ['INVALID_DATA', 'value', 'an object', 'an array'])
  t.strictSame(fault(Type.Array(bson.Int32()), '{}'), ['INVALID_DATA', 'value', 'an array', 'an object'])
  t.strictSame(fault(address, '{"street":'), ['INVALID_DATA', 'value', 'JSON text of an object', 'other text'])
  t.strictSame(fault(address, '"street"'), ['INVALID_DATA', 'value', 'JSON text of an object', 'other text'])
  t.strictSame(fault(address, 'null'), ['INVALID_DATA', 'value', 'JSON text of an object', 'other text'])
  t.strictSame(fault(address, 5), ['INVALID_DATA', 'value', 'JSON text of an object', 'a number'])
  t.strictSame(fault(bson.Json(Type.Unknown()), { a: [1, { b: '\ud800' }] }), [
    'INVALID_DATA',
    'value.a[1].b',
    'well-formed Unicode text',
    'text with half a character'
  ])
  t.strictSame(fault(bson.Json(Type.Unknown()), { a: [Infinity] }), [
    'INVALID_DATA',
    'value.a[0]',
    'a finite number',
    'a number beyond it'
  ])
})

t.test('null and absence: optional properties may be both, required ones neither', async t => {
  const decode = decoderOf(Type.Object({ a: Type.Optional(bson.Int32()), b: Type.Union([bson.Int32(), Type.Null()]) }))
  t.strictSame(decode('{"a":null,"b":null}'), { a: null, b: null })
  t.type(decode('{"a":1}'), DecodeFault, 'nullable is not optional')
  t.type(decode({ a: undefined, b: 1 }), DecodeFault, 'JSON has no undefined')
  t.type(decoderOf(Type.Object({ a: bson.Int32(), b: Type.Optional(bson.Int32()) }))('{"b":1}'), DecodeFault)
})

t.test('names that nothing may have are rejected at every depth', async t => {
  const types = [
    bson.Json(Type.Unknown()), Type.Object({ in: Type.Unknown() }), Type.Record(Type.String(), Type.Unknown()),
    Type.Object({}, { additionalProperties: true }), Type.Object({}, { additionalProperties: Type.Unknown() })
  ]
  const names = ['a\0b', '__proto__', '_bsontype', '\ud800']
  for (const type of types) {
    for (const name of names) {
      for (const json of [`{"in":{${JSON.stringify(name)}:1}}`, `{"in":[{"in":{${JSON.stringify(name)}:{}}}]}`]) {
        t.match(decoderOf(type)(json), { code: 'INVALID_DATA', found: 'a name that data never set' })
      }
      t.match(decoderOf(type)(`{${JSON.stringify(name)}:1}`), {
        code: 'INVALID_DATA',
        found: 'a name that data never set'
      })
    }
  }
})

t.test('names of JavaScript objects are names like any other', async t => {
  const json = '{"constructor":1,"toString":2,"hasOwnProperty":3,"valueOf":4,"prototype":5,"toJSON":6,"":7}'
  for (const type of [bson.Json(Type.Unknown()), Type.Record(Type.String(), bson.Int32())]) {
    t.strictSame(
      JSON.stringify(Object.entries(decoderOf(type)(json) as object)),
      JSON.stringify(Object.entries(JSON.parse(json)))
    )
  }
  const decode = decoderOf(Type.Object({ constructor: bson.Int32(), toString: bson.Int32() }))
  t.strictSame(fault(Type.Object({ constructor: bson.Int32() }), '{}'), [
    'INVALID_DATA',
    'value.constructor',
    'a whole number of 32 bits',
    'nothing'
  ])
  t.strictSame(Object.keys(decode('{"constructor":1,"toString":2}') as object), ['constructor', 'toString'])
})

t.test('JSON is limited to 20 levels', async t => {
  const levels = (count: number) => `${'['.repeat(count)}${']'.repeat(count)}`
  for (const type of [bson.Json(Type.Unknown()), Type.Unknown()]) {
    const decode = decoderOf(type)
    t.strictSame(decode(JSON.parse(levels(20))), JSON.parse(levels(20)))
    t.match(decode(JSON.parse(levels(21))), { expected: 'JSON of at most 20 levels' })
  }
  t.match(decoderOf(bson.Json(Type.Unknown()))(levels(100_000)), { expected: 'JSON of at most 20 levels' })
  const nested = decoderOf(Type.Array(Type.Array(Type.Unknown())))
  t.strictSame(nested(levels(20)), JSON.parse(levels(20)))
  t.match(nested(levels(21)), { expected: 'JSON of at most 20 levels' })
  const keyed = Type.Object({ a: Type.Record(Type.String({ pattern: '^x' }), Type.Number()) })
  const row = compileCollection('rows', collection({ unknownFields: 'drop', schema: Type.Object({ value: keyed }) }))
  t.strictSame(row.put({ value: `{"a":{"b":${levels(18)}}}` }), { value: { a: { b: JSON.parse(levels(18)) } } })
  t.match(row.put({ value: `{"a":{"b":${levels(19)}}}` }), { expected: 'JSON of at most 20 levels' })
})

t.test('a schema that is deeper stops the start', async t => {
  let type: TSchema = Type.String()
  for (let level = 0; level < 22; level++) type = Type.Array(type)
  t.throws(() => decoderOf(type), { code: 'FST_PSM_OPTION', message: /nested deeper than 20 levels/ })
})

t.test('further names in JSON follow additionalProperties, else the collection', async t => {
  const decode = (type: TSchema, unknownFields?: 'drop' | 'store') => {
    const row = compileCollection('rows', collection({ unknownFields, schema: Type.Object({ value: type }) })).put({
      value: '{"a":1,"b":"1"}'
    })
    return row instanceof DecodeFault ? row.code : row['value']
  }
  const a = { a: bson.Int32() }
  t.equal(decode(Type.Object(a)), 'SCHEMA_MISMATCH')
  t.strictSame(
    decode(Type.Object(a), 'drop'),
    { a: 1, b: '1' },
    'what is dropped is columns: of a value, nothing would bring it back'
  )
  t.strictSame(decode(Type.Object(a), 'store'), { a: 1, b: '1' })
  t.equal(decode(Type.Object(a, { additionalProperties: false }), 'store'), 'SCHEMA_MISMATCH')
  t.strictSame(decode(Type.Object(a, { additionalProperties: true })), { a: 1, b: '1' })
  t.strictSame(decode(Type.Object(a, { additionalProperties: bson.Int32() })), { a: 1, b: 1 })
})

t.test('a record checks its names and converts its values', async t => {
  const decode = decoderOf(Type.Record(Type.String({ pattern: '^x' }), bson.Date()))
  t.strictSame(decode('{"x1":"1970-01-01","x2":"1970-01-01"}'), { x1: new Date(0), x2: new Date(0) })
  t.match(decode('{"y":"1970-01-01"}'), {
    code: 'SCHEMA_MISMATCH',
    path: 'value.y',
    expected: 'a name that matches /^x/'
  })
  t.match(decode('{"x":"soon"}'), { code: 'INVALID_DATA', path: 'value.x' })
})

t.test('arrays have sizes, and items that differ as BSON', async t => {
  const decode = decoderOf(Type.Array(bson.Double(), { minItems: 1, maxItems: 3, uniqueItems: true }))
  t.equal((decode('[1,2,3]') as unknown[]).length, 3)
  for (const json of ['[]', '[1,2,3,4]', '[1,1]', '[1,"1.0"]', '[1,null]']) t.type(decode(json), DecodeFault)
})

t.test('a union of objects takes the first that fits', async t => {
  const decode = decoderOf(Type.Union([
    Type.Object({ kind: Type.Literal('at'), at: bson.Date() }),
    Type.Object({ kind: Type.Literal('in'), days: bson.Int32() }),
    Type.Null()
  ]))
  t.strictSame(decode('{"kind":"in","days":"3"}'), { kind: 'in', days: 3 })
  t.strictSame(decode('{"kind":"at","at":"1970-01-01"}'), { kind: 'at', at: new Date(0) })
  t.match(decode('{"kind":"at","days":3}'), {
    path: 'value',
    expected: 'JSON text of an object or JSON text of an object'
  })
})

t.test('a type of a union that describes all names comes before those that take others', async t => {
  const type = Type.Union([
    Type.Object({ a: Type.Optional(Type.Number()) }),
    Type.Record(Type.String({ pattern: '^x' }), Type.Number()),
    Type.Object({ n: bson.Long(), in: Type.Optional(Type.Union([Type.Object({}), Type.Object({ d: bson.Double() })])) })
  ])
  for (const unknownFields of ['reject', 'drop', 'store'] as const) {
    const compiled = compileCollection('rows', collection({ unknownFields, schema: Type.Object({ value: type }) }))
    const stored = { n: 5n, in: { d: new Double(1) } }
    t.strictSame(compiled.put({ value: '{"n":5,"in":{"d":1}}' }), { value: stored }, unknownFields)
    t.strictSame(compiled.read({ value: { n: 5, in: { d: 1 } } }), { value: stored }, 'as a hook reads it')
    t.strictSame(compiled.encode('value', { n: 5, in: { d: 1 } }, 'transform'), stored, 'as a hook gives it')
    t.strictSame(compiled.encode('value', { a: 1, more: true }, 'transform'), { a: 1, more: true })
  }
  const open = compileCollection('rows', collection({ unknownFields: 'store', schema: Type.Object({ value: type }) }))
  t.strictSame(open.put({ value: '{"n":5,"more":1}' }), { value: { n: 5, more: 1 } }, 'else the first that fits')
})

t.test('bson.Json inside JSON is its content', async t => {
  t.strictSame(decoderOf(Type.Object({ in: bson.Json(Type.Array(bson.Boolean())) }))('{"in":[1]}'), { in: [true] })
})

t.test('odd names in paths are quoted and cut', async t => {
  t.equal(fault(Type.Object({}), JSON.stringify({ 'a b': 1 }))[1], 'value."a b"')
  t.equal(fault(Type.Object({}), JSON.stringify({ ['x'.repeat(1000)]: 1 }))[1], `value."${'x'.repeat(64)}…"`)
})

t.test('items are duplicates as JSON Schema has it', async t => {
  const unknown = decoderOf(Type.Array(Type.Unknown(), { uniqueItems: true }))
  for (const items of [
    '[1,1.0]',
    '[0,-0]',
    '[{"a":1,"b":[0]},{"b":[-0],"a":1}]',
    '[9007199254740993,9007199254740993]',
    '[{"a":{"toString":1},"b":2},{"b":2,"a":{"toString":1}}]',
    '[null,null]'
  ]) { t.type(unknown(items), DecodeFault, items) }
  for (const items of [
    '[1,"1"]',
    '[[1,2],[2,1]]',
    '[9007199254740993,9007199254740992]',
    '[{"a":1},{"a":1,"b":null}]',
    '[{"a":{"toString":{}},"b":1},{"a":{"toString":[]},"b":1}]',
    '[]'
  ]) { t.notOk(unknown(items) instanceof DecodeFault, items) }
  t.type(decoderOf(Type.Array(bson.Double(), { uniqueItems: true }))([0, -0]), DecodeFault)
  t.type(decoderOf(Type.Array(bson.Date(), { uniqueItems: true }))(['2024-01-01', '2024-01-01T00:00Z']), DecodeFault)
})

t.test('half a character is called by its name', async t => {
  t.strictSame(fault(Type.String(), 'a\ud800'), [
    'INVALID_DATA',
    'value',
    'well-formed Unicode text',
    'text with half a character'
  ])
  t.strictSame(fault(Type.Array(Type.String()), '["\\udc00"]'), [
    'INVALID_DATA',
    'value[0]',
    'well-formed Unicode text',
    'text with half a character'
  ])
  for (const type of [bson.ObjectId(), bson.UUID(), bson.Binary(), bson.Decimal128(), bson.Date()]) {
    t.match(decoderOf(type)('\ud800'), { code: 'INVALID_DATA' }, `${String(type[Kind])} is not made of it`)
  }
})

t.test('what is too long for its pattern, for which V8 has not enough stack, is refused as data', t => {
  const long = 'ab'.repeat(4_000_000)
  t.throws(() => /^(a|b)*$/u.test(long), RangeError)
  const text = Type.String({ pattern: '^(a|b)*$' })
  for (const [where, decode] of Object.entries(decodersOf(text))) {
    t.equal(decode('ab'), 'ab', where)
    t.match(decode(long), { code: 'INVALID_DATA' }, where)
  }
  const record = Type.Record(text, Type.Integer())
  const keys = Type.Object({ keys: record })
  const { put } = compileCollection('rows', collection({ schema: keys }))
  t.match(put({ keys: { [long]: 1 } }), { code: 'SCHEMA_MISMATCH', path: /^keys\."abab/ })
  t.match(decoderOf(Type.Union([text, Type.Integer()]))(long), { code: 'INVALID_DATA' })
  FormatRegistry.Set('letters', value => /^(a|b)*$/.test(value))
  t.teardown(() => FormatRegistry.Delete('letters'))
  t.match(decoderOf(Type.String({ format: 'letters' }))(long), { code: 'INVALID_DATA' }, "in the host's formats, too")
  const dates = Type.Record(text, bson.Long())
  const documents = compileCollection('rows', collection({ schema: Type.Object({ dates }) }))
  t.same(documents.read({ dates: { [long]: 1 } }), { dates: { [long]: 1 } }, 'what others have written is read')
  const { id } = compileCollection('rows', collection({ id: { type: 'string', pattern: '^(a|b)*$' }, schema: keys }))
  t.match(id(long), { code: 'INVALID_DATA', path: 'id' })
  t.end()
})
