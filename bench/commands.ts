/** How many commands MongoDB gets for an upload. Exact: what is more than the bound is an error. */
import { post, startServer, startWireServer } from './processes.js'
import { print, type Figure } from './support.js'
import { uploadBody, type UploadShape } from './uploads.js'

const shapes: UploadShape[] = [
  { operations: 1 },
  { operations: 100 },
  { operations: 1000 },
  { operations: 1000, transactions: 50 },
  { operations: 1000, transactions: 50, collections: 4, withDeletes: 2 }
]

export async function commands (): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const [version, maxWireVersion] of [['7.0', 21], ['8.0', 25]] as const) {
    const mongo = await startWireServer({ maxWireVersion })
    for (const kind of ['plugin', 'existing'] as const) {
      const server = await startServer(kind, { mongo: mongo.ready['uri'], collections: 4 })
      for (const shape of shapes) {
        for (const clientId of [undefined, 'phone']) {
          const { operations, collections = 1, withDeletes = 0, transactions = 1 } = shape
          const before = await count()
          await post(`${server.url}/upload`, JSON.stringify(uploadBody({ ...shape, ...clientId !== undefined && { clientId } })))
          const value = await count() - before
          const name = [`MongoDB ${version}`, `${operations} op.`, `${transactions} tr.`, `${collections}+${withDeletes} coll.`, ...clientId ? ['ledger'] : [], ...kind === 'existing' ? ['existing()'] : []].join(', ')
          const writes = maxWireVersion >= 25 ? Math.min(collections + withDeletes, 1) : collections + withDeletes
          const alone = operations === 1 && !clientId && kind === 'plugin'
          const most = alone ? 1 : writes + 1 + (clientId ? 2 : 0) + (kind === 'existing' ? collections : 0)
          if (value > most) throw new Error(`${name}: ${value} commands, expected at most ${most}`)
          figures.push({ name, unit: 'commands', value })
        }
      }
      await server.stop()
    }
    await mongo.stop()

    async function count (): Promise<number> {
      const { counts } = await mongo.ask('counts') as { counts: Record<string, number> }
      const { hello, endSessions, ...sent } = counts // the driver's own
      return Object.values(sent).reduce((sum, number) => sum + number, 0)
    }
  }
  print('commands: of an upload, as many as its bound allows at most', figures)
  return figures
}
