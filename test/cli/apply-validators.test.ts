import t from 'tap'
import { configFile, powersyncMongo, powersyncMongoIn, todoConfig } from '../support/command-line.js'
import { commandError, cursor, startWireServer, type CommandHandler } from '../support/wire-server.js'

/** A database that has the collection `todos`, without a validator. */
const onlyTodos: CommandHandler = ({ document }) => {
  const isTodos = (document['filter'] as { name: string }).name === 'todos'
  return cursor(isTodos ? [{ name: 'todos', type: 'collection', options: {} }] : [])
}

t.test('apply-validators says what it changes, and changes it', async t => {
  const mongo = await startWireServer({
    on: {
      listCollections: onlyTodos
    }
  })
  t.teardown(() => mongo.stop())
  const config = await configFile(t, todoConfig)
  const changes = () =>
    mongo.commands
      .splice(0)
      .filter(({ name }) => name === 'create' || name === 'collMod')
      .map(({ document }) => [
        document['create'] ?? document['collMod'],
        document['validationLevel'],
        document['validationAction']
      ])

  const dry = await powersyncMongo('apply-validators', '--config', config, '--uri', mongo.uri, '--dry-run')
  t.equal(dry.code, 0)
  t.equal(dry.stderr, '')
  t.match(
    dry.stdout,
    /^app_lists: created with its validator \(dry run\)\n {2}\+ validator\.\$jsonSchema\.bsonType: "object"\n/
  )
  t.match(dry.stdout, /^todos: changed \(dry run\)$/m)
  t.same(changes(), [])

  const done = await powersyncMongoIn(
    { env: { MONGO_URI: mongo.uri } },
    'apply-validators',
    '--config',
    config,
    '--level',
    'moderate',
    '--action',
    'warn'
  )
  t.equal(done.code, 0)
  t.match(done.stdout, /^app_lists: created with its validator$/m)
  t.same(changes(), [['app_lists', 'moderate', 'warn'], ['todos', 'moderate', 'warn']])
})

t.test('--json prints an object per collection, and what was applied', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const config = await configFile(t, todoConfig)
  for (const [options, applied] of [[['--dry-run'], false], [[], true]] as const) {
    const { code, stdout, stderr } = await powersyncMongo(
      'apply-validators',
      '--config',
      config,
      '--uri',
      mongo.uri,
      '--json',
      ...options
    )
    t.equal(code, 0)
    t.equal(stderr, '')
    const lines = stdout.trimEnd().split('\n').map(line => JSON.parse(line))
    t.match(lines, [
      { collection: 'app_lists', action: 'create', applied },
      { collection: 'todos', action: 'create', applied }
    ])
    t.match(lines[0].changes, ['+ validator.$jsonSchema.bsonType: "object"'])
  }
})

t.test('on a terminal it says how far it is, and colours what goes and comes', async t => {
  const mongo = await startWireServer({
    on: {
      listCollections: () => cursor([{ name: 'app_lists', type: 'collection', options: { validator: { name: 'x' } } }])
    }
  })
  t.teardown(() => mongo.stop())
  const { stdout, stderr } = await powersyncMongoIn(
    { columns: 80 },
    'apply-validators',
    '--config',
    await configFile(t, todoConfig),
    '--uri',
    mongo.uri
  )
  t.equal(stderr, 'applying validators: 0 of 2\r\x1b[Kapplying validators: 1 of 2\r\x1b[K')
  t.match(stdout, '\x1b[32m  + validator.$jsonSchema.bsonType: "object"\x1b[39m\n')
  t.match(stdout, '\x1b[1mapp_lists:\x1b[22m changed\n\x1b[31m  - validator.name: "x"\x1b[39m\n')
})

t.test('apply-validators says that there is nothing to do', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const config = await configFile(
    t,
    'import { collection } from \'fastify-powersync-mongo\'\nexport const collections = { empty: collection({ ' +
    'schema: \'any\' }) }'
  )
  t.same(await powersyncMongo('apply-validators', '--config', config, '--uri', mongo.uri), {
    code: 0,
    stdout: '',
    stderr: ''
  })
})

