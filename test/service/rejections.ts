/** A write that the server rejects disappears at its author, and other devices never see it. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { inSync, rows, startServer, twoDevices, type Device } from './set-up.js'

interface Rejected {
  code: string
  /** Why, or how. */
  name: string
  /** The statements of one client transaction: SQL and parameters. */
  write: Array<[sql: string, ...parameters: unknown[]]>
}

const rejected = (user: string, stranger: string, fresh: string): Rejected[] => [
  { code: 'INVALID_DATA', name: 'INSERT of a text that is too long', write: [['INSERT INTO ruled (id, owner_id, name) VALUES (?, ?, ?)', fresh, user, 'x'.repeat(21)]] },
  { code: 'INVALID_DATA', name: 'UPDATE to a number out of range', write: [["UPDATE ruled SET number = -1 WHERE id = ? || '-1'", user]] },
  { code: 'INVALID_DATA', name: 'INSERT with an id that is not canonical', write: [['INSERT INTO uuid_ids (id, owner_id) VALUES (upper(?), ?)', fresh, user]] },
  { code: 'SCHEMA_MISMATCH', name: 'INSERT of a column that the server does not know', write: [["INSERT INTO ruled (id, owner_id, unknown_column) VALUES (?, ?, 'x')", fresh, user]] },
  { code: 'SCHEMA_MISMATCH', name: 'UPDATE of a column that the server does not know', write: [["UPDATE ruled SET unknown_column = 'x' WHERE id = ? || '-1'", user]] },
  { code: 'SCHEMA_MISMATCH', name: 'INSERT into a table that the server does not know', write: [['INSERT INTO unknown_table (id, owner_id) VALUES (?, ?)', fresh, user]] },
  { code: 'UNAUTHORIZED', name: 'INSERT with the id of a row of another owner', write: [['INSERT INTO ruled (id, owner_id) VALUES (?, ?)', stranger, user]] },
  { code: 'UNAUTHORIZED', name: 'UPDATE that gives the row to another owner', write: [["UPDATE ruled SET owner_id = ? WHERE id = ? || '-1'", stranger, user]] },
  { code: 'UNAUTHORIZED', name: 'INSERT that authorize refuses', write: [["INSERT INTO ruled (id, owner_id, name) VALUES (?, ?, 'forbidden')", fresh, user]] },
  { code: 'UNAUTHORIZED', name: 'UPDATE that authorize refuses', write: [["UPDATE ruled SET name = 'forbidden' WHERE id = ? || '-1'", user]] },
  { code: 'UNAUTHORIZED', name: 'DELETE that authorize refuses', write: [["DELETE FROM ruled WHERE id = ? || '-locked'", user]] },
  { code: 'UNAUTHORIZED', name: 'UPDATE of a table that takes new rows only', write: [["UPDATE log SET name = 'x' WHERE id = ?", user]] },
  { code: 'UNAUTHORIZED', name: 'DELETE from a table that takes new rows only', write: [['DELETE FROM log WHERE id = ?', user]] },
  { code: 'DUPLICATE_KEY', name: 'INSERT of a key that another row has', write: [['INSERT INTO ruled (id, owner_id, number) VALUES (?, ?, 1)', fresh, user]] },
  { code: 'DUPLICATE_KEY', name: 'UPDATE to a key that another row has', write: [["UPDATE ruled SET number = 1 WHERE id = ? || '-2'", user]] },
  { code: 'DOCUMENT_VALIDATION_FAILURE', name: 'INSERT that MongoDB\'s validator refuses', write: [['INSERT INTO ruled (id, owner_id, number) VALUES (?, ?, 100)', fresh, user]] },
  { code: 'DOCUMENT_VALIDATION_FAILURE', name: 'UPDATE that MongoDB\'s validator refuses', write: [["UPDATE ruled SET number = 100 WHERE id = ? || '-1'", user]] },
  { code: 'FULL', name: 'INSERT that a hook of the app rejects', write: [["INSERT INTO ruled (id, owner_id, name) VALUES (?, ?, 'full')", fresh, user]] },
  { code: 'FULL', name: 'UPDATE that a hook of the app rejects', write: [["UPDATE ruled SET name = 'full' WHERE id = ? || '-1'", user]] },
  { code: 'FULL', name: 'DELETE that a hook of the app rejects', write: [["DELETE FROM ruled WHERE id = ? || '-kept'", user]] },
  {
    code: 'INVALID_DATA',
    name: 'a transaction over three tables, the last operation of which is at fault',
    write: [
      ["INSERT INTO accounts (id, owner_id, name) VALUES (?, ?, 'good')", fresh, user],
      ["UPDATE ruled SET name = 'good' WHERE id = ? || '-1'", user],
      ["DELETE FROM ruled WHERE id = ? || '-2'", user],
      ['UPDATE ruled SET number = -1 WHERE id = ? || \'-kept\'', user]
    ]
  }
]

