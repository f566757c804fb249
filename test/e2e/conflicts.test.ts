/**
 * The conflict strategies of PowerSync's docs with PowerSync's own client: two devices that have the same row change it
 * offline, and come online one after the other. https://docs.powersync.com/handling-writes/custom-conflict-resolution
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { ColumnsType, Schema as ClientSchema, TableOptions } from '@powersync/node'
import { Type } from '@sinclair/typebox'
import { bson, collection, PowerSyncFatalError, type Collections } from '../../index.js'
import { additive, fieldLevel, lastWriteWins, versioned } from '../../lib/rules/conflicts/index.js'
import { Decimal128 } from '../../lib/bson.js'
import { clientSchemaOf } from '../../lib/schema/client-schema.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { openClient, sdkMissing, type Client } from './client.js'
import { testService } from './service.js'

const skip = await sdkMissing()
const success = { status: 'success' }

interface Tables {
  [table: string]: { columns: Record<string, 'text' | 'integer' | 'real'>, options?: TableOptions }
}

/** The schema that `client-schema` prints. */
async function printed (t: Test, collections: Collections): Promise<ClientSchema> {
  const folder = await mkdtemp(join(import.meta.dirname, '..', '.readme-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'schema.mjs'), clientSchemaOf(collections, 'js'))
  return (await import(join(folder, 'schema.mjs')) as { AppSchema: ClientSchema }).AppSchema
}

/** A server, and devices that are offline. Their schema is the printed one, unless they have tables of their own. */
async function setUp (t: Test, collections: Collections, tables?: Tables) {
  const { uri } = await testDatabase(t)
  const service = await testService(t)
  const app = await testServer(t, {
    mongo: { url: uri },
    powersyncUrl: service.url,
    collections,
    authenticate: () => ({ id: 'user' })
  })
  const backend = await app.listen({ host: '127.0.0.1', port: 0 })
  const { column, Schema, Table } = await import('@powersync/node')
  const own =
    tables &&
    new Schema(
      Object.fromEntries(
        Object.entries(tables).map(([name, { columns, options }]) => [
          name,
          new Table(
            Object.fromEntries(Object.entries(columns).map(([field, type]) => [field, column[type]])) as ColumnsType,
            options
          )
        ])
      )
    )
  const appSchema = own ?? await printed(t, collections)

  return {
    app,
    db: app.mongo.db!,
    /** A device that has these rows as if it had synced them: they are not in its upload queue. */
    device: async (rows: Record<string, Record<string, object>>) => {
      const client = await openClient(t, { backend, session: 'any', appSchema })
      for (const [table, byId] of Object.entries(rows)) {
        for (const [id, row] of Object.entries(byId)) {
          await client.database.execute(`INSERT INTO ps_data__${table} (id, data) VALUES (?, ?)`, [
            id,
            JSON.stringify(row)
          ])
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
  })
  const row = { title: 'Old', status: 'open', modified_at: '2025-06-01T08:00:00.000Z' }
  await db
    .collection<{ _id: string }>('tasks')
    .insertOne({ _id: 'a', ...row, modified_at: new Date(row.modified_at) } as { _id: string })
  const devices = await Promise.all([
    device({ tasks: { a: row } }),
    device({ tasks: { a: row } }),
    device({ tasks: { a: row } })
  ])
  const [phone, laptop, watch] = devices as [Client, Client, Client]

  await phone.database.execute(
    "UPDATE tasks SET title = 'Phone', modified_at = '2025-06-01T12:00:00.000Z' WHERE id = 'a'"
  )
  await laptop.database.execute(
    "UPDATE tasks SET title = 'Laptop', status = 'done', modified_at = '2025-06-01T10:00:00.000Z' WHERE id = 'a'"
  )
  await watch.database.execute('UPDATE tasks SET _deleted = TRUE, _metadata = ? WHERE id = ?', [
    JSON.stringify({ modified_at: '2025-06-01T09:00:00.000Z' }),
    'a'
  ])
  for (const client of devices) await upload(client)

  t.same(devices.map(client => client.results()), [[success], [success], [success]])
  t.same(await db.collection('tasks').find().toArray(), [
    { _id: 'a', title: 'Phone', status: 'open', modified_at: new Date('2025-06-01T12:00:00.000Z') }
  ])
})

t.test(
  '2. version numbers: who has not seen the last change is refused, with all of the transaction',
  { skip },
  async t => {
    const { app, db, device } = await setUp(t, {
      documents: collection({
        schema: Type.Object({ content: Type.String(), version: bson.Int32() }),
        resolveConflict: versioned({ field: 'version' })
      })
    })
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
    t.match(laptop.results(), [
      { status: 'fatal_error', failed_operation: { error_code: 'CONFLICT', operation_index: 0 } },
      { status: 'fatal_error', failed_operation: { error_code: 'CONFLICT' } }
    ])
    t.same(await db.collection('documents').find().toArray(), [{ _id: 'a', content: 'Phone again', version: 5 }])
    t.equal((await app.powersync.deadLetters.list()).length, 2)
  }
)

t.test('3. fields by time: both changes count where they are about different fields', { skip }, async t => {
  const { db, device } = await setUp(t, {
    tasks: collection({
      schema: Type.Object({
        title: Type.String(),
        status: Type.String(),
        modified: Type.Optional(bson.Json(Type.Record(Type.String(), bson.Date())))
      }),
      writable: ['title', 'status'],
      resolveConflict: fieldLevel({ metadata: 'modified' })
    })
  })
  const row = { title: 'Old', status: 'open' }
  await db.collection<{ _id: string }>('tasks').insertOne({ _id: 'a', ...row } as { _id: string })
  const [phone, laptop] = [await device({ tasks: { a: row } }), await device({ tasks: { a: row } })]
  const at = (hour: number) => `2025-06-01T${hour}:00:00.000Z`

  await phone.database.execute('UPDATE tasks SET title = ?, status = ?, _metadata = ? WHERE id = ?',
    ['Phone', 'done', JSON.stringify({ title_modified_at: at(12), status_modified_at: at(12) }), 'a'])
  await laptop.database.execute('UPDATE tasks SET title = ?, _metadata = ? WHERE id = ?', [
    'Laptop',
    JSON.stringify({ title_modified_at: at(10) }),
    'a'
  ])
  await laptop.database.execute('UPDATE tasks SET status = ?, _metadata = ? WHERE id = ?', [
    'checked',
    JSON.stringify({ status_modified_at: at(14) }),
    'a'
  ])
  await upload(phone)
  await upload(laptop)

  t.same(await db.collection('tasks').find().toArray(), [
    { _id: 'a', title: 'Phone', status: 'checked', modified: { title: new Date(at(12)), status: new Date(at(14)) } }
  ])
})

t.test('4. business rules: the state of the row says what may become of it', { skip }, async t => {
  const next: Record<string, string[]> = { pending: ['processing', 'cancelled'], processing: ['shipped', 'cancelled'] }
  const { app, db, device } = await setUp(t, {
    orders: collection({
      schema: Type.Object({ status: Type.String(), address: Type.String() }),
      resolveConflict: ({ operation, existing }) => {
        const { status, address } = operation.data ?? {}
        if (status !== undefined && status !== existing.status && !next[existing.status]?.includes(status)) {
          throw new PowerSyncFatalError('INVALID_TRANSITION', 'The order is past that', { details: { path: 'status' } })
        }
        if (existing.status === 'shipped' && (operation.op === 'DELETE' || address !== undefined)) return null
        return operation
      }
    })
  }, { orders: { columns: { status: 'text', address: 'text' } } })
  const row = { status: 'pending', address: 'Old' }
  await db.collection<{ _id: string }>('orders').insertOne({ _id: 'a', ...row } as { _id: string })
  const [warehouse, customer] = [await device({ orders: { a: row } }), await device({ orders: { a: row } })]

  await customer.database.execute("UPDATE orders SET address = 'New' WHERE id = 'a'")
  await customer.database.execute("UPDATE orders SET status = 'cancelled' WHERE id = 'a'")
  for (const status of ['processing', 'shipped']) {
    await warehouse.database.execute('UPDATE orders SET status = ? WHERE id = ?', [status, 'a'])
  }
  await upload(warehouse)
  await upload(customer)

  t.match(customer.results(), [
    success,
    { status: 'fatal_error', failed_operation: { error_code: 'INVALID_TRANSITION', details: { path: 'status' } } }
  ])
  t.same(await db.collection('orders').find().toArray(), [{ _id: 'a', status: 'shipped', address: 'Old' }])
  t.equal((await app.powersync.deadLetters.list()).length, 1)
})

t.test('5. a table of conflicts: a person decides between what was and what would have been', { skip }, async t => {
  const { db, device } = await setUp(t, {
    records: collection({
      schema: Type.Object({ diagnosis: Type.String() }),
      resolveConflict: async ({ operation, existing, previous }, { db, session, user }) => {
        if (operation.op !== 'PATCH' || previous?.diagnosis === existing.diagnosis) return operation
        await db.collection('write_conflicts').insertOne(
          {
            row_id: operation.id,
            user_id: user.id,
            theirs: existing.diagnosis,
            yours: operation.data.diagnosis,
            resolved: false
          },
          { session }
        )
        return null
      }
    }),
    write_conflicts: collection({
      id: 'objectId',
      schema: Type.Object({ resolved: bson.Boolean() }),
      operations: ['PATCH']
    })
  }, {
    records: { columns: { diagnosis: 'text' }, options: { trackPrevious: true } },
    write_conflicts: { columns: { row_id: 'text', yours: 'text', theirs: 'text', resolved: 'integer' } }
  })
  const row = { diagnosis: 'Cold' }
  await db.collection<{ _id: string }>('records').insertOne({ _id: 'a', ...row } as { _id: string })
  const [nurse, doctor] = [await device({ records: { a: row } }), await device({ records: { a: row } })]

  await nurse.database.execute("UPDATE records SET diagnosis = 'Flu' WHERE id = 'a'")
  await doctor.database.execute("UPDATE records SET diagnosis = 'Asthma' WHERE id = 'a'")
  await upload(nurse)
  await upload(doctor)
  t.same(await db.collection('records').find().toArray(), [{ _id: 'a', diagnosis: 'Flu' }])
  const [conflict] = await db.collection('write_conflicts').find().toArray()
  t.match(conflict, { row_id: 'a', user_id: 'user', theirs: 'Flu', yours: 'Asthma', resolved: false })

  const id = String(conflict?.['_id'])
  const synced = await device({
    records: { a: { diagnosis: 'Flu' } },
    write_conflicts: { [id]: { row_id: 'a', yours: 'Asthma', theirs: 'Flu', resolved: 0 } }
  })
  await synced.database.writeTransaction(async transaction => {
    await transaction.execute("UPDATE records SET diagnosis = 'Asthma' WHERE id = 'a'")
    await transaction.execute('UPDATE write_conflicts SET resolved = 1 WHERE id = ?', [id])
  })
  await upload(synced)
  t.same(await db.collection('records').find().toArray(), [{ _id: 'a', diagnosis: 'Asthma' }])
  t.match(await db.collection('write_conflicts').find().toArray(), [{ resolved: true }])
})

t.test('6. a status for each change: those that can be are applied, the others say why not', { skip }, async t => {
  const Task = Type.Object({ title: Type.String(), price: bson.Decimal128() })
  const { db, device } = await setUp(t, {
    tasks: collection({ schema: Task, transform: operation => operation.op === 'PATCH' ? null : operation }),
    field_changes: collection({
      schema: Type.Object({
        row_id: Type.String(),
        field: Type.Union([Type.Literal('title'), Type.Literal('price')]),
        old_value: Type.String(),
        new_value: Type.String(),
        status: Type.Optional(Type.String()),
        error: Type.Optional(Type.String())
      }),
      operations: ['PUT'],
      writable: ['row_id', 'field', 'old_value', 'new_value'],
      transform: async (change, { existing }) => {
        if (change.op !== 'PUT') return null
        const { row_id: id, field, old_value: before, new_value: value } = change.data
        const task = await existing('tasks', id)
        const status = (error?: string) => ({
          ...change,
          data: { ...change.data, status: error ? 'failed' : 'applied', error: error ?? null }
        })
        if (!task) return status('The task is gone')
        if (String(task[field]) !== before) return status('Somebody else changed it')
        if (field === 'price' && !/^\d+(\.\d\d)?$/.test(value)) return status('That is no price')
        return [
          {
            op: 'PATCH',
            table: 'tasks',
            id,
            data: { [field]: field === 'price' ? Decimal128.fromString(value) : value }
          },
          status()
        ]
      }
    })
  }, {
    tasks: { columns: { title: 'text', price: 'text' } },
    field_changes: {
      columns: { row_id: 'text', field: 'text', old_value: 'text', new_value: 'text', status: 'text', error: 'text' }
    }
  })
  const row = { title: 'Old', price: '1.00' }
  await db
    .collection<{ _id: string }>('tasks')
    .insertOne({ _id: 'a', ...row, price: Decimal128.fromString('1.00') } as { _id: string })
  const [phone, laptop] = [await device({ tasks: { a: row } }), await device({ tasks: { a: row } })]
  const change = (client: Client, id: string, field: 'title' | 'price', value: string) =>
    client.database.writeTransaction(async transaction => {
      await transaction.execute(`UPDATE tasks SET ${field} = ? WHERE id = ?`, [value, 'a'])
      await transaction.execute(
        'INSERT INTO field_changes (id, row_id, field, old_value, new_value) VALUES (?, ?, ?, ?, ?)',
        [id, 'a', field, row[field], value]
      )
    })

  await change(phone, 'c1', 'title', 'Phone')
  await change(phone, 'c2', 'price', '-5.00')
  await change(laptop, 'c3', 'title', 'Laptop')
  await change(laptop, 'c4', 'price', '2.50')
  await upload(phone)
  await upload(laptop)

  t.same(await db.collection('tasks').find().toArray(), [
    { _id: 'a', title: 'Phone', price: Decimal128.fromString('2.50') }
  ])
  t.match(await db.collection('field_changes').find().sort({ _id: 1 }).toArray(), [
    { _id: 'c1', status: 'applied', error: null },
    { _id: 'c2', status: 'failed', error: 'That is no price' },
    { _id: 'c3', status: 'failed', error: 'Somebody else changed it' },
    { _id: 'c4', status: 'applied', error: null }
  ])
})

t.test('7. sums: what each device took is taken, and no more than there is', { skip }, async t => {
  const { db, device } = await setUp(t, {
    inventory: collection({
      schema: Type.Object({ name: Type.String(), quantity: bson.Int32({ minimum: 0 }) }),
      resolveConflict: additive(['quantity'])
    })
  })
  const row = { name: 'Milk', quantity: 10 }
  await db.collection<{ _id: string }>('inventory').insertOne({ _id: 'a', ...row } as { _id: string })
  const [till, other] = [await device({ inventory: { a: row } }), await device({ inventory: { a: row } })]
  const sell = (client: Client, quantity: number) =>
    client.database.execute('UPDATE inventory SET quantity = quantity - ? WHERE id = ?', [quantity, 'a'])

  await sell(till, 3)
  await till.database.execute("UPDATE inventory SET name = 'Whole milk' WHERE id = 'a'")
  await sell(till, 1)
  await sell(other, 2)
  await sell(other, 8)
  await upload(till)
  await upload(other)

  t.same(till.results(), [success, success, success])
  t.match(other.results(), [
    success,
    { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', details: { path: 'quantity' } } }
  ])
  t.same(await db.collection('inventory').find().toArray(), [{ _id: 'a', name: 'Whole milk', quantity: 4 }])
})
