/** What grows with the size of an upload, with the number of collections, and with that of connections. */
import { load, post, startServer, startWireServer, type BenchServer } from './processes.js'
import { measure, print, type Figure, type Options } from './support.js'
import { uploadBody } from './uploads.js'

export async function growth (options: Options): Promise<Figure[]> {
  const { quick } = options
  const mongo = await startWireServer()
  const uri: string = mongo.ready['uri']
  // As warm as each other when they are compared.
  const servers = await Promise.all([1, 1, 200].map(collections => startServer('plugin', { mongo: uri, collections })))
  const [first, one, many] = servers as [BenchServer, BenchServer, BenchServer]
  const how = { rounds: quick ? 1 : 30, warmUp: quick ? 0 : 5 }

  const sizes = await measure(Object.fromEntries([100, 10, 1000, 10_000].map(operations => {
    const body = JSON.stringify(uploadBody({ operations }))
    const uploads = quick ? 1 : Math.ceil(1000 / operations)
    return [`${operations} operations an upload`, async () => {
      const start = performance.now()
      for (let i = 0; i < uploads; i++) await post(`${first.url}/upload`, body)
      return 1000 * (performance.now() - start) / (operations * uploads)
    }]
  })), { ...how, unit: 'µs/op.' })
  print('growth: time per operation (at 10 000 at most 1.3 of that at 100 is wanted)', sizes)

  const body = JSON.stringify(uploadBody({ operations: 100 }))
  const tables = await measure(
    Object.fromEntries(
      [one, many].map(({ url }, index) => [
        `${index ? 200 : 1} collections registered`,
        async () => {
          const start = performance.now()
          for (let i = 0; i < (quick ? 1 : 10); i++) await post(`${url}/upload`, body)
          return performance.now() - start
        }
      ])
    ),
    how
  )
  print('growth: 10 uploads of 100 operations (with 200 collections at most 1.1 is wanted)', tables)

  const connections: Figure[] = []
  for (const count of [1, 4, 16, 64, 256]) {
    const { rate, p50, p99 } = await load(`${first.url}/upload`, {
      body,
      connections: count,
      ...(quick ? { amount: count } : { duration: 4 })
    })
    connections.push({
      name: `${count} connections`,
      unit: 'requests/s',
      value: rate,
      ratio: rate / (connections[0]?.value ?? rate)
    })
    connections.push(
      { name: `${count} connections, half within`, unit: 'ms', value: p50 },
      { name: `${count} connections, 99 of 100 within`, unit: 'ms', value: p99 }
    )
  }
  print('growth: uploads of 100 operations by connections at a time', connections)

  await Promise.all([...servers, mongo].map(each => each.stop()))
  return [...sizes, ...tables, ...connections]
}
