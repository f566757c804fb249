/** `npm run release:check` finds each thing that a release must not have, and nothing in one that is ready. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readDocument, root } from '../support/documents.js'

const ready = {
  manifest: {
    version: '1.2.0',
    repository: { type: 'git', url: 'git+https://github.com/someone/fastify-powersync-mongo.git' },
    homepage: 'https://github.com/someone/fastify-powersync-mongo#readme',
    bugs: { url: 'https://github.com/someone/fastify-powersync-mongo/issues' }
  },
  changelog: [
    '# Changelog', '## [Unreleased]', '## [1.2.0] - 2026-11-26', '### Added', '- Something.', '## [1.1.0] - 2026-10-01'
  ].join('\n\n'),
  env: {}
}

const folder = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
t.teardown(() => rm(folder, { recursive: true }))

/** Its exit status and lines for a release that is ready, but for what is given. */
async function check ({ manifest, changelog, env }: {
  manifest?: object
  changelog?: string
  env?: Record<string, string>
}): Promise<{ status: number | null, lines: string[] }> {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ ...ready.manifest, ...manifest }))
  await writeFile(join(folder, 'CHANGELOG.md'), changelog ?? ready.changelog)
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, '.ci', 'release-check.js')], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, GITHUB_REF_TYPE: '', GITHUB_REF_NAME: '', ...env }
  })
  return { status, lines: `${stdout}${stderr}`.trimEnd().split('\n') }
}

t.test('a release that is ready passes', async t => {
  const passed = { status: 0, lines: ['1.2.0 may be published.'] }
  t.strictSame(await check({}), passed)
  t.strictSame(await check({ env: { GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v1.2.0' } }), passed, 'by its tag')
  t.strictSame(await check({ changelog: ready.changelog.replace('## [Unreleased]\n\n', '') }), passed)
})

const faults: Record<string, [change: Parameters<typeof check>[0], line: RegExp]> = {
  'no repository': [{ manifest: { repository: undefined } }, /repository\.url is missing/],
  'a placeholder as repository': [
    { manifest: { repository: { url: 'git+https://repository.invalid/x.git' } } },
    /repository\.url is a placeholder/
  ],
  'a placeholder as homepage': [{ manifest: { homepage: 'https://homepage.invalid/x' } }, /homepage is a placeholder/],
  'bugs that are no address': [{ manifest: { bugs: { url: 'someone' } } }, /bugs\.url is missing, or not an address/],
  'another version in the changelog': [{ manifest: { version: '1.3.0' } }, /latest version is 1\.2\.0, that of .* 1\.3\.0/],
  'a version without a date': [
    { changelog: ready.changelog.replace('2026-11-26', 'not released yet') },
    /latest version has no date/
  ],
  'a version without changes': [{ changelog: ready.changelog.replace('- Something.', '') }, /does not say what/],
  'changes that are not released': [
    { changelog: ready.changelog.replace('[Unreleased]\n', '[Unreleased]\n\n- More.\n') },
    /changes under Unreleased/
  ],
  'the tag of another version': [
    { env: { GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v1.2.1' } },
    /The tag is v1\.2\.1, and not v1\.2\.0/
  ]
}
for (const [name, [change, line]] of Object.entries(faults)) {
  t.test(`${name} is refused`, async t => {
    const { status, lines } = await check(change)
    t.equal(status, 1)
    t.match(lines, [line])
    t.equal(lines.length, 1)
  })
}

t.test('it names each placeholder in the package.json of this checkout', async t => {
  const placeholders = (await readDocument('package.json')).match(/https:\/\/\w+\.invalid\//g) ?? []
  const { status, stderr } = spawnSync('npm', ['run', '--silent', 'release:check'], { cwd: root, encoding: 'utf8' })
  t.equal(stderr.match(/ is a placeholder: /g)?.length ?? 0, placeholders.length)
  if (placeholders.length > 0) t.equal(status, 1)
})
