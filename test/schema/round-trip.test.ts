import t from 'tap'
import fc from 'fast-check'
import { Type, type TSchema } from '@sinclair/typebox'
import { Binary, Decimal128, Double, Long, ObjectId, UUID } from '../../lib/bson.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import { bytes, decoderOf } from './decode.js'

type Vector = [stored: unknown, client: string | number | bigint | null, type: TSchema]

/**
 * What PowerSync's service makes of a BSON value for the client's SQLite (module-mongodb, bufferToSqlite.ts): the
 * value in MongoDB, what the client then holds, and the type that brings it back.
 */
const vectors: Vector[] = [
  [new ObjectId('507f1f77bcf86cd799439011'), '507f1f77bcf86cd799439011', bson.ObjectId()],
  [new ObjectId('ffffffffffffffffffffffff'), 'ffffffffffffffffffffffff', bson.ObjectId()],
  [new UUID('61d19021-0565-4686-acc4-3ea4f8c48839'), '61d19021-0565-4686-acc4-3ea4f8c48839', bson.UUID()],
  [new UUID(Buffer.alloc(16)), '00000000-0000-0000-0000-000000000000', bson.UUID()],
  // Other binaries get there only through base64() in the stream.
  [new Binary(Buffer.from([0, 1, 254, 255])), 'AAH+/w==', bson.Binary()],
  [new Binary(Buffer.from([1]), 3), 'AQ==', bson.Binary({ subType: 3 })],
  ['', '', Type.String()],
  ['text \0 日本 😀', 'text \0 日本 😀', Type.String()],
  [0, 0, bson.Int32()],
  [-2147483648, -2147483648, bson.Int32()],
  [2147483647, 2147483647, bson.Int32()],
  [Long.fromNumber(0), 0, bson.Long()],
  [Long.fromNumber(5), 5, bson.Long()],
  [Long.fromNumber(1700000000000), 1700000000000, bson.Long()],
  [Long.fromString('9007199254740993'), 9007199254740993n, bson.Long()],
  [Long.MAX_VALUE, 9223372036854775807n, bson.Long()],
  [Long.MIN_VALUE, -9223372036854775808n, bson.Long()],
  [new Double(1), 1, bson.Double()],
  [new Double(-0.5), -0.5, bson.Double()],
  [new Double(1e15), 1000000000000000, bson.Double()],
  [new Double(2 ** 60), 1152921504606846976n, bson.Double()],
  [new Double(0.1), 0.1, bson.Double()],
  [new Double(5e-324), 5e-324, bson.Double()],
  [new Double(1.7976931348623157e308), 1.7976931348623157e308, bson.Double()],
  [true, 1, bson.Boolean()],
  [false, 0, bson.Boolean()],
  [Decimal128.fromString('1.50'), '1.50', bson.Decimal128()],
  [Decimal128.fromString('1E+3'), '1E+3', bson.Decimal128()],
  [Decimal128.fromString('-0.0'), '-0.0', bson.Decimal128()],
  [
    Decimal128.fromString('9.999999999999999999999999999999999E+6144'),
    '9.999999999999999999999999999999999E+6144',
    bson.Decimal128()
  ],
  [Decimal128.fromString('1E-6176'), '1E-6176', bson.Decimal128()],
  [new Date('2025-09-22T14:29:30.123Z'), '2025-09-22 14:29:30.123Z', bson.Date()], // config edition 1
  [new Date('2025-09-22T14:29:30.123Z'), '2025-09-22T14:29:30.123Z', bson.Date()], // edition 2
  [new Date('2025-09-22T14:29:30.000Z'), '2025-09-22T14:29:30Z', bson.Date()], // timestamp_max_precision: seconds
  [new Date('+010000-01-01T00:00:00.000Z'), '+010000-01-01T00:00:00.000Z', bson.Date()],
  [new Date('-000001-01-01T00:00:00.000Z'), '-000001-01-01T00:00:00.000Z', bson.Date()],
  [new Date('1969-12-31T23:59:59.999Z'), '1969-12-31T23:59:59.999Z', bson.Date()],
  [null, null, Type.Optional(bson.Date())],
  [null, null, Type.Union([bson.ObjectId(), Type.Null()])],
  // Nested values: ids, dates and decimals are JSON strings, booleans 1 and 0, integral doubles integers.
  [[], '[]', Type.Array(Type.String())],
  [[true, false], '[1,0]', Type.Array(bson.Boolean())],
  [[new Double(1), new Double(1.5), null], '[1,1.5,null]', Type.Array(Type.Union([bson.Double(), Type.Null()]))],
  [
    {
      b: 1,
      a: { id: new ObjectId('507f1f77bcf86cd799439011'), at: [new Date(0)], price: Decimal128.fromString('1E+3') }
    },
    '{"b":1,"a":{"id":"507f1f77bcf86cd799439011","at":["1970-01-01T00:00:00.000Z"],"price":"1E+3"}}',
    bson.Json(
      Type.Object({
        a: Type.Object({ at: Type.Array(bson.Date()), id: bson.ObjectId(), price: bson.Decimal128() }),
        b: bson.Int32()
      })
    )
  ],
  [{ done: true, key: new UUID('61d19021-0565-4686-acc4-3ea4f8c48839'), gone: null },
    '{"done":1,"key":"61d19021-0565-4686-acc4-3ea4f8c48839","gone":null}',
    Type.Object({
      key: bson.UUID(),
      done: bson.Boolean(),
      gone: Type.Optional(Type.String()),
      absent: Type.Optional(Type.String())
    })],
  [{ x: Long.fromNumber(1), y: Long.fromNumber(2) }, '{"x":1,"y":2}', Type.Record(Type.String(), bson.Long())],
  [{ any: ['thing', 1, null, { deep: '' }] }, '{"any":["thing",1,null,{"deep":""}]}', bson.Json(Type.Unknown())]
]

