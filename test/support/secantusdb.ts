/**
 * SecantusDB from PyPI, for tests only: a server with MongoDB's wire protocol on WiredTiger, which has real
 * transactions, validators, change streams and fail points. It runs in a Python environment that is made once, in
 * node_modules/.cache.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const run = promisify(execFile)

const VERSION = '0.7.0b3'
const pythons =
  process.platform === 'win32' ? ['python'] : ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11']
const environment = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', `secantusdb-${VERSION}`)
const pythonIn = (folder: string) =>
  join(folder, ...(process.platform === 'win32' ? ['Scripts', 'python.exe'] : ['bin', 'python']))

export interface SecantusDB {
  /** Connection string, with the database in its path. */
  uri: string
  kind: 'SecantusDB'
  /** One line for people. */
  description: string
  /** Kills it, as in an outage. Its data goes. */
  stop: () => Promise<void>
}

/**
 * Starts a server of its own, which ends with this process, however that ends. Port 0 takes any free one.
 *
 * @throws where there is no Python with pip, or pip cannot get the package.
 */
export async function startSecantusDB ({ database, port }: { database: string, port: number }): Promise<SecantusDB> {
  if (!existsSync(environment)) await makeEnvironment()
  const folder = await mkdtemp(join(tmpdir(), 'secantusdb-'))
  const server = spawn(pythonIn(environment), [join(import.meta.dirname, 'secantusdb.py'), folder, String(port)], {
    // Detached: Ctrl-C in a terminal goes to the tests alone, and the server ends with them.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe']
  })
  const closed = once(server, 'close')
  const errors: string[] = []
  createInterface(server.stderr).on('line', line => errors.push(line))
  const stop = async () => {
    server.kill('SIGKILL')
    await closed
    await rm(folder, { recursive: true, force: true })
  }

  const [listening] = await Promise.race([once(createInterface(server.stdout), 'line'), closed]) as [unknown]
  if (server.exitCode !== null) {
    await rm(folder, { recursive: true, force: true })
    throw new Error(`SecantusDB did not start: ${errors.at(-1)}`)
  }
  return {
    uri: `mongodb://127.0.0.1:${String(listening)}/${database}?replicaSet=secantus`,
    kind: 'SecantusDB',
    description: `SecantusDB ${VERSION}, started for each test file`,
    stop
  }
}

/** Under a name of its own first: test files may get here at the same time, and one may be interrupted. */
async function makeEnvironment (): Promise<void> {
  const python = await findPython()
  console.error(`Installing SecantusDB ${VERSION} into ${environment}, this once.`)
  await mkdir(join(environment, '..'), { recursive: true })
  const folder = await mkdtemp(`${environment}-`)
  try {
    await run(python, ['-m', 'venv', folder])
    await run(pythonIn(folder), ['-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', `SecantusDB==${VERSION}`])
    await rename(folder, environment)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    if (!existsSync(environment)) throw new Error(`SecantusDB ${VERSION} could not be installed: ${lastLine(error)}`)
  }
}

async function findPython (): Promise<string> {
  for (const python of pythons) {
    const found = await run(python, ['-c', 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))']).then(
      () => true,
      () => false
    )
    if (found) return python
  }
  throw new Error('SecantusDB needs Python 3.11 or newer with venv and pip')
}

function lastLine (error: unknown): string {
  const { stderr, message } = error as { stderr?: string, message: string }
  return (stderr || message).trim().split('\n').at(-1)!
}
