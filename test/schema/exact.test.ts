import fc from 'fast-check'
import t from 'tap'
import { Type, type TSchema } from '@sinclair/typebox'
import { Decimal128, Double, Long } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import { parseJson } from '../../lib/json.js'
import { bytes, compileCollection, decoderOf } from './decode.js'

const long = (text: string) => Long.fromString(text)
const decimal = (text: string) => Decimal128.fromString(text)
const double = (value: number) => new Double(value)
/** Not a value: the number has to be refused. */
const refused = Symbol('refused')

/** A JSON number, by the type of its place → what MongoDB gets. */
const numbers: Array<[type: TSchema, digits: string, stored: unknown]> = [
  [bson.Long(), '9223372036854775807', long('9223372036854775807')],
  [bson.Long(), '-9223372036854775808', long('-9223372036854775808')],
  [bson.Long(), '9007199254740993', long('9007199254740993')],
  [bson.Long(), '1152921504606846976', long('1152921504606846976')],
  [bson.Long(), '9223372036854775808', refused],
  [bson.Long(), '9007199254740993.5', refused],
  [bson.Decimal128(), '0.12345678901234567890', decimal('0.12345678901234567890')],
  [bson.Decimal128(), '0.12345678901234567', decimal('0.12345678901234567')],
  [bson.Decimal128(), '9007199254740993', decimal('9007199254740993')],
  [bson.Decimal128(), '1e400', decimal('1E+400')],
  [bson.Decimal128(), '1e-400', decimal('1E-400')],
  [bson.Decimal128(), '1'.repeat(35), refused],
  [bson.Double(), '1152921504606846976', double(2 ** 60)],
  [bson.Double(), '1152921504606847000', double(2 ** 60)], // as JavaScript prints it
  [bson.Double(), '0.30000000000000004', double(0.1 + 0.2)],
  [bson.Double(), '9007199254740993', refused],
  [bson.Double(), '0.12345678901234567890', refused],
  [bson.Double(), '1e400', refused],
  [bson.Double(), '1e-400', refused],
  [bson.Double(), '-0', double(-0)],
  [bson.Double(), '9007199254740993.0', refused],
  [bson.Double(), '90071992547409931.0', refused],
  [bson.Double(), '9007199254740994.0', double(9007199254740994)],
  [bson.Double(), '2.82879384806159008E17', double(282879384806159008)], // as Java prints it
  [bson.Double(), '0.33333333333333332', double(1 / 3)], // as SQLite prints it, here with a wrong last digit:
  [bson.Double(), '947045.86560496118', double(947045.8656049612)],
  [bson.Double(), '4.9E-324', double(5e-324)],
  [bson.Double(), '3e-324', refused],
  [bson.Double(), '1.23456789e-320', refused],
  [bson.Double(), '1.2345678901234567e-400', refused],
  [bson.Double(), '9007199254740993.5', refused],
  [bson.Double(), '3.1063773103705299e-307', double(3.1063773103705299e-307)],
  [Type.Number(), '9.007199254740993e15', refused],
  [Type.Number(), '9'.repeat(310), refused],
  [Type.Integer(), '9'.repeat(400), refused],
  [Type.Number(), '9007199254740993', refused],
  [Type.Number(), '0.12345678901234567890', refused],
  [Type.Number(), '9007199254740992', 2 ** 53],
  [Type.Integer(), '9007199254740993', refused],
  [Type.Integer({ multipleOf: 2 }), '9007199254740991', refused],
  [Type.Integer({ multipleOf: 7 }), '9007199254740989', refused],
  [Type.Integer({ multipleOf: 2 }), '9007199254740990', 9007199254740990],
  [Type.Integer(), '5.00000000000000000001', refused],
  [bson.Int32(), '5.00000000000000000001', refused],
  [bson.Int32(), '-0', 0],
  [bson.Boolean(), '1.00000000000000000001', refused],
  [Type.String(), '9007199254740993', refused],
  [Type.Literal(0), '"-0"', 0],
  [Type.Literal(2 ** 53), '9007199254740992', 2 ** 53],
  [Type.Literal(2 ** 53), '9007199254740993', refused],
  [Type.Unknown(), '9007199254740993', long('9007199254740993')],
  [Type.Any(), '-9223372036854775808', long('-9223372036854775808')],
  [Type.Unknown(), '9223372036854775808', 2 ** 63],
  [Type.Unknown(), '9223372036854775809', decimal('9223372036854775809')],
  [Type.Unknown(), '0.12345678901234567890', decimal('0.12345678901234567890')],
  [Type.Unknown(), '0.30000000000000004', 0.1 + 0.2],
  [Type.Unknown(), '1e400', decimal('1E+400')],
  [Type.Unknown(), '1'.repeat(35), refused],
  [Type.Unknown(), '9'.repeat(310), refused],
  [Type.Unknown(), '1'.repeat(401), refused],
  [Type.Unknown(), '-0', -0]
]

