import type { EventEmitter } from 'node:events'
import type { Writable } from 'node:stream'
import { debuglog, styleText } from 'node:util'
import { Command, CommanderError } from 'commander'
import { KeyError } from '../errors.js'
import { envOption, readEnvironment, reasonOf, version } from './config.js'
import { addApplyValidators } from './apply-validators.js'
import { addDeadLetters } from './dead-letters.js'
import { addDoctor } from './doctor.js'
import { addInit } from './init.js'
import { addGenerateKeys, addPrinters } from './printers.js'
import { CommandError, minWidthToWrap, screenOf, usageError, type CommandIO } from './terminal.js'

export async function runProcess (
  process: CommandIO & Pick<EventEmitter, 'once' | 'off'> & {
    argv: string[], stdout: Writable, exit (code: number): void
  }
): Promise<void> {
  const { argv, stdin, stdout, stderr, env } = process
  // stdout is for results: output of a configuration, by the console or on this stream's descriptor, goes to stderr.
  Object.defineProperty(process, 'stdout', { value: stderr })
  // Reported below; without a listener, as a stack trace.
  stdout.on('error', () => {})
  const endedEarly = () => {
    const fix = 'look for process.exit, or for an await that never ends, in what the configuration loads'
    process.exitCode = fail({ stderr, env }, usageError('the process ended before the command did', fix))
  }
  process.once('exit', endedEarly)
  const code = await run(argv.slice(2), { stdin, stdout, stderr, env, cwd: () => process.cwd() })
  process.off('exit', endedEarly)
  stdout.write('', () => {
    const { code: reason } = stdout.errored as NodeJS.ErrnoException | null ?? {}
    // A reader that has seen enough, as in `… | head`, is no error.
    const lost = reason !== undefined && reason !== 'EPIPE'
    if (lost) stderr.write(`error: the output cannot be written (${reason})\n`)
    // A configuration may have opened a connection, which would keep the process running.
    process.exit(lost ? 1 : code)
  })
}

/** @returns the exit code: 0 done, 1 failed or found something to fix, 2 invalid command line */
export async function run (args: string[], io: CommandIO): Promise<number> {
  try {
    await programOf(io).parseAsync(args, { from: 'user' })
    return Number(io.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return fail(io, error)
  }
}

export function programOf (io: CommandIO): Command {
  const [out, err] = [screenOf(io.stdout, io.env), screenOf(io.stderr, io.env)]
  const program = new Command('npx powersync-mongo')
    .usage('<command> [options]')
    .version(version, '-v, --version', 'print the version of fastify-powersync-mongo')
    .exitOverride()
    .configureOutput({
      writeOut: text => io.stdout.write(text),
      writeErr: text => io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error:/, prefix => err.paint('red', prefix))),
      getOutHelpWidth: () => out.width,
      getErrHelpWidth: () => err.width,
      getOutHasColors: () => out.coloured,
      getErrHasColors: () => err.coloured
    })
    .configureHelp({ minWidthToWrap, styleTitle: title => styleText('bold', title, { validateStream: false }) })
    .showHelpAfterError(`  → ${usageError('').fix}`)
    .addHelpText('after', `
Exit codes:
  0  done, nothing to fix
  1  something failed, or needs to be fixed
  2  invalid command line, or a file that cannot be used`)
    .hook('preAction', async (_, command) => {
      const options: Record<string, unknown> = command.opts()
      // Commander takes whatever comes next as an option's value.
      const mistaken = Object.entries(options).find(([, value]) => typeof value === 'string' && /^(--|$)/.test(value))
      if (mistaken) command.error(`error: option '--${mistaken[0]}' needs a value`)
      if (!command.options.includes(envOption)) return
      const found = await readEnvironment(io.cwd(), options['env'] as string | undefined)
      for (const [name, value] of Object.entries(found)) io.env[name] ??= value
    })
  for (const add of [addInit, addGenerateKeys, addApplyValidators, addPrinters, addDeadLetters, addDoctor]) {
    add(program, io)
  }
  return program
}

const debug = debuglog('powersync-mongo')

function fail ({ stderr, env }: Pick<CommandIO, 'stderr' | 'env'>, error: unknown): number {
  const { paint, wrap } = screenOf(stderr, env)
  const unexpected = 'unexpected: run it again with NODE_DEBUG=powersync-mongo, and report the stack trace'
  const known = error instanceof KeyError ? usageError(error.message) : error
  const { message, fix, exitCode } =
    known instanceof CommandError ? known : new CommandError(reasonOf(error), unexpected, 1)
  debug('%s', (error as Error).stack)
  stderr.write(`${wrap(`${paint('red', 'error:')} ${message}`, 2)}\n  → ${wrap(fix, 4)}\n`)
  return exitCode
}
