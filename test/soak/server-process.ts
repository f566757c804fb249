/** A server of a soak as a process: its parent forks it, is told when it listens, and takes it along when it ends. */
import { send, soakApp } from './app.js'

process.on('disconnect', () => process.exit())

const app = await soakApp('upload')

/** The letters that there are, for the checker. */
app.get('/letters', async () => {
  const letters = await app.powersync.deadLetters.list({ limit: 1_000_000 })
  return letters.map(({ client_id: clientId, operations }) => ({
    clientId,
    opIds: operations.map(operation => Number(operation.op_id))
  }))
})

process.on('SIGTERM', () => { app.close().then(() => process.exit()) })
await app.listen({ host: '127.0.0.1', port: Number(process.env['SOAK_PORT']) })
send({ ready: true })
