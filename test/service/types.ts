/** Every schema type there and back: device A writes it, MongoDB has it, device B reads it and writes it back unchanged. */
import { randomUUID } from 'node:crypto'
import fastifyMongodb from '@fastify/mongodb'
import t from 'tap'
import { samples } from './samples.js'
import { inSync, rows, startServer, twoDevices, type Device } from './set-up.js'

const { BSON } = fastifyMongodb.mongodb

/** How a device writes a row back as it is. Each is one client transaction. */
const writeBacks: Record<string, (device: Device, field: string, id: string) => Promise<void>> = {
  /** An INSERT OR REPLACE within SQLite: the values never become JavaScript's. */
  'PUT within SQL': async ({ database }, field, id) => {
    await database.execute(`INSERT OR REPLACE INTO samples (id, owner_id, "${field}") SELECT id, owner_id, "${field}" FROM samples WHERE id = ?`, [id])
  },
  /** As apps do it, with all columns. */
  'PUT of what was read': async ({ database }, _field, id) => {
    const row = await database.get<Record<string, unknown>>('SELECT * FROM samples WHERE id = ?', [id])
    const columns = Object.keys(row)
    await database.execute(`INSERT OR REPLACE INTO samples (${columns.map(column => `"${column}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`, Object.values(row))
  },
  /** The SDK leaves unchanged columns out of an UPDATE: the value is cleared first. */
  'PATCH of what was read': async ({ database }, field, id) => {
    await database.writeTransaction(async transaction => {
      const { value } = await transaction.get<{ value: unknown }>(`SELECT "${field}" AS value FROM samples WHERE id = ?`, [id])
      await transaction.execute(`UPDATE samples SET "${field}" = NULL WHERE id = ?`, [id])
      await transaction.execute(`UPDATE samples SET "${field}" = ? WHERE id = ?`, [value, id])
    })
  }
}

/** Field of the document → column of the client, where they differ. */
const columnOf = (field: string) => field === 'renamed_field' ? 'renamedColumn' : field

t.test('every type there and back', async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  const collection = app.mongo.db!.collection<{ _id: string }>('samples')
  const written = samples.map(sample => ({ ...sample, id: randomUUID(), column: columnOf(sample.field) }))

  for (const { field, column, value, stored, id } of written) {
    if (value === undefined) await collection.insertOne({ _id: id, owner_id: user, [field]: stored } as { _id: string })
    else await a.database.execute(`INSERT INTO samples (id, owner_id, "${column}") VALUES (?, ?, ${value})`, [id, user])
  }
  /** As SQL literals, which tell types and digits. */
  const literals = async (device: Device) => new Map(await Promise.all(written.map(async ({ id, column }) =>
    [id, (await rows(device, `SELECT quote("${column}") AS value FROM samples WHERE id = ?`, [id]))[0]?.['value']] as const)))
  await a.drained()
  await inSync(app, user, a, b)
  const seenByA = await literals(a)
  const seenByB = await literals(b)

  const inMongoDB = async () => new Map((await collection.find({ owner_id: user }, { promoteValues: false }).toArray())
    .map(({ _id, ...document }) => [String(_id), document as Record<string, unknown>]))
  const before = await inMongoDB()
  const after = new Map<string, Awaited<ReturnType<typeof inMongoDB>>>()
  const rejected = new Map<string, Set<string>>()
  for (const [way, writeBack] of Object.entries(writeBacks)) {
    b.rejections.length = 0
    for (const { id, column } of written.filter(({ id }) => seenByB.get(id) !== undefined)) await writeBack(b, column, id)
    await b.drained()
    await inSync(app, user, b)
    after.set(way, await inMongoDB())
    rejected.set(way, new Set(b.rejections.flatMap(({ ids }) => ids)))
  }

  for (const { id, name, field, value, as = value, stored, known, knownInJavaScript = known } of written) {
    await t.test(name, async t => {
      const options = known ? { todo: known } : {}
      const [expected] = await rows(a, `SELECT quote(${as}) AS value`)
      t.equal(text(before.get(id)?.[field]), text(stored), 'MongoDB has it in its type', options)
      t.equal(seenByA.get(id), expected?.['value'], 'A has it', options)
      t.equal(seenByB.get(id), expected?.['value'], 'B has it', options)
      for (const way of Object.keys(writeBacks)) {
        const reason = way === 'PUT within SQL' ? known : knownInJavaScript
        const options = reason ? { todo: reason } : {}
        t.notOk(rejected.get(way)?.has(id), `${way} is accepted`, options)
        t.equal(text(after.get(way)?.get(id)?.[field]), text(stored), `${way} leaves it unchanged`, options)
      }
    })
  }
})

/** Canonical Extended JSON, which tells BSON types and digits. */
const text = (value: unknown) => value === undefined ? undefined : BSON.EJSON.stringify({ value }, { relaxed: false })
