/** Runs an example as a user does: as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { testDatabase } from '../support/database.js'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))

/**
 * The example on a free port, on a MongoDB of its own chain; on a database of the tests where that chain does not lead.
 */
export async function spawnExample (t: Pick<Test, 'teardown'>, file: string, env: Record<string, string> = {}) {
  const { MONGO_URI, POWERSYNC_URL, POWERSYNC_PRIVATE_KEY, POWERSYNC_PUBLIC_KEY, NODE_ENV, HOST, ...rest } = process.env
  const { uri, kind } = await testDatabase(t)
  const mongo = (kind === 'MONGO_URI' || kind === 'SecantusDB') && { MONGO_URI: uri }
  const server = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: examples,
    // Without tap's coverage, which would count code that tsx compiled its own way.
    env: { ...rest, ...mongo, MONGOMS_RUNTIME_DOWNLOAD: 'false', PORT: '0', _TAPJS_PROCESSINFO_COVERAGE_: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => server.kill('SIGKILL'))
  const errors: string[] = []
  server.stderr.on('data', (data) => errors.push(String(data)))
  return { server, errors }
}

export interface RunningExample {
  server: ChildProcess
  url: string
  /** What it printed at start. */
  output: string
}

/** The example once it has printed its URL, and `last`, with which what it prints at start ends. */
export async function startExample (
  t: Pick<Test, 'teardown'>,
  file: string,
  { last = '', env = {} }: { last?: string, env?: Record<string, string> } = {}
): Promise<RunningExample> {
  const { server, errors } = await spawnExample(t, file, env)
  let output = ''
  let url: string | undefined
  await new Promise<void>((resolve, reject) => {
    server.stdout.on('data', (data) => {
      output += String(data)
      url = /http:\/\/[\d.]+:\d+/.exec(output)?.[0]
      if (url && output.includes(last)) resolve()
    })
    server.once('exit', () => reject(new Error(`${file} did not start: ${errors.join('')}`)))
  })
  return { server, url: String(url), output }
}

/** examples/server.ts, once it has printed all that it prints at start. */
export const startServer = (t: Pick<Test, 'teardown'>, env: Record<string, string> = {}): Promise<RunningExample> =>
  startExample(t, 'server.ts', { last: 'Ctrl-C', env })
