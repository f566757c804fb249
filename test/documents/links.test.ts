/** The links in the documents: the files and headings that they lead to are there, and every document is found. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { documentNames, inlineCode, prose, readDocument, root, tableRows } from '../support/documents.js'

const names = await documentNames()
const texts = new Map(await Promise.all(names.map(async name => [name, await readDocument(name)] as const)))
const linked = new Set(['README.md'])

for (const [name, text] of texts) {
  t.test(`the links of ${name}`, async t => {
    for (const [, target = ''] of prose(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      t.equal(faultOf(name, target), undefined, target)
    }
  })
}

t.test('the files and folders that the documents name are there', async t => {
  for (const [name, text] of texts) {
    for (const path of inlineCode(text)) {
      // docs/api is made by npm run docs:api.
      if (/^(lib|test|types|docs(?!\/api\b)|examples|bench)\/[\w./-]*$/.test(path)) {
        t.ok(existsSync(join(root, path)), `${path}, in ${name}`)
      }
    }
  }
})

t.test('CONTRIBUTING says which folders lib has, and which others each may import, as lint does', async t => {
  const rooms = tableRows(texts.get('CONTRIBUTING.md')!, 'room').map(([room = '', , others = '']) =>
    [inlineCode(room)[0], inlineCode(others)] as const
  )
  const lint = await readFile(join(root, 'eslint.config.js'), 'utf8')
  const allowed = [...lint.matchAll(/^ {2}(\w+): \[(.*)\],?$/gm)].map(([, folder, others = '']) =>
    [`lib/${folder}`, [...others.matchAll(/\w+/g)].map(([name]) => name)] as const
  )
  t.strictSame(Object.fromEntries(rooms), Object.fromEntries(allowed))
  const folders = (await readdir(join(root, 'lib'), { withFileTypes: true })).filter(entry => entry.isDirectory())
  t.strictSame(folders.map(({ name }) => `lib/${name}`).sort(), rooms.map(([room]) => room!).sort())
})

t.test('every document is reached by a link', async t => {
  t.strictSame(names.filter(name => name.startsWith('docs/') && !linked.has(name)), [])
})

t.test('a link that leads nowhere is found', async t => {
  for (const target of [
    'docs/nothing.md',
    'docs/schemas.md#nothing',
    '#nothing',
    'http://example.com',
    '/docs/schemas.md'
  ]) { t.type(faultOf('README.md', target), 'string', target) }
})

/** What is wrong with a link; undefined if nothing is. */
function faultOf (from: string, target: string): string | undefined {
  if (/^\w+:/.test(target)) {
    return /^https:/.test(target) && URL.canParse(target) ? undefined : 'neither https nor a path'
  }
  if (target.startsWith('/')) return 'a path from the root'
  const [path = '', anchor] = target.split('#')
  const name = path ? normalize(join(dirname(from), path)) : from
  if (!existsSync(join(root, name))) return 'there is no such file'
  if (anchor !== undefined && !anchorsOf(texts.get(name) ?? '').includes(anchor)) return 'there is no such heading'
  if (path) linked.add(name)
  return undefined
}

/** As GitHub and npm make them of headings. */
function anchorsOf (text: string): string[] {
  const seen = new Map<string, number>()
  return [...prose(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => {
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-')
    const count = seen.get(anchor) ?? 0
    seen.set(anchor, count + 1)
    return count ? `${anchor}-${count}` : anchor
  })
}
