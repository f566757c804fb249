import t from 'tap'
import { Type, type TSchema } from '@sinclair/typebox'
import { BSON, Binary, Decimal128, Double, Long, ObjectId, UUID } from '../../lib/bson.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import { bytes, decoderOf, decodersOf } from './decode.js'

interface Vectors {
  type: TSchema
  /** Uploaded value → value as MongoDB gets it. */
  accepted: Array<[uploaded: unknown, stored: unknown]>
  rejected: unknown[]
}

const hex = '507f1f77bcf86cd799439011'
const uuid = '61d19021-0565-4686-acc4-3ea4f8c48839'
const utc = (iso: string) => new Date(iso)
const long = (text: string) => Long.fromString(text)
const double = (value: number) => new Double(value)
const decimal = (text: string) => Decimal128.fromString(text)
const same = (...values: unknown[]): Array<[unknown, unknown]> => values.map(value => [value, value])
/** What no scalar type accepts. */
const notScalar = [[], {}, ['1'], { value: 1 }, null, undefined]
/** As the service writes them, and nobody else. */
const specialDecimals: unknown[] = ['NaN', 'Infinity', '-Infinity']
/** Other spellings than those that clients send. */
const notBooleans = [
  'yes', 'no', 'True', 'FALSE', 'TRUE', 't', 'f', 'on', 'off', '', ' ', '1 ', ' true', '1.0', '01', '+1', '-1', 'null',
  2, -1, 0.5, 1e300,
  ...notScalar
]
const notText = [0, 1, -1, 1.5, true, false, 1e300, ...notScalar]

