import { basename, dirname } from 'node:path'
import t from 'tap'
import { loadApp } from '../../lib/cli/config.js'
import { configFile, powersyncMongo, powersyncMongoIn, todoConfig } from '../support/command-line.js'

t.test('collections come from a JavaScript or TypeScript file, by name or in its default export', async t => {
  const files = [
    await configFile(t, todoConfig),
    await configFile(t, todoConfig, { name: 'collections.ts', inProject: true }),
    await configFile(t, todoConfig, { name: 'collections.mts' }),
    await configFile(t, todoConfig.replace('export const', 'const') + '\nexport default { collections }'),
    // What a compiler makes of a default export for CommonJS.
    await configFile(
      t,
      todoConfig.replace('export const', 'const') + '\nexport default { __esModule: true, default: { collections } }'
    )
  ]
  for (const file of files) t.same(Object.keys((await loadApp(file, '/')).collections), ['lists', 'todos'])
})

t.test('what is no such file says so, with the next step', async t => {
  const cases: [string[], RegExp][] = [
    [[], /--config is missing, and there is no powersync\.config\.ts\n {2}→ pass the file/],
    [['--config', 'nowhere.js'], /there is no file nowhere\.js/],
    [['--config', '/nowhere/collections.js'], /there is no file \/nowhere\/collections\.js/],
    [
      ['--config', await configFile(t, 'export const tables = {}')],
      /exports no collections\n {2}→ write "export const collections/
    ],
    [['--config', await configFile(t, 'export const collections = 5')], /exports no collections/],
    [['--config', await configFile(t, 'export const collections = {}')], /exports no collections/],
    [['--config', await configFile(t, 'export const collections = []')], /exports no collections/],
    [
      ['--config', await configFile(t, todoConfig.replace('name: \'app_lists\'', 'name: \'system.lists\''))],
      /option collections\.lists writes to "system\.lists", which is reserved/
    ],
    [
      ['--config', await configFile(t, todoConfig.replace('name: \'app_lists\'', 'onwer: \'name\''))],
      /option collections\.lists\.onwer is unknown; did you mean owner\?/
    ],
    [
      ['--config', await configFile(t, 'export const collections = { lists: null }')],
      /exports collections that collection\(\) did not make\n {2}→ write/
    ]
  ]
  for (const rejections of ['lists', 'TODOS', 'app_lists']) {
    const args = ['--config', await configFile(t, todoConfig), '--rejections', rejections]
    cases.push([args, new RegExp(`mirror is ${rejections}, which collections\\.\\w+ writes to`)])
  }
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await powersyncMongo('streams', ...args)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.match(stderr, /^error: .*\n {2}→ ./)
  }
})

t.test('without --config, powersync.config.ts or .js of the working directory is taken', async t => {
  for (const [name, inProject] of [
    ['powersync.config.ts', true],
    ['powersync.config.mts', false],
    ['powersync.config.js', true],
    ['powersync.config.mjs', false]
  ] as const) {
    const cwd = dirname(await configFile(t, todoConfig, { name, inProject }))
    t.match(await powersyncMongoIn({ cwd }, 'client-schema'), { code: 0, stdout: /lists: new Table/, stderr: '' }, name)
  }
})

t.test('a path starts from the working directory', async t => {
  const file = await configFile(t, todoConfig)
  t.match(await powersyncMongoIn({ cwd: dirname(file) }, 'client-schema', '--config', basename(file)), { code: 0 })
})

t.test('what cannot be loaded is told, with the next step', async t => {
  const cases: [file: string, message: RegExp][] = [
    [
      await configFile(t, 'export const collections = ('),
      /collections\.mjs cannot be loaded: .*\n {2}→ correct it: "node" with its path shows more\n$/
    ],
    [await configFile(t, 'throw null'), /cannot be loaded: null\n/],
    [
      await configFile(t, 'export const collections = (', { name: 'collections.ts', inProject: true }),
      /collections\.ts cannot be loaded: [^]*\n {2}→ correct it: "node"/
    ],
    [
      await configFile(t, 'export const collections = (', { name: 'collections.mts' }),
      /collections\.mts cannot be loaded: [^]*\n {2}→ correct it: "node" with its path shows more; if it needs more than the TypeScript of Node\.js, npm install --save-dev tsx in its project/
    ],
    [
      await configFile(t, 'collections: {}', { name: 'collections.yaml' }),
      /Node\.js \d+\.\d+\.\d+ cannot load .*collections\.yaml\n {2}→ if it is TypeScript, npm install --save-dev tsx in its project, or use Node\.js 22\.18 or later\n$/
    ]
  ]
  for (const [file, message] of cases) {
    t.match(await powersyncMongo('streams', '--config', file), { code: 2, stdout: '', stderr: message })
  }
})
