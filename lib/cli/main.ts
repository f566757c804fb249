#!/usr/bin/env node
import { run } from './run.js'

// Told at the end; without this, as a stack trace.
process.stdout.on('error', () => {})

const code = await run(process.argv.slice(2), process)

process.stdout.write('', () => {
  const { code: reason } = process.stdout.errored as NodeJS.ErrnoException | null ?? {}
  // A reader that has seen enough, as in `… | head`, is no error.
  const lost = reason !== undefined && reason !== 'EPIPE'
  if (lost) process.stderr.write(`powersync-mongo: its output cannot be written (${reason})\n`)
  // A configuration may have opened what keeps a process running, such as a connection.
  process.exit(lost ? 1 : code)
})