const types: Record<string, Vectors> = {
  'bson.Date': {
    type: bson.Date(),
    accepted: [
      ['2025-09-22T14:29:30.123Z', utc('2025-09-22T14:29:30.123Z')],
      ['2025-09-22 14:29:30.123Z', utc('2025-09-22T14:29:30.123Z')],
      ['2025-09-22T14:29:30Z', utc('2025-09-22T14:29:30.000Z')],
      ['2024-10-31 10:33:24', utc('2024-10-31T10:33:24.000Z')],
      ['2024-10-31T10:33:24', utc('2024-10-31T10:33:24.000Z')],
      ['2024-10-31T10:33', utc('2024-10-31T10:33:00.000Z')],
      ['2024-10-31T10:33Z', utc('2024-10-31T10:33:00.000Z')],
      ['2024-10-31', utc('2024-10-31T00:00:00.000Z')],
      ['2024-02-29', utc('2024-02-29T00:00:00.000Z')],
      ['2000-02-29', utc('2000-02-29T00:00:00.000Z')],
      ['2024-10-31T10:33:24.1Z', utc('2024-10-31T10:33:24.100Z')],
      ['2024-10-31T10:33:24.12', utc('2024-10-31T10:33:24.120Z')],
      ['2024-10-31T10:33:24.123456', utc('2024-10-31T10:33:24.123Z')],
      ['2024-10-31T10:33:24.999999999Z', utc('2024-10-31T10:33:24.999Z')],
      ['2024-10-31T10:33:24+02:00', utc('2024-10-31T08:33:24.000Z')],
      ['2024-10-31T10:33:24-05:30', utc('2024-10-31T16:03:24.000Z')],
      ['2024-10-31 10:33:24+0200', utc('2024-10-31T08:33:24.000Z')],
      ['2024-10-31 10:33:24.5-08', utc('2024-10-31T18:33:24.500Z')],
      ['2024-12-31T23:59:59.999Z', utc('2024-12-31T23:59:59.999Z')],
      ['1969-12-31T23:59:59.999Z', utc('1969-12-31T23:59:59.999Z')],
      ['0000-01-01T00:00:00Z', utc('0000-01-01T00:00:00.000Z')],
      ['0099-03-01T00:00:00Z', utc('0099-03-01T00:00:00.000Z')],
      ['+010000-01-01T00:00:00.000Z', utc('+010000-01-01T00:00:00.000Z')],
      ['-000001-12-31T23:59:59Z', utc('-000001-12-31T23:59:59.000Z')],
      ['+275760-09-13T00:00:00.000Z', utc('+275760-09-13T00:00:00.000Z')],
      ['-271821-04-20T00:00:00.000Z', utc('-271821-04-20T00:00:00.000Z')]
    ],
    rejected: [
      'soon',
      '',
      ' ',
      '2024',
      '2024-10',
      '2024-1-1',
      '2024-02-30',
      '2023-02-29',
      '1900-02-29',
      '2024-04-31',
      '2024-13-01',
      '2024-00-10',
      '2024-01-00',
      '2024-01-32',
      '2024-10-31T24:00:00Z',
      '2024-10-31T25:00:00Z',
      '2024-10-31T10:60:00Z',
      '2024-10-31T10:33:60Z',
      '2024-10-31T10:33:24.Z',
      '2024-10-31T10:33:24.1234567890Z',
      '2024-10-31t10:33:24Z',
      '2024-10-31T10:33:24z',
      '2024-10-31T10:33:24 Z',
      '2024-10-31T10:33:24+2:00',
      '2024-10-31T10:33:24+2',
      '2024-10-31T10:33:24+',
      '2024-10-31T10:33:24+24:00',
      '2024-10-31T10:33:24+02:60',
      '2024-10-31T10:33:24+02-00',
      '2024-10-31T10:33:24ZZ',
      '2024-10-31T10:33:24,5Z',
      '2024/10/31',
      '20241031',
      '2024-10-31Z',
      '2024-10-31T',
      '2024-10-31T10',
      '2024-10-31T10-33',
      '2024-10-31T1a:33',
      '2024-10-31T10:33:',
      '2024-10-31T10:33:2',
      '-000000-01-01T00:00:00Z',
      '+275760-09-13T00:00:00.001Z',
      '10000-01-01',
      '+10000-01-01',
      ' 2024-10-31',
      '2024-10-31 ',
      '1730370804000',
      'Thu, 31 Oct 2024 10:33:24 GMT',
      ...notText
    ]
  },
  'bson.Date with limits': {
    type: bson.Date({ minimumTimestamp: 0, maximumTimestamp: 1000 }),
    accepted: [
      ['1970-01-01T00:00:00Z', utc('1970-01-01T00:00:00Z')],
      ['1970-01-01T00:00:01Z', utc('1970-01-01T00:00:01Z')]
    ],
    rejected: ['1969-12-31T23:59:59.999Z', '1970-01-01T00:00:01.001Z']
  },
  'bson.Boolean': {
    type: bson.Boolean(),
    accepted: booleans(),
    rejected: notBooleans
  },
  'Type.Boolean': {
    type: Type.Boolean(),
    accepted: booleans(),
    rejected: notBooleans
  },
  'bson.ObjectId': {
    type: bson.ObjectId(),
    accepted: [
      hex,
      '0'.repeat(24),
      'f'.repeat(24),
      ...Array.from({ length: 20 }, (_, index) => (index * 0x1234567).toString(16).padStart(24, '9'))
    ].map(text => [text, new ObjectId(text)]),
    rejected: [
      hex.toUpperCase(),
      hex.slice(1),
      `${hex}0`,
      `${hex} `,
      ` ${hex}`,
      'abcdefghijkl',
      'g'.repeat(24),
      '',
      uuid,
      `0x${hex.slice(2)}`,
      `{"$oid":"${hex}"}`,
      `ObjectId("${hex}")`,
      { $oid: hex },
      hex.split(''),
      `${hex}\n`,
      'é'.repeat(24),
      ...notText
    ]
  },
  'bson.UUID': {
    type: bson.UUID(),
    accepted: [uuid, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
      ...Array.from(
        { length: 20 },
        (_, index) => `${(index * 0x1234567).toString(16).padStart(8, '0')}-0565-${index % 10}686-acc4-3ea4f8c48839`
      )]
      .map(text => [text, new UUID(text)]),
    rejected: [
      uuid.toUpperCase(),
      uuid.replaceAll('-', ''),
      `{${uuid}}`,
      `urn:uuid:${uuid}`,
      uuid.slice(1),
      `${uuid}0`,
      ` ${uuid}`,
      `${uuid}\n`,
      hex,
      '',
      uuid.replace('6', 'g'),
      uuid.replace('-', '_'),
      '61d190210-565-4686-acc4-3ea4f8c48839',
      'soon',
      ...notText
    ]
  },
  'bson.Int32': {
    type: bson.Int32(),
    accepted: [
      [0, 0], [-0, 0], [1, 1], [-1, -1], [42, 42], [2147483647, 2147483647], [-2147483648, -2147483648],
      ['0', 0], ['-0', 0], ['1', 1], ['-1', -1], ['42', 42], ['2147483647', 2147483647], ['-2147483648', -2147483648],
      ['1.0', 1], ['1.00', 1], ['1.0E3', 1000], ['1e3', 1000], ['1E+3', 1000], ['2.5e1', 25], ['100e-2', 1]
    ],
    rejected: [
      ...notNumbers(),
      2147483648,
      -2147483649,
      1.5,
      '1.5',
      '2147483648',
      '-2147483649',
      '1e10',
      '1e-3',
      0.1,
      true,
      false
    ]
  },
  'bson.Int32 with limits': {
    type: bson.Int32({ minimum: 0, exclusiveMaximum: 10, multipleOf: 3 }),
    accepted: [[0, 0], [3, 3], ['9', 9], [6, 6]],
    rejected: [-3, 1, '1', 10, 12]
  },
  'bson.Long': {
    type: bson.Long(),
    accepted: [
      [0, long('0')],
      [-0, long('0')],
      [1, long('1')],
      [-1, long('-1')],
      [2147483648, long('2147483648')],
      [9007199254740991, long('9007199254740991')],
      [-9007199254740991, long('-9007199254740991')],
      ['0', long('0')],
      ['-0', long('0')],
      ['1', long('1')],
      ['-5', long('-5')],
      ['9007199254740992', long('9007199254740992')],
      ['9007199254740993', long('9007199254740993')],
      ['-9007199254740993', long('-9007199254740993')],
      ['9223372036854775807', long('9223372036854775807')],
      ['-9223372036854775808', long('-9223372036854775808')],
      ['1.0', long('1')],
      ['1.0E10', long('10000000000')],
      ['1e3', long('1000')],
      [1700000000000, long('1700000000000')],
      ['1700000000000', long('1700000000000')]
    ],
    rejected: [
      ...notNumbers(),
      9007199254740992,
      -9007199254740992,
      1e300,
      1.5,
      '1.5',
      '25e-1',
      '9223372036854775808',
      '-9223372036854775809',
      '1e19',
      true,
      false,
      '9'.repeat(500)
    ]
  },
  'bson.Long with limits': {
    type: bson.Long({ minimum: 0n, maximum: 100, multipleOf: 5n }),
    accepted: [[0, long('0')], ['100', long('100')], [55, long('55')]],
    rejected: [-5, 105, 3, '3']
  },
  'bson.Double': {
    type: bson.Double(),
    accepted: [
      [0, double(0)],
      [-0, double(-0)],
      [1, double(1)],
      [-1, double(-1)],
      [2.5, double(2.5)],
      [0.1, double(0.1)],
      [1e300, double(1e300)],
      [5e-324, double(5e-324)],
      ['0', double(0)],
      ['1', double(1)],
      ['1.0', double(1)],
      ['2.5', double(2.5)],
      ['-2.5', double(-2.5)],
      ['0.1', double(0.1)],
      ['1.0E10', double(1e10)],
      ['1e+16', double(1e16)],
      ['4.9E-324', double(5e-324)],
      ['1.7976931348623157E308', double(Number.MAX_VALUE)],
      ['0.30000000000000004', double(0.1 + 0.2)],
      ['9007199254740992', double(2 ** 53)],
      ['1152921504606846976', double(2 ** 60)],
      ['100000000000000000000', double(1e20)],
      ['0.0', double(0)],
      ['1.2345678901234567E17', double(Number('1.2345678901234567E17'))]
    ],
    rejected: [
      ...notNumbers(),
      '9007199254740993',
      '1e309',
      '-1e309',
      '1e-400',
      '0.1000000000000000055511151231257827',
      '123456789012345678.0',
      '123456789012345678',
      true,
      false,
      '1'.repeat(401)
    ]
  },
  'bson.Double with limits': {
    type: bson.Double({ exclusiveMinimum: 0, maximum: 1, multipleOf: 0.1 }),
    accepted: [[0.3, double(0.3)], ['0.7', double(0.7)], [1, double(1)]],
    rejected: [0, -0.1, 1.1, 0.35, '0.35']
  },
  'bson.Decimal128': {
    type: bson.Decimal128(),
    accepted: [
      ['1.50', decimal('1.50')],
      ['1E+3', decimal('1E+3')],
      ['0', decimal('0')],
      ['-0', decimal('-0')],
      ['0.00', decimal('0.00')],
      ['1', decimal('1')],
      ['-12.345', decimal('-12.345')],
      ['9'.repeat(34), decimal('9'.repeat(34))],
      ['1E+6144', decimal('1E+6144')],
      ['1E-6176', decimal('1E-6176')],
      ['1.0E10', decimal('1.0E+10')],
      ['1e-7', decimal('1E-7')],
      ['0.1', decimal('0.1')],
      [`1${'0'.repeat(40)}`, decimal(`1.${'0'.repeat(33)}E+40`)],
      [0, decimal('0')],
      [1, decimal('1')],
      [2.5, decimal('2.5')],
      [-0.1, decimal('-0.1')],
      [1e-7, decimal('1E-7')],
      [9007199254740991, decimal('9007199254740991')],
      [1000, decimal('1000')],
      ['NaN', decimal('NaN')],
      ['Infinity', decimal('Infinity')],
      ['-Infinity', decimal('-Infinity')],
      [-0, decimal('-0')]
    ],
    rejected: [
      ...notNumbers().filter(value => !specialDecimals.includes(value)),
      'nan',
      '-NaN',
      '+Infinity',
      '1'.repeat(35),
      '1E+6145',
      '1E-6177',
      '9007199254740992.'.repeat(2),
      9007199254740992,
      1e300,
      true,
      false,
      '1'.repeat(500)
    ]
  },
  'bson.Binary': {
    type: bson.Binary(),
    accepted: ['', 'AA==', 'AQID', 'AQI=', '////', '++++', 'aGVsbG8=', 'AAECAwQFBgc=',
      ...Array.from({ length: 16 }, (_, length) => Buffer.alloc(length + 1, length * 17).toString('base64'))]
      .map(text => [text, new Binary(Buffer.from(text, 'base64'))]),
    rejected: [
      'A',
      'AA',
      'AAA',
      'AA=',
      'A===',
      '====',
      'AB==',
      'AQJ=',
      '____',
      '----',
      'AQID ',
      ' AQID',
      'AQ ID',
      'AQID\n',
      'AQI=AQI=',
      'AQID=',
      'é===',
      '0x0',
      [1, 2, 3],
      { $binary: { base64: 'AQID', subType: '00' } },
      ...notText
    ]
  },
  'bson.Binary with subtype and size': {
    type: bson.Binary({ subType: 128, minByteLength: 1, maxByteLength: 2 }),
    accepted: [['AA==', new Binary(Buffer.from([0]), 128)], ['AQI=', new Binary(Buffer.from([1, 2]), 128)]],
    rejected: ['', 'AQID']
  },
  'Type.String': {
    type: Type.String(),
    accepted: same(
      '',
      ' ',
      'a',
      'text',
      '0',
      '1',
      '1.0',
      'true',
      'null',
      '{}',
      '[]',
      '2024-10-31',
      'é',
      '日本',
      '😀',
      'a\0b',
      '\n',
      '"',
      '$set',
      'a.b',
      '__proto__',
      '\u2028',
      'x'.repeat(100_000)
    ),
    rejected: [
      '\ud800',
      '\udc00',
      'a\ud83d',
      '\ude00a',
      '\udc00\ud800',
      [''],
      { a: 'a' },
      2,
      3,
      -2,
      0.5,
      1e10,
      ...notText
    ]
  },
  'Type.String with length': {
    type: Type.String({ minLength: 2, maxLength: 3 }),
    accepted: same('ab', 'abc', '😀😀', '😀😀😀', 'a😀'),
    rejected: ['', 'a', '😀', 'abcd', '😀😀😀😀', '\ud800a', 12]
  },
  'Type.String with least length': {
    type: Type.String({ minLength: 1 }),
    accepted: same('a', 'ab', '😀'),
    rejected: ['']
  },
  'Type.String with pattern': {
    type: Type.String({ pattern: '^[a-z]+$' }),
    accepted: same('a', 'abc'),
    rejected: ['', 'A', 'a1', 'a\n']
  },
  'Type.String with format uuid': {
    type: Type.String({ format: 'uuid' }),
    accepted: same(uuid, uuid.toUpperCase()),
    rejected: ['', 'soon', uuid.slice(1), `{${uuid}}`, uuid.replaceAll('-', '')]
  },
  'Type.String with format email': {
    type: Type.String({ format: 'email' }),
    accepted: same('a@b.c', 'first.last+tag@sub.example.com', "o'neil@example.org", 'a@localhost'),
    rejected: [
      '',
      'a',
      '@b.c',
      'a@',
      'a b@c.d',
      'a@b..c',
      'a@-b.c',
      'a@b-.c',
      `${'a'.repeat(65)}@b.c`,
      `a@${'b.'.repeat(130)}c`
    ]
  },
  'Type.String with format date': {
    type: Type.String({ format: 'date' }),
    accepted: same('2024-02-29', '0000-01-01'),
    rejected: ['2023-02-29', '2024-2-9', '2024-02-29T00:00:00Z', '']
  },
  'Type.String with format date-time': {
    type: Type.String({ format: 'date-time' }),
    accepted: same(
      '2024-10-31T10:33:24Z',
      '2024-10-31T10:33:24.123456789012+02:00',
      '2024-10-31t10:33:24z',
      '2016-12-31T23:59:60Z',
      '2016-12-31t15:59:60.5-08:00'
    ),
    rejected: [
      '2024-10-31T10:33:60Z',
      '2016-12-31T23:59:61Z',
      '2016-12-31T23:59:00+05:60',
      '2024-10-31 10:33:24Z',
      '2024-10-31T10:33:24',
      '2024-10-31',
      '2024-02-30T10:33:24Z',
      '2024-10-31T25:33:24Z',
      ''
    ]
  },
  'Type.String with format uri': {
    type: Type.String({ format: 'uri' }),
    accepted: same('https://example.com/a?b=c#d', 'mailto:a@b.c', 'urn:isbn:1', 'https://[::1]/%20'),
    rejected: [
      '',
      'example.com',
      '/path',
      'https://a b',
      'https://é',
      'https://%2',
      'https://a\n',
      ':a',
      '1a:',
      'a:',
      `a:${'b'.repeat(15_000_000)} `
    ]
  },
  'Type.Number': {
    type: Type.Number(),
    accepted: [
      ...same(0, 1, -1, 2.5, 0.1, 1e300, 5e-324, -0, 9007199254740992),
      ['0', 0],
      ['1', 1],
      ['1.0', 1],
      ['2.5', 2.5],
      ['-2.5', -2.5],
      ['1.0E10', 1e10],
      ['1e+16', 1e16],
      ['1E-7', 1e-7],
      ['0.1', 0.1],
      ['9007199254740992', 2 ** 53],
      ['0.30000000000000004', 0.1 + 0.2]
    ],
    rejected: [...notNumbers(), '9007199254740993', '1e309', '-1e309', '1e-400', '123456789012345678', true, false]
  },
  'Type.Number with limits': {
    type: Type.Number({ minimum: 1, maximum: 2 }),
    accepted: [
      [1, 1],
      ['1.5', 1.5],
      [2, 2]
    ],
    rejected: [0.9, '2.1', 3]
  },
  'Type.Integer': {
    type: Type.Integer(),
    accepted: [
      [0, 0],
      [-0, 0],
      ...same(1, -1, 42, 2147483648, 9007199254740991, -9007199254740991),
      ['0', 0],
      ['-0', 0],
      ['1', 1],
      ['-1', -1],
      ['42', 42],
      ['1.0', 1],
      ['1e3', 1000],
      ['1.0E10', 1e10],
      ['9007199254740991', 9007199254740991],
      ['2.50e1', 25],
      ['0.0', 0],
      ['100', 100]
    ],
    rejected: [...notNumbers(), 0.5, '0.5', 9007199254740992, '9007199254740992', 1e300, true, false]
  },
  'Type.Literal of text': { type: Type.Literal('a'), accepted: same('a'), rejected: ['A', '', 'b', ...notText] },
  'Type.Literal of a number': {
    type: Type.Literal(1),
    accepted: [
      [1, 1],
      ['1', 1],
      ['1.0', 1]
    ],
    rejected: [0, 2, '2', 'one', '', true, ...notScalar]
  },
  'Type.Literal of a boolean': {
    type: Type.Literal(true),
    accepted: [
      [true, true],
      [1, true],
      ['1', true],
      ['true', true]
    ],
    rejected: [false, 0, '0', 'false', 2, ...notScalar]
  },
  'Type.Literal of false': {
    type: Type.Literal(false),
    accepted: [
      [false, false],
      [0, false],
      ['0', false]
    ],
    rejected: [true, 1]
  },
  'union of literals': {
    type: Type.Union([Type.Literal('low'), Type.Literal('high'), Type.Literal(1), Type.Literal('1')]),
    accepted: [['low', 'low'], ['high', 'high'], [1, 1], ['1', '1'], ['1.0', 1]],
    rejected: ['LOW', 'medium', '', 2, '2', true, ...notScalar]
  },
  'Type.Enum': {
    type: Type.Enum({ Red: 'red', Blue: 'blue' }),
    accepted: same('red', 'blue'),
    rejected: ['Red', 'green', '', ...notText]
  },
  'Type.Enum of numbers': {
    type: Type.Enum({ 0: 'Off', 1: 'On', Off: 0, On: 1 }),
    accepted: [
      [0, 0],
      [1, 1],
      ['1', 1]
    ],
    rejected: ['On', 2, '2', '']
  },
  'union of types': {
    type: Type.Union([bson.ObjectId(), Type.Number(), Type.String({ maxLength: 3 })]),
    accepted: [[hex, new ObjectId(hex)], [1, 1], ['1', 1], ['abc', 'abc']],
    rejected: ['abcd', hex.toUpperCase(), true, ...notScalar]
  },
  'union with null': {
    type: Type.Union([bson.Date(), Type.Null()]),
    accepted: [[null, null], [undefined, null], ['2024-10-31', utc('2024-10-31T00:00:00Z')]],
    rejected: ['soon', 'null', 0, '']
  },
  'union with null, nested': {
    type: Type.Union([Type.Union([Type.Literal('a'), Type.Null()]), Type.Number()]),
    accepted: [
      [null, null],
      ['a', 'a'],
      [1, 1]
    ],
    rejected: ['b', 'null']
  },
  'Type.Unknown': {
    type: Type.Unknown(),
    accepted: [
      ...same(
        '',
        'a',
        0,
        1.5,
        true,
        null,
        [],
        {},
        [1, { a: [null] }],
        { _id: 1, id: 2, '': 3 },
        { constructor: 1, toString: 2 },
        'null',
        { $set: 1 },
        { 'a.b': { '': 1 } }
      ),
      [undefined, null]
    ],
    rejected: [
      { 'a\0': 1 },
      { _bsontype: 'ObjectId' },
      JSON.parse('{"__proto__":{"a":1}}'),
      [[{ _bsontype: 1 }]],
      { a: '\ud800' },
      { '\ud800': 1 },
      1n,
      [undefined],
      '\ud800',
      Infinity,
      [NaN],
      () => 1,
      new Date(0),
      { a: [new Map()] },
      [new ObjectId()]
    ]
  }
}

