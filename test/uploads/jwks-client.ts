/**
 * A client of /jwks in a process of its own, which nothing else holds up: jwks-client.ts <url>. Told to end, it says
 * what it got.
 */
const [url = ''] = process.argv.slice(2)
const statuses = new Set<number>()
const times: number[] = []
const ended = new AbortController()
process.on('message', () => ended.abort())
while (!ended.signal.aborted) {
  const start = performance.now()
  statuses.add((await fetch(`${url}/jwks`)).status)
  times.push(Math.round(performance.now() - start))
  await new Promise(resolve => setTimeout(resolve, 50))
}
times.sort((a, b) => a - b)
process.send?.(
  { statuses: [...statuses], answers: times.length, median: times[times.length >> 1], slowest: times.at(-1) },
  () => process.disconnect()
)

export {}
