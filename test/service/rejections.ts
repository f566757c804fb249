/** A write that the server rejects disappears at its author, and other devices never see it. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createRejections } from '../../lib/client/index.js'
import { inSync, insert, openDevice, rows, startServer, store, twoDevices, type Device } from './set-up.js'

/** Code → why, or how → the statements of one client transaction. */
type Rejected = Record<string, Record<string, string[]>>

function rejected (user: string, stranger: string): Rejected {
  const fresh = randomUUID()
  const update = (values: string, suffix: string) => `UPDATE ruled SET ${values} WHERE id = '${user}-${suffix}'`
  const put = (table: string, values: Record<string, string | number> = {}) => {
    const row = { id: fresh, owner_id: user, ...values }
    const literals = Object.values(row).map(value => typeof value === 'number' ? value : `'${value}'`)
    return `INSERT INTO ${table} (${Object.keys(row).join(', ')}) VALUES (${literals.join(', ')})`
  }
  return {
    INVALID_DATA: {
      'INSERT of a text that is too long': [put('ruled', { name: 'more than 20 characters' })],
      'UPDATE to a number out of range': [update('number = -1', '1')],
      'INSERT with an id that is not canonical': [put('uuid_ids', { id: fresh.toUpperCase() })],
      'a transaction over three tables, the last operation of which is at fault': [
        put('accounts', { name: 'good' }),
        update("name = 'good'", '1'),
        `DELETE FROM ruled WHERE id = '${user}-2'`,
        update('number = -1', 'kept')
      ]
    },
    SCHEMA_MISMATCH: {
      'INSERT of a column that the server does not know': [put('ruled', { unknown_column: 'x' })],
      'UPDATE of a column that the server does not know': [update("unknown_column = 'x'", '1')],
      'INSERT into a table that the server does not know': [put('unknown_table')]
    },
    UNAUTHORIZED: {
      'INSERT with the id of a row of another owner': [put('ruled', { id: stranger })],
      'UPDATE that gives the row to another owner': [update(`owner_id = '${stranger}'`, '1')],
      'INSERT that authorize refuses': [put('ruled', { name: 'forbidden' })],
      'UPDATE that authorize refuses': [update("name = 'forbidden'", '1')],
      'DELETE that authorize refuses': [`DELETE FROM ruled WHERE id = '${user}-locked'`],
      'UPDATE of a table that takes new rows only': [`UPDATE log SET name = 'x' WHERE id = '${user}'`],
      'DELETE from a table that takes new rows only': [`DELETE FROM log WHERE id = '${user}'`]
    },
    DUPLICATE_KEY: {
      'INSERT of a key that another row has': [put('ruled', { number: 1 })],
      'UPDATE to a key that another row has': [update('number = 1', '2')]
    },
    DOCUMENT_VALIDATION_FAILURE: {
      'INSERT that MongoDB\'s validator refuses': [put('ruled', { number: 100 })],
      'UPDATE that MongoDB\'s validator refuses': [update('number = 100', '1')]
    },
    FULL: {
      'INSERT that a hook of the app rejects': [put('ruled', { name: 'full' })],
      'UPDATE that a hook of the app rejects': [update("name = 'full'", '1')],
      'DELETE that a hook of the app rejects': [`DELETE FROM ruled WHERE id = '${user}-kept'`]
    }
  }
}

const tables = ['ruled', 'log', 'accounts', 'uuid_ids', 'unknown_table']
const everything = async (device: Device) => JSON.stringify(await Promise.all(tables.map(table =>
  rows(device, `SELECT '${table}' AS "table", * FROM ${table} ORDER BY id`))))