t.test('a MongoDB that refuses, or a connection string that is none, is told with the next step', async t => {
  const mongo = await startWireServer({
    on: { listCollections: () => commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }) }
  })
  t.teardown(() => mongo.stop())
  const config = await configFile(t, todoConfig)
  for (const [uri, options, message] of [
    [
      mongo.uri,
      [],
      /MongoDB failed \(Unauthorized\)\n {2}→ give this server's user the role dbAdmin on the database, and run this again/
    ],
    [mongo.uri, ['--dry-run'], /\(Unauthorized\)\n {2}→ give this server's user the role read on/],
    ['localhost', [], /\(MongoParseError\)\n {2}→ check that the server runs and that the connection string is right/]
  ] as const) {
    const { code, stderr } = await powersyncMongo('apply-validators', '--config', config, '--uri', uri, ...options)
    t.equal(code, 1)
    t.match(stderr, message)
    t.notMatch(stderr, /secret/)
  }
})

t.test('each collection is told as it is done, so that a refusal shows how far it got', async t => {
  const mongo = await startWireServer({
    on: {
      create: ({ document }) =>
        document['create'] === 'todos' ? commandError({ code: 13, codeName: 'Unauthorized' }) : undefined
    }
  })
  t.teardown(() => mongo.stop())
  const { code, stdout } = await powersyncMongo(
    'apply-validators',
    '--config',
    await configFile(t, todoConfig),
    '--uri',
    mongo.uri
  )
  t.equal(code, 1)
  t.match(stdout, /^app_lists: created with its validator$/m)
  t.notMatch(stdout, /todos/)
})

t.test('arguments that make no sense', async t => {
  const config = await configFile(t, todoConfig)
  t.match(await powersyncMongo('apply-validators', '--config', config), {
    code: 2,
    stderr: /pass --uri or set MONGO_URI/
  })
  t.match(await powersyncMongo('apply-validators', '--level', 'off'), {
    code: 2,
    stderr: /option '--level <name>' argument 'off' is invalid. Allowed choices are strict, moderate/
  })
  t.match(await powersyncMongo('apply-validators', '--action', 'ignore'), {
    code: 2,
    stderr: /argument 'ignore' is invalid. Allowed choices are error, warn/
  })
})

t.test('a dry run that MongoDB refuses asks for less', async t => {
  const mongo = await startWireServer({
    on: { listCollections: () => commandError({ code: 13, codeName: 'Unauthorized' }) }
  })
  t.teardown(() => mongo.stop())
  const { code, stderr } = await powersyncMongo(
    'apply-validators',
    '--config',
    await configFile(t, todoConfig),
    '--uri',
    mongo.uri,
    '--dry-run'
  )
  t.equal(code, 1)
  t.match(stderr, /\(Unauthorized\)\n.*role read on/)
})

t.test('documents that break the rules are counted and listed, the first ten, and never their values', async t => {
  const rows = Array.from({ length: 12 }, (_, n) => ({ _id: `row${n}`, secret: 'value' }))
  const mongo = await startWireServer({
    on: {
      listCollections: onlyTodos,
      aggregate: () => cursor([{ n: rows.length }]),
      find: ({ document }) => cursor(rows.slice(0, document['limit'] as number))
    }
  })
  t.teardown(() => mongo.stop())
  const args = ['apply-validators', '--config', await configFile(t, todoConfig), '--uri', mongo.uri]
  t.match(
    (await powersyncMongo(...args, '--dry-run')).stdout,
    /\n {2}! 12 documents violate this schema: _id row0, row1, row2, row3, row4, row5, row6, row7, row8, row9, …\n$/
  )
  const [, todos] = (await powersyncMongo(...args, '--json')).stdout.trimEnd().split('\n').map(line => JSON.parse(line))
  t.match(todos, { collection: 'todos', breaking: { count: 12, ids: ['row0', 'row1'] }, applied: true })
  const names = mongo.commands.map(({ name }) => name)
  t.ok(names.lastIndexOf('aggregate') < names.indexOf('collMod'), 'before they are applied')
})
