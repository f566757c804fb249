import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { Option } from 'commander'
import { usageError, type CommandIO } from './io.js'

/**
 * The option of a command that reads variables, or loads a file of the app, which may. It is not called `--env-file`:
 * Node.js 20 takes that for its own, even behind a script's name, and ends with exit code 9 if the file is missing.
 */
export const envOption = new Option('--env <file>', 'a file of variables, for those that are not set (default: .env)')

/**
 * Sets the variables of the file that are not set, as `process.loadEnvFile()` does.
 * @param file as the user gave it; absent, it is `.env`, which need not be there
 * @throws {CommandError} when it cannot be read
 */
export async function loadEnvironment ({ env, cwd }: CommandIO, file: string | undefined): Promise<void> {
  let bytes
  try {
    bytes = await readFile(resolve(cwd(), file ?? '.env'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (file === undefined && code === 'ENOENT') return
    throw usageError(`${file === undefined ? '.env' : `--env ${file}`} cannot be read (${code})`)
  }
  const encoding = foreignEncoding(bytes)
  if (encoding) throw usageError(`${file === undefined ? '.env' : `--env ${file}`} is ${encoding}, in which Node.js does not find the variables`, 'save it as UTF-8 without a byte order mark')
  for (const [name, value] of Object.entries(parseEnv(bytes.toString()))) env[name] ??= value
}

/** Encodings that editors and shells of Windows write, by their byte order mark. */
export function foreignEncoding (bytes: Uint8Array): string | undefined {
  const marks: Array<[encoding: string, mark: number[]]> = [
    ['UTF-8 with a byte order mark (BOM)', [0xef, 0xbb, 0xbf]], ['UTF-16', [0xff, 0xfe]], ['UTF-16', [0xfe, 0xff]]
  ]
  return marks.find(([, mark]) => mark.every((byte, index) => bytes[index] === byte))?.[0]
}
