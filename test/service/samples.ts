/** Values of every schema type, for one field of the table `samples` each. */
import fastifyMongodb from '@fastify/mongodb'

const { Binary, Decimal128, Double, Int32, Long, ObjectId, UUID } = fastifyMongodb.mongodb

export interface Sample {
  name: string
  /** Of the document. */
  field: string
  /** In SQL, as device A writes it; without it, the app's own server wrote the document. */
  value?: string
  /** As MongoDB has it. */
  stored: unknown
  /** In SQL, as devices have it when it comes from the service. Default: `value`. */
  as?: string
  /** Why it does not come out right yet, or cannot. */
  known?: string
  /** Why it cannot when an app writes back what it read, which makes its value one of JavaScript's. */
  knownInJavaScript?: string
}

type Case = Omit<Sample, 'name' | 'field'>

const jsonText = (value: unknown) => `'${JSON.stringify(value).replaceAll("'", "''")}'`
const long = (digits: string) => Long.fromString(digits)
const decimal = (digits: string) => Decimal128.fromString(digits)

/** Its driver binds every number as REAL. */
const bound = 'better-sqlite3 and the SDK\'s queue round a number of 16 digits'

const dateText = '2025-09-22T14:29:30.123Z'
const objectId = '65f1a2b3c4d5e6f708192a3b'
const uuid = '8ea4310a-b7c0-4dd7-ae54-51d6e1596b83'
const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))

/** One of each nested type: as JSON and as BSON. */
const nestedJson = { date: dateText, boolean: 1, object_id: objectId, uuid, int32: 7, long: 5, double: 2, decimal: '1.50', text: 'x', number: 2.5, inner: { list: [1, 2] } }
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

