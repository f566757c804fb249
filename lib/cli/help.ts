import type { Option } from './arguments.js'
import type { Command, CommandGroup } from './command.js'
import { maximumWidth, wrap, type Screen } from './screen.js'

type Row = [name: string, meaning: string]

const helpRow: Row = ['--help, -h', 'this text']

const exitCodes: Row[] = [
  ['0', 'done, nothing has to be fixed'],
  ['1', 'something failed, or was found that has to be fixed'],
  ['2', 'the command line, or a file that it names, makes no sense']
]

/** @param name as in `dead-letters list` */
export function commandHelp (name: string, { takes, about, options, example }: Command, screen: Screen): string {
  return text(screen, [
    usage(screen, [name, takes, '[options]']),
    about,
    table(screen, 'Options', [...Object.entries(options).map(optionRow), helpRow]),
    `${heading(screen, 'Example')} npx powersync-mongo ${example}`
  ])
}

export function groupHelp (name: string, { summary, commands }: CommandGroup, screen: Screen): string {
  return text(screen, [
    usage(screen, [name, '<command> [options]']),
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
    table(screen, 'Commands', Object.entries(commands).map(([name, { summary }]) => [name, summary])),
    table(screen, 'Options', [['--help, -h', 'after a command: its options and an example']]),
    `${heading(screen, 'Example')} npx powersync-mongo ${name} ${Object.keys(commands)[0]} --help`
  ])
}

export function programHelp (commands: Record<string, Command | CommandGroup>, screen: Screen): string {
  return text(screen, [
    usage(screen, ['<command> [options]']),
    table(screen, 'Commands', Object.entries(commands).map(([name, { summary }]) => [name, summary])),
    table(screen, 'Options', [
      ['--help, -h', 'after a command: its options and an example'],
      ['--version, -v', 'the version of fastify-powersync-mongo']
    ]),
    table(screen, 'Exit codes', exitCodes),
    `${heading(screen, 'Example')} npx powersync-mongo generate-keys --help`
  ])
}

function optionRow ([name, { value, choices, help, default: byDefault }]: [string, Option]): Row {
  const among = choices ? `: ${choices.join(', ')}` : ''
  const otherwise = byDefault === undefined ? '' : ` (${byDefault})`
  return [`--${name}${value ? ` ${value}` : ''}`, `${help}${among}${otherwise}`]
}

const usage = (screen: Screen, parts: (string | undefined)[]) =>
  `${heading(screen, 'Usage')} npx powersync-mongo ${parts.filter(part => part !== undefined).join(' ')}`

const heading = ({ paint }: Screen, name: string) => paint('bold', `${name}:`)

/** Two columns, the second as wide as there is room. */
function table (screen: Screen, name: string, rows: Row[]): string {
  const column = Math.max(...rows.map(([name]) => name.length)) + 4
  const lines = rows.map(([name, meaning]) => widthOf(screen, `  ${name.padEnd(column - 2)}${meaning}`, column))
  return `${heading(screen, name)}\n${lines.join('\n')}`
}

const text = (screen: Screen, parts: string[]) => `${parts.map(part => widthOf(screen, part, 0)).join('\n\n')}\n`

const widthOf = ({ width }: Screen, text: string, indent: number) => wrap(text, Math.min(width, maximumWidth), indent)
