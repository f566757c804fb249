import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { Option } from 'commander'
import { usageError, type CommandIO } from './terminal.js'

/** Not called `--env-file`: Node.js 20 takes that for its own, even behind a script's name. */
export const envOption = new Option('--env <file>', 'file of variables that the environment lacks (default: .env)')

/** Byte order marks of the encodings that editors and shells of Windows write, in hexadecimal. */
const marks = { efbbbf: 'UTF-8 with a byte order mark (BOM)', fffe: 'UTF-16', feff: 'UTF-16' }

/** The variables of the file that `--env` names, else of `.env` if there is one. */
export async function readEnvironment (cwd: string, given?: string): Promise<Record<string, string | undefined>> {
  const name = given === undefined ? '.env' : `--env ${given}`
  const bytes = await readFile(resolve(cwd, given ?? '.env')).catch((error: NodeJS.ErrnoException) => {
    if (given === undefined && error.code === 'ENOENT') return Buffer.alloc(0)
    throw usageError(`${name} cannot be read (${error.code})`)
  })
  const found = Object.entries(marks).find(([mark]) => bytes.toString('hex', 0, 3).startsWith(mark))
  if (!found) return parseEnv(bytes.toString())
  const fix = 'save it as UTF-8 without a byte order mark'
  throw usageError(`${name} is encoded as ${found[1]}: Node.js finds no variable in it`, fix)
}

/** Sets the variables of a file that are not set, as `process.loadEnvFile()` does. */
export async function loadEnvironment ({ env, cwd }: CommandIO, given: string | undefined): Promise<void> {
  for (const [name, value] of Object.entries(await readEnvironment(cwd(), given))) env[name] ??= value
}
