/** Values of every schema type, for one field of the table `samples` each. */
import fastifyMongodb from '@fastify/mongodb'

const { Binary, Decimal128, Double, Int32, Long, ObjectId, UUID } = fastifyMongodb.mongodb

export interface Sample {
  name: string
  /** Of the document. */
  field: string
  /** Of the client, where it is called otherwise. */
  column?: string
  /** In SQL, as device A writes it; without it, the app's own server wrote the document. */
  value?: string
  /** As MongoDB has it. */
  bson: unknown
  /** In SQL, as devices have it when it comes from the service. Default: `value`. */
  as?: string
  /** Why it does not come out right yet, or cannot. */
  known?: string
  /** Why it cannot when an app writes back what it read, which makes its value one of JavaScript's. */
  knownInJavaScript?: string
}

type Case = Omit<Sample, 'name' | 'field'>

/** Values that are written as they are stored. */
const same = (bson: (digits: string) => unknown, ...values: string[]): Case[] =>
  values.map(value => ({ value, bson: bson(value) }))
const quoted = (bson: (text: string) => unknown, ...texts: string[]): Case[] =>
  texts.map(text => ({ value: `'${text.replaceAll("'", "''")}'`, bson: bson(text) }))

const jsonText = (value: unknown) => `'${JSON.stringify(value).replaceAll("'", "''")}'`
const int = (digits: string) => new Int32(digits)
const long = (digits: string) => Long.fromString(digits)
const double = (digits: string) => new Double(Number(digits))
const decimal = (digits: string) => Decimal128.fromString(digits)
const date = (text: string) => new Date(text)

/** Its driver binds every number as REAL. */
const bound = 'better-sqlite3 and the SDK\'s queue round a number of 16 digits'

const dateText = '2025-09-22T14:29:30.123Z'
const objectId = '65f1a2b3c4d5e6f708192a3b'
const uuid = '8ea4310a-b7c0-4dd7-ae54-51d6e1596b83'
const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))

/** One of each nested type: as JSON and as BSON. */
const nestedJson = {
  date: dateText,
  boolean: 1,
  object_id: objectId,
  uuid,
  int32: 7,
  long: 5,
  double: 2,
  decimal: '1.50',
  text: 'x',
  number: 2.5,
  inner: { list: [1, 2] }
}
const nestedBson = {
  date: new Date(dateText),
  boolean: true,
  object_id: new ObjectId(objectId),
  uuid: new UUID(uuid),
  int32: new Int32(7),
  long: long('5'),
  double: new Double(2),
  decimal: decimal('1.50'),
  text: 'x',
  number: new Double(2.5),
  inner: { list: [long('1'), long('2')] }
}

const wholeNumber = 'F11: Type.Number and Type.Integer store a whole number of 32 bits as int'

