/** The commands in the documents, between fences and in sentences: what they name and the options they give exist. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { allCommands } from '../support/command-line.js'
import { codeBlocks, documentNames, inlineCode, readDocument, root, workflows } from '../support/documents.js'

const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}
const ours = allCommands.map(({ name }) => name[0]!)

/** Stands for what the reader fills in, `<your server>`. */
const placeholder = '…'

for (const name of await documentNames()) {
  t.test(`the commands of ${name}`, async t => {
    const text = await readDocument(name)
    const files = new Set(codeBlocks(text).map(({ file }) => file))
    const shell = codeBlocks(text).filter(({ language }) => language === 'sh').map(({ code }) => code)
    const mentioned = inlineCode(text).filter(code => /^(npx|npm|bash) /.test(code))
    // As in tables of what a command takes: generate-keys [--alg RS256|ES256]
    const listed = inlineCode(text)
      .filter(code => ours.includes(code.split(' ')[0]!) && code.includes(' '))
      .map(code => `npx powersync-mongo ${code.replaceAll(/\\?\||[[\]]/g, ' ')}`)
    for (const command of [...shell, ...mentioned, ...listed].flatMap(commandsOf)) {
      t.equal(await faultOf(command, files), undefined, command.join(' '))
    }
  })
}

for (const [name, { jobs }] of Object.entries(await workflows())) {
  t.test(`the commands of the workflow ${name}`, async t => {
    const steps = Object.values(jobs).flatMap(({ steps = [] }) => steps)
    const commands = steps.flatMap(({ run = '' }) => commandsOf(run))
    t.ok(commands.length > 0)
    for (const command of commands.filter(([program]) => !['apt-get', 'git'].includes(program!))) {
      t.equal(await faultOf(command, new Set()), undefined, command.join(' '))
    }
  })
}

t.test('what does not exist is found', async t => {
  const faults = [
    'npm run nothing',
    'npx powersync-mongo nothing',
    'npx powersync-mongo doctor --nothing',
    'npx powersync-mongo dead-letters nothing',
    'npx tsx nothing.ts',
    'npm run soak -- --nothing 1',
    'curl http://localhost:3000/nothing',
    'nothing'
  ]
  for (const command of faults.flatMap(commandsOf)) {
    t.type(await faultOf(command, new Set()), 'string', command.join(' '))
  }
})

/** The words of each command, without variables before it and without where its output goes. */
function commandsOf (code: string): string[][] {
  const commands: string[][] = [[]]
  let skip = false
  for (const [token] of code
    .replaceAll(/<[^>\n]+>/g, placeholder)
    .replaceAll('\\\n', ' ')
    .matchAll(/#.*|\n|&&|[|;]|>>?|(?:'[^']*'|"[^"]*"|[^\s'"|;&>])+/g)) {
    if (token.startsWith('#')) continue
    if (token.startsWith('>')) skip = true
    else if (/^(\n|&&|[|;])$/.test(token)) commands.push([])
    else if (skip) skip = false
    else if (commands.at(-1)!.length > 0 || !/^\w+=/.test(token)) {
      commands.at(-1)!.push(token.replaceAll(/^['"]|['"]$/g, ''))
    }
  }
  return commands.filter(words => words.length > 0)
}

/** What is wrong with a command; undefined if nothing is. */
async function faultOf ([program, ...words]: string[], files: Set<string | undefined>): Promise<string | undefined> {
  const operands = words.filter(word => !word.startsWith('-'))
  const missing = (file: string | undefined) =>
    file === placeholder ||
    files.has(file) ||
    [root, join(root, 'examples')].some(folder => existsSync(join(folder, String(file))))
      ? undefined
      : `there is no file ${file}`
  switch (program) {
    case 'npm':
      return await npmFault(words)
    case 'npx':
      switch (operands[0]) {
        case 'fastify-powersync-mongo':
        case 'powersync-mongo':
          return ownFault(words.slice(words.indexOf(operands[0]) + 1))
        case 'tsx':
        case 'tap':
          return missing(operands[1])
        default:
          return `npx ${operands[0]} is not known here`
      }
    case 'bash':
      return missing(operands[0])
    case 'docker':
      return words.includes('--file') ? missing(words[words.indexOf('--file') + 1]) : undefined
    case 'curl':
      return /^https?:\/\/[^/]+\/powersync\/(jwks|token|upload|checkpoint)\b/.test(
        operands.find(word => word.includes('://')) ?? ''
      )
        ? undefined
        : 'there is no such route'
    default:
      return `${program} is not known here`
  }
}

async function npmFault ([command, name, ...rest]: string[]): Promise<string | undefined> {
  if (['ci', 'install', 'init', 'pack', 'pkg', 'publish'].includes(String(command))) return undefined
  const script = scripts[String(command === 'run' ? name : command)]
  if (script === undefined) return `there is no script ${command} ${name}`
  const options = rest.filter(word => /^--\w/.test(word)).map(word => word.slice(2))
  if (options.length === 0) return undefined
  const file = /tsx (\S+\.ts)$/.exec(script)?.[1]
  const source = file ? await readFile(join(root, file), 'utf8') : ''
  const unknown = options.find(option => !new RegExp(`\\b${option}\\b`).test(source))
  return unknown && `${file} has no option ${unknown}`
}

/** A command of `powersync-mongo`. */
function ownFault (words: string[]): string | undefined {
  const [command, subcommand] = words
  if (command === undefined || command === placeholder || command.startsWith('-')) return undefined
  if (command === 'help') return undefined
  const name = [command, ...command === 'dead-letters' ? [subcommand] : []].join(' ')
  const found = allCommands.find(each => each.name.join(' ') === name)?.command
  if (!found) return `there is no command ${name}`
  return words
    .filter(word => /^--\w/.test(word) && word !== '--help' && !found.options.some(({ long }) => long === word))
    .map(option => `${name} has no ${option}`)[0]
}
