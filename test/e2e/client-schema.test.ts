import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { Schema } from '@powersync/node'
import { bson, collection } from '../../index.js'
import { clientSchemaOf } from '../../lib/schema/client-schema.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { openClient, sdkMissing } from './client.js'

t.test(
  'the client schema that is printed is one that the SDK takes, and its rows are rows that the server takes',
  { skip: await sdkMissing() },
  async t => {
    const collections = {
      lists: collection({
        fields: { ownerId: 'owner_id' },
        schema: Type.Object({
          owner_id: Type.String(),
          name: Type.String(),
          created_at: Type.Optional(bson.Date()),
          'odd-name': Type.Optional(bson.Int32())
        })
      }),
      todos: collection({
        schema: Type.Object({
          done: bson.Boolean(),
          estimate: Type.Optional(bson.Double()),
          tags: Type.Optional(bson.Json(Type.Array(Type.String())))
        })
      })
    }
    const folder = await mkdtemp(join(import.meta.dirname, '..', '.readme-'))
    t.teardown(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'schema.mjs'), clientSchemaOf(collections, 'js'))
    const { AppSchema } = await import(join(folder, 'schema.mjs')) as { AppSchema: Schema }

    const mongo = await testDatabase(t)
    const app = await testServer(t, { mongo: { url: mongo.uri }, collections, authenticate: () => ({ id: 'user1' }) })
    const backend = await app.listen({ port: 0, host: '127.0.0.1' })
    const { database, connect, drained, results } = await openClient(t, { backend, session: 'x', appSchema: AppSchema })
    await database.execute(
      'INSERT INTO lists (id, ownerId, name, created_at, "odd-name") VALUES (?, ?, ?, datetime(0, \'unixepoch\'), 5)',
      ['a', 'user1', 'Name']
    )
    await database.execute('INSERT INTO todos (id, done, estimate, tags) VALUES (?, 1, 2.0, ?)', ['b', '["x"]'])
    await connect()
    await drained()

    t.same(results(), [{ status: 'success' }, { status: 'success' }])
    const db = app.mongo.db!
    t.same(await db.collection('lists').findOne(), {
      _id: 'a',
      owner_id: 'user1',
      name: 'Name',
      created_at: new Date(0),
      'odd-name': 5
    })
    t.same(await db.collection('todos').findOne(), { _id: 'b', done: true, estimate: 2, tags: ['x'] })
  }
)
