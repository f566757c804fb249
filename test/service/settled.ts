/** `settled` ends when the service has brought back what the device wrote, as the server changed it. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createConnector } from '../../lib/client/index.js'
import { backend, insert, openDevice, rows, startServer } from './set-up.js'

t.test('after settled() the device has its own writes as the server has them', async t => {
  await startServer(t)
  const user = randomUUID()
  const { database, ...device } = await openDevice(t, user)
  const connector = createConnector({ url: backend, headers: () => ({ 'x-user': user }) })
  await database.disconnect()
  await database.connect(connector, { checkpointMode: 'requests', retryDelayMs: 100, crudUploadThrottleMs: 10 })

  for (let number = 1; number <= 3; number++) {
    // A device may write `server`, and this server leaves it out.
    await insert({ ...device, database }, 'ruled', { id: randomUUID(), owner_id: user, number, server: 'mine' })
    t.equal(await connector.settled(database, { signal: AbortSignal.timeout(60_000) }), 'synced')
    const found = await rows({ ...device, database }, 'SELECT server FROM ruled')
    t.strictSame(found, Array.from({ length: number }, () => ({ server: null })))
  }
})
