import { parseArguments } from './arguments.js'
import { environmentOption, loadEnvironment } from './environment.js'
import type { OptionTable, Values } from './arguments.js'
import type { Output } from './screen.js'

/** What a command has of its process: what was asked for goes to `stdout`, all else to `stderr`. */
export interface CommandIO {
  stdout: Output
  stderr: Output
  env: Record<string, string | undefined>
  cwd (): string
  /** Milliseconds, from any start. Default: `performance.now()`. */
  now? (): number
}

/** What the help says of a command. */
export interface Description {
  /** A line for the list of commands. */
  summary: string
  about: string
  /** What stands before the options, as in `<id>…`. Absent: nothing may. */
  takes?: string
  example: string
}

export interface Command extends Description {
  options: OptionTable
  /**
   * Resolves to the exit code.
   * @throws {UsageError} when the arguments make no sense
   * @throws {FailedError} when the command could not do what it should
   */
  run (args: string[], io: CommandIO): Promise<number>
}

/** Commands of one subject, such as `dead-letters list`. */
export interface CommandGroup {
  summary: string
  commands: Record<string, Command>
}

interface Definition<Options extends OptionTable> extends Description {
  options: Options
  run (values: Values<Options>, io: CommandIO, positionals: string[]): Promise<number>
}

/** A command that gets its options as its table says they are, and before that, if it takes `--env-file`, the variables. */
export function command<const Options extends OptionTable> (definition: Definition<Options>): Command {
  const { options, takes } = definition
  return {
    ...definition,
    async run (args, io) {
      const { values, positionals } = parseArguments(args, options, takes !== undefined)
      if (Object.hasOwn(options, environmentOption)) await loadEnvironment(io, values[environmentOption] as string | undefined)
      return definition.run(values, io, positionals)
    }
  }
}
