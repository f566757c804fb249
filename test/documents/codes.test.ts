/** The codes of errors and the messages of the log: the documents have those that the code has, and no other. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { inlineCode, readDocument, root, section, tableRows } from '../support/documents.js'

const files = [
  'index.ts',
  ...(await readdir(join(root, 'lib'), { recursive: true }))
    .filter(file => file.endsWith('.ts'))
    .map(file => join('lib', file))
]
const sources = await Promise.all(
  files.map(async file => {
    const text = await readFile(join(root, file), 'utf8')
    return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  })
)

/** What each node of the sources of a folder gives, but for undefined. */
function found<Found> (look: (node: ts.Node) => Found | undefined, folder = ''): Found[] {
  const all: Found[] = []
  const visit = (node: ts.Node): void => {
    const result = look(node)
    if (result !== undefined) all.push(result)
    ts.forEachChild(node, visit)
  }
  for (const source of sources) if (source.fileName.startsWith(folder)) visit(source)
  return all
}

/** A text in quotes, or the part before the first value of one that is put together. */
function textOf (node: ts.Node | undefined): string | undefined {
  if (!node) return undefined
  if (ts.isStringLiteralLike(node)) return node.text
  if (!ts.isBinaryExpression(node) || node.operatorToken.kind !== ts.SyntaxKind.PlusToken) return undefined
  const [left, right] = [textOf(node.left), textOf(node.right)]
  return left === undefined ? undefined : left + (right ?? '')
}

/** The last name of what is called or constructed, as `warn` of `request.log.warn(…)`, and what it is called with. */
function callOf (node: ts.Node): { name: string, of: string, args: readonly ts.Expression[] } | undefined {
  if (!ts.isCallExpression(node) && !ts.isNewExpression(node)) return undefined
  const { expression, arguments: args = [] } = node
  if (!ts.isPropertyAccessExpression(expression)) return { name: expression.getText(), of: '', args }
  return { name: expression.name.text, of: expression.expression.getText(), args }
}

const each = (values: string[]) => [...new Set(values)].sort()

const firstCells = (text: string, title: string) => tableRows(text, title).flatMap(([cell = '']) => inlineCode(cell))

t.test('errors of the plugin, with their status', async t => {
  const errors = section(await readDocument('docs/options.md'), '## Errors')
  const atStart = firstCells(errors, 'at the start').map(code => `${code} 500`)
  const inAnswers = tableRows(errors, 'in an answer').map(
    ([code = '', status]) => `${code.replaceAll('`', '')} ${status}`
  )
  const all = found(node => {
    const { name, args = [] } = callOf(node) ?? {}
    return name === 'createError' ? `${textOf(args[0])} ${args[2]?.getText()}` : undefined
  })
  t.ok(all.length > 5)
  t.strictSame([...atStart, ...inAnswers].sort(), all.sort())
})

t.test('codes of rejected operations', async t => {
  const documented = firstCells(await readDocument('docs/routes.md'), '`error_code`')
  t.strictSame(
    documented.sort().filter(code => code !== 'PowerSyncFatalError'),
    each(found(node => {
      const { name = '', args = [] } = callOf(node) ?? {}
      if (/(PowerSyncFatalError|Fault)$/.test(name)) return textOf(args[0])
      if (ts.isPropertyAssignment(node) && node.name.getText() === 'code') return textOf(node.initializer)
      return undefined
    }).filter(code => /^[A-Z_]+$/.test(code)))
  )
})

t.test('codes of the connector', async t => {
  t.strictSame(
    firstCells(section(await readDocument('docs/client.md'), '## Errors'), 'code').sort(),
    each(found(textOf, 'lib/client').filter(text => /^PSM_\w+$/.test(text)))
  )
})

t.test('messages of the log', async t => {
  const documented = tableRows(await readDocument('docs/observability.md'), 'level').map(
    ([level = '', message = '']) => ({ level, begin: message.replaceAll('`', '').replace(/ ?….*/, '') })
  )
  const logged = found(node => {
    const { name = '', of = '', args = [] } = callOf(node) ?? {}
    const level = /\blog$/.test(of) ? name : name === 'failed' ? 'error' : undefined
    const message = args.map(textOf).find(text => text !== undefined)
    return level && message !== undefined && !node.getSourceFile().fileName.startsWith('lib/cli')
      ? { level, message }
      : undefined
  })
  t.ok(logged.length > 10)
  for (const { level, message } of logged) {
    t.ok(
      documented.some(line => line.level === level && message.startsWith(line.begin)),
      `${level}: ${message}`
    )
  }
  for (const { level, begin } of documented) {
    t.ok(
      logged.some(line => line.level === level && line.message.startsWith(begin)),
      `${level}: ${begin}`
    )
  }
})
