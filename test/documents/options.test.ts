/** The tables of options in the documents: none is missing, none is made up, and defaults and limits are those of the code. */
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import type { PowerSyncMongoOptions } from '../../index.js'
import { readOptions } from '../../lib/options.js'
import { readDocument, root, section, tableRows } from '../support/documents.js'

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
const { options: compilerOptions } = ts.parseJsonConfigFileContent(config, ts.sys, root)
const declarations = ['types/index.ts', 'lib/client/types.ts'].map(file => join(root, file))
const program = ts.createProgram(declarations, compilerOptions)
const checker = program.getTypeChecker()

const options = await readDocument('docs/options.md')
const ofCollections = section(options, '## `collection()`')
const ofPlugin = options.replace(ofCollections, '')

for (const [type, text, depth] of [
  ['PowerSyncMongoOptions', ofPlugin, 3],
  ['CollectionOptions', ofCollections, 1],
  ['JwtIssuersOptions', section(await readDocument('docs/authentication.md'), '## An identity provider: `jwtIssuers`'), 2],
  ['ConnectorOptions', section(await readDocument('docs/client.md'), '## Options'), 2]
] as const) {
  t.test(`the table of ${type} has each option, and no other`, async t => {
    const { leaves, groups } = namesOf(typeOf(type), depth)
    const documented = tableRows(text, 'option').flatMap(([cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!.replace(/\(.*/, '')))
    t.ok(leaves.length > 5)
    t.strictSame(leaves.filter(name => !documented.includes(name)), [], 'none is missing')
    t.strictSame(documented.filter(name => !leaves.includes(name) && !groups.includes(name)), [], 'none is made up')
  })
}

t.test('defaults and limits of numbers are those of the code', async t => {
  const required = { powersyncUrl: 'https://test.powersync.example', authenticate: () => null, collections: { lists: {} } }
  const read = (more: object) => readOptions({ ...required, ...more } as unknown as PowerSyncMongoOptions, {})
  const { deduplicate, deadLetters, ...settings } = read({})
  const defaults: Record<string, unknown> = { ...settings, ...deduplicate, ...deadLetters, maxConcurrent: '`mongo.maxPoolSize`' }
  const numbers = tableRows(ofPlugin, 'option').filter(([, type]) => type === 'number')
  t.equal(numbers.length, 7)
  for (const [cell = '', , byDefault = '', meaning = ''] of numbers) {
    const path = cell.replaceAll('`', '').split('.')
    const wrong = path.reduceRight<unknown>((value, name) => ({ [name]: value }), NaN) as object
    const message = String(t.throws(() => read(wrong), { code: 'FST_PSM_OPTION' }))
    const [, minimum, maximum, unit = ''] = /from (\d+) to (\d+) (\w+)/.exec(message) ?? []
    t.equal(plain(byDefault), String(defaults[path.at(-1)!] ?? 'never'), `default of ${path.join('.')}`)
    if (Number(maximum) < Number.MAX_SAFE_INTEGER) t.match(plain(meaning), `${minimum} to ${maximum}`, `limits of ${path.join('.')}`)
    t.match(meaning, unit, `unit of ${path.join('.')}`)
  }
})

/** Without spaces within numbers. */
function plain (text: string): string {
  return text.replaceAll(/(?<=\d) (?=\d{3})/g, '')
}

function typeOf (name: string): ts.Type {
  for (const file of declarations) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    const symbol = checker.getExportsOfModule(module).find(each => each.name === name)
    if (symbol) return checker.getDeclaredTypeOfSymbol(symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol)
  }
  throw new Error(`There is no type ${name}`)
}

/** The options of a type, and those within them to a depth, as `upload.deadline`; `groups` are those that have further ones. */
function namesOf (type: ts.Type, depth: number, prefix = ''): { leaves: string[], groups: string[] } {
  const [leaves, groups]: [string[], string[]] = [[], []]
  for (const property of checker.getPropertiesOfType(type).filter(isOwn)) {
    const name = prefix + (prefix === 'routes.' ? '<route>' : property.name)
    const inner = depth > 1 ? objectsOf(checker.getTypeOfSymbol(property)).map(object => namesOf(object, depth - 1, `${name}.`)) : []
    const children = inner.flatMap(({ leaves }) => leaves)
    if (children.length === 0) leaves.push(name)
    else groups.push(name)
    leaves.push(...children)
    groups.push(...inner.flatMap(({ groups }) => groups))
  }
  return { leaves: [...new Set(leaves)], groups: [...new Set(groups)] }
}

/** Declared by this package, not by a dependency whose type it extends. A name in a mapped type has no declaration. */
function isOwn ({ declarations = [] }: ts.Symbol): boolean {
  return declarations.every(declaration => !declaration.getSourceFile().fileName.includes('node_modules'))
}

/** The parts of a type that are objects with options of their own; none of one that may be text as well. */
function objectsOf (type: ts.Type): ts.Type[] {
  const parts = type.isUnion() ? type.types : [type]
  if (parts.some(part => part.flags & ts.TypeFlags.String)) return []
  return parts.filter(part => part.flags & ts.TypeFlags.Object && part.getCallSignatures().length === 0 && !checker.isArrayLikeType(part))
}
