import t from 'tap'
import { Binary, Decimal128, Double, Int32, Long, ObjectId, UUID } from '../../lib/bson.js'
import { sameValue } from '../../lib/schema/same-value.js'

const hex = '507f1f77bcf86cd799439011'
const uuid = '8ea4310a-b7c0-4dd7-ae54-51d6e1596b83'
const huge = 9007199254740993n // 2⁵³ + 1, which no number is

t.test('values that MongoDB finds equal, whichever form JavaScript has for them', async t => {
  const equal: Array<[unknown, unknown]> = [
    ['a', 'a'],
    [null, null],
    [1, 1n],
    [1, new Double(1)],
    [5n, Long.fromNumber(5)],
    [5, new Int32(5)],
    [2.5, new Double(2.5)],
    [huge, Long.fromBigInt(huge)],
    [new Date(5), new Date(5)],
    [new ObjectId(hex), new ObjectId(hex)],
    [Decimal128.fromString('1.50'), Decimal128.fromString('1.50')],
    [Decimal128.fromString('1.50'), Decimal128.fromString('1.5')],
    [Decimal128.fromString('5.0'), 5],
    [5n, Decimal128.fromString('5')],
    [Decimal128.fromString('2.5'), new Double(2.5)],
    [Decimal128.fromString('9007199254740993'), huge],
    [new UUID(uuid), new Binary(new UUID(uuid).buffer, 4)],
    [
      ['a', 1],
      ['a', 1n]
    ],
    [{ a: { b: [1] } }, { a: { b: [new Double(1)] } }]
  ]
  for (const [a, b] of equal) t.ok(sameValue(a, b), `${String(a)} = ${String(b)}`)
})

t.test('values that MongoDB tells apart', async t => {
  const different: Array<[unknown, unknown]> = [
    ['1', 1],
    ['a', 'A'],
    [null, undefined],
    [null, 'null'],
    [0, false],
    [1, null],
    [1, 2],
    [2.5, new Double(2.25)],
    [huge, 2 ** 53],
    [Decimal128.fromString('9007199254740993'), huge - 1n],
    [Decimal128.fromString('5'), '5'],
    [Decimal128.fromString('NaN'), 5],
    [huge, huge - 1n],
    [new Date(5), new Date(6)],
    [new Date(5), 5],
    [hex, new ObjectId(hex)],
    [new UUID(uuid), new Binary(new UUID(uuid).buffer, 0)],
    [['a'], ['a', 'b']],
    [['a'], ['b']],
    [['a'], 'a'],
    [['a'], { 0: 'a' }],
    [
      { a: 1, b: 2 },
      { b: 2, a: 1 }
    ],
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: 1 }, { a: 2 }]
  ]
  for (const [a, b] of different) {
    t.notOk(sameValue(a, b), `${String(a)} ≠ ${String(b)}`)
    t.notOk(sameValue(b, a), `${String(b)} ≠ ${String(a)}`)
  }
})

t.test('what a client made to look like one of the driver\'s own values is a document like any other', async t => {
  const forged = { _bsontype: 'Long', toString: 1, valueOf: 1 }
  t.notOk(sameValue(forged, 1))
  t.ok(sameValue(forged, { ...forged }))
})