/** Where a number can stand: the upload's data as JSON, and where in what is stored it is found. */
const places: Record<
  string,
  (type: TSchema, digits: string) => [schema: TSchema, json: string, path: string, find: (value: any) => unknown]
> = {
  'the body': (type, digits) => [type, `{"value":${digits}}`, 'value', value => value],
  'an object in JSON text': (type, digits) => [
    Type.Object({ in: type }),
    `{"value":${JSON.stringify(`{"in":${digits}}`)}}`,
    'value.in',
    value => value.in
  ],
  'a parsed object': (type, digits) => [
    bson.Json(Type.Object({ in: type })),
    `{"value":{"in":${digits}}}`,
    'value.in',
    value => value.in
  ],
  'an array': (type, digits) => [
    Type.Array(type),
    `{"value":${JSON.stringify(`["${''}" ,${digits}]`.replace('"" ,', ''))}}`,
    'value[0]',
    value => value[0]
  ],
  'a record': (type, digits) => [
    Type.Record(Type.String(), type),
    `{"value":${JSON.stringify(`{"a.b":${digits}}`)}}`,
    'value."a.b"',
    value => value['a.b']
  ],
  'a record in an array in an object': (type, digits) => [
    Type.Object({ a: Type.Array(Type.Record(Type.String(), type)) }),
    `{"value":${JSON.stringify(`{"a":[{"x":${digits}}]}`)}}`,
    'value.a[0].x',
    value => value.a[0].x
  ]
}

for (const [place, at] of Object.entries(places)) {
  t.test(`a JSON number in ${place} is stored exactly, or refused with its path`, async t => {
    for (const [type, digits, stored] of numbers) {
      const [schema, json, path, find] = at(type, digits)
      const row = compileCollection('rows', collection({ schema: Type.Object({ value: schema }) })).put(
        parseJson(json) as Record<string, unknown>
      )
      const name = `${type[Object.getOwnPropertySymbols(type)[0] as never]} ${digits.slice(0, 40)}`
      if (stored === refused) t.match(row, { code: 'INVALID_DATA', path }, name)
      else if (row instanceof DecodeFault) t.fail(`${name}: ${row.message}`)
      else t.equal(bytes(find(row['value'])), bytes(stored), name)
    }
  })
}

t.test('numbers of columns that the schema does not have are exact as well', async t => {
  const json = '{"l":9007199254740993,"deep":[{"d":0.12345678901234567890}]}'
  for (const definition of [
    collection({ schema: 'any' }),
    collection({ schema: Type.Object({}), unknownFields: 'store' })
  ]) {
    const compiled = compileCollection('rows', definition)
    t.equal(
      bytes(compiled.put(parseJson(json) as Record<string, unknown>)),
      bytes({ l: long('9007199254740993'), deep: [{ d: decimal('0.12345678901234567890') }] })
    )
    t.match(compiled.patch(parseJson(`{"deep":[1,{"n":${'1'.repeat(35)}}]}`) as Record<string, unknown>), {
      code: 'INVALID_DATA',
      path: 'deep[1].n',
      expected: 'a number of at most 34 digits'
    })
  }
})

