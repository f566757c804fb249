/** Where a command prints: what was asked for on `stdout`, all else on `stderr`. */
export interface CommandIO {
  stdout: { write (text: string): unknown }
  stderr: { write (text: string): unknown }
}

/**
 * One command of `powersync-mongo`: gets the arguments after its name, resolves to the exit code.
 *
 * @throws UsageError, or what `parseArgs` of node:util throws, if the arguments make no sense
 */
export type Command = (args: string[], io: CommandIO) => Promise<number>

/** Arguments that make no sense: the exit code is 2, and the user is shown to `--help`. */
export class UsageError extends Error {}

/**
 * The value of an option that takes one of a few.
 * @throws {UsageError} for any other
 */
export function choice<Choice extends string> (option: string, value: string, choices: readonly Choice[]): Choice {
  const found = choices.find(each => each === value)
  if (!found) throw new UsageError(`--${option} ${value} is not one of ${choices.join(', ')}`)
  return found
}