t.test('what the server rejects disappears at its author', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const collection = app.mongo.db!.collection('ruled')
  const partialFilterExpression = { number: { $exists: true } }
  await collection.createIndex({ owner_id: 1, number: 1 }, { unique: true, partialFilterExpression })
  const { validator } = await collection.options() as { validator: object }
  const stricter = { $and: [validator, { number: { $not: { $gt: 99 } } }] }
  await app.mongo.db!.command({ collMod: 'ruled', validator: stricter })
  const stranger = randomUUID()
  await store(app, 'ruled', { _id: stranger, owner_id: stranger })

  for (const [index, suffix] of ['1', '2', 'locked', 'kept'].entries()) {
    await insert(a, 'ruled', { id: `${user}-${suffix}`, owner_id: user, name: 'old', number: index + 1 })
  }
  await insert(a, 'log', { id: user, owner_id: user, name: 'old' })
  await a.drained()
  await inSync(app, user, a, b)
  t.strictSame(a.rejections, [])
  const before = await everything(a)
  t.equal(await everything(b), before, 'both devices have the rows')

  const seenByB = new Set<string>()
  const onChange = async () => { seenByB.add(await everything(b)) }
  b.database.onChangeWithCallback({ onChange }, { tables, throttleMs: 0 })
  for (const [code, writes] of Object.entries(rejected(user, stranger))) {
    for (const [name, statements] of Object.entries(writes)) {
      await t.test(`${code}: ${name}`, async t => {
        a.rejections.length = 0
        await a.database.writeTransaction(async transaction => {
          for (const sql of statements) await transaction.execute(sql)
        })
        t.not(await everything(a), before, 'its author sees it at once')
        await a.drained()
        t.strictSame(a.rejections.map(({ code }) => code), [code])
        await inSync(app, user, a)
        t.equal(await everything(a), before, 'and then what was before')
      })
    }
  }
  await inSync(app, user, b)
  seenByB.delete(before)
  t.strictSame([...seenByB], [], 'B saw nothing of all this')
})

t.test('a value that the server sets itself is left out, and the author sees the server\'s', async t => {
  const app = await startServer(t)
  const { user, a } = await twoDevices(t)
  const seen = () => rows(a, 'SELECT owner_id, name, server FROM ruled WHERE id = ?', [user])

  await insert(a, 'ruled', { id: user, owner_id: 'somebody else', name: 'mine', server: 'mine' })
  await a.drained()
  await inSync(app, user, a)
  t.strictSame(await seen(), [{ owner_id: user, name: 'mine', server: null }])

  await app.mongo.db!.collection('ruled').updateOne({ owner_id: user }, { $set: { server: 'theirs' } })
  await inSync(app, user, a)
  await a.database.execute("UPDATE ruled SET name = 'new', server = 'mine' WHERE id = ?", [user])
  await a.drained()
  await inSync(app, user, a)
  t.strictSame(await seen(), [{ owner_id: user, name: 'new', server: 'theirs' }])
  t.strictSame(a.rejections, [])
})

t.test('a rejected change is seen on its author\'s devices only, corrected on one, and settled', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const stranger = randomUUID()
  const c = await openDevice(t, stranger)
  const [onA, onB, onC] = [a, b, c].map(({ database }) => createRejections(database))
  await insert(a, 'ruled', { id: user, owner_id: user, name: 'more than 20 characters', number: 7 })
  await a.drained()
  await inSync(app, user, a, b)
  await inSync(app, stranger, c)
  const [rejection, ...others] = await onB!.all()
  t.match(rejection, { code: 'INVALID_DATA', path: 'name' })
  t.match(rejection?.failed, { op: 'PUT', table: 'ruled', id: user, data: { number: 7 } })
  t.strictSame([others, await onA!.all(), await onC!.all()], [[], [rejection], []])

  t.equal(await onB!.resend(rejection!.id, { name: 'short' }), true)
  await b.drained()
  await inSync(app, user, a, b)
  for (const device of [a, b]) {
    t.match(await rows(device, 'SELECT name, number FROM ruled WHERE id = ?', [user]), [{ name: 'short', number: 7 }])
  }
  t.strictSame([await onA!.all(), await onB!.all()], [[], []])
  t.strictSame(await app.powersync.deadLetters.list({ user }), [])
})
