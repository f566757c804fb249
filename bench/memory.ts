/** The most memory that the server's process has while it takes many uploads, and one large one. */
import { post, startServer, startWireServer } from './processes.js'
import { print, type Figure, type Options } from './support.js'
import { uploadBody } from './uploads.js'

/**
 * V8's young generation has its full size from the start, and new objects never begin in the old one: it takes both
 * steps in some runs and not in others, and they would hide what uploads keep in memory.
 */
const flags = ['--min-semi-space-size=16', '--max-semi-space-size=16', '--no-allocation-site-pretenuring']

export async function memory ({ quick }: Options): Promise<Figure[]> {
  const mongo = await startWireServer()
  const figures: Figure[] = []
  const peakOf = async (name: string, sizes: [operations: number, uploads: number][]) => {
    const server = await startServer('plugin', { mongo: mongo.ready['uri'], flags })
    let done = 0
    for (const [operations, uploads] of sizes) {
      for (let i = 0; i < uploads; i++) {
        await post(`${server.url}/upload`, JSON.stringify(uploadBody({ operations, run: `run${i}` })))
      }
      done += operations * uploads
      const { mebibytes } = await server.ask('memory') as { mebibytes: number }
      figures.push({
        name: `${done} operations, ${name}`,
        unit: 'MiB',
        value: mebibytes,
        ratio: mebibytes / (figures[0]?.value ?? mebibytes)
      })
    }
    await server.stop()
  }
  const scale = quick ? 10 : 1
  await peakOf('1 000 a request', [[1000, 10 / scale], [1000, 90 / scale]])
  await peakOf('in one request', [[50_000 / scale, 1]])
  await mongo.stop()
  print('memory: most of the process so far (100 000 operations at most 1.1 of 10 000 are wanted)', figures)
  return figures
}