for (const [name, { type, accepted, rejected }] of Object.entries(types)) {
  for (const [position, decode] of Object.entries(decodersOf(type))) {
    // Absence means null in a PUT only: a PATCH leaves the field alone, and JSON has no such thing.
    const given = (value: unknown) => position === 'PUT' || value !== undefined
    t.test(`${name} in ${position} accepts ${accepted.length} inputs and rejects ${rejected.length}`, async t => {
      for (const [uploaded, stored] of accepted.filter(([uploaded]) => given(uploaded))) {
        const value = decode(uploaded)
        if (value instanceof DecodeFault) t.fail(`${show(uploaded)}: ${value.message}`)
        else t.equal(bytes(value), bytes(stored), `${show(uploaded)} is stored as ${show(stored)}`)
      }
      for (const uploaded of rejected.filter(given)) {
        const fault = decode(uploaded)
        t.type(fault, DecodeFault, `${show(uploaded)} is rejected`)
        t.match(fault, { code: 'INVALID_DATA', path: /^value/ })
      }
    })
  }
}

t.test('every type is tried with at least 20 inputs that it accepts, and 20 that it rejects', async t => {
  const names = [
    ...Object.keys(bson)
      .filter(name => name !== 'Json')
      .map(name => `bson.${name}`),
    'Type.String',
    'Type.Number',
    'Type.Integer',
    'Type.Boolean'
  ]
  for (const name of names) {
    const { accepted, rejected } = types[name] ?? { accepted: [], rejected: [] }
    const positions = /Boolean/.test(name) ? 3 : 1 // there are eight spellings of a boolean
    t.ok(accepted.length * positions >= 20, `${name} accepts ${accepted.length}`)
    t.ok(rejected.length >= 20, `${name} rejects ${rejected.length}`)
  }
})

