/**
 * The conflict strategies of PowerSync's docs with PowerSync's own client: two devices that have the same row change it
 * offline, and come online one after the other. https://docs.powersync.com/handling-writes/custom-conflict-resolution
 */
import t from 'tap'
import type { Test } from 'tap'
import type { ColumnsType, TableOptions } from '@powersync/node'
import { Type } from '@sinclair/typebox'
import { bson, collection, lastWriteWins, versioned, type Collections } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { openClient, sdkMissing, type Client } from './client.js'
import { testService } from './service.js'

const skip = await sdkMissing()
const success = { status: 'success' }

interface Tables {
  [table: string]: { columns: Record<string, 'text' | 'integer' | 'real'>, options?: TableOptions }
}

/** A server, and devices that are offline. */
async function setUp (t: Test, collections: Collections, tables: Tables) {
  const { uri } = await testDatabase(t)
  const service = await testService(t)
  const app = await testServer(t, { mongo: { url: uri }, powersyncUrl: service.url, collections, authenticate: () => ({ id: 'user' }) })
  const backend = await app.listen({ host: '127.0.0.1', port: 0 })
  const { column, Schema, Table } = await import('@powersync/node')
  const schema = () => new Schema(Object.fromEntries(Object.entries(tables).map(([name, { columns, options }]) =>
    [name, new Table(Object.fromEntries(Object.entries(columns).map(([field, type]) => [field, column[type]])) as ColumnsType, options)])))

  return {
    app,
    db: app.mongo.db!,
    /** A device that has these rows as if it had synced them: they are not in its upload queue. */
    device: async (rows: Record<string, Record<string, object>>) => {
      const client = await openClient(t, { backend, session: 'any', appSchema: schema() })
      for (const [table, byId] of Object.entries(rows)) {
        for (const [id, row] of Object.entries(byId)) {
          await client.database.execute(`INSERT INTO ps_data__${table} (id, data) VALUES (?, ?)`, [id, JSON.stringify(row)])
        }
      }
      return client
    }
  }
}

/** Comes online, until all is uploaded. */
async function upload (client: Client): Promise<void> {
  await client.connect()
  await client.drained()
  await client.database.disconnect()
}

t.test('1. timestamps: the later change counts, whenever it arrives', { skip }, async t => {
  const { db, device } = await setUp(t, {
    tasks: collection({
      schema: Type.Object({ title: Type.String(), status: Type.Optional(Type.String()), modified_at: bson.Date() }),
      resolveConflict: lastWriteWins({ field: 'modified_at' })
    })
  }, { tasks: { columns: { title: 'text', status: 'text', modified_at: 'text' }, options: { trackMetadata: true } } })
  const row = { title: 'Old', status: 'open', modified_at: '2025-06-01T08:00:00.000Z' }
  await db.collection<{ _id: string }>('tasks').insertOne({ _id: 'a', ...row, modified_at: new Date(row.modified_at) } as { _id: string })
  const devices = await Promise.all([device({ tasks: { a: row } }), device({ tasks: { a: row } }), device({ tasks: { a: row } })])
  const [phone, laptop, watch] = devices as [Client, Client, Client]

  await phone.database.execute("UPDATE tasks SET title = 'Phone', modified_at = '2025-06-01T12:00:00.000Z' WHERE id = 'a'")
  await laptop.database.execute("UPDATE tasks SET title = 'Laptop', status = 'done', modified_at = '2025-06-01T10:00:00.000Z' WHERE id = 'a'")
  await watch.database.execute('UPDATE tasks SET _deleted = TRUE, _metadata = ? WHERE id = ?', [JSON.stringify({ modified_at: '2025-06-01T09:00:00.000Z' }), 'a'])
  for (const client of devices) await upload(client)

  t.same(devices.map(client => client.results()), [[success], [success], [success]])
  t.same(await db.collection('tasks').find().toArray(), [{ _id: 'a', title: 'Phone', status: 'open', modified_at: new Date('2025-06-01T12:00:00.000Z') }])
})

t.test('2. version numbers: who has not seen the last change is refused, with all of the transaction', { skip }, async t => {
  const { app, db, device } = await setUp(t, {
    documents: collection({
      schema: Type.Object({ content: Type.String(), version: bson.Int32() }),
      resolveConflict: versioned({ field: 'version' })
    })
  }, { documents: { columns: { content: 'text', version: 'integer' }, options: { trackPrevious: { columns: ['version'] } } } })
  const row = { content: 'Old', version: 3 }
  await db.collection<{ _id: string }>('documents').insertOne({ _id: 'a', ...row } as { _id: string })
  const [phone, laptop] = [await device({ documents: { a: row } }), await device({ documents: { a: row } })]
  const edit = 'UPDATE documents SET content = ?, version = version + 1 WHERE id = ?'

  await phone.database.execute(edit, ['Phone', 'a'])
  await phone.database.execute(edit, ['Phone again', 'a'])
  await laptop.database.writeTransaction(async transaction => {
    await transaction.execute(edit, ['Laptop', 'a'])
    await transaction.execute("INSERT INTO documents (id, content, version) VALUES ('b', 'Belongs to it', 1)")
  })
  await laptop.database.execute("DELETE FROM documents WHERE id = 'a'")
  await upload(phone)
  await upload(laptop)

  t.same(phone.results(), [success, success], 'its own changes fit onto each other')
  t.match(laptop.results(), [{ status: 'fatal_error', failed_operation: { error_code: 'CONFLICT', operation_index: 0 } }, { status: 'fatal_error', failed_operation: { error_code: 'CONFLICT' } }])
  t.same(await db.collection('documents').find().toArray(), [{ _id: 'a', content: 'Phone again', version: 5 }])
  t.equal((await app.powersync.deadLetters.list()).length, 2)
})
