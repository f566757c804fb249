import { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import { Help } from 'commander'

/** What a command needs to know of a stream that it prints to. */
export interface Output {
  write (text: string): unknown
  isTTY?: boolean | undefined
  columns?: number | undefined
}

/** How to print for people. */
export interface Screen {
  /** Columns that a line of help may have. */
  width: number
  coloured: boolean
  /** With colours where the stream shows them. */
  paint (style: Style, text: string): string
  /** Breaks lines on a terminal; all but the first are indented. What stands before the text is as wide as the indent. */
  wrap (text: string, indent?: number): string
}

export type Style = Parameters<typeof styleText>[0]

/** Commander wraps nothing in columns of less than 40. */
export const minWidthToWrap = 20

const help = Object.assign(new Help(), { minWidthToWrap })

/** Longer lines are hard to read, however wide the terminal is. */
const maximumWidth = 100

export function screenOf (output: Output, env: Record<string, string | undefined>): Screen {
  // As Node.js itself decides: NO_COLOR, FORCE_COLOR and TERM are heard.
  const coloured = (output.isTTY === true || env['FORCE_COLOR'] !== undefined) && WriteStream.prototype.getColorDepth(env) > 2
  // A terminal that does not know its size says 0.
  const width = Math.min(output.columns || maximumWidth, maximumWidth)
  return {
    width,
    coloured,
    paint: (style, text) => coloured ? styleText(style, text, { validateStream: false }) : text,
    wrap: (text, indent = 0) => (output.isTTY ? help.boxWrap(text, width - indent) : text).replaceAll('\n', `\n${' '.repeat(indent)}`)
  }
}

/** Uploaded text may hold characters that control a terminal, or end a line. */
export const clean = (text: string): string => text.replace(/\p{Cc}/gu, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** A line of JSON, which leaves some of those as they are. */
export const jsonLine = (value: unknown): string => `${clean(JSON.stringify(value))}\n`
