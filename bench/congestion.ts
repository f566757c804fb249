/**
 * More clients than a small pool in front of a slow MongoDB has connections for: how much of what the pool could carry
 * gets through.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { startServer, startWireServer } from './processes.js'
import { print, type Figure, type Options } from './support.js'
import { uploadBody } from './uploads.js'

const clients = 80
const pool = 5
/** Milliseconds of each command. */
const delay = 60
const operations = 10

export async function congestion ({ quick }: Options): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const [version, maxWireVersion, commands] of [['8', 25, 2], ['7', 21, 3]] as const) {
    const mongo = await startWireServer({ delay, maxWireVersion })
    const uri: string = mongo.ready['uri']
    const server = await startServer('plugin', { mongo: `${uri}${uri.includes('?') ? '&' : '?'}maxPoolSize=${pool}` })
    const uploads = await appliedBy(`${server.url}/upload`, quick ? 2000 : 20_000)
    const most = pool * 1000 / (commands * delay)
    figures.push({ name: `MongoDB ${version}: what the pool could carry`, unit: 'uploads/s', value: most, ratio: 1 })
    figures.push({ name: `MongoDB ${version}: the plugin`, unit: 'uploads/s', value: uploads, ratio: uploads / most })
    await Promise.all([server.stop(), mongo.stop()])
  }
  print(`congestion: ${clients} clients, a pool of ${pool}, ${delay} ms a command (at least 0.6 is wanted)`, figures)
  return figures
}

/**
 * Uploads a second of all clients, each of which sends its next when it has an answer, and after a refusal waits as it
 * is told.
 */
async function appliedBy (url: string, milliseconds: number): Promise<number> {
  const end = performance.now() + milliseconds
  let applied = 0
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let from = 0; performance.now() < end; from += operations) {
      const body = uploadBody({ operations, clientId: `client${client}`, run: `row${client}` })
      for (const operation of body.batch) operation.op_id += from
      const init = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      let response = await fetch(url, init)
      while (response.status === 503 && performance.now() < end) {
        await response.text()
        await pause(1000 * Number(response.headers.get('retry-after')))
        response = await fetch(url, init)
      }
      await response.text()
      if (response.ok && performance.now() < end) applied++
    }
  }))
  return applied / (milliseconds / 1000)
}