const cases: Record<string, Case[]> = {
  date: [
    ...quoted(date, dateText, '1969-12-31T23:59:59.999Z', '0001-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z'),
    { value: "'2025-09-22 14:29:30'", bson: date('2025-09-22T14:29:30Z'), as: "'2025-09-22T14:29:30.000Z'" },
    { value: "'2024-10-31T12:33:24.5+02:00'", bson: date('2024-10-31T10:33:24.5Z'), as: "'2024-10-31T10:33:24.500Z'" },
    { value: "'2024-02-29'", bson: date('2024-02-29T00:00:00Z'), as: "'2024-02-29T00:00:00.000Z'" }
  ],
  boolean: [{ value: '1', bson: true }, { value: '0', bson: false }],
  plain_boolean: [{ value: '1', bson: true }, { value: '0', bson: false }],
  object_id: quoted(text => new ObjectId(text), objectId),
  uuid: quoted(text => new UUID(text), uuid),
  int32: same(int, '0', '7', '-1', '2147483647', '-2147483648'),
  long: [
    ...same(long, '0', '5', '-1', '2147483648', '999999999999999', '-999999999999999'),
    ...same(long, '9007199254740991', '-9007199254740991').map(each => ({ ...each, knownInJavaScript: bound }))
  ],
  long_as_text: quoted(long, '5', '9007199254740993', '9223372036854775807', '-9223372036854775808'),
  double: [
    ...same(double, '0.0', '5.0', '0.5', '-2.25', '1e21', '-1e-300', '0.30000000000000004'),
    { value: '9007199254740991.0', bson: new Double(9007199254740991), known: 'the SDK\'s queue rounds 16 digits' },
    { bson: new Double(-0), as: '0.0', known: 'the service sends the double -0 as 0' },
    { bson: new Double(NaN), as: 'NULL', known: 'NaN is null in SQLite' }
  ],
  decimal: [
    ...quoted(decimal, '1.50', '1E+3', '-0.000', '0'),
    ...quoted(decimal, '0.1234567890123456789012345678901234', '9.999999999999999999999999999999999E+6144'),
    ...quoted(decimal, 'NaN', 'Infinity', '-Infinity').flatMap(({ value, bson }) => [
      { value: String(value), bson, known: 'B4' },
      { bson, as: String(value), known: 'B4' }
    ])
  ],
  binary: quoted(text => new Binary(Buffer.from(text, 'base64')), bytes.toString('base64'), ''),
  text: quoted(text => text, 'O\'Brien "Ünïcode" 👩‍👩‍👧 $set.a.b \\ ', '', '007', '1.0', 'a\nb'),
  number: [
    ...same(double, '2.5', '3000000000.0', '-1e300'),
    { value: '7.0', bson: int('7') },
    { bson: double('7'), as: '7.0', known: wholeNumber },
    { bson: long('7'), as: '7.0', known: wholeNumber }
  ],
  integer: [
    ...same(int, '7'),
    ...same(double, '3000000000', '-999999999999999'),
    ...same(double, '-9007199254740991').map(each => ({ ...each, knownInJavaScript: bound })),
    { bson: long('7'), as: '7', known: wholeNumber }
  ],
  literal: quoted(text => text, 'open'),
  literals: [
    ...quoted(text => text, 'two'),
    ...quoted(int, '1'),
    { value: "'true'", bson: true, as: "'1'", known: 'two literals that SQLite cannot tell apart: 1 and true' }
  ],
  enumeration: quoted(text => text, 'high'),
  union: [...quoted(date, dateText), ...quoted(int, '12'), ...quoted(text => text, 'twelve')],
  nullable: [...same(int, '3'), { value: 'NULL', bson: null }],
  json: [
    { value: jsonText(nestedJson), bson: nestedBson },
    { value: "'{}'", bson: {} },
    { bson: nestedBson, as: jsonText(nestedJson) },
    { value: '\'{"long":9223372036854775807}\'', bson: { long: long('9223372036854775807') }, known: 'B2' },
    { bson: { long: long('9223372036854775807') }, as: '\'{"long":9223372036854775807}\'', known: 'B2' },
    {
      bson: { inner: { list: [long('-9007199254740993')] } },
      as: '\'{"inner":{"list":[-9007199254740993]}}\'',
      known: 'B2'
    },
    {
      value: '\'{"decimal":0.12345678901234567890}\'',
      bson: { decimal: decimal('0.12345678901234567890') },
      as: '\'{"decimal":"0.12345678901234567890"}\'',
      known: 'B3'
    },
    { bson: { decimal: decimal('NaN') }, as: '\'{"decimal":"NaN"}\'', known: 'B4' },
    { bson: { unnamed: 1.5 }, as: '\'{"unnamed":1.5}\'', known: 'F11: a nested field without a schema' },
    { bson: { any: true }, as: '\'{"any":1}\'', known: 'F11: Type.Any of a boolean' },
    { bson: { any: date(dateText) }, as: `'{"any":"${dateText}"}'`, known: 'F11: Type.Any of a date' }
  ],
  object: [{ value: jsonText(nestedJson), bson: nestedBson }],
  array: [
    { value: jsonText([dateText, '1970-01-01T00:00:00.000Z']), bson: [date(dateText), new Date(0)] },
    { value: "'[]'", bson: [] }
  ],
  record: [
    { value: jsonText({ x: '1.50', 'ÄÖ ü': '0' }), bson: { x: decimal('1.50'), 'ÄÖ ü': decimal('0') } },
    ...['a.b', 'ann@example.com', '$price']
      .map(key => ({ value: jsonText({ [key]: '1.50' }), bson: { [key]: decimal('1.50') }, known: 'B6' }))
  ],
  any: [
    ...quoted(text => text, 'x'),
    { bson: true, as: "'1'", known: 'F11: Type.Any of a boolean' },
    { bson: date(dateText), as: `'${dateText}'`, known: 'F11: Type.Any of a date' }
  ],
  unknown: quoted(text => text, 'x'),
  renamed_field: quoted(date, dateText).map(each => ({ ...each, column: 'renamedColumn' }))
}

export const samples: Sample[] = Object.entries(cases).flatMap(([field, list]) => list.map(each => ({
  field,
  name: `${field}: ${each.value?.slice(0, 100) ?? `from the server, seen as ${each.as}`}`,
  ...each
})))
