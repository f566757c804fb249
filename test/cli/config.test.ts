import t from 'tap'
import { loadConfig } from '../../lib/cli/config.js'
import { configFile, powersyncMongo, todoConfig } from '../support/command-line.js'

t.test('collections come from a JavaScript or TypeScript file, by name or in its default export', async t => {
  const files = [
    await configFile(t, todoConfig),
    await configFile(t, todoConfig, { name: 'collections.ts', inProject: true }),
    await configFile(t, todoConfig, { name: 'collections.mts' }),
    await configFile(t, todoConfig.replace('export const', 'const') + '\nexport default { collections }'),
    // What a compiler makes of a default export for CommonJS.
    await configFile(t, todoConfig.replace('export const', 'const') + '\nexport default { __esModule: true, default: { collections } }')
  ]
  for (const file of files) t.same(Object.keys(await loadConfig(file)), ['lists', 'todos'])
})

t.test('what is no such file says so, with the next step', async t => {
  const cases: [string[], RegExp][] = [
    [[], /--config is missing: pass the path/],
    [['--config', '/nowhere/collections.js'], /there is no file \/nowhere\/collections\.js/],
    [['--config', await configFile(t, 'export const tables = {}')], /exports no collections: add "export const collections/],
    [['--config', await configFile(t, 'export const collections = 5')], /exports no collections/],
    [['--config', await configFile(t, todoConfig.replace('name: \'app_lists\'', 'name: \'system.lists\''))], /option collections\.lists writes to "system\.lists", which is reserved/],
    [['--config', await configFile(t, 'export const collections = { lists: null }')], /exports collections that collection\(\) did not make: expected/],
    [['--config', await configFile(t, 'export const collections = (')], /cannot be loaded: /],
    [['--config', await configFile(t, 'throw null')], /cannot be loaded: /],
    [['--config', await configFile(t, 'collections: {}', { name: 'collections.yaml' })], /of a kind that this Node cannot load: if it is TypeScript, npm install tsx/]
  ]
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await powersyncMongo('streams', ...args)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.match(stderr, /"npx powersync-mongo streams --help" shows what it takes/)
  }
})
