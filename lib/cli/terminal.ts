import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import { Help } from 'commander'

interface Output { write (text: string): unknown, isTTY?: boolean | undefined, columns?: number | undefined }

/** The process as a command sees it: results go to `stdout`, everything else to `stderr`. */
export interface CommandIO {
  stdin: Readable & { isTTY?: boolean | undefined }
  stdout: Output
  stderr: Output
  env: Record<string, string | undefined>
  cwd (): string
  /** A clock in milliseconds, for tests. */
  now? (): number
  /** Set to 1 by a command that ran and found something to fix. */
  exitCode?: number | string | null | undefined
}

export class CommandError extends Error {
  constructor (message: string, readonly fix: string, readonly exitCode: 1 | 2) {
    super(message)
  }
}

/** The command line is invalid, or a file that it names cannot be used. */
export const usageError = (message: string, fix = 'add --help to see the options and an example') =>
  new CommandError(message, fix, 2)

/** Commander wraps nothing in columns of less than 40. */
export const minWidthToWrap = 20

const help = Object.assign(new Help(), { minWidthToWrap })

export function screenOf (output: Output, env: CommandIO['env']) {
  // Node.js's own rule: NO_COLOR, FORCE_COLOR and TERM count.
  const mayColour = output.isTTY === true || env['FORCE_COLOR'] !== undefined
  const coloured = mayColour && WriteStream.prototype.getColorDepth(env) > 2
  // A terminal of unknown size says 0; longer lines are hard to read.
  const width = Math.min(output.columns || 100, 100)
  return {
    width,
    coloured,
    paint: (style: Parameters<typeof styleText>[0], text: string) =>
      coloured ? styleText(style, text, { validateStream: false }) : text,
    /** Breaks lines on a terminal, and indents all but the first. */
    wrap: (text: string, indent = 0) =>
      (output.isTTY ? help.boxWrap(text, width - indent) : text).replaceAll('\n', `\n${' '.repeat(indent)}`)
  }
}

export type Screen = ReturnType<typeof screenOf>

/** Escapes control characters: uploaded text may hold some that control a terminal, or end a line. */
export const clean = (text: string): string =>
  text.replace(/\p{Cc}/gu, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

export const linesOf = (lines: string[]): string => lines.map(line => `${line}\n`).join('')

export const jsonLine = (value: unknown): string => `${clean(JSON.stringify(value))}\n`

export const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** Asks on `stderr`. An answer is trimmed, and empty at the end of the input. */
export function questionsOf ({ stdin, stderr }: CommandIO) {
  const input = createInterface({ input: stdin })
  const lines = input[Symbol.asyncIterator]()
  const ask = async (question: string): Promise<string> => {
    stderr.write(question)
    return ((await lines.next()).value ?? '').trim()
  }
  return { ask, close: () => input.close() }
}

/** Shows progress on `stderr`: on a terminal in one line that is gone at the end, else in a line every 10 s. */
export function progressOf (io: Pick<CommandIO, 'stderr' | 'env' | 'now'>, doing: string) {
  const { stderr, env, now = () => performance.now() } = io
  const live = stderr.isTTY === true && env['TERM'] !== 'dumb'
  let [total, done, shownAt] = [0, 0, now()]
  const clear = () => { if (live) stderr.write('\r\x1b[K') }
  const show = () => {
    if (live ? done === total : now() - shownAt < 10_000) return
    shownAt = now()
    stderr.write(`${doing}: ${done} of ${total}${live ? '' : '\n'}`)
  }
  return {
    clear,
    start (count: number) {
      total = count
      show()
    },
    step (print: () => void) {
      done++
      clear()
      print()
      show()
    }
  }
}
