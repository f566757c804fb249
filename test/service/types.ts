/** Every schema type there and back: A writes it, MongoDB has it, B reads it and writes it back unchanged. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { samples } from './samples.js'
import { inSync, insert, rows, startServer, store, stored, twoDevices, typed, type Device } from './set-up.js'

/** How a device writes a row back as it is. Each is one client transaction. */
const writeBacks: Record<string, (device: Device, column: string, id: string) => Promise<void>> = {
  /** An INSERT OR REPLACE within SQLite: the values never become JavaScript's. */
  'PUT within SQL': async ({ database }, column, id) => {
    const columns = `id, owner_id, "${column}"`
    const sql = `INSERT OR REPLACE INTO samples (${columns}) SELECT ${columns} FROM samples WHERE id = ?`
    await database.execute(sql, [id])
  },
  /** As apps do it, with all columns. */
  'PUT of what was read': async (device, _column, id) => {
    const [row] = await rows(device, 'SELECT * FROM samples WHERE id = ?', [id])
    await insert(device, 'samples', row!, 'INSERT OR REPLACE')
  },
  /** The SDK leaves unchanged columns out of an UPDATE: the value is cleared first. */
  'PATCH of what was read': async ({ database }, column, id) => {
    await database.writeTransaction(async transaction => {
      const sql = `SELECT "${column}" AS value FROM samples WHERE id = ?`
      const { value } = await transaction.get<{ value: unknown }>(sql, [id])
      await transaction.execute(`UPDATE samples SET "${column}" = NULL WHERE id = ?`, [id])
      await transaction.execute(`UPDATE samples SET "${column}" = ? WHERE id = ?`, [value, id])
    })
  }
}

t.test('every type there and back', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const written = samples.map(sample => ({ ...sample, id: randomUUID(), column: sample.column ?? sample.field }))
  for (const { field, column, value, bson, id } of written) {
    const sql = `INSERT INTO samples (id, owner_id, "${column}") VALUES (?, ?, ${value})`
    if (value === undefined) await store(app, 'samples', { _id: id, owner_id: user, [field]: bson })
    else await a.database.execute(sql, [id, user])
  }
  await a.drained()
  await inSync(app, user, a, b)
  const before = await stored(app, 'samples', user)
  const seenByA = await literals(a, written)
  const seenByB = await literals(b, written)

  const after = new Map<string, typeof before>()
  const rejected = new Map<string, Set<string>>()
  for (const [way, writeBack] of Object.entries(writeBacks)) {
    b.rejections.length = 0
    for (const { id, column } of written) {
      if (seenByB.get(id) !== undefined) await writeBack(b, column, id)
    }
    await b.drained()
    await inSync(app, user, b)
    after.set(way, await stored(app, 'samples', user))
    rejected.set(way, new Set(b.rejections.flatMap(({ ids }) => ids)))
  }

  for (const { id, name, field, value, as = value, bson, known, knownInJavaScript = known } of written) {
    await t.test(name, async t => {
      const options = known ? { todo: known } : {}
      const [expected] = await rows(a, `SELECT quote(${as}) AS value`)
      t.equal(typed(before.get(id)?.[field]), typed(bson), 'MongoDB has it in its type', options)
      t.equal(seenByA.get(id), expected?.['value'], 'A has it', options)
      t.equal(seenByB.get(id), expected?.['value'], 'B has it', options)
      for (const way of Object.keys(writeBacks)) {
        const reason = way === 'PUT within SQL' ? known : knownInJavaScript
        const options = reason ? { todo: reason } : {}
        t.notOk(rejected.get(way)?.has(id), `${way} is accepted`, options)
        t.equal(typed(after.get(way)?.get(id)?.[field]), typed(bson), `${way} leaves it unchanged`, options)
      }
    })
  }
})

type Written = Array<{ id: string, column: string }>

/** The values that a device has, as SQL literals, which tell types and digits. */
async function literals (device: Device, written: Written): Promise<Map<string, unknown>> {
  return new Map(await Promise.all(written.map(async ({ id, column }) => {
    const [row] = await rows(device, `SELECT quote("${column}") AS value FROM samples WHERE id = ?`, [id])
    return [id, row?.['value']] as const
  })))
}
