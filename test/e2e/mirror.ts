/** What the printed stream of rejections does: brings a user's notes to a device. */
import type { mongodb } from '@fastify/mongodb'
import type { PowerSyncDatabase } from '@powersync/node'
import { rejectionColumns } from '../../lib/client/index.js'

const columns = Object.keys(rejectionColumns({ text: 'text', integer: 'integer' }))

/** A device has the rejections that MongoDB has, and no others, as after a checkpoint. */
export async function receiveRejections (
  database: PowerSyncDatabase, db: mongodb.Db, { user, table = 'rejections' }: { user: string, table?: string }
): Promise<void> {
  const notes = await db.collection(table).find({ user_id: user }).toArray()
  await database.writeTransaction(async transaction => {
    await transaction.execute(`DELETE FROM ps_data__${table}`)
    for (const { _id, ...note } of notes) {
      const row = Object.fromEntries(columns.map(column => [column, note[column]]))
      await transaction.execute(`INSERT INTO ps_data__${table} (id, data) VALUES (?, ?)`, [String(_id), JSON.stringify(row)])
    }
  })
}
