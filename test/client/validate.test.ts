/**
 * The client's verdict is the server's: both look at the same operations, thousands that a fuzzer made, and thousands
 * whose values are near the edge of each type. The server's side is what an upload goes through before its hooks run.
 */
import fc, { type Arbitrary } from 'fast-check'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection, type Collections, type CrudOperation } from '../../index.js'
import { createValidators } from '../../lib/client/validate.js'
import { CollectionRegistry } from '../../lib/rules/registry.js'
import { descriptionsOf } from '../../lib/schema/descriptions.js'
import { parseBody } from '../../lib/wire/parse.js'
import { readUpload } from '../../lib/wire/read.js'
import { PowerSyncFatalError } from '../../lib/errors.js'
import type { OperationToCheck, Verdict } from '../../types/validators.js'
import { collections as attacked } from '../security/host.js'
import { mutated, random, upload } from '../security/uploads.js'

const { FUZZ_SEED: seed = '20261126', FUZZ_PATH: path } = process.env

const optional = Type.Optional
const nested = Type.Object(
  {
    at: bson.Date(),
    tags: optional(Type.Array(Type.String(), { maxItems: 2, uniqueItems: true })),
    n: optional(Type.Union([bson.Long(), Type.Null()])),
    d: optional(bson.Decimal128()),
    i: optional(bson.Json(Type.Array(Type.Integer())))
  },
  { additionalProperties: bson.Int32() }
)

const all: Collections = {
  ...attacked,
  types: collection({
    unknownFields: 'drop',
    fields: { named: 'title', 'other-name': 'note' },
    operations: ['PUT', 'PATCH'],
    schema: Type.Object({
      text: optional(Type.String({ minLength: 1, maxLength: 3 })),
      title: Type.String({ pattern: '^\\p{L}+$' }),
      note: optional(Type.String({ enum: ['a', 'b', '1'] })),
      date: optional(bson.Date({ minimumTimestamp: 0 })),
      any_date: optional(bson.Date()),
      format: optional(Type.String({ format: 'date' })),
      moment: optional(Type.String({ format: 'date-time' })),
      uuid: optional(bson.UUID()),
      objectId: optional(bson.ObjectId()),
      bool: optional(Type.Boolean({ default: false })),
      int: optional(bson.Int32({ minimum: -5, exclusiveMaximum: 100, multipleOf: 5 })),
      whole: optional(Type.Integer()),
      number: optional(Type.Number({ exclusiveMinimum: 0, maximum: 1e6, multipleOf: 0.1 })),
      double: optional(bson.Double()),
      long: optional(bson.Long({ minimum: -10n, multipleOf: 3 })),
      any_long: optional(bson.Long()),
      decimal: optional(bson.Decimal128()),
      binary: optional(bson.Binary({ minByteLength: 1, maxByteLength: 3 })),
      literal: optional(
        Type.Union([Type.Literal('x'), Type.Literal(1), Type.Literal('1'), Type.Literal(true), Type.Null()])
      ),
      union: optional(
        Type.Union([Type.Number(), bson.Boolean(), Type.Array(Type.Integer()), Type.String({ maxLength: 2 })])
      ),
      one: Type.Union([Type.Array(bson.Date()), Type.Null()]),
      json: optional(nested),
      list: optional(Type.Array(nested, { minItems: 1 })),
      record: optional(Type.Record(Type.String({ pattern: '^[a-c]+$' }), bson.Double())),
      any: optional(Type.Any()),
      json_any: optional(bson.Json(Type.Unknown())),
      required: bson.Int32(),
      toString: optional(Type.String())
    })
  }),
  loose: collection({
    unknownFields: 'store',
    schema: Type.Object({ json: optional(bson.Json(Type.Object({ a: Type.Integer() }))) })
  }),
  patterns: collection({
    id: { type: 'string', pattern: '^[a-z]+$' },
    schema: Type.Object({ a: optional(Type.Any()) })
  }),
  own_ids: collection({
    id: { decode: text => (text === 'x' ? text : undefined), encode: String },
    schema: Type.Object({ a: optional(Type.Any()) })
  })
}

