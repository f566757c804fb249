/** What went wrong, and what to do about it. */
abstract class CommandError extends Error {
  abstract readonly exitCode: number

  constructor (message: string, readonly fix?: string) {
    super(message)
  }
}

/** The command line makes no sense. Without a next step of its own it sends the user to `--help`. */
export class UsageError extends CommandError {
  readonly exitCode = 2
}

/** The command line makes sense, and yet the command could not do it. */
export class FailedError extends CommandError {
  readonly exitCode = 1
}

export { CommandError }
