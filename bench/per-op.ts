/** The same uploads through a backend that sends one command per operation. */
import { load, startServer, startWireServer } from './processes.js'
import { measure, print, type Figure, type Options } from './support.js'
import { uploadBody } from './uploads.js'

export async function perOp ({ quick }: Options): Promise<Figure[]> {
  const mongo = await startWireServer({ delay: 1 })
  const [each, plugin] = await Promise.all(
    ['per-operation', 'plugin'].map(kind => startServer(kind, { mongo: mongo.ready['uri'] }))
  )
  const figures: Figure[] = []
  for (const operations of [1, 10, 100, 1000]) {
    const body = JSON.stringify(uploadBody({ operations }))
    // A command for each of 1 000 operations takes more than a second.
    const until = quick ? { amount: 2 } : { duration: operations === 1000 ? 5 : 2 }
    const rate = async (url: string) => (await load(`${url}/upload`, { body, connections: 1, ...until })).rate
    figures.push(...await measure({
      [`${operations} operations: a command for each`]: () => rate(each!.url),
      [`${operations} operations: the plugin`]: () => rate(plugin!.url)
    }, { rounds: quick ? 1 : 5, warmUp: quick ? 0 : 1, unit: 'requests/s' }))
  }
  await Promise.all([each!.stop(), plugin!.stop(), mongo.stop()])
  print(
    'per-op: requests per second of one client, 1 ms a round trip (at 100 operations at least 10 is wanted)',
    figures
  )
  return figures
}
