/**
 * What someone gets who installs the package from its repository: npm clones it, and builds it there.
 *
 * It installs the tools as well, which takes minutes, so .ci/run runs it once: npx tsx test/package/from-git.ts
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const checkout = fileURLToPath(new URL('../../', import.meta.url))
t.setTimeout(900_000)

t.test('npm install git+… gives a package that is built', async t => {
  const app = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  t.teardown(() => rm(app, { recursive: true, force: true }))
  await writeFile(join(app, 'package.json'), '{ "name": "empty-app", "private": true }')
  const { stdout: commit } = await run('git', ['rev-parse', 'HEAD'], { cwd: checkout })
  await run('npm', ['install', '--no-audit', '--no-fund', 'fastify', `git+file://${checkout}#${commit.trim()}`], {
    cwd: app
  })

  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', `
    import powersyncMongo, { collection } from 'fastify-powersync-mongo'
    import { createConnector } from 'fastify-powersync-mongo/client'
    console.log(typeof powersyncMongo, typeof collection, typeof createConnector)`], { cwd: app })
  t.equal(stdout, 'function function function\n')
  const installed = join(app, 'node_modules', 'fastify-powersync-mongo')
  t.strictSame((await readdir(installed)).sort(), [
    'CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'docs', 'examples', 'index.ts', 'lib', 'package.json', 'types'
  ])
  t.match(await readFile(join(installed, 'dist', 'index.d.ts'), 'utf8'), 'export default')
  t.match(
    (await run('npx', ['--no-install', 'powersync-mongo', 'generate-keys'], { cwd: app })).stdout,
    /^POWERSYNC_PRIVATE_KEY=/m
  )
})
