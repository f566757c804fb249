/**
 * The tables of options in the documents: none is missing, none is made up, and defaults and limits are those of the
 * code.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { collectionOptions, pluginOptions } from '../../lib/options/schema.js'
import { optionRows, optionTable } from '../support/option-table.js'
import { readDocument, root, section, tableRows } from '../support/documents.js'

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
const { options: compilerOptions } = ts.parseJsonConfigFileContent(config, ts.sys, root)
const declarations = ['types/index.ts', 'types/client.ts'].map(file => join(root, file))
const program = ts.createProgram(declarations, compilerOptions)
const checker = program.getTypeChecker()

const options = await readDocument('docs/options.md')

for (const [type, schema, depth] of [
  ['PowerSyncMongoOptions', pluginOptions, 3],
  ['CollectionOptions', collectionOptions, 1]
] as const) {
  t.test(`the schema has each option of ${type}, and no other`, async t => {
    const { leaves, groups } = namesOf(typeOf(type), depth)
    // What is in routes and mongo is Fastify's and the driver's own.
    const isCompared = (name: string) => !/^(?:routes|mongo)\./.test(name) && !groups.includes(name)
    t.strictSame(
      leaves.filter(isCompared).sort(),
      optionRows(schema)
        .flatMap(({ names }) => names)
        .filter(isCompared)
        .sort()
    )
  })
}

for (const [type, text, depth] of [
  [
    'JwtIssuersOptions',
    section(await readDocument('docs/authentication.md'), '## An identity provider: `jwtIssuers`'),
    2
  ],
  ['ConnectorOptions', section(await readDocument('docs/client.md'), '## Options'), 2]
] as const) {
  t.test(`the table of ${type} has each option, and no other`, async t => {
    const { leaves, groups } = namesOf(typeOf(type), depth)
    const documented = tableRows(text, 'option').flatMap(([cell = '']) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!.replace(/\(.*/, ''))
    )
    t.ok(leaves.length > 5)
    t.strictSame(leaves.filter(name => !documented.includes(name)), [], 'none is missing')
    t.strictSame(documented.filter(name => !leaves.includes(name) && !groups.includes(name)), [], 'none is made up')
  })
}

t.test('the tables of docs/options.md are those of the schema', async t => {
  let text = options
  for (const [name, schema] of [['plugin', pluginOptions], ['collection', collectionOptions]] as const) {
    const [before, table = '', after] = text.split(new RegExp(`(?<=<!-- options: ${name} -->\\n\\n)((?:\\|.*\\n)*)`))
    text = `${before}${optionTable(schema, table)}${after}`
  }
  if (process.env['UPDATE']) await writeFile(join(root, 'docs/options.md'), text)
  else t.equal(options, text)
  t.notMatch(text, 'TO BE WRITTEN', 'each option has a meaning')
  t.ok(optionRows(pluginOptions).length + optionRows(collectionOptions).length <= 45)
})

function typeOf (name: string): ts.Type {
  for (const file of declarations) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    const symbol = checker.getExportsOfModule(module).find(each => each.name === name)
    if (symbol) {
      return checker.getDeclaredTypeOfSymbol(
        symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      )
    }
  }
  throw new Error(`There is no type ${name}`)
}

/**
 * The options of a type, and those within them to a depth, as `upload.deadline`; `groups` are those that have further
 * ones.
 */
function namesOf (type: ts.Type, depth: number, prefix = ''): { leaves: string[], groups: string[] } {
  const [leaves, groups]: [string[], string[]] = [[], []]
  for (const property of checker.getPropertiesOfType(type).filter(isOwn)) {
    const name = prefix + (prefix === 'routes.' ? '<route>' : property.name)
    const inner =
      depth > 1
        ? objectsOf(checker.getTypeOfSymbol(property)).map(object => namesOf(object, depth - 1, `${name}.`))
        : []
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

/**
 * The parts of a type that are objects with options of their own; none of one that may be text as well, nor the SDK's
 * database.
 */
function objectsOf (type: ts.Type): ts.Type[] {
  const parts = type.isUnion() ? type.types : [type]
  if (parts.some(part => part.flags & ts.TypeFlags.String)) return []
  return parts.filter(
    part =>
      part.flags & ts.TypeFlags.Object &&
      part.getCallSignatures().length === 0 &&
      part.symbol.name !== 'ClientDatabase' &&
      !checker.isArrayLikeType(part)
  )
}
