import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { CommandIO } from './command.js'
import { UsageError } from './errors.js'

export const environmentOption = 'env-file'

/** The option of a command that reads variables, or loads a file of the app, which may. */
export const environmentOptions = {
  [environmentOption]: { type: 'string', value: '<file>', help: 'a file of variables, for those that are not set (.env)' }
} as const

/**
 * Sets the variables of the file that are not set, as `process.loadEnvFile()` does.
 * @param file as the user gave it; absent, it is `.env`, which need not be there
 * @throws {UsageError} when it cannot be read
 */
export async function loadEnvironment ({ env, cwd }: CommandIO, file: string | undefined): Promise<void> {
  let text
  try {
    text = await readFile(resolve(cwd(), file ?? '.env'), 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (file === undefined && code === 'ENOENT') return
    throw new UsageError(`${file === undefined ? '.env' : `--env-file: ${file}`} cannot be read (${code})`)
  }
  for (const [name, value] of Object.entries(parseEnv(text))) env[name] ??= value
}
