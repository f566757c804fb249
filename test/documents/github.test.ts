/** The files in .github: GitHub can read them, and they agree with the rest. commands.test.ts has their commands. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parseDocument } from 'yaml'
import { root, workflows, yamlFiles } from '../support/documents.js'

const text = (name: string) => readFile(join(root, name), 'utf8')

t.test('all are YAML without errors and warnings', async t => {
  const names = await yamlFiles('.github')
  t.ok(names.length >= 6, names.join())
  for (const name of names) {
    const { errors, warnings } = parseDocument(await text(name), { strict: true, uniqueKeys: true })
    t.strictSame([...errors, ...warnings].map(String), [], name)
  }
})

t.test('the tests run on each version of Node.js that .ci/run has, the oldest being that of "engines"', async t => {
  const { 'ci.yml': ci } = await workflows()
  const versions = ci!.jobs['test']!.strategy!.matrix.node
  const newer = /^for version in (.*); do$/m.exec(await text('.ci/run'))![1]!.split(' ').map(Number)
  const { engines } = JSON.parse(await text('package.json')) as { engines: { node: string } }
  t.strictSame(versions, [Number(/^>=(\d+)/.exec(engines.node)![1]), ...newer])
  t.equal(ci!.jobs['all']!.container, `node:${versions[0]}-bookworm`)
})

t.test('a tag publishes after the whole CI, checked, and with the right to sign the provenance', async t => {
  const { 'release.yml': release } = await workflows()
  const { needs, permissions, steps = [] } = release!.jobs['publish']!
  t.equal(release!.jobs[needs!]!.uses, './.github/workflows/ci.yml')
  t.equal(permissions?.['id-token'], 'write')
  const commands = steps.flatMap(({ run = [] }) => run)
  t.ok(commands.indexOf('npm run release:check') >= 0)
  t.ok(commands.indexOf('npm run release:check') < commands.indexOf('npm publish'))
})

t.test('each part of an issue form that is filled in has an id of its own', async t => {
  for (const form of ['bug', 'feature']) {
    const { body } = parseDocument(await text(`.github/ISSUE_TEMPLATE/${form}.yml`)).toJS() as {
      body: Array<{ type: string, id?: string, attributes: { label?: string } }>
    }
    const asked = body.filter(({ type }) => type !== 'markdown')
    t.ok(asked.length >= 3)
    t.equal(new Set(asked.map(({ id }) => id)).size, asked.length)
    t.ok(asked.every(({ id, attributes }) => id && attributes.label))
  }
})
