import { applyValidatorsCommand } from './apply-validators.js'
import { UsageError } from './command.js'
import type { Command, CommandIO } from './command.js'
import { clientSchemaCommand } from './client-schema.js'
import { deadLettersCommand } from './dead-letters.js'
import { doctorCommand } from './doctor.js'
import { generateKeysCommand } from './generate-keys.js'
import { streamsCommand } from './streams.js'

const commands: Record<string, { summary: string, command: Command }> = {
  'generate-keys': { summary: 'make the key pair that signs tokens', command: generateKeysCommand },
  'apply-validators': { summary: 'make MongoDB enforce your schemas', command: applyValidatorsCommand },
  'client-schema': { summary: 'print the client\'s PowerSync schema', command: clientSchemaCommand },
  streams: { summary: 'print Sync Streams for PowerSync\'s configuration', command: streamsCommand },
  'dead-letters': { summary: 'read, retry or discard rejected transactions', command: deadLettersCommand },
  doctor: { summary: 'look at a running set-up and say what to fix', command: doctorCommand }
}

const usage = `Usage: powersync-mongo <command> [options]

Commands:
${Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(18)}${summary}`).join('\n')}

"powersync-mongo <command> --help" says more about one.
`

/**
 * Runs `powersync-mongo` with the arguments after its name.
 *
 * @returns the exit code: that of the command, or 2 if the arguments make no sense
 */
export async function run (args: string[], io: CommandIO): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined) {
    io.stderr.write(usage)
    return 2
  }
  if (name === '--help' || name === '-h') {
    io.stdout.write(usage)
    return 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (entry === undefined) {
    io.stderr.write(`powersync-mongo: there is no command "${name}"; "npx powersync-mongo --help" lists them\n`)
    return 2
  }
  try {
    return await entry.command(rest, io)
  } catch (error) {
    if (!isUsageError(error)) throw error
    io.stderr.write(`powersync-mongo ${name}: ${error.message}; "npx powersync-mongo ${name} --help" shows what it takes\n`)
    return 2
  }
}

function isUsageError (error: unknown): error is Error {
  return error instanceof UsageError ||
    (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_'))
}
