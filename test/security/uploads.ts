/**
 * Uploads for a fuzzer: good ones of Mallory's, what becomes of them by a few changes, and bodies that nobody wrote.
 */
import fc, { type Arbitrary } from 'fast-check'
import { MARKER } from './harness.js'
import { aliceObjectId, aliceUuid, malloryObjectId, malloryUuid } from './seeds.js'

/** One request for `/upload`. */
export interface Upload {
  body: Uint8Array | string
  headers: Record<string, string>
}

/** Characters by number: fast-check's own units of this kind take seconds to prepare. */
const character = (...ranges: Array<[number, number]>) =>
  fc.oneof(...ranges.map(([min, max]) => fc.integer({ min, max }))).map(code => String.fromCodePoint(code))

/** What MongoDB takes as text. */
const text = fc.string({ unit: character([0x20, 0x7e], [0xa0, 0xd7ff], [0x1f300, 0x1f6ff]), maxLength: 20 })
/** What text can be in JavaScript: with control characters, and halves of characters. */
const characters = fc.string({ unit: character([0, 0x7f], [0, 0xffff]), maxLength: 20 })

/** What a column holds: it must be in no log line and no answer. */
const content = fc.oneof({ weight: 9, arbitrary: text }, { weight: 1, arbitrary: fc.constant(MARKER) })
const nullable = (arbitrary: Arbitrary<unknown>) => fc.option(arbitrary, { freq: 8 })
const oneOf = (...values: unknown[]) => fc.constantFrom(...values)
const json = (arbitrary: Arbitrary<unknown>) => arbitrary.map(value => JSON.stringify(value))

interface Table {
  ids: string[]
  /** Of these a row has all. */
  required: Record<string, Arbitrary<unknown>>
  optional?: Record<string, Arbitrary<unknown>>
}

/** What Mallory may write, table by table. */
const tables: Record<string, Table> = {
  lists: {
    ids: ['mallory-list', 'mallory-2', 'mallory-3'],
    required: { name: content },
    optional: {
      note: nullable(content),
      done: nullable(oneOf(0, 1, true, 'false')),
      due: nullable(
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31') }).map(date => date.toISOString())
      ),
      settings: nullable(
        json(
          fc.record(
            { theme: content, level: fc.integer(), tags: fc.array(content, { maxLength: 3 }) },
            { requiredKeys: ['theme'] }
          )
        )
      ),
      extra: nullable(json(fc.array(fc.oneof(content, fc.integer(), fc.boolean()), { maxLength: 3 }))),
      labels: nullable(json(fc.record({ a: fc.integer(), b: fc.integer() }, { requiredKeys: [] })))
    }
  },
  todos: { ids: ['mallory-todo', 'mallory-2'], required: { list_id: oneOf('mallory-list'), text: content } },
  notes: { ids: [malloryUuid, '00000000-0000-4000-8000-000000000000'], required: { text: content } },
  photos: {
    ids: [malloryObjectId, '000000000000000000000000'],
    required: { title: content },
    optional: { data: nullable(fc.base64String({ maxLength: 40 })) }
  },
  counters: {
    ids: ['2', '-5', '9007199254740995'],
    required: {},
    optional: {
      int: nullable(fc.integer()),
      long: nullable(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)),
      double: nullable(fc.double({ noNaN: true, noDefaultInfinity: true })),
      decimal: nullable(oneOf('0', '1E+6144', '-1.50', 12)),
      number: nullable(fc.integer()),
      positive: nullable(fc.nat())
    }
  },
  documents: {
    ids: ['mallory-document', 'mallory-2'],
    required: {},
    optional: {
      x: fc.oneof(content, fc.integer(), fc.record({ y: fc.array(content, { maxLength: 3 }) })),
      y: nullable(content)
    }
  },
  contacts: {
    ids: ['mallory-contact', 'mallory-2'],
    required: {},
    optional: {
      email: nullable(oneOf('a@example.com')),
      link: nullable(oneOf('https://example.com/?a=b#c')),
      at: nullable(oneOf('2025-01-01T00:00:00Z')),
      ref: nullable(fc.uuid()),
      kind: nullable(oneOf('work', 'home'))
    }
  },
  drafts: {
    ids: ['mallory-draft', 'mallory-2'],
    required: { text: content },
    optional: { publish_as: nullable(oneOf('mallory-list', 'mallory-3')) }
  },
  events: { ids: ['mallory-2', 'mallory-3', 'mallory-4'], required: { name: content } },
  people: { ids: ['mallory-account', 'mallory-2'], required: { name: content } }
}

const number = fc.nat({ max: 20 })

