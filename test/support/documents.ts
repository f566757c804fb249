/** The project's documents, as tests read them: their code blocks, and what they say. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'

export const root = join(import.meta.dirname, '..', '..')

/** Paths of all Markdown files of the project, from its root. */
export async function documentNames (folder = ''): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true })
  const names = entries.filter(({ name }) => !/^(\.(?!github$)|node_modules$|dist$)/.test(name)).map(async entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return await documentNames(path)
    return path.endsWith('.md') ? [path] : []
  })
  return (await Promise.all(names)).flat().sort()
}

export const readDocument = (name: string): Promise<string> => readFile(join(root, name), 'utf8')

/** Paths of the YAML files in a folder, from the project's root. */
export async function yamlFiles (folder: string): Promise<string[]> {
  const names = await readdir(join(root, folder), { recursive: true })
  return names.filter(name => name.endsWith('.yml')).map(name => join(folder, name)).sort()
}

/** A workflow of GitHub's, as far as tests look at it. */
interface Workflow {
  jobs: Record<string, {
    uses?: string
    needs?: string
    container?: string
    permissions?: Record<string, string>
    strategy?: { matrix: { node: number[] } }
    steps?: Array<{ run?: string }>
  }>
}

/** The workflows by the names of their files. */
export async function workflows (): Promise<Record<string, Workflow>> {
  const folder = '.github/workflows'
  const names = (await yamlFiles(folder)).map(name => name.slice(folder.length + 1))
  return Object.fromEntries(await Promise.all(names.map(async name =>
    [name, parse(await readDocument(join(folder, name))) as Workflow] as const
  )))
}

/** A block of code between fences. */
export interface CodeBlock {
  /** What stands behind the fence: `ts`, `sh`, …; '' if nothing does. */
  language: string
  code: string
  /**
   * The file that it belongs in by the end of the paragraph before it, as in "is in `server.ts`:" or "add to `.env`:".
   */
  file: string | undefined
  /** The line that it begins on. */
  line: number
}

const blocks = /^```(.*)\n([^]*?)^```$/gm

/** All code blocks, in order. */
export function codeBlocks (text: string): CodeBlock[] {
  return [...text.matchAll(blocks)].map(({ 1: language = '', 2: code = '', index }) => {
    const before = text.slice(0, index)
    return {
      language,
      code,
      file: /\b(?:in|to) `([\w.-]*\.\w+)`:\n\n$/.exec(before)?.[1],
      line: before.split('\n').length
    }
  })
}

/** The text without its code blocks. */
export const prose = (text: string): string => text.replace(blocks, '')

/** What stands between backticks in the text. */
export const inlineCode = (text: string): string[] => [...prose(text).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)

/** What stands under a heading, up to the next one of the same level. */
export function section (text: string, heading: string): string {
  const [, body] = text.split(`\n${heading}\n`)
  if (body === undefined) throw new Error(`There is no heading ${heading}`)
  const level = heading.slice(0, heading.indexOf(' ') + 1)
  return body.split(`\n${level}`)[0]!
}

/** The cells of each row of the tables whose first column has this title. */
export function tableRows (text: string, title: string): string[][] {
  const rows: string[][] = []
  let wanted = false
  for (const line of text.split('\n')) {
    const cells = line.startsWith('|') ? line.split(/(?<!\\)\|/).slice(1, -1).map(cell => cell.trim()) : []
    if (cells.length === 0) wanted = false
    else if (wanted) rows.push(cells)
    else wanted = cells[0] === title
  }
  return rows.filter(([first]) => first !== '---')
}
