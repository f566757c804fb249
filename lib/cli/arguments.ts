import { parseArgs } from 'node:util'
import { UsageError } from './errors.js'
import { nearest } from '../nearest.js'

export interface Option {
  type: 'string' | 'boolean'
  /** What it means, for the help. */
  help: string
  /** What stands for its value in the help, as in `<file>`. */
  value?: string
  choices?: readonly string[]
  default?: string
}

export type OptionTable = Record<string, Option>

/** A switch is on or off; what has a default is always there. */
export type Values<Options extends OptionTable> = {
  [Name in keyof Options]: Options[Name] extends { type: 'boolean' }
    ? boolean
    : (Options[Name] extends { choices: readonly (infer Choice)[] } ? Choice : string) | (Options[Name] extends { default: string } ? never : undefined)
}

/** @throws {UsageError} for arguments that the table does not allow */
export function parseArguments<Options extends OptionTable> (args: string[], options: Options, allowPositionals: boolean): { values: Values<Options>, positionals: string[] } {
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind === 'option' && !Object.hasOwn(options, token.name)) throw unknownOption(token.name, token.rawName, Object.keys(options))
  }
  const { values, positionals } = parseStrictly(args, options, allowPositionals)
  for (const [name, value] of Object.entries(values)) {
    const { choices } = options[name] as Option
    if (value === '') throw new UsageError(`--${name} is empty`)
    if (choices && !choices.includes(String(value))) throw new UsageError(`--${name} ${value} is not one of ${choices.join(', ')}${didYouMean(nearest(String(value), choices))}`)
  }
  const switches = Object.entries(options).filter(([, { type }]) => type === 'boolean').map(([name]) => [name, values[name] ?? false])
  return { values: { ...values, ...Object.fromEntries(switches) } as Values<Options>, positionals }
}

function unknownOption (name: string, rawName: string, known: string[]): UsageError {
  const near = nearest(name, known)
  return new UsageError(`there is no option ${rawName}${didYouMean(near && `--${near}`)}`)
}

function parseStrictly (args: string[], options: OptionTable, allowPositionals: boolean) {
  try {
    return parseArgs({ args, options, allowPositionals })
  } catch (error) {
    // In the words of Node.js, with newlines.
    throw new UsageError((error as Error).message.replace(/\n/g, ' '))
  }
}

export const didYouMean = (near: string | undefined): string => near === undefined ? '' : `; did you mean ${near}?`