const descriptions = descriptionsOf(all)
// As a printed module has them.
const { validate, tables, serverRules } = createValidators(JSON.parse(JSON.stringify(descriptions)))
const registry = new CollectionRegistry(all, {})

/** What the server says of an operation as it came over the wire; a body that it cannot read has no verdict. */
async function serverVerdict ({ opData, ...operation }: OperationToCheck): Promise<Verdict | undefined | 'unreadable'> {
  const body = JSON.stringify({ batch: [{ ...operation, data: opData }] })
  let read: CrudOperation
  try {
    read = readUpload(await parseBody(Buffer.from(body), 'a body'), undefined).transactions[0]!.operations[0]!
  } catch {
    return 'unreadable'
  }
  try {
    registry.for({ id: 'mallory' })(read).decode(read)
    return undefined
  } catch (error) {
    if (!(error instanceof PowerSyncFatalError)) throw error
    const { code, details = {}, message } = error
    return { code, ...details['path'] !== undefined && { path: details['path'] as string }, message }
  }
}

/** Counts verdicts: a test in which all were the same would say nothing. */
interface Counts { accepted: number, refused: number, codes: Set<string> }

async function compare (operation: OperationToCheck, counts: Counts): Promise<void> {
  const server = await serverVerdict(operation)
  if (server === 'unreadable') return
  const client = validate(operation)
  if (server) counts.codes.add(server.code)
  counts[server ? 'refused' : 'accepted']++
  const description = descriptions[operation.table]
  // Of rules for each user, and of ids of the app's own making, the client knows nothing: it may let pass, never
  // refuse.
  if (description?.perUser || (description && !description.id)) {
    if (!client || server) return
  }
  if (JSON.stringify(server) !== JSON.stringify(client)) {
    throw new Error(
      `server ${JSON.stringify(server)}, client ${JSON.stringify(client)} of ${JSON.stringify(operation)}`
    )
  }
}

/** The operations of a body as the client's queue has them. */
function operationsIn (body: Uint8Array | string): OperationToCheck[] {
  try {
    const { batch, operations, transactions = [] } = JSON.parse(String(body))
    const all: Array<Record<string, any>> = [
      batch ?? operations ?? transactions.flatMap(({ crud }: { crud: unknown[] }) => crud)
    ].flat()
    return all
      .map(({ op, table, type, id, data, opData, op_data: columns }) => ({
        op,
        table: table ?? type,
        id,
        opData: data ?? opData ?? columns ?? {}
      }))
      .filter(
        ({ op, table, id, opData }) =>
          ['PUT', 'PATCH', 'DELETE'].includes(op) &&
          typeof table === 'string' &&
          typeof id === 'string' &&
          typeof opData === 'object' &&
          !Array.isArray(opData)
      )
  } catch {
    return []
  }
}

async function fuzz (t: Test, arbitrary: Arbitrary<OperationToCheck[]>, numRuns: number): Promise<Counts> {
  const counts: Counts = { accepted: 0, refused: 0, codes: new Set() }
  await fc.assert(fc.asyncProperty(arbitrary, async operations => {
    for (const operation of operations) await compare(operation, counts)
  }), { seed: Number(seed), numRuns, ...path !== undefined && { path } })
  t.comment(`${counts.accepted} accepted, ${counts.refused} refused: ${[...counts.codes]}`)
  return counts
}

t.test(`good operations (seed ${seed})`, async t => {
  const { accepted } = await fuzz(t, upload.map(body => operationsIn(JSON.stringify(body))), 2000)
  t.ok(accepted >= 2000, `${accepted} are accepted`)
})

t.test(`bodies that were changed at random, and bodies at random (seed ${seed})`, async t => {
  const { accepted, refused, codes } = await fuzz(
    t,
    fc.oneof({ weight: 3, arbitrary: mutated }, random).map(({ body }) => operationsIn(body)),
    20_000
  )
  t.ok(accepted > 2000 && refused > 5000, 'of both kinds')
  t.same([...codes].sort(), ['INVALID_DATA', 'SCHEMA_MISMATCH'])
})

