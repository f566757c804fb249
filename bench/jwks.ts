/** The key set beside a route that gives the same headers and bytes. */
import { load, startServer, startWireServer } from './processes.js'
import { measure, print, type Figure, type Options } from './support.js'

export async function jwks ({ quick }: Options): Promise<Figure[]> {
  const mongo = await startWireServer()
  const fixed = await startServer('static')
  const plugin = await startServer('plugin', { mongo: mongo.ready['uri'] })
  const rate = async (url: string) => (await load(`${url}/jwks`, quick ? { amount: 20 } : { duration: 1 })).rate
  const figures = await measure({
    'a static route': () => rate(fixed.url),
    '/jwks': () => rate(plugin.url)
  }, { rounds: quick ? 1 : 15, warmUp: quick ? 0 : 2, unit: 'requests/s' })
  await Promise.all([fixed.stop(), plugin.stop(), mongo.stop()])
  print('jwks: requests per second (at least 0.9 is wanted)', figures)
  return figures
}
