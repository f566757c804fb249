import type { Readable } from 'node:stream'
import type { Output } from './screen.js'

/** What a command uses of its process: results go to `stdout`, everything else to `stderr`. */
export interface CommandIO {
  stdin: Readable & { isTTY?: boolean | undefined }
  stdout: Output
  stderr: Output
  env: Record<string, string | undefined>
  cwd (): string
  /** Milliseconds, from any start. Default: `performance.now()`. */
  now? (): number
  /** Set by a command that ran and found something to fix: 1. */
  exitCode?: number | string | null | undefined
}

/** What went wrong, and what to do about it. */
export class CommandError extends Error {
  constructor (message: string, readonly fix: string, readonly exitCode: 1 | 2) {
    super(message)
  }
}

/** The command line, or a file that it names, makes no sense. Without a fix of its own it points at `--help`. */
export const usageError = (message: string, fix = 'add --help to see the options and an example') => new CommandError(message, fix, 2)
