import { createRequire } from 'node:module'
import { debuglog } from 'node:util'
import { applyValidatorsCommand } from './apply-validators.js'
import { didYouMean } from './arguments.js'
import { clientSchemaCommand } from './client-schema.js'
import type { Command, CommandGroup, CommandIO } from './command.js'
import { deadLetterCommands } from './dead-letters.js'
import { doctorCommand } from './doctor.js'
import { CommandError, UsageError } from './errors.js'
import { generateKeysCommand } from './generate-keys.js'
import { commandHelp, groupHelp, programHelp } from './help.js'
import { reasonOf } from './mongo.js'
import { nearest } from '../nearest.js'
import { screenOf } from './screen.js'
import { streamsCommand } from './streams.js'

/** All that `powersync-mongo` can do. */
export const commands: Record<string, Command | CommandGroup> = {
  'generate-keys': generateKeysCommand,
  'apply-validators': applyValidatorsCommand,
  'client-schema': clientSchemaCommand,
  streams: streamsCommand,
  'dead-letters': deadLetterCommands,
  doctor: doctorCommand
}

/**
 * Runs `powersync-mongo` with the arguments after its name.
 *
 * @returns the exit code: 0 done, 1 failed or something found that has to be fixed, 2 the arguments make no sense
 */
export async function run (args: string[], io: CommandIO): Promise<number> {
  const screen = screenOf(io.stdout, io.env)
  const [name, ...rest] = args
  if (name === undefined) {
    io.stderr.write(programHelp(commands, screenOf(io.stderr, io.env)))
    return 2
  }
  if (isHelp(name)) {
    io.stdout.write(programHelp(commands, screen))
    return 0
  }
  if (name === '--version' || name === '-v') {
    io.stdout.write(`${version()}\n`)
    return 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (entry === undefined) return fail(io, '', noCommand(name))
  return 'commands' in entry ? runGroup(name, entry, rest, io) : runCommand(name, entry, rest, io)
}

async function runGroup (group: string, entry: CommandGroup, [name, ...rest]: string[], io: CommandIO): Promise<number> {
  if (name !== undefined && isHelp(name)) {
    io.stdout.write(groupHelp(group, entry, screenOf(io.stdout, io.env)))
    return 0
  }
  const command = name !== undefined && Object.hasOwn(entry.commands, name) ? entry.commands[name] : undefined
  if (command) return runCommand(`${group} ${name}`, command, rest, io)
  const names = Object.keys(entry.commands)
  return fail(io, group, name === undefined
    ? new UsageError(`what to do is missing: it is one of ${names.join(', ')}`)
    : new UsageError(`there is no ${name}: it is one of ${names.join(', ')}${didYouMean(nearest(name, names))}`))
}

async function runCommand (name: string, command: Command, args: string[], io: CommandIO): Promise<number> {
  if (args.some(isHelp)) {
    io.stdout.write(commandHelp(name, command, screenOf(io.stdout, io.env)))
    return 0
  }
  try {
    return await command.run(args, io)
  } catch (error) {
    return fail(io, name, error)
  }
}

const isHelp = (arg: string) => arg === '--help' || arg === '-h'

const version = () => (createRequire(import.meta.url)('fastify-powersync-mongo/package.json') as { version: string }).version

function noCommand (name: string): UsageError {
  if (name.startsWith('-')) return new UsageError(`there is no option ${name} here: options stand behind the command`)
  const paths = Object.entries(commands).flatMap(([name, entry]) => 'commands' in entry ? Object.keys(entry.commands).map(each => `${name} ${each}`) : [name])
  const words = Object.keys(commands)
  const near = paths.find(path => path.endsWith(` ${name}`)) ?? nearest(name, words)
  return new UsageError(`there is no command "${name}"${didYouMean(near && `"${near}"`)}`)
}

const debug = debuglog('powersync-mongo')

/** Says what went wrong and what to do, in two lines. */
function fail ({ stderr, env }: CommandIO, name: string, error: unknown): number {
  const { paint, wrap } = screenOf(stderr, env)
  const program = ['powersync-mongo', name].join(' ').trimEnd()
  const [message, fix, exitCode] = error instanceof CommandError
    ? [error.message, error.fix ?? `"${`npx ${program}`} --help" shows what it takes`, error.exitCode]
    : [reasonOf(error), 'this should not happen: run it again with NODE_DEBUG=powersync-mongo to see where, and report it', 1]
  debug('%s', (error as Error).stack)
  stderr.write(`${wrap(`${paint('red', `${program}:`)} ${message}`, 2)}\n${wrap(`  → ${fix}`, 4)}\n`)
  return exitCode
}