const numbers = fc.constantFrom(
  '0',
  '-0',
  '1',
  '1.0',
  '-5',
  '95',
  '100',
  '3',
  '-9',
  '0.3',
  '0.30000000000000004',
  '1e3',
  '1E+3',
  '1e400',
  '1e-400',
  '01',
  '+1',
  '1.',
  '.5',
  '0x10',
  'NaN',
  'Infinity',
  '-Infinity',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '-9223372036854775808',
  '9223372036854775807',
  '9223372036854775808',
  '1e21',
  '1.5e300',
  '123456789012345678',
  '1234567890123456.5',
  '0.12345678901234567890',
  '1234567890123456789012345678901234',
  '12345678901234567890123456789012345',
  '1E+6144',
  '1E+6145',
  '1E-6176',
  '1E-6177',
  '10E-6177',
  '9'.repeat(310),
  '9'.repeat(401),
  '9007199254740993.0',
  '3e-324',
  '0.33333333333333332',
  '2147483647',
  '2147483648',
  '12345678901234567000',
  '1.0000000000000000'
)
const dates = fc.constantFrom(
  '2025-09-22T14:29:30.123Z',
  '2025-09-22 14:29:30',
  '2025-09-22',
  '2024-02-29',
  '2025-02-29',
  '1900-02-29',
  '2000-02-29',
  '1969-12-31',
  '0001-01-01',
  '0099-03-01T00:00Z',
  '+010000-01-01T00:00:00Z',
  '-000000-01-01',
  '-000001-12-31',
  '+275760-09-13T00:00:00Z',
  '+275760-09-13T00:00:00.001Z',
  '+275760-09-13T01:00:00+01:00',
  '-271821-04-19T23:30:00-01:00',
  '-271821-04-19',
  '2025-09-22T24:00:00Z',
  '2025-09-22T23:59:60Z',
  '2025-09-22T23:59:59.1234567890Z',
  '2025-09-22T23:59:59.Z',
  '2025-09-22T14:29+0530',
  '2025-09-22T14:29-05',
  '2025-09-22T14:29:30+05:3',
  '2025-09-22T14:29:30z',
  '2025-9-2',
  '2025-09-22T14:29:30+24:00',
  '2025-13-01',
  '2025-00-10',
  '2025-01-00',
  '2025-01-32',
  '2025-09-22t23:59:60z',
  '2025-09-22T23:59:60.5Z',
  '2025-09-23T01:59:60+02:00',
  '2025-09-22T22:59:60Z'
)
const texts = fc.constantFrom(
  '',
  'a',
  'b',
  'x',
  'abc',
  'abcd',
  '\u{1f600}',
  '\u{1f600}\u{1f600}\u{1f600}',
  '\ud800',
  'Zo\u00eb',
  'true',
  'false',
  '1',
  'AQ==',
  'AQI=',
  'AQID',
  'AQIDBA==',
  'AR==',
  'A_==',
  '====',
  'a\nb',
  '5e0c8f4a-93f5-4d0c-9b0e-1f2e3d4c5b6a',
  '5E0C8F4A-93F5-4D0C-9B0E-1F2E3D4C5B6A',
  '0123456789abcdef01234567',
  '[1',
  'null',
  '5'
)
const scalars = fc.oneof(
  numbers,
  numbers
    .filter(text => /^-?\d+(?:\.\d+)?(?:e\d+)?$/i.test(text))
    .map(Number)
    .filter(Number.isFinite),
  dates,
  texts,
  fc.constantFrom(true, false, null),
  fc.double(),
  fc.string()
)
/** JSON text with the digits of its numbers, which JSON.stringify would round. */
const token = fc.oneof(
  numbers.filter(text => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  }),
  fc.oneof(dates, texts).map(text => JSON.stringify(text)),
  fc.constantFrom(
    'true',
    'null',
    '[]',
    '{}',
    '[1,1]',
    '["a","a"]',
    '["a","b","c"]',
    '{"$x":1}',
    '{"_bsontype":1}',
    '{"__proto__":1}'
  )
)
const names = fc.constantFrom(
  'at',
  'tags',
  'n',
  'd',
  'i',
  'a',
  'abc',
  'd.e',
  '$set',
  '__proto__',
  '_bsontype',
  'toString',
  'x\0',
  'n',
  'constructor'
)
const objectText = (token: Arbitrary<string>) =>
  fc
    .tuple(fc.boolean(), fc.array(fc.tuple(names, token), { maxLength: 3 }))
    .map(
      ([whole, pairs]) =>
        `{${[...(whole ? ['"at":"2025-01-01"'] : []), ...pairs.map(([name, value]) => `${JSON.stringify(name)}: ${value}`)].join()}}`
    )
