import type { Writable } from 'node:stream'
import type { CommandIO } from './command.js'
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
  const { argv, stdout, stderr } = process
  // Told at the end; without this, as a stack trace.
  stdout.on('error', () => {})
  const code = await run(argv.slice(2), process)
  stdout.write('', () => {
    const { code: reason } = stdout.errored as NodeJS.ErrnoException | null ?? {}
    // A reader that has seen enough, as in `… | head`, is no error.
    const lost = reason !== undefined && reason !== 'EPIPE'
    if (lost) stderr.write(`powersync-mongo: its output cannot be written (${reason})\n`)
    // A configuration may have opened what keeps a process running, such as a connection.
    process.exit(lost ? 1 : code)
  })
}