t.test('a message names what was expected and the type of what came, and no value', async t => {
  const message = (type: TSchema, value: unknown) => (decoderOf(type)(value) as DecodeFault).message
  t.equal(
    message(bson.Date(), 'secret'),
    'value cannot be stored: expected a date such as 2025-09-22T14:29:30.123Z, found text'
  )
  t.equal(
    message(bson.Date({ minimumTimestamp: 0, maximumTimestamp: 1 }), 5),
    'value cannot be stored: expected a date such as 2025-09-22T14:29:30.123Z, not before 1970-01-01T00:00:00.000Z, ' +
    'not after 1970-01-01T00:00:00.001Z, found a number'
  )
  t.equal(
    message(bson.Int32({ minimum: 1, maximum: 5 }), true),
    'value cannot be stored: expected a whole number of 32 bits of at least 1 and of at most 5, found a boolean'
  )
  t.equal(
    message(bson.Long(), 2 ** 60),
    'value cannot be stored: expected a whole number of 64 bits, as text (in a text column) when it is beyond ' +
    '9007199254740991, found a number'
  )
  t.equal(
    message(Type.String({ minLength: 1, pattern: '^a' }), ''),
    'value cannot be stored: expected text of at least 1 characters and that matches /^a/u, found text'
  )
  t.equal(message(Type.String(), null), 'value is required: expected text, found null')
  t.equal(message(Type.String(), undefined), 'value is required: expected text, found nothing')
  t.equal(
    message(Type.Union([Type.Literal('a'), Type.Literal(1)]), []),
    'value cannot be stored: expected "a" or 1, found an array'
  )
  t.equal(
    message(bson.Binary({ maxByteLength: 4 }), {}),
    'value cannot be stored: expected base64 text with padding of 0 to 4 bytes, found an object'
  )
})

