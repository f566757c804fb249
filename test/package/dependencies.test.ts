/** What `npm install` brings to those who want to see the example run, by the lock file. */
import { readFile } from 'node:fs/promises'
import t from 'tap'

interface Package { peer?: boolean, link?: boolean, hasInstallScript?: boolean }

const { packages } = JSON.parse(await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8')) as {
  packages: Record<string, Package>
}
const all = Object.entries(packages).filter(([path, { link }]) => path.includes('node_modules/') && !link)
const first = all.filter(([, { peer }]) => !peer)
const nameOf = (path: string) => path.replace(/.*node_modules\//, '')

t.test('npm install brings at most 200 packages, on any platform, and compiles none', async t => {
  t.ok(first.length > 100 && first.length <= 200, `${first.length}, of ${all.length} with the tools`)
  t.strictSame(
    first.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => nameOf(path)),
    ['esbuild'],
    'whose script looks whether its binary runs'
  )
})

t.test('the tools are no part of it', async t => {
  const { peerDependencies } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    peerDependencies: object
  }
  const tools = new Set(first.map(([path]) => nameOf(path)))
  for (const tool of ['tap', 'eslint', 'typescript', 'autocannon', 'typedoc']) {
    t.hasProp(peerDependencies, tool)
    t.notOk(tools.has(tool), tool)
  }
})

t.test('the package, its example and its tests share one copy of what they exchange objects of', async t => {
  for (const name of ['fastify', '@fastify/mongodb', '@sinclair/typebox', '@powersync/common']) {
    t.strictSame(all.map(([path]) => path).filter(path => nameOf(path) === name), [`node_modules/${name}`])
  }
})

t.test('no lock file of an app can keep a fast-jwt with known holes', async t => {
  const { dependencies } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    dependencies: Record<string, string>
  }
  t.equal(dependencies['@fastify/jwt'], '^10.2.0', 'which needs fast-jwt 6.2.4')
})

t.test('TypeScript finds the types of each export by "typesVersions" too, where it knows no "exports"', async t => {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { exports, typesVersions } = JSON.parse(manifest)
  const types = Object.entries<{ types?: string }>(exports)
    .filter(([path, { types }]) => path !== '.' && types)
    .map(([path, { types }]) => [path.slice(2), [types]])
  t.same(typesVersions, { '*': Object.fromEntries(types) })
})