const cases: Record<string, Case[]> = {
  date: [
    { value: `'${dateText}'`, stored: new Date(dateText) },
    { value: "'2025-09-22 14:29:30'", stored: new Date('2025-09-22T14:29:30Z'), as: "'2025-09-22T14:29:30.000Z'" },
    { value: "'2024-10-31T12:33:24.5+02:00'", stored: new Date('2024-10-31T10:33:24.5Z'), as: "'2024-10-31T10:33:24.500Z'" },
    { value: "'2024-02-29'", stored: new Date('2024-02-29T00:00:00Z'), as: "'2024-02-29T00:00:00.000Z'" },
    { value: "'1969-12-31T23:59:59.999Z'", stored: new Date(-1) },
    { value: "'0001-01-01T00:00:00.000Z'", stored: new Date('0001-01-01T00:00:00Z') },
    { value: "'9999-12-31T23:59:59.999Z'", stored: new Date('9999-12-31T23:59:59.999Z') }
  ],
  boolean: [{ value: '1', stored: true }, { value: '0', stored: false }],
  plain_boolean: [{ value: '1', stored: true }, { value: '0', stored: false }],
  object_id: [{ value: `'${objectId}'`, stored: new ObjectId(objectId) }],
  uuid: [{ value: `'${uuid}'`, stored: new UUID(uuid) }],
  int32: [0, 7, -1, 2147483647, -2147483648].map(number => ({ value: String(number), stored: new Int32(number) })),
  long: [
    ...['0', '5', '-1', '2147483648', '999999999999999', '-999999999999999'].map(digits => ({ value: digits, stored: long(digits) })),
    ...['9007199254740991', '-9007199254740991'].map(digits => ({ value: digits, stored: long(digits), knownInJavaScript: bound }))
  ],
  long_as_text: ['5', '9007199254740993', '9223372036854775807', '-9223372036854775808'].map(digits => ({ value: `'${digits}'`, stored: long(digits) })),
  double: [
    ...['0.0', '5.0', '0.5', '-2.25', '1e21', '-1e-300', '0.30000000000000004'].map(digits => ({ value: digits, stored: new Double(Number(digits)) })),
    { value: '9007199254740991.0', stored: new Double(9007199254740991), known: 'the SDK\'s queue rounds a REAL of 16 digits' },
    { stored: new Double(-0), as: '0.0', known: 'the service sends the double -0 as 0' },
    { stored: new Double(NaN), as: 'NULL', known: 'NaN is null in SQLite' }
  ],
  decimal: [
    ...['1.50', '1E+3', '-0.000', '0', '0.1234567890123456789012345678901234', '9.999999999999999999999999999999999E+6144']
      .map(digits => ({ value: `'${digits}'`, stored: decimal(digits) })),
    ...['NaN', 'Infinity', '-Infinity'].flatMap(digits => [
      { value: `'${digits}'`, stored: decimal(digits), known: 'B4' },
      { stored: decimal(digits), as: `'${digits}'`, known: 'B4' }
    ])
  ],
  binary: [
    { value: `'${bytes.toString('base64')}'`, stored: new Binary(bytes) },
    { value: "''", stored: new Binary(Buffer.alloc(0)) }
  ],
  text: [
    { value: "'O''Brien \"Ünïcode\" 👩‍👩‍👧 $set.a.b \\ '", stored: 'O\'Brien "Ünïcode" 👩‍👩‍👧 $set.a.b \\ ' },
    { value: "''", stored: '' },
    { value: "'007'", stored: '007' },
    { value: "'1.0'", stored: '1.0' },
    { value: "'a' || char(10) || 'b'", stored: 'a\nb' }
  ],
  number: [
    { value: '2.5', stored: new Double(2.5) },
    { value: '7.0', stored: new Int32(7) },
    { value: '3000000000.0', stored: new Double(3000000000) },
    { value: '-1e300', stored: new Double(-1e300) },
    { stored: new Double(7), as: '7.0', known: 'F11: Type.Number stores a whole number as int' },
    { stored: long('7'), as: '7.0', known: 'F11: Type.Number stores a whole number as int' }
  ],
  integer: [
    { value: '7', stored: new Int32(7) },
    { value: '3000000000', stored: new Double(3000000000) },
    { value: '-999999999999999', stored: new Double(-999999999999999) },
    { value: '-9007199254740991', stored: new Double(-9007199254740991), knownInJavaScript: bound },
    { stored: long('7'), as: '7', known: 'F11: Type.Integer stores a number of 32 bits as int' }
  ],
  literal: [{ value: "'open'", stored: 'open' }],
  literals: [
    { value: "'two'", stored: 'two' },
    { value: "'1'", stored: new Int32(1) },
    { value: "'true'", stored: true, as: "'1'", known: 'two literals that SQLite cannot tell apart: 1 and true' }
  ],
  enumeration: [{ value: "'high'", stored: 'high' }],
  union: [
    { value: `'${dateText}'`, stored: new Date(dateText) },
    { value: "'12'", stored: new Int32(12) },
    { value: "'twelve'", stored: 'twelve' }
  ],
  nullable: [{ value: '3', stored: new Int32(3) }, { value: 'NULL', stored: null }],
  json: [
    { value: jsonText(nestedJson), stored: nestedBson },
    { value: "'{}'", stored: {} },
    { stored: nestedBson, as: jsonText(nestedJson) },
    { stored: { long: long('9223372036854775807') }, as: "'{\"long\":9223372036854775807}'", known: 'B2' },
    { value: "'{\"long\":9223372036854775807}'", stored: { long: long('9223372036854775807') }, known: 'B2' },
    { stored: { inner: { list: [long('-9007199254740993')] } }, as: "'{\"inner\":{\"list\":[-9007199254740993]}}'", known: 'B2' },
    { value: "'{\"decimal\":0.12345678901234567890}'", stored: { decimal: decimal('0.12345678901234567890') }, as: "'{\"decimal\":\"0.12345678901234567890\"}'", known: 'B3' },
    { stored: { decimal: decimal('NaN') }, as: "'{\"decimal\":\"NaN\"}'", known: 'B4' },
    { stored: { text: 'x', unnamed: 1.5 }, as: "'{\"text\":\"x\",\"unnamed\":1.5}'", known: 'F11: a nested field that the schema does not name' },
    { stored: { any: true }, as: "'{\"any\":1}'", known: 'F11: Type.Any of a boolean' },
    { stored: { any: new Date(dateText) }, as: `'{"any":"${dateText}"}'`, known: 'F11: Type.Any of a date' }
  ],
  object: [{ value: jsonText(nestedJson), stored: nestedBson }],
  array: [
    { value: jsonText([dateText, '1970-01-01T00:00:00.000Z']), stored: [new Date(dateText), new Date(0)] },
    { value: "'[]'", stored: [] }
  ],
  record: [
    { value: jsonText({ x: '1.50', 'ÄÖ ü': '0' }), stored: { x: decimal('1.50'), 'ÄÖ ü': decimal('0') } },
    ...['a.b', 'ann@example.com', '$price'].map(key => ({ value: jsonText({ [key]: '1.50' }), stored: { [key]: decimal('1.50') }, known: 'B6' }))
  ],
  any: [
    { value: "'x'", stored: 'x' },
    { stored: true, as: "'1'", known: 'F11: Type.Any of a boolean' },
    { stored: new Date(dateText), as: `'${dateText}'`, known: 'F11: Type.Any of a date' }
  ],
  unknown: [{ value: "'x'", stored: 'x' }],
  renamed_field: [{ value: `'${dateText}'`, stored: new Date(dateText) }]
}

export const samples: Sample[] = Object.entries(cases).flatMap(([field, list]) => list.map(each => ({
  field,
  name: `${field}: ${each.value === undefined ? `stored by the server, seen as ${each.as}` : `${each.value} from a device`}`.slice(0, 120),
  ...each
})))
