/** Starts a process of a soak, and starts it again whenever it has killed itself. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { freePort } from '../support/free-port.js'
import type { AppSettings, ProcessMessage } from './app.js'
import type { Life } from './schedule.js'

export interface SoakProcess {
  name: string
  port: number
  /** How often it has killed itself. */
  readonly kills: number
  /** What it has printed, which is where an error of it is. */
  readonly output: string
  /** From now on it lives until it is closed. */
  spare (): void
  /** Until it can be used. */
  ready (): Promise<unknown>
  /** Lets it finish what it has in hand, and end. */
  close (): Promise<void>
}

export interface SoakProcessOptions {
  name: string
  file: 'server-process.ts' | 'operator-process.ts'
  seed: number
  settings: Omit<AppSettings, 'life'>
  /** When it kills itself, start by start; undefined: never. */
  life: (start: number) => Life | undefined
  /** A command of it failed, with this code or error. */
  onFailedCommand?: ((failed: string) => void) | undefined
}

export async function soakProcess (
  t: Pick<Test, 'teardown'>,
  { name, file, seed, settings, life: lifeOf, onFailedCommand }: SoakProcessOptions
): Promise<SoakProcess> {
  const port = await freePort()
  let child: ChildProcess
  let starts = 0
  let kills = 0
  let output = ''
  let spared = false
  let closing = false
  let ready: Promise<unknown>

  function start (): void {
    const life = spared ? undefined : lifeOf(starts++)
    const started = child = fork(fileURLToPath(new URL(file, import.meta.url)), {
      // Not those of this process, which may be tap's.
      execArgv: ['--import', 'tsx'],
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        // Of code that tsx compiled its own way: it would spoil the coverage of the same sources.
        _TAPJS_PROCESSINFO_COVERAGE_: '0',
        SOAK_SETTINGS: JSON.stringify({ ...settings, life } satisfies AppSettings),
        SOAK_PORT: String(port),
        SOAK_SEED: String(seed),
        SOAK_START: String(starts)
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc']
    })
    for (const stream of [started.stdout, started.stderr]) {
      stream?.on('data', (text: Buffer) => {
        output = (output + text).slice(-10_000)
      })
    }
    ready = new Promise<void>(resolve => {
      started.on('message', (message: ProcessMessage) => {
        if ('ready' in message) resolve()
        else onFailedCommand?.(message.failed)
      })
      started.once('exit', () => resolve())
    })
    started.once('exit', (code, signal) => {
      if (closing) return
      if (signal === 'SIGKILL' && life) {
        kills++
        start()
      } else {
        // A fail point at its start, or an error, after which the clients find out that nobody answers.
        output += `\n${name} ended with exit code ${code}, signal ${signal}.`
        setTimeout(() => { if (!closing) start() }, 200)
      }
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
  return {
    name,
    port,
    get kills () { return kills },
    get output () { return output },
    spare () {
      spared = true
      if (child.connected) child.send('spared')
    },
    ready: () => ready,
    async close () {
      await ready
      await close()
    }
  }
}
