/**
 * Whole requests, beside those to a hand-written route that checks nothing; on a MongoDB that acknowledges everything,
 * and on the one of MONGO_URI.
 */
import { load, startServer, startWireServer } from './processes.js'
import { measure, print, type Figure, type Options } from './support.js'
import { uploadBody } from './uploads.js'

export async function upload (options: Options): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const delay of options.quick ? [0] : [0, 1, 10]) {
    const mongo = await startWireServer({ delay, maxWireVersion: 21 })
    figures.push(...await compare(`${delay} ms a round trip`, mongo.ready['uri'], options))
    await mongo.stop()
  }
  const uri = process.env['MONGO_URI']
  if (uri) figures.push(...await compare('the MongoDB of MONGO_URI', uri, options))
  print('upload: requests per second (at least 1.1 is wanted)', figures)
  return figures
}

async function compare (title: string, mongo: string, { quick, profiles }: Options): Promise<Figure[]> {
  const handWritten = await startServer('hand-written', { mongo })
  const plugin = await startServer('plugin', {
    mongo, flags: profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
  })
  const figures: Figure[] = []
  for (const operations of [1, 100, 1000]) {
    const body = JSON.stringify(uploadBody({ operations }))
    const rate = async (url: string) =>
      (await load(`${url}/upload`, { body, ...(quick ? { amount: 5 } : { duration: 1 }) })).rate
    figures.push(...await measure({
      [`${title}, ${operations} operations: hand-written`]: () => rate(handWritten.url),
      [`${title}, ${operations} operations: the plugin`]: () => rate(plugin.url)
    }, { rounds: quick ? 1 : 9, warmUp: quick ? 0 : 2, unit: 'requests/s' }))
  }
  await Promise.all([handWritten.stop(), plugin.stop()])
  return figures
}