t.test(
  'what the client got from MongoDB goes back unchanged, from JavaScript, Dart and as the text of Kotlin and Swift',
  async t => {
    for (const [index, [stored, client, type]] of vectors.entries()) {
      const decode = decoderOf(type)
      const uploads = {
        // A JavaScript client holds integers beyond 2^53 exactly only in a text column.
        JavaScript: typeof client === 'bigint' ? String(client) : JSON.parse(JSON.stringify(client)),
        Kotlin: client === null ? null : typeof client === 'number' ? kotlin(client) : String(client)
      }
      for (const [sdk, uploaded] of Object.entries(uploads)) {
        const value = decode(uploaded)
        if (value instanceof DecodeFault) t.fail(`vector ${index} from ${sdk}: ${value.message}`)
        else t.equal(bytes(value), bytes(stored), `vector ${index} from ${sdk}`)
      }
    }
  }
)

t.test('any value of each type goes back unchanged', async t => {
  const holds = <T>(
    values: fc.Arbitrary<T>,
    type: TSchema,
    client: (value: T) => unknown,
    stored: (value: T) => unknown
  ) => {
    const decode = decoderOf(type)
    fc.assert(fc.property(values, value => bytes(decode(client(value))) === bytes(stored(value))))
  }
  const hex = (length: number) =>
    fc.uint8Array({ minLength: length, maxLength: length }).map(array => Buffer.from(array))
  holds(hex(12), bson.ObjectId(), id => id.toString('hex'), id => new ObjectId(id))
  holds(hex(16), bson.UUID(), id => new UUID(id).toString(), id => new UUID(id))
  holds(
    fc.uint8Array().map(array => Buffer.from(array)),
    bson.Binary(),
    data => data.toString('base64'),
    data => new Binary(data)
  )
  holds(fc.integer(), bson.Int32(), value => value, value => value)
  holds(fc.integer(), bson.Int32(), String, value => value)
  holds(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), bson.Long(), String, value => value)
  holds(fc.maxSafeInteger(), bson.Long(), value => value, value => BigInt(value))
  const doubles = fc.double({ noNaN: true, noDefaultInfinity: true })
  holds(doubles, bson.Double(), value => value, value => new Double(value))
  holds(doubles, bson.Double(), kotlin, value => new Double(value))
  holds(doubles, Type.Number(), kotlin, value => value)
  holds(fc.boolean(), bson.Boolean(), Number, value => value)
  holds(fc.boolean(), bson.Boolean(), String, value => value)
  holds(fc.string({ unit: 'binary' }), Type.String(), value => value, value => value)
  const dates = fc.date({ noInvalidDate: true })
  holds(dates, bson.Date(), date => date.toISOString(), date => date)
  holds(dates, bson.Date(), date => date.toISOString().replace('T', ' ').slice(0, -1), date => date)
  const decimals = fc
    .tuple(fc.bigInt({ min: -(10n ** 34n) + 1n, max: 10n ** 34n - 1n }), fc.integer({ min: -6176, max: 6111 }))
    .map(([coefficient, exponent]) => Decimal128.fromString(`${coefficient}E${exponent}`))
  holds(decimals, bson.Decimal128(), String, value => value)
  holds(
    fc.json(),
    bson.Json(Type.Object({ json: Type.Unknown() }, { additionalProperties: false })),
    json => `{"json":[${JSON.stringify(json)}]}`,
    json => ({ json: [json] })
  )
})

t.test('no upload makes a decoder throw, nor gives a value that BSON cannot hold', async t => {
  const types = [
    bson.Date(),
    bson.Boolean(),
    bson.ObjectId(),
    bson.UUID(),
    bson.Int32(),
    bson.Long(),
    bson.Double(),
    bson.Decimal128(),
    bson.Binary(),
    Type.String({ maxLength: 9 }),
    Type.Number(),
    Type.Integer(),
    Type.Unknown(),
    bson.Json(Type.Unknown()),
    Type.Union([Type.Literal('a'), bson.Date()])
  ]
  for (const type of types) {
    const decode = decoderOf(type)
    const near = fc.oneof(
      fc.jsonValue(),
      fc.anything(),
      fc.stringMatching(/^[-+]?[0-9a-fTZ:. eE-]{0,40}$/),
      fc.string({ unit: 'binary' })
    )
    fc.assert(fc.property(near, value => { bytes(stored(decode(value))) }))
  }
  t.pass()
})

function stored (value: unknown): unknown {
  return value instanceof DecodeFault ? value.message : value
}

/** Kotlin's and Java's `Double.toString`; whole SQLite integers come as integers. */
function kotlin (value: number): string {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value)
  const [mantissa, exponent] = (Object.is(value, -0) ? '-0' : String(value)).split('e')
  const digits = mantissa!.includes('.') ? mantissa : `${mantissa}.0`
  return exponent === undefined ? digits! : `${digits}E${exponent.replace('+', '')}`
}