t.test('a number that a JavaScript client may have rounded is refused in a column, and exact in JSON text', async t => {
  for (const type of [bson.Long(), bson.Decimal128()]) {
    t.match(decoderOf(type)(parseJson('9007199254740992')), { code: 'INVALID_DATA' })
    t.match(decoderOf(type)(2 ** 53), { code: 'INVALID_DATA' })
    const decoded = decoderOf(Type.Object({ in: type }))('{"in":9007199254740992}') as { in: unknown }
    t.equal(String(decoded.in), '9007199254740992')
  }
})

t.test('any number of 64 bits, and any decimal, comes through JSON text as it went', async t => {
  const longs = decoderOf(Type.Array(bson.Long()))
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      value => bytes(longs(`[${value}]`)) === bytes([value])
    )
  )
  const decimals = decoderOf(Type.Array(bson.Decimal128()))
  const digits = fc
    .tuple(fc.bigInt({ min: 10n ** 17n, max: 10n ** 33n - 1n }), fc.integer({ min: -300, max: 300 }))
    .map(([digits, exponent]) => `${digits}7e${exponent}`)
  fc.assert(fc.property(digits, text => bytes(decimals(`[${text}]`)) === bytes([decimal(text.toUpperCase())])))
  const doubles = decoderOf(Type.Array(bson.Double()))
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      value => bytes(doubles(JSON.stringify([value]))) === bytes([double(Object.is(value, -0) ? 0 : value)])
    )
  )
})

t.test('Decimal NaN and Infinity, as the service sends them, are stored', async t => {
  for (const text of ['NaN', 'Infinity', '-Infinity']) {
    t.equal(bytes(decoderOf(bson.Decimal128())(text)), bytes(decimal(text)))
    t.equal(bytes(decoderOf(Type.Object({ in: bson.Decimal128() }))(`{"in":"${text}"}`)), bytes({ in: decimal(text) }))
  }
})

t.test('names within a value are stored as MongoDB takes them', async t => {
  const names = ['a.b', 'ann@example.com', '$price', '$', '.', '$set', 'a\nb', '', ' ', 'constructor', 'prototype']
  const json = JSON.stringify(Object.fromEntries(names.map(name => [name, 1])))
  const types: TSchema[] = [
    Type.Record(Type.String(), bson.Int32()),
    bson.Json(Type.Unknown()),
    Type.Object({}, { additionalProperties: true }),
    Type.Object(Object.fromEntries(names.map(name => [name, bson.Int32()])))
  ]
  for (const type of types) {
    t.strictSame(Object.entries(decoderOf(type)(json) as object), Object.entries(JSON.parse(json)))
  }
  t.match(decoderOf(Type.Record(Type.String(), bson.Int32()))('{"__proto__":1}'), {
    code: 'INVALID_DATA',
    path: 'value.__proto__',
    expected: 'a name other than __proto__ and _bsontype without NUL'
  })
})

t.test(
  'names within a value that the schema does not know are kept as they came when unknown columns are dropped',
  async t => {
    const address = Type.Object({ street: Type.String(), since: Type.Optional(bson.Date()) })
    const compiled = compileCollection(
      'people',
      collection({
        unknownFields: 'drop',
        schema: Type.Object({ address, places: Type.Optional(Type.Array(address)) })
      })
    )
    const geo = { type: 'Point', coordinates: [1.5, 2] }
    t.strictSame(compiled.patch({ address: JSON.stringify({ street: 'x', geo }), colour: 'red' }), {
      address: { street: 'x', geo }
    })
    t.strictSame(
      compiled.put({ address: { street: 'x', geo }, places: [{ street: 'y', since: '1970-01-01', floor: 3 }] }),
      { address: { street: 'x', geo }, places: [{ street: 'y', since: new Date(0), floor: 3 }] }
    )
    const record = (unknownFields: 'drop' | 'store' | 'reject', additionalProperties?: false) => {
      const schema = Type.Record(Type.String({ pattern: '^x' }), bson.Date(), { additionalProperties })
      return compileCollection('rows', collection({ unknownFields, schema: Type.Object({ times: schema }) })).put({
        times: '{"x1":"1970-01-01","geo":{"a":[1]}}'
      })
    }
    for (const policy of ['drop', 'store'] as const) {
      t.strictSame(record(policy), { times: { x1: new Date(0), geo: { a: [1] } } })
      t.match(record(policy, false), { code: 'SCHEMA_MISMATCH', path: 'times.geo' })
    }
    t.match(record('reject'), { code: 'SCHEMA_MISMATCH', path: 'times.geo' })
    t.match(compiled.put({ address: JSON.parse('{"street":"x","geo":{"__proto__":1}}') }), {
      code: 'INVALID_DATA',
      path: 'address.geo.__proto__'
    })
  }
)

