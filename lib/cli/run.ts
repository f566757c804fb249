import { createRequire } from 'node:module'
import { debuglog, styleText } from 'node:util'
import { Command, CommanderError } from 'commander'
import { KeyError } from '../errors.js'
import { addApplyValidators } from './apply-validators.js'
import { addClientSchema } from './client-schema.js'
import { addConnector } from './connector.js'
import { addDeadLetters } from './dead-letters.js'
import { addDoctor } from './doctor.js'
import { envOption, loadEnvironment } from './environment.js'
import { addGenerateKeys } from './generate-keys.js'
import { addInit } from './init.js'
import { CommandError, usageError, type CommandIO } from './io.js'
import { reasonOf } from './mongo.js'
import { minWidthToWrap, screenOf } from './screen.js'
import { addStreams } from './streams.js'

/**
 * Runs `powersync-mongo` with the arguments after its name.
 *
 * @returns the exit code: 0 done, 1 failed or something found that has to be fixed, 2 the arguments make no sense
 */
export async function run (args: string[], io: CommandIO): Promise<number> {
  try {
    await programOf(io).parseAsync(args, { from: 'user' })
    return Number(io.exitCode ?? 0)
  } catch (error) {
    // Commander has said it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return fail(io, error)
  }
}

/** All that `powersync-mongo` can do. */
export function programOf (io: CommandIO): Command {
  const [out, err] = [screenOf(io.stdout, io.env), screenOf(io.stderr, io.env)]
  const program = new Command('npx powersync-mongo')
    .usage('<command> [options]')
    .version(version(), '-v, --version', 'print the version of fastify-powersync-mongo')
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
  0  done, nothing has to be fixed
  1  something failed, or was found that has to be fixed
  2  the command line or a file that it names makes no sense`)
    .hook('preAction', async (_, command) => {
      const options: Record<string, unknown> = command.opts()
      // Commander takes whatever comes next as an option's value.
      const mistaken = Object.entries(options).find(([, value]) => typeof value === 'string' && /^(--|$)/.test(value))
      if (mistaken) command.error(`error: option '--${mistaken[0]}' needs a value`)
      if (command.options.includes(envOption)) await loadEnvironment(io, options['env'] as string | undefined)
    })
  for (const add of [addInit, addGenerateKeys, addApplyValidators, addClientSchema, addConnector, addStreams, addDeadLetters, addDoctor]) add(program, io)
  return program
}

const version = () => (createRequire(import.meta.url)('fastify-powersync-mongo/package.json') as { version: string }).version

const debug = debuglog('powersync-mongo')

/** Says what went wrong and what to do, in two lines. */
function fail ({ stderr, env }: CommandIO, error: unknown): number {
  const { paint, wrap } = screenOf(stderr, env)
  const { message, fix, exitCode } = error instanceof CommandError
    ? error
    : error instanceof KeyError ? usageError(error.message) : new CommandError(reasonOf(error), 'this should not happen: run it again with NODE_DEBUG=powersync-mongo to see where, and report it', 1)
  debug('%s', (error as Error).stack)
  stderr.write(`${wrap(`${paint('red', 'error:')} ${message}`, 2)}\n  → ${wrap(fix, 4)}\n`)
  return exitCode
}