const arrayText = (token: Arbitrary<string>) => fc.array(token, { maxLength: 3 }).map(items => `[${items.join(' ,')}]`)
const deep = fc.integer({ min: 1, max: 25 }).map(levels => `${'['.repeat(levels)}1${']'.repeat(levels)}`)
const jsonText = fc.oneof(
  objectText(fc.oneof(token, arrayText(token), objectText(token))),
  arrayText(fc.oneof(token, objectText(token))),
  deep
)
const parsed = jsonText.map(text => JSON.parse(text))

const edges: Arbitrary<OperationToCheck> = fc.record({
  op: fc.constantFrom('PUT', 'PATCH', 'DELETE'),
  table: fc.constantFrom('types', 'types', 'types', 'types', 'loose', 'patterns', 'own_ids', 'toString'),
  id: fc.oneof(
    { weight: 3, arbitrary: fc.constant('a') },
    fc.constantFrom('A', '', '\0', '\ud800', 'x'.repeat(1025), '\u20ac'.repeat(341), '\u20ac'.repeat(342), 'x')
  ),
  opData: fc.tuple(
    fc.boolean(),
    fc.dictionary(
      fc.constantFrom(
        ...Object.keys(descriptions['types']!.columns),
        'title',
        'unknown',
        '$x',
        'a.b',
        '',
        '_id',
        'id',
        '__proto__',
        '_bsontype',
        'json'
      ),
      fc.oneof(scalars, jsonText, parsed),
      { maxKeys: 3, noNullPrototype: true }
    )
  ).map(([whole, data]) => whole ? { named: 'a', one: null, required: 1, ...data } : data)
})

t.test(`values at the edges of each type (seed ${seed})`, async t => {
  const { accepted, refused, codes } = await fuzz(t, edges.map(operation => [operation]), 15_000)
  t.ok(accepted > 2000 && refused > 5000, 'of both kinds')
  t.same([...codes].sort(), ['INVALID_DATA', 'SCHEMA_MISMATCH', 'UNAUTHORIZED'])
})

t.test('each type is refused and accepted by its own values', async t => {
  const counts: Counts = { accepted: 0, refused: 0, codes: new Set() }
  for (const column of Object.keys(descriptions['types']!.columns)) {
    const before = { ...counts }
    for (const value of fc.sample(fc.oneof(scalars, jsonText, parsed), { seed: Number(seed), numRuns: 500 })) {
      await compare({ op: 'PATCH', table: 'types', id: 'a', opData: { [column]: value } }, counts)
    }
    t.ok(counts.accepted > before.accepted, `${column}: some are accepted`)
    if (column !== 'any') t.ok(counts.refused > before.refused + 50, `${column}: some are refused`)
  }
})

t.test('the module names the tables that have rules of the server', async t => {
  t.match(serverRules, {
    lists: ['owner'],
    todos: ['owner'],
    events: ['authorize'],
    drafts: ['transform', 'owner'],
    articles: ['owner', 'writable'],
    own_ids: ['id'],
    loose: []
  })
})

t.test('each table is a Standard Schema of its rows', async t => {
  const { '~standard': standard } = tables['types']!
  t.match(standard, { version: 1, vendor: 'fastify-powersync-mongo' })
  const row = { id: 'a', named: 'a', one: null, required: 1 }
  t.same(standard.validate(row), { value: row })
  t.same(standard.validate({ ...row, json: '{"at":5}' }), {
    issues: [
      {
        message: 'json.at cannot be stored: expected a date such as 2025-09-22T14:29:30.123Z, found a number',
        path: ['json']
      }
    ]
  })
  t.same(standard.validate(null), { issues: [{ message: 'expected a row, found null' }] })
})