t.test('a vector, which the driver checks, is stored if it is one', async t => {
  const decode = decoderOf(bson.Binary({ subType: Binary.SUBTYPE_VECTOR }))
  const vector = Binary.fromFloat32Array(new Float32Array([1, 2.5])).toString('base64')
  t.equal(bytes(decode(vector)), bytes(Binary.fromFloat32Array(new Float32Array([1, 2.5]))))
  t.match(decode('JwAAAAA='), { code: 'INVALID_DATA', found: 'text' })
})

t.test('Double is stored as double and Long as long, however small', async t => {
  const stored = (type: TSchema, value: unknown) => BSON.serialize({ value: decoderOf(type)(value) })[4]
  t.equal(stored(bson.Double(), 1), 0x01)
  t.equal(stored(bson.Long(), 1), 0x12)
  t.equal(stored(bson.Int32(), 1), 0x10)
  t.equal(stored(bson.Int32(), -0), 0x10)
})

function booleans (): Array<[unknown, unknown]> {
  return [
    [1, true],
    [true, true],
    ['1', true],
    ['true', true],
    [0, false],
    [-0, false],
    [false, false],
    ['0', false],
    ['false', false]
  ]
}

/** What no numeric type accepts. */
function notNumbers (): unknown[] {
  return [
    '',
    ' ',
    ' 1',
    '1 ',
    '+1',
    '0x10',
    '1_000',
    '1,000',
    '01',
    '.5',
    '5.',
    '1e',
    'e5',
    '--1',
    'one',
    'NaN',
    'Infinity',
    '-Infinity',
    'inf',
    '1n',
    '١',
    '1\n',
    NaN,
    Infinity,
    -Infinity,
    ...notScalar
  ]
}

/** ASCII only, so that every character shows, and TAP can be parsed. */
function show (value: unknown): string {
  const text =
    typeof value === 'bigint' || typeof value === 'function' ? String(value) : (JSON.stringify(value) ?? 'undefined')
  return text.slice(0, 60).replace(/[^ -~]/g, character => `<${character.charCodeAt(0).toString(16)}>`)
}