t.test('patterns have the flag u, of text, ids and names', async t => {
  const letters = { pattern: '^\\p{L}+$' }
  t.equal(decoderOf(Type.String(letters))('Zoë'), 'Zoë')
  t.equal(decoderOf(Type.String({ pattern: '^.$' }))('😀'), '😀')
  t.type(decoderOf(Type.String(letters))('p{L}'), DecodeFault)
  t.strictSame(decoderOf(Type.Record(Type.String(letters), bson.Int32()))('{"Zoë":1}'), { Zoë: 1 })
  t.equal(
    compileCollection('rows', collection({ id: { type: 'string', ...letters }, schema: Type.Object({}) })).id('Zoë'),
    'Zoë'
  )
  for (const wrong of ['^[\\w-.]+$', '\\-']) {
    t.throws(() => decoderOf(Type.String({ pattern: wrong })), {
      code: 'FST_PSM_OPTION',
      message: /has a pattern that is not a regular expression with the flag u/
    })
    t.throws(() => decoderOf(Type.Record(Type.String({ pattern: wrong }), bson.Int32())), {
      message: /has keys with a pattern that is not a regular expression with the flag u/
    })
    t.throws(
      () => compileCollection('rows', collection({ id: { type: 'string', pattern: wrong }, schema: Type.Object({}) })),
      { message: /collections\.rows\.id has a pattern that is not a regular expression with the flag u/ }
    )
  }
})

t.test('the row\'s own id in its data is not stored, another one is refused', async t => {
  const definitions = [
    collection({ schema: Type.Object({ name: Type.Optional(Type.String()) }) }),
    collection({ schema: 'any' })
  ]
  for (const compiled of definitions.map(definition => compileCollection('rows', definition))) {
    for (const column of ['id', '_id']) {
      for (const op of ['PUT', 'PATCH'] as const) {
        t.strictSame(compiled.decode({ op, id: 'a', data: { [column]: 'a', name: 'x' } }), { name: 'x' })
        t.strictSame(
          compiled.decode({ op, id: '5', data: { [column]: 5, name: 'x' } }),
          { name: 'x' },
          'an integer id, as it is synced'
        )
        t.strictSame(
          compiled.decode({
            op,
            id: '9007199254740993',
            data: parseJson(`{"${column}":9007199254740993,"name":"x"}`) as Record<string, unknown>
          }),
          { name: 'x' }
        )
        for (const other of ['b', 'A', '', 5, null, { a: 1 }, ['a']]) {
          t.match(compiled.decode({ op, id: 'a', data: { [column]: other } }), { code: 'INVALID_DATA', path: column })
        }
      }
    }
    t.strictSame(compiled.previous({ id: 'a', _id: 'b', name: 'x' }), { name: 'x' })
  }
})

t.test('an id that the service never syncs is refused, with the reason', async t => {
  const integer = compileCollection('rows', collection({ id: 'integer', schema: Type.Object({}) }))
  t.match(integer.id('0'), {
    code: 'INVALID_DATA',
    message: /a whole number of 64 bits other than 0, which PowerSync's service never syncs/
  })
  const decoders = [
    Number,
    (text: string) => Long.fromString(text),
    (text: string) => new Double(Number(text)),
    (text: string) => text !== '0'
  ]
  for (const decode of decoders) {
    const custom = compileCollection(
      'rows',
      collection({ id: { decode, encode: value => String(Number(value)) }, schema: Type.Object({}) })
    )
    t.match(custom.id('0'), { code: 'INVALID_DATA', message: /never syncs/ })
    t.notOk(custom.id('1') instanceof DecodeFault)
  }
})