const tables = ['ruled', 'log', 'accounts', 'uuid_ids', 'unknown_table']
const everything = async (device: Device) => Object.fromEntries(await Promise.all(tables.map(async table =>
  [table, await rows(device, `SELECT * FROM ${table} ORDER BY id`)] as const)))

t.test('what the server rejects disappears at its author', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const collection = app.mongo.db!.collection('ruled')
  await collection.createIndex({ owner_id: 1, number: 1 }, { unique: true, partialFilterExpression: { number: { $exists: true } } })
  const { validator } = await collection.options() as { validator: object }
  await app.mongo.db!.command({ collMod: 'ruled', validator: { $and: [validator, { number: { $not: { $gt: 99 } } }] } })

  const stranger = randomUUID()
  await app.mongo.db!.collection<{ _id: string }>('ruled').insertOne({ _id: stranger, owner_id: stranger } as { _id: string })

  for (const [index, suffix] of ['-1', '-2', '-locked', '-kept'].entries()) {
    await a.database.execute("INSERT INTO ruled (id, owner_id, name, number) VALUES (? || ?, ?, 'old', ?)", [user, suffix, user, index + 1])
  }
  await a.database.execute("INSERT INTO log (id, owner_id, name) VALUES (?, ?, 'old')", [user, user])
  await a.drained()
  await inSync(app, user, a, b)
  t.strictSame(a.rejections, [])
  const before = await everything(a)
  t.equal(before['ruled']?.length, 4)

  const seenByB = new Set<string>()
  b.database.onChangeWithCallback({ onChange: async () => { seenByB.add(JSON.stringify(await everything(b))) } }, { tables, throttleMs: 0 })
  for (const { name, code, write } of rejected(user, stranger, randomUUID())) {
    await t.test(`${code}: ${name}`, async t => {
      a.rejections.length = 0
      await a.database.writeTransaction(async transaction => {
        for (const [sql, ...parameters] of write) await transaction.execute(sql, parameters)
      })
      const optimistic = await everything(a)
      t.notSame(optimistic, before, 'its author sees it at once')
      await a.drained()
      t.strictSame(a.rejections.map(({ code }) => code), [code])
      await inSync(app, user, a)
      t.strictSame(await everything(a), before, 'and then what was before')
    })
  }
  await inSync(app, user, b)
  t.strictSame([...seenByB].filter(seen => seen !== JSON.stringify(before)), [], 'B saw nothing of all this')
})

t.test('a value that the server sets itself is left out, and the author sees the server\'s', async t => {
  const app = await startServer(t)
  const { user, a } = await twoDevices(t)
  const seen = () => rows(a, 'SELECT owner_id, name, server FROM ruled WHERE id = ?', [user])

  await a.database.execute("INSERT INTO ruled (id, owner_id, name, server) VALUES (?, 'somebody else', 'mine', 'mine')", [user])
  await a.drained()
  await inSync(app, user, a)
  t.strictSame(await seen(), [{ owner_id: user, name: 'mine', server: null }])

  await app.mongo.db!.collection<{ _id: string }>('ruled').updateOne({ _id: user }, { $set: { server: 'theirs' } })
  await inSync(app, user, a)
  await a.database.execute("UPDATE ruled SET name = 'new', server = 'mine' WHERE id = ?", [user])
  await a.drained()
  await inSync(app, user, a)
  t.strictSame(await seen(), [{ owner_id: user, name: 'new', server: 'theirs' }])
  t.strictSame(a.rejections, [])
})
