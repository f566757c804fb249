/** Servers in processes of their own, and the load on them. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import autocannon from 'autocannon'

type Message = Record<string, any>

export interface ServerProcess {
  /** What it said first: where it listens. */
  ready: Message
  ask (question: string): Promise<Message>
  stop (): Promise<void>
}

async function start (file: string, args: string[], execArgv: string[] = []): Promise<ServerProcess> {
  const child = fork(join(import.meta.dirname, file), args, {
    execArgv: ['--import', 'tsx', ...execArgv],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const [ready] = await Promise.race([
    once(child, 'message') as Promise<[Message]>,
    once(child, 'exit').then(([code]) => { throw new Error(`${file} ended with ${code}`) })
  ])
  return {
    ready,
    async ask (question) {
      child.send(question)
      const [answer] = await once(child, 'message')
      return answer as Message
    },
    async stop () {
      if (child.connected) child.disconnect()
      await once(child, 'exit')
    }
  }
}

/** A MongoDB that acknowledges everything, after some milliseconds. */
export const startWireServer = ({ delay = 0, maxWireVersion = 25 } = {}): Promise<ServerProcess> =>
  start('../test/support/wire-server-process.ts', [
    '--delay',
    String(delay),
    '--max-wire-version',
    String(maxWireVersion)
  ])

export interface BenchServer extends ServerProcess {
  url: string
}

/** One of the servers of bench/server.ts. */
export async function startServer (
  kind: string,
  {
    mongo = '',
    collections = 1,
    flags = []
  }: { mongo?: string, collections?: number, flags?: string[] } = {}
): Promise<BenchServer> {
  const server = await start('server.ts', [kind, mongo, String(collections)], flags)
  return { ...server, url: `http://127.0.0.1:${server.ready['port']}` }
}

export interface Load {
  body?: string
  connections?: number
  /** Seconds, or else a number of requests. */
  duration?: number
  amount?: number
}

/** Requests per second, and milliseconds that half and 99 of 100 of them take. All have to be answered with 200. */
export async function load (
  url: string,
  { body, connections = 8, ...until }: Load
): Promise<{ rate: number, p50: number, p99: number }> {
  const post =
    body === undefined ? {} : { method: 'POST' as const, body, headers: { 'content-type': 'application/json' } }
  const start = performance.now()
  let last = start
  const result = await autocannon({
    url,
    connections: Math.min(connections, until.amount ?? Infinity),
    timeout: 60,
    // The time is that until the last answer: autocannon itself ends with a full second.
    setupClient: client => { client.on('response', () => { last = performance.now() }) },
    ...post,
    ...until
  })
  const seconds = (last - start) / 1000
  if (seconds === 0) throw new Error(`${url}: no answer within ${until.duration} s`)
  if (result.non2xx || result.errors) {
    throw new Error(`${url}: ${result.non2xx} answers other than 2xx, ${result.errors} errors`)
  }
  return { rate: result['2xx'] / seconds, p50: result.latency.p50, p99: result.latency.p99 }
}

/** Sends one upload and waits for its answer. */
export async function post (url: string, body: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  const { results } = await response.json() as { results?: { status: string }[] }
  if (response.status !== 200 || results?.some(({ status }) => status !== 'success')) {
    throw new Error(`${url} answered ${response.status}`)
  }
}
