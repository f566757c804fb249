/** The codes of errors and the messages of the log: the documents have those that the code has, and no other. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { inlineCode, readDocument, root, section, tableRows } from '../support/documents.js'

const files = ['index.ts', ...(await readdir(join(root, 'lib'), { recursive: true })).filter(file => file.endsWith('.ts')).map(file => join('lib', file))]
const sources = await Promise.all(files.map(async file => ({ file, text: await readFile(join(root, file), 'utf8') })))

/** What a pattern finds in the sources of a folder, its first group, each once. */
function found (pattern: RegExp, folder = ''): string[] {
  const all = sources.filter(({ file }) => file.startsWith(folder)).flatMap(({ text }) => [...text.matchAll(pattern)].map(([, match]) => match!))
  return [...new Set(all)].sort()
}

const firstCells = (text: string, title: string) => tableRows(text, title).flatMap(([cell = '']) => inlineCode(cell))

t.test('errors of the plugin, with their status', async t => {
  const errors = section(await readDocument('docs/options.md'), '## Errors')
  const atStart = firstCells(errors, 'at the start').map(code => `${code} 500`)
  const inAnswers = tableRows(errors, 'in an answer').map(([code = '', status]) => `${code.replaceAll('`', '')} ${status}`)
  const all = sources.flatMap(({ text }) => [...text.matchAll(/createError(?:<.*>)?\('(FST_PSM_\w+)', .*, (\d{3})\)/g)].map(([, code, status]) => `${code} ${status}`))
  t.strictSame([...atStart, ...inAnswers].sort(), all.sort())
})

t.test('codes of rejected operations', async t => {
  const documented = firstCells(await readDocument('docs/routes.md'), '`error_code`')
  t.strictSame(documented.sort().filter(code => code !== 'PowerSyncFatalError'), found(/(?:^(?! \*).*(?:PowerSyncFatalError|Fault)\(|\bcode: )'([A-Z_]+)'/gm))
})

t.test('codes of the connector', async t => {
  t.strictSame(firstCells(section(await readDocument('docs/client.md'), '## Errors'), 'code').sort(), found(/'(PSM_\w+)'/g, 'lib/client'))
})

t.test('messages of the log', async t => {
  const documented = tableRows(await readDocument('docs/observability.md'), 'level').map(([level = '', message = '']) => ({ level, begin: message.replaceAll('`', '').replace(/ ?….*/, '') }))
  const logged = sources.filter(({ file }) => !file.startsWith('lib/cli')).flatMap(({ text }) => [
    ...[...text.matchAll(/\blog\.(info|warn|error|debug)\((?:.*, )?'((?:[^'\\]|\\.)*)'/g)].map(([, level, message]) => ({ level: level!, message: message!.replaceAll('\\', '') })),
    ...[...text.matchAll(/#retryable\([\w.]+, '([^']*)'/g)].map(([, message]) => ({ level: 'error', message: message! }))
  ])
  t.ok(logged.length > 10)
  for (const { level, message } of logged) t.ok(documented.some(line => line.level === level && message.startsWith(line.begin)), `${level}: ${message}`)
  for (const { level, begin } of documented) t.ok(logged.some(line => line.level === level && line.message.startsWith(begin)), `${level}: ${begin}`)
})
