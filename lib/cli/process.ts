import type { Writable } from 'node:stream'
import type { CommandIO } from './io.js'
import { run } from './run.js'
import type { Output } from './screen.js'

/** What the program needs of its `process`. */
interface ProgramProcess extends CommandIO {
  argv: string[]
  stdout: Writable & Output
  exit (code: number): void
}

/** Runs the command that the process was started with, and ends it when all is printed. */
export async function runProcess (process: ProgramProcess): Promise<void> {
  const { argv, stdin, stdout, stderr, env } = process
  // A configuration that prints, by the console or by a logger on this stream's descriptor, must not add to the results.
  Object.defineProperty(process, 'stdout', { value: stderr })
  // Told at the end; without this, as a stack trace.
  stdout.on('error', () => {})
  const code = await run(argv.slice(2), { stdin, stdout, stderr, env, cwd: () => process.cwd() })
  stdout.write('', () => {
    const { code: reason } = stdout.errored as NodeJS.ErrnoException | null ?? {}
    // A reader that has seen enough, as in `… | head`, is no error.
    const lost = reason !== undefined && reason !== 'EPIPE'
    if (lost) stderr.write(`error: the output cannot be written (${reason})\n`)
    // A configuration may have opened what keeps a process running, such as a connection.
    process.exit(lost ? 1 : code)
  })
}
