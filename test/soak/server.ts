/** Starts the server process, kills it with `kill -9`, and starts it again on the same port. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { generateKeys } from '../../index.js'

export interface SoakServer {
  port: number
  /** How often it was killed from here, and how often it did so itself because a request asked for it. */
  readonly kills: { atRandom: number, byRequest: number }
  /** What it has printed, which is where an error of it is. */
  readonly output: string
  /** `kill -9`; it is started again at once. */
  kill (): void
  /** Lets it finish what it has in hand, and end. */
  close (): Promise<void>
}

export interface SoakServerOptions {
  mongoUri: string
  powersyncUrl: string
  /** False takes away what keeps an operation from being applied twice. Default: true. */
  deduplicate?: boolean | undefined
}

export async function soakServer (t: Pick<Test, 'teardown'>, { mongoUri, powersyncUrl, deduplicate = true }: SoakServerOptions): Promise<SoakServer> {
  const port = await freePort()
  const { privateKeyBase64 } = await generateKeys()
  let child: ChildProcess
  let starts = 0
  let atRandom = 0
  let output = ''
  let closing = false
  let ready: Promise<unknown>

  function start (): void {
    child = fork(fileURLToPath(new URL('server-process.ts', import.meta.url)), {
      // Not those of this process, which may be tap's.
      execArgv: ['--import', 'tsx'],
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        // Of code that tsx compiled its own way: it would spoil the coverage of the same sources.
        _TAPJS_PROCESSINFO_COVERAGE_: '0',
        MONGO_URI: mongoUri,
        POWERSYNC_URL: powersyncUrl,
        POWERSYNC_PRIVATE_KEY: privateKeyBase64,
        POWERSYNC_PUBLIC_KEY: '',
        SOAK_DEDUPLICATE: String(deduplicate),
        SOAK_PORT: String(port),
        SOAK_START: String(++starts)
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc']
    })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => { output = (output + text).slice(-10_000) })
    const started = child
    ready = Promise.race([once(started, 'message'), once(started, 'exit')])
    started.once('exit', (code) => {
      if (closing) return
      // By itself it never ends: that is an error, and the clients will find out that nobody answers.
      if (code !== null) output += `\nThe server ended with exit code ${code}.`
      else start()
    })
  }

  async function close (): Promise<void> {
    closing = true
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await exited
    clearTimeout(patience)
  }

  start()
  t.teardown(close)
  await ready!
  if (child!.exitCode !== null) throw new Error(`The server did not start:\n${output}`)
  return {
    port,
    get kills () { return { atRandom, byRequest: starts - 1 - atRandom } },
    get output () { return output },
    kill () {
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) atRandom++
    },
    async close () {
      await ready
      await close()
    }
  }
}

async function freePort (): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  listener.close()
  await once(listener, 'close')
  return port
}
