/** The project's documents, as tests read them: their code blocks, and what they say. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** A block of code between fences. */
export interface CodeBlock {
  /** What stands behind the fence: `ts`, `sh`, …; '' if nothing does. */
  language: string
  code: string
  /** The file that it belongs in by the end of the paragraph before it, as in "is in `server.ts`:" or "add to `.env`:". */
  file: string | undefined
  /** The line that it begins on. */
  line: number
}

export const readDocument = (name: string): Promise<string> => readFile(join(root, name), 'utf8')

/** All code blocks, in order. */
export function codeBlocks (text: string): CodeBlock[] {
  return [...text.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(({ 1: language = '', 2: code = '', index }) => {
    const before = text.slice(0, index)
    return { language, code, file: /\b(?:in|to) `([\w-]*\.\w+)`:\n\n$/.exec(before)?.[1], line: before.split('\n').length }
  })
}

/** What stands under a heading, up to the next one of the same level. */
export function section (text: string, heading: string): string {
  const [, body] = text.split(`\n${heading}\n`)
  if (body === undefined) throw new Error(`There is no heading ${heading}`)
  const level = heading.slice(0, heading.indexOf(' ') + 1)
  return body.split(`\n${level}`)[0]!
}
