import type { Test } from 'tap'
import type { Collection } from '../../../index.js'
import { testDatabase } from '../../support/database.js'
import { testServer, upload } from '../../support/server.js'

type Operation = [op: 'PUT' | 'PATCH' | 'DELETE', data?: object | undefined, rest?: { old?: object, metadata?: string }]

/** A server with one collection, and what becomes of one row of it under operations of clients. */
export async function serverWith (t: Pick<Test, 'teardown'>, rows: Collection) {
  const { uri } = await testDatabase(t)
  const app = await testServer(t, { mongo: { url: uri }, collections: { rows } })
  let operation = 0
  const collection = app.mongo.db!.collection<{ _id: string, [field: string]: unknown }>('rows')
  return {
    app,
    /** The row after these operations, each an upload, on what the server has; and what came of the last. */
    after: async (existing: Record<string, unknown>, ...operations: Operation[]) => {
      await collection.replaceOne({ _id: 'a' }, existing, { upsert: true })
      const results: unknown[] = []
      for (const [op, data, rest] of operations) {
        results.push(
          (
            await upload(app, {
              client_id: 'phone',
              batch: [{ op, table: 'rows', id: 'a', data, op_id: ++operation, ...rest }]
            })
          ).body.results[0]
        )
      }
      const { _id, ...row } = await collection.findOne({ _id: 'a' }, { promoteValues: false }) ?? {}
      return { row: _id === undefined ? null : row as Record<string, unknown>, result: results.at(-1) }
    }
  }
}
