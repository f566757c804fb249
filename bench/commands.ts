/**
 * How many commands MongoDB gets for an upload, of a client that the process knows. Exact: any other number is an
 * error.
 */
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
          const send = (each: UploadShape) =>
            post(
              `${server.url}/upload`,
              JSON.stringify(uploadBody({ ...each, ...(clientId !== undefined && { clientId }) }))
            )
          if (clientId !== undefined) await send({ operations: 1, run: 'first' })
          const before = await count()
          await send({ ...shape, run: JSON.stringify(shape) })
          const value = await count() - before
          const name = [
            `MongoDB ${version}`,
            `${operations} op.`,
            `${transactions} tr.`,
            `${collections}+${withDeletes} coll.`,
            ...(clientId ? ['ledger'] : []),
            ...(kind === 'existing' ? ['existing()'] : [])
          ].join(', ')
          const writes = maxWireVersion >= 25 ? 1 : collections + withDeletes + (clientId ? 1 : 0)
          const alone = operations === 1 && !clientId && kind === 'plugin'
          const expected = alone ? 1 : writes + 1 + (kind === 'existing' ? collections : 0)
          if (value !== expected) throw new Error(`${name}: ${value} commands, expected ${expected}`)
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
  print('commands: of an upload, checked exactly', figures)
  return figures
}