/** An operation under one of the sets of names that clients have for its parts. */
const operation: Arbitrary<Record<string, unknown>> = fc
  .constantFrom(...Object.entries(tables))
  .chain(([name, { ids, required, optional = {} }]) => {
    const whole = fc.record({ ...required, ...optional }, { requiredKeys: Object.keys(required) })
    const part = fc.record({ ...required, ...optional }, { requiredKeys: [] })
    const id = fc.constantFrom(...ids)
    const further = fc.record({ op_id: number, tx_id: number, metadata: text, old: part }, { requiredKeys: [] })
    return fc
      .tuple(
        fc.oneof(
          { weight: 5, arbitrary: fc.record({ op: oneOf('PUT'), id, data: whole }) },
          { weight: 3, arbitrary: fc.record({ op: oneOf('PATCH'), id, data: part }) },
          { weight: 1, arbitrary: fc.record({ op: oneOf('DELETE'), id }) }
        ),
        further,
        fc.constantFrom(
          ['table', 'data'] as const,
          ['type', 'data'] as const,
          ['table', 'opData'] as const,
          ['type', 'op_data'] as const
        )
      )
      .map(([row, rest, [table, columns]]) => ({
        op: row.op,
        id: row.id,
        [table]: name,
        ...('data' in row && { [columns]: row.data }),
        ...rest
      }))
  })

/** Mostly a single one: those are the cheapest, and the database behind it is slow. */
const some = <Value>(operation: Arbitrary<Value>) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.tuple(operation) },
    { weight: 1, arbitrary: fc.array(operation, { minLength: 2, maxLength: 3 }) }
  )
const operations = some(operation)
const client = fc.constantFrom(undefined, undefined, undefined, 'mallory-phone', 'mallory-tablet')

/** Uploads of Mallory's that are accepted, but for `owner` rules. */
export const upload: Arbitrary<object> = fc.oneof(
  fc.record({ client_id: client, batch: operations }),
  fc.record({ client_id: client, operations }),
  fc.record({
    client_id: client,
    transactions: fc.array(fc.record({ crud: operations }), { minLength: 1, maxLength: 2 })
  })
)

/** What attackers put in the place of names. */
const names = fc.oneof(
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'toBSON',
    '_bsontype',
    '_id',
    'id',
    'op',
    'table',
    'type',
    'data',
    'client_id',
    'batch',
    'transactions',
    'owner_id',
    'owner',
    'verified',
    'created_at',
    'revoked_at',
    'is_admin',
    '',
    '$set',
    '$where',
    'a.b',
    'a\0b',
    '\ud800',
    'list_id',
    'publish_as',
    'length'
  ),
  characters
)

/** And of values. */
const values: Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    'alice-list',
    'alice-todo',
    'alice-document',
    'alice-account',
    'alice',
    'mallory',
    aliceUuid,
    aliceObjectId,
    '1',
    '9007199254740993',
    'event',
    'caf\u00e9',
    'cafe\u0301',
    '\u212a',
    'payments',
    'system.users',
    'powersync_ledger',
    'powersync_dead_letters',
    '_powersync_checkpoints',
    'accounts',
    'admin',
    'flaky',
    '$cmd',
    '__proto__',
    '../lists'
  ),
  fc.constantFrom(
    'PUT',
    'PATCH',
    'DELETE',
    'put',
    '',
    '\0',
    '\ud800',
    '1e400',
    'NaN',
    '-0',
    '{"$ne":null}',
    '[[[[',
    '2025-02-30',
    'x'.repeat(2000)
  ),
  fc.constantFrom(
    { $ne: null },
    { $where: 'true' },
    { _bsontype: 'ObjectId' },
    [],
    {},
    [[[]]],
    null,
    true,
    false,
    0,
    -1,
    1.5,
    2 ** 53,
    1e308,
    Number.MIN_VALUE
  ),
  fc.jsonValue({ maxDepth: 2 }),
  text,
  fc.integer()
)

interface Change {
  /** In the values of the columns, or anywhere. */
  inside: boolean
  where: number
  how: 'replace' | 'remove' | 'rename' | 'add' | 'repeat' | 'wrap'
  name: string
  value: unknown
}

const change: Arbitrary<Change> = fc.record({
  inside: fc.constantFrom(true, true, true, false),
  where: fc.nat(),
  how: fc.oneof(
    { weight: 3, arbitrary: fc.constant('replace' as const) },
    { weight: 4, arbitrary: fc.constantFrom('remove', 'rename', 'add', 'repeat', 'wrap') }
  ),
  name: names,
  value: values
})

type Container = Record<string, unknown> | unknown[]

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null

/** Every place in a value, as what holds it and under which name. */
function * places (container: unknown): Generator<[Container, string, value: unknown]> {
  if (!isContainer(container)) return
  for (const [name, value] of Object.entries(container)) {
    yield [container, name, value]
    yield * places(value)
  }
}

/** Not by assignment, which would set the prototype. An array has no names: there it comes last. */
function put (container: Container, name: string, value: unknown): void {
  if (Array.isArray(container) && !(name in container && name !== 'length')) container.push(value)
  else Object.defineProperty(container, name, { value, enumerable: true, configurable: true, writable: true })
}

