import { WriteStream } from 'node:tty'
import { stripVTControlCharacters, styleText } from 'node:util'

/** What a command needs to know of a stream that it prints to. */
export interface Output {
  write (text: string): unknown
  isTTY?: boolean | undefined
  columns?: number | undefined
}

/** How to print for the eyes. */
export interface Screen {
  /** Columns that a line may have; no limit where it is not a terminal. */
  width: number
  /** With colours where the stream shows them. */
  paint (style: Style, text: string): string
  /** In lines of this width, all but the first indented. */
  wrap (text: string, indent?: number): string
}

export type Style = Parameters<typeof styleText>[0]

/** Longer lines are hard to read, however wide the terminal is. */
export const maximumWidth = 100

export function screenOf (output: Output, env: Record<string, string | undefined>): Screen {
  const coloured = hasColours(output, env)
  // A terminal that does not know its size says 0.
  const width = output.isTTY ? Math.min(output.columns || maximumWidth, maximumWidth) : Infinity
  return {
    width,
    paint: (style, text) => coloured ? styleText(style, text, { validateStream: false }) : text,
    wrap: (text, indent = 0) => wrap(text, width, indent)
  }
}

/** As Node.js itself decides: NO_COLOR, FORCE_COLOR and TERM are heard. */
function hasColours ({ isTTY }: Output, env: Record<string, string | undefined>): boolean {
  return (isTTY === true || env['FORCE_COLOR'] !== undefined) && WriteStream.prototype.getColorDepth(env) > 2
}

export function wrap (text: string, width: number, indent: number): string {
  return text.split('\n').map(line => wrapLine(line, width, ' '.repeat(indent))).join(`\n${' '.repeat(indent)}`)
}

function wrapLine (text: string, width: number, indent: string): string {
  const [first = '', ...words] = text.split(' ')
  const lines: string[] = []
  let line = first
  for (const word of words) {
    const longer = `${line} ${word}`
    if (word === '' || stripVTControlCharacters(longer).length <= width) {
      line = longer
    } else {
      lines.push(line.trimEnd())
      line = indent + word
    }
  }
  return [...lines, line].join('\n')
}

/** What clients sent may hold characters that control a terminal, or end a line. */
export const clean = (text: string): string => text.replace(/\p{Cc}/gu, escaped)

/** A line of JSON, which leaves some of those as they are. */
export const jsonLine = (value: unknown): string => `${clean(JSON.stringify(value))}\n`

const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
