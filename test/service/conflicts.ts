/** Each conflict helper: two devices change one row while they are offline; A comes online first, then B. */
import { randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { inSync, insert, rows, startServer, stored, twoDevices, typed } from './set-up.js'

const { Decimal128, Double, Int32, Long } = fastifyMongodb.mongodb

interface Conflict {
  name: string
  table: string
  /** The row that both devices have, without `id` and `owner_id`. */
  row: Record<string, string | number>
  /** SQL of A's changes and of B's; `:id` stands for the row. */
  a: string[]
  b: string[]
  /** What both devices have in the end; undefined for a row that is gone. */
  then: Record<string, unknown> | undefined
  /** Codes of B's changes that were rejected. */
  rejected?: string[]
}

const earlier = '2025-06-01T10:00:00.000Z'
const time = '2025-06-01T12:00:00.000Z'
const later = '2025-06-01T14:00:00.000Z'

/** An UPDATE of the row. */
const update = (table: string, values: string) => `UPDATE ${table} SET ${values} WHERE id = :id`

/** The metadata for `fieldLevel`. */
const times = (name: string, note: string) =>
  `json_object('name_modified_at', '${name}', 'note_modified_at', '${note}')`

const conflicts: Conflict[] = [
  {
    name: 'without a helper: field by field, the write that arrives last',
    table: 'by_default',
    row: { name: 'old', note: 'old' },
    a: [update('by_default', "name = 'A', note = 'A'")],
    b: [update('by_default', "name = 'B'")],
    then: { name: 'B', note: 'A' }
  },
  {
    name: 'without a helper: a row that was deleted stays deleted',
    table: 'by_default',
    row: { name: 'old', note: 'old' },
    a: ['DELETE FROM by_default WHERE id = :id'],
    b: [update('by_default', "name = 'B'")],
    then: undefined
  },
  {
    name: 'additive: every type of number adds up',
    table: 'sums',
    row: { int32: 10, long: 1000000000000, double: 0.5, decimal: '10.50' },
    a: [
      update('sums', "int32 = int32 - 3, long = long + 1, double = double + 0.25, decimal = '11.00'"),
      update('sums', 'int32 = int32 - 1')
    ],
    b: [update('sums', "int32 = int32 - 2, long = long + 10, double = double + 1.5, decimal = '10.25'")],
    then: { int32: 4, long: 1000000000011, double: 2.25, decimal: '10.75' }
  },
  {
    name: 'additive: a sum that does not fit the field is rejected',
    table: 'sums',
    row: { int32: 10, long: 0, double: 0, decimal: '0' },
    a: [update('sums', 'int32 = int32 - 6')],
    b: [update('sums', 'int32 = int32 - 7')],
    then: { int32: 4, long: 0, double: 0, decimal: '0' },
    rejected: ['INVALID_DATA']
  },
  {
    name: 'versioned: a stale change is rejected',
    table: 'versions',
    row: { name: 'old', version: 1 },
    a: ['A', 'A again'].map(name => update('versions', `name = '${name}', version = version + 1`)),
    b: [update('versions', "name = 'B', version = version + 1")],
    then: { name: 'A again', version: 3 },
    rejected: ['CONFLICT']
  },
  {
    name: 'versioned: a stale DELETE is rejected',
    table: 'versions',
    row: { name: 'old', version: 1 },
    a: [update('versions', "name = 'A', version = version + 1")],
    b: ['DELETE FROM versions WHERE id = :id'],
    then: { name: 'A', version: 2 },
    rejected: ['CONFLICT']
  },
  {
    name: 'versioned, keep: a stale change is dropped',
    table: 'kept_versions',
    row: { name: 'old', version: 1 },
    a: [update('kept_versions', "name = 'A', version = version + 1")],
    b: [update('kept_versions', "name = 'B', version = version + 1")],
    then: { name: 'A', version: 2 }
  },
  {
    name: 'fieldLevel: of each field the later change, whichever arrives first',
    table: 'timed_fields',
    row: { name: 'old', note: 'old' },
    a: [update('timed_fields', `name = 'A', note = 'A', _metadata = ${times(later, earlier)}`)],
    b: [update('timed_fields', `name = 'B', note = 'B', _metadata = ${times(time, time)}`)],
    then: { name: 'A', note: 'B', modified: JSON.stringify({ name: later, note: time }) }
  },
  {
    name: 'lastWriteWins: a change that is older than the row is dropped, whole',
    table: 'timed_rows',
    row: { name: 'old', modified_at: earlier },
    a: [update('timed_rows', `name = 'A', modified_at = '${later}'`)],
    b: [update('timed_rows', `name = 'B', modified_at = '${time}'`)],
    then: { name: 'A', modified_at: later }
  },
  {
    name: 'lastWriteWins: a change that is later than the row is written',
    table: 'timed_rows',
    row: { name: 'old', modified_at: earlier },
    a: [update('timed_rows', `name = 'A', modified_at = '${time}'`)],
    b: [update('timed_rows', `name = 'B', modified_at = '${later}'`)],
    then: { name: 'B', modified_at: later }
  },
  {
    name: 'lastWriteWins: a DELETE that says an older time is dropped',
    table: 'timed_rows',
    row: { name: 'old', modified_at: earlier },
    a: [update('timed_rows', `name = 'A', modified_at = '${later}'`)],
    b: [update('timed_rows', `_deleted = TRUE, _metadata = json_object('modified_at', '${time}')`)],
    then: { name: 'A', modified_at: later }
  },
  {
    name: 'keepServer: the row stays as the server has it',
    table: 'created_once',
    row: { name: 'old' },
    a: [update('created_once', "name = 'A'")],
    b: ['DELETE FROM created_once WHERE id = :id'],
    then: { name: 'old' }
  }
]

t.test('two devices change one row while they are offline', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const all = conflicts.map(conflict => ({ ...conflict, id: randomUUID() }))
  for (const { id, table, row } of all) await insert(a, table, { id, owner_id: user, ...row })
  await a.drained()
  await inSync(app, user, a, b)
  t.strictSame(a.rejections, [], 'the rows are there')

  await Promise.all([a, b].map(({ database }) => database.disconnect()))
  for (const { id, ...changes } of all) {
    for (const sql of changes.a) await a.database.execute(sql.replace(':id', `'${id}'`))
    for (const sql of changes.b) await b.database.execute(sql.replace(':id', `'${id}'`))
  }
  for (const device of [a, b]) {
    await device.connect()
    await device.drained()
  }
  await inSync(app, user, a, b)

  t.strictSame(a.rejections, [], 'A came first')
  for (const { id, name, table, row, then, rejected = [] } of all) {
    await t.test(name, async t => {
      const sql = `SELECT ${Object.keys({ ...row, ...then }).join(', ')} FROM ${table} WHERE id = ?`
      t.strictSame(await rows(a, sql, [id]), then ? [then] : [], 'A has the outcome')
      t.strictSame(await rows(b, sql, [id]), then ? [then] : [], 'B has the outcome')
      const codes = b.rejections.filter(({ ids }) => ids.includes(id)).map(({ code }) => code)
      t.strictSame(codes, rejected, 'rejected at B')
    })
  }

  await t.test('additive: MongoDB has the sums in their types', async t => {
    const { id } = all.find(({ table }) => table === 'sums')!
    const { int32, long, double, decimal } = (await stored(app, 'sums', user)).get(id)!
    t.equal(typed({ int32, long, double, decimal }), typed({
      int32: new Int32(4),
      long: Long.fromNumber(1000000000011),
      double: new Double(2.25),
      decimal: Decimal128.fromString('10.75')
    }))
  })
})