/** Changes one place of a body. */
function apply (body: object, { inside, where, how, name, ...change }: Change): void {
  const value = structuredClone(change.value) // the constants are shared, and a later change may be within it
  const all = [...places(body)]
  const columns = all
    .filter(([, name]) => ['data', 'opData', 'op_data'].includes(name))
    .flatMap(([, , value]) => [...places(value)])
  const chosen = inside && columns.length > 0 ? columns : all
  const [container, at, found] = chosen[where % chosen.length] ?? [body as Container, name, undefined]
  if (how === 'replace') put(container, at, value)
  else if (how === 'wrap') put(container, at, where % 2 ? [found] : { [name]: found })
  else if (how === 'add') put(isContainer(found) ? found : container, name, value)
  else if (Array.isArray(container)) {
    container.splice(Number(at), 1, ...(how === 'repeat' ? [found, structuredClone(found)] : []))
  } else {
    if (how !== 'repeat') delete container[at]
    if (how !== 'remove') put(container, name, structuredClone(found))
  }
}

/** What becomes of text on its way: cut off, a character more, another one. */
const damage = fc.record({
  where: fc.nat(),
  how: fc.constantFrom('cut', 'insert', 'overwrite'),
  character: fc.constantFrom('"', '\\', '{', ']', ',', '0', '\0', '\ud800', '-', 'e')
})

function spoil (text: string, { where, how, character }: { where: number, how: string, character: string }): string {
  const at = where % (text.length + 1)
  return text.slice(0, at) + (how === 'cut' ? '' : character + text.slice(how === 'insert' ? at : at + 1))
}

const sound = { 'content-type': 'application/json' }

/** A good upload with one to three changes of its parts, one in ten with a damage of its text. */
export const mutated: Arbitrary<Upload> = fc
  .tuple(
    upload,
    fc.array(change, { minLength: 1, maxLength: 3 }),
    fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: damage })
  )
  .map(([good, changes, damage]) => {
    const body = structuredClone(good)
    for (const each of changes) apply(body, each)
    const json = JSON.stringify(body)
    return { body: damage ? spoil(json, damage) : json, headers: sound }
  })

const anything = fc.oneof(values, fc.jsonValue())
const fields = [
  'op',
  'table',
  'type',
  'id',
  'data',
  'opData',
  'op_data',
  'old',
  'metadata',
  'op_id',
  'clientId',
  'tx_id',
  'transaction_id'
]
const columns = [
  ...new Set(Object.values(tables).flatMap(({ required, optional }) => Object.keys({ ...required, ...optional })))
]

/** From what has the form of operations to what has no form at all. */
const randomOperations = fc.oneof(
  {
    weight: 5,
    arbitrary: some(
      fc.record({
        op: oneOf('PUT', 'PATCH', 'DELETE'),
        table: fc.constantFrom(...Object.keys(tables), 'flaky', 'payments'),
        id: fc.oneof(text, characters, fc.constantFrom('1', 'alice-list', malloryUuid)),
        data: fc.dictionary(fc.oneof(fc.constantFrom(...columns), names), anything, { maxKeys: 3 })
      })
    )
  },
  { weight: 2, arbitrary: some(fc.dictionary(fc.oneof(fc.constantFrom(...fields), names), anything, { maxKeys: 8 })) },
  { weight: 1, arbitrary: anything }
)
const randomJson = fc.oneof(
  fc.jsonValue(),
  fc.record(
    { batch: randomOperations, operations: randomOperations, transactions: anything, client_id: anything },
    { requiredKeys: [] }
  ),
  randomOperations.map(batch => ({ batch })),
  randomOperations.map(crud => ({ transactions: [{ crud }] }))
)

/** What a header can have; others never leave fetch. */
const headerText = fc.string({ unit: character([0x21, 0x7e], [0xa0, 0xff]), maxLength: 20 })
const headers = fc
  .record(
    {
      'content-type': fc.oneof(
        { weight: 12, arbitrary: fc.constantFrom('application/json', 'application/json; charset=utf-8') },
        { weight: 1, arbitrary: fc.constantFrom('text/plain', 'application/bson', 'multipart/form-data', '') },
        { weight: 1, arbitrary: headerText }
      ),
      'x-client-id': headerText,
      'content-encoding': headerText,
      // Without it Mallory's own, which is good.
      authorization: fc.oneof(
        headerText,
        headerText.map(text => `Bearer ${text}`)
      )
    },
    { requiredKeys: [] }
  )
  .map(
    ({ authorization, 'content-encoding': encoding, ...others }) =>
      ({
        ...sound,
        ...others,
        ...(authorization?.length! % 5 === 1 && { authorization }),
        ...(encoding?.length! % 5 === 1 && { 'content-encoding': encoding })
      }) as Record<string, string>
  )

/** Bytes, text, JSON, and JSON that looks like an upload, each without rhyme or reason, under all sorts of headers. */
export const random: Arbitrary<Upload> = fc.record({
  body: fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
    { weight: 1, arbitrary: characters },
    { weight: 8, arbitrary: randomJson.map(value => JSON.stringify(value)) }
  ),
  headers
})
