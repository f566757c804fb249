/** Each conflict helper: two devices change one row while they are offline; A comes online first, then B. */
import { randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { inSync, rows, startServer, twoDevices } from './set-up.js'

const { BSON } = fastifyMongodb.mongodb

/** SQL and parameters; `:id` stands for the row. */
type Statement = string | [sql: string, ...parameters: unknown[]]

interface Conflict {
  name: string
  table: string
  /** The row that both devices have, without `id` and `owner_id`. */
  row: Record<string, string | number>
  a: Statement[]
  b: Statement[]
  /** What both devices have in the end; undefined for a row that is gone. */
  then: Record<string, unknown> | undefined
  /** Codes of B's changes that were rejected. */
  rejected?: string[]
}

const [earlier, time, later] = ['2025-06-01T10:00:00.000Z', '2025-06-01T12:00:00.000Z', '2025-06-01T14:00:00.000Z'] as const

const conflicts: Conflict[] = [
  {
    name: 'without a helper: field by field, the write that arrives last',
    table: 'by_default',
    row: { name: 'old', note: 'old' },
    a: ["UPDATE by_default SET name = 'A', note = 'A' WHERE id = :id"],
    b: ["UPDATE by_default SET name = 'B' WHERE id = :id"],
    then: { name: 'B', note: 'A' }
  },
  {
    name: 'without a helper: a row that was deleted stays deleted',
    table: 'by_default',
    row: { name: 'old', note: 'old' },
    a: ['DELETE FROM by_default WHERE id = :id'],
    b: ["UPDATE by_default SET name = 'B' WHERE id = :id"],
    then: undefined
  },
  {
    name: 'additive: every type of number adds up',
    table: 'sums',
    row: { int32: 10, long: 1000000000000, double: 0.5, decimal: '10.50' },
    a: ["UPDATE sums SET int32 = int32 - 3, long = long + 1, double = double + 0.25, decimal = '11.00' WHERE id = :id", 'UPDATE sums SET int32 = int32 - 1 WHERE id = :id'],
    b: ["UPDATE sums SET int32 = int32 - 2, long = long + 10, double = double + 1.5, decimal = '10.25' WHERE id = :id"],
    then: { int32: 4, long: 1000000000011, double: 2.25, decimal: '10.75' }
  },
  {
    name: 'additive: a sum that does not fit the field is rejected',
    table: 'sums',
    row: { int32: 10, long: 0, double: 0, decimal: '0' },
    a: ['UPDATE sums SET int32 = int32 - 6 WHERE id = :id'],
    b: ['UPDATE sums SET int32 = int32 - 7 WHERE id = :id'],
    then: { int32: 4, long: 0, double: 0, decimal: '0' },
    rejected: ['INVALID_DATA']
  },
  {
    name: 'versioned: a stale change is rejected',
    table: 'versions',
    row: { name: 'old', version: 1 },
    a: ["UPDATE versions SET name = 'A', version = version + 1 WHERE id = :id", "UPDATE versions SET name = 'A again', version = version + 1 WHERE id = :id"],
    b: ["UPDATE versions SET name = 'B', version = version + 1 WHERE id = :id"],
    then: { name: 'A again', version: 3 },
    rejected: ['CONFLICT']
  },
  {
    name: 'versioned: a stale DELETE is rejected',
    table: 'versions',
    row: { name: 'old', version: 1 },
    a: ["UPDATE versions SET name = 'A', version = version + 1 WHERE id = :id"],
    b: ['DELETE FROM versions WHERE id = :id'],
    then: { name: 'A', version: 2 },
    rejected: ['CONFLICT']
  },
  {
    name: 'versioned, keep: a stale change is dropped',
    table: 'kept_versions',
    row: { name: 'old', version: 1 },
    a: ["UPDATE kept_versions SET name = 'A', version = version + 1 WHERE id = :id"],
    b: ["UPDATE kept_versions SET name = 'B', version = version + 1 WHERE id = :id"],
    then: { name: 'A', version: 2 }
  },
  {
    name: 'fieldLevel: of each field the later change, whichever arrives first',
    table: 'timed_fields',
    row: { name: 'old', note: 'old' },
    a: [["UPDATE timed_fields SET name = 'A', note = 'A', _metadata = ? WHERE id = :id", JSON.stringify({ name_modified_at: later, note_modified_at: earlier })]],
    b: [["UPDATE timed_fields SET name = 'B', note = 'B', _metadata = ? WHERE id = :id", JSON.stringify({ name_modified_at: time, note_modified_at: time })]],
    then: { name: 'A', note: 'B', modified: JSON.stringify({ name: later, note: time }) }
  },
  {
    name: 'lastWriteWins: a change that is older than the row is dropped, whole',
    table: 'timed_rows',
    row: { name: 'old', modified_at: earlier },
    a: [['UPDATE timed_rows SET name = ?, modified_at = ? WHERE id = :id', 'A', later]],
    b: [['UPDATE timed_rows SET name = ?, modified_at = ? WHERE id = :id', 'B', time]],
    then: { name: 'A', modified_at: later }
  },
  {
    name: 'lastWriteWins: a change that is later than the row is written',
    table: 'timed_rows',
    row: { name: 'old', modified_at: earlier },
    a: [['UPDATE timed_rows SET name = ?, modified_at = ? WHERE id = :id', 'A', time]],
    b: [['UPDATE timed_rows SET name = ?, modified_at = ? WHERE id = :id', 'B', later]],
    then: { name: 'B', modified_at: later }
  },
  {
    name: 'lastWriteWins: a DELETE that says an older time is dropped',
    table: 'timed_rows',
    row: { name: 'old', modified_at: earlier },
    a: [['UPDATE timed_rows SET name = ?, modified_at = ? WHERE id = :id', 'A', later]],
    b: [['UPDATE timed_rows SET _deleted = TRUE, _metadata = ? WHERE id = :id', JSON.stringify({ modified_at: time })]],
    then: { name: 'A', modified_at: later }
  },
  {
    name: 'keepServer: the row stays as the server has it',
    table: 'created_once',
    row: { name: 'old' },
    a: ["UPDATE created_once SET name = 'A' WHERE id = :id"],
    b: ['DELETE FROM created_once WHERE id = :id'],
    then: { name: 'old' }
  }
]

t.test('two devices change one row while they are offline', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const all = conflicts.map(conflict => ({ ...conflict, id: randomUUID() }))
  for (const { id, table, row } of all) {
    const columns = ['id', 'owner_id', ...Object.keys(row)]
    await a.database.execute(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`, [id, user, ...Object.values(row)])
  }
  await a.drained()
  await inSync(app, user, a, b)
  t.strictSame(a.rejections, [], 'the rows are there')

  await Promise.all([a, b].map(({ database }) => database.disconnect()))
  for (const device of [a, b]) {
    for (const { id, ...conflict } of all) {
      for (const statement of device === a ? conflict.a : conflict.b) {
        const [sql, ...parameters] = typeof statement === 'string' ? [statement] : statement
        await device.database.execute(sql.replace(':id', `'${id}'`), parameters)
      }
    }
  }
  for (const device of [a, b]) {
    await device.connect()
    await device.drained()
  }
  await inSync(app, user, a, b)

  t.strictSame(a.rejections, [], 'A came first')
  for (const { id, name, table, row, then, rejected = [] } of all) {
    await t.test(name, async t => {
      const columns = Object.keys({ ...row, ...then }).join(', ')
      for (const [name, device] of Object.entries({ A: a, B: b })) {
        t.strictSame(await rows(device, `SELECT ${columns} FROM ${table} WHERE id = ?`, [id]), then ? [then] : [], `${name} has the outcome`)
      }
      t.strictSame(b.rejections.filter(({ ids }) => ids.includes(id)).map(({ code }) => code), rejected, 'rejected at B')
    })
  }

  await t.test('additive: MongoDB has the sums in their types', async t => {
    const { id } = all.find(({ table }) => table === 'sums')!
    const document = await app.mongo.db!.collection<{ _id: string }>('sums').findOne({ _id: id }, { promoteValues: false, projection: { _id: 0, owner_id: 0 } })
    t.strictSame(BSON.EJSON.serialize(document!, { relaxed: false }), {
      int32: { $numberInt: '4' },
      long: { $numberLong: '1000000000011' },
      double: { $numberDouble: '2.25' },
      decimal: { $numberDecimal: '10.75' }
    })
  })
})
