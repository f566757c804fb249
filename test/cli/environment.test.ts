import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { powersyncMongoIn } from '../support/command-line.js'

/** What the doctor finds in the environment that it gets. */
async function environment (surroundings: Parameters<typeof powersyncMongoIn>[0], ...args: string[]): Promise<string> {
  const { stdout } = await powersyncMongoIn(surroundings, 'doctor', '--json', ...args)
  return (JSON.parse(stdout) as { findings: { found: string }[] }).findings[0]!.found
}

t.test('.env of the working directory is read, or the file of --env; what is set already wins', async t => {
  const cwd = t.testdir({
    '.env': '# a comment\nNODE_ENV=staging\nMONGO_URI=\n',
    'production.env': 'NODE_ENV="production"\nPOWERSYNC_PUBLIC_KEY=x\n'
  })
  t.equal(await environment({ cwd }), 'no variable set, NODE_ENV=staging')
  t.equal(await environment({ cwd, env: { NODE_ENV: 'test' } }), 'no variable set, NODE_ENV=test')
  t.equal(await environment({ cwd, env: { NODE_ENV: '' } }), 'no variable set, NODE_ENV=')
  t.equal(await environment({ cwd }, '--env', 'production.env'), 'POWERSYNC_PUBLIC_KEY set, NODE_ENV=production')
  t.equal(await environment({ cwd: t.testdir({ none: {} }) }), 'no variable set, NODE_ENV not set')
})

t.test('a file that cannot be read is told, without what is in it', async t => {
  const cwd = t.testdir({ '.env': {} })
  t.match(await powersyncMongoIn({ cwd }, 'doctor'), {
    code: 2,
    stdout: '',
    stderr: /^error: \.env cannot be read \(EISDIR\)\n/
  })
  t.match(await powersyncMongoIn({ cwd }, 'doctor', '--env', 'nowhere/.env'), {
    code: 2,
    stderr: /--env nowhere\/\.env cannot be read \(ENOENT\)\n/
  })
})

t.test('a file in another encoding is told, since Node.js finds no variable in it', async t => {
  const text = 'NODE_ENV=production\n'
  for (const [bytes, words] of [
    [Buffer.from(`\ufeff${text}`), /\.env is encoded as UTF-8 with a byte order mark \(BOM\)/],
    [Buffer.from(`\ufeff${text}`, 'utf16le'), /\.env is encoded as UTF-16/],
    [Buffer.from(`\ufeff${text}`, 'utf16le').swap16(), /\.env is encoded as UTF-16/]
  ] as const) {
    const cwd = t.testdir({})
    await writeFile(join(cwd, '.env'), bytes)
    for (const command of [['doctor'], ['init', '--yes']]) {
      t.match(await powersyncMongoIn({ cwd }, ...command), { code: 2, stderr: words })
    }
    t.ok((await readFile(join(cwd, '.env'))).equals(bytes), 'left as it was')
  }
})

t.test('every command that reads variables or a file of the app takes it', async t => {
  const cwd = t.testdir({ '.env': 'MONGO_URI=mongodb-of-env' })
  const config = `
    import { collection } from 'fastify-powersync-mongo'
    export const collections = { rows: collection({ schema: 'any' }) }`
  await writeFile(join(cwd, 'powersync.config.js'), config)
  for (const name of [
    'apply-validators',
    'dead-letters list',
    'dead-letters show',
    'dead-letters retry',
    'dead-letters discard'
  ]) {
    const args = [
      ...name.split(' '),
      ...(name.includes('s ') && !name.includes('list')
        ? ['--all', ...(name.includes('discard') ? ['--yes'] : [])]
        : [])
    ]
    t.match(await powersyncMongoIn({ cwd }, ...args), { code: 1, stderr: /MongoDB failed \(MongoParseError\)/ }, name)
  }
  for (const name of ['client-schema', 'streams']) {
    t.match(await powersyncMongoIn({ cwd }, name, '--env', 'none'), { code: 2, stderr: /--env none/ }, name)
  }
})
