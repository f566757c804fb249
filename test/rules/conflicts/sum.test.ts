import t from 'tap'
import { Decimal128, Double, Int32, Long } from '../../../lib/bson.js'
import { sum } from '../../../lib/rules/conflicts/sum.js'

const decimal = (text: string) => Decimal128.fromString(text)

for (const [name, plus, minus, expected] of [
  ['numbers', [5, 10], [7], 8],
  ['numbers with fractions, as they are written', [0.1, 0.3], [0.1], 0.3],
  ['a number with an exponent', [1e21, 1], [1e21], 1],
  ['doubles', [new Double(0.1), new Double(0.2)], [], 0.3],
  ['a large and a small double', [new Double(1e300), new Double(5e-324)], [new Double(1e300)], 5e-324],
  ['longs beyond what a double holds', [9007199254740993n, 2n], [1n], '9007199254740994'],
  ['negative longs', [-5n, 3n], [4n], '-6'],
  ['decimals, with their scale', [decimal('1.50'), decimal('2.00')], [decimal('0.25')], '325E-2'],
  [
    'a decimal of 34 digits',
    [decimal('1234567890123456789012345678901234'), decimal('1')],
    [],
    '1234567890123456789012345678901235'
  ],
  ['decimals with an exponent', [decimal('1E+6000'), decimal('2E+6000')], [], '3E6000'],
  ['a negative decimal', [decimal('-0.5')], [decimal('-0.25')], '-25E-2'],
  ['numbers and decimal text', [1, '2.5'], ['0.25'], 3.25],
  ['numbers that no double holds', [2 ** 53 - 1, 2], [], '9007199254740993'],
  ['numbers that a double holds', [2 ** 53, 2], [], 2 ** 53 + 2],
  ['text with an exponent that no type has', [1, '1e999999999'], [], NaN],
  ['text that is no number', [1, 'two'], [], NaN],
  ['null', [1], [null], NaN],
  ['what is not finite', [1, Infinity], [], NaN],
  ['a decimal that is no number', [decimal('NaN'), decimal('1')], [], NaN],
  ['numbers as the driver reads them of letters', [new Int32(5), 2], [], 7],
  ['longs as the driver reads them of letters', [Long.fromNumber(1), 2], [], '3'],
  ['a class that is no number', [new Date(1), 2], [], NaN]
] as Array<[string, [unknown, ...unknown[]], unknown[], unknown]>) {
  t.test(`the sum of ${name}`, async t => t.same(sum(plus, minus), expected))
}
