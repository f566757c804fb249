import t from 'tap'
import { configFile, powersyncMongo, todoConfig } from '../support/command-line.js'
import { commandError, cursor, startWireServer } from '../support/wire-server.js'

t.test('apply-validators says what it changes, and changes it', async t => {
  const mongo = await startWireServer({ on: { listCollections: ({ document }) => cursor((document['filter'] as { name: string }).name === 'todos' ? [{ name: 'todos', type: 'collection', options: {} }] : []) } })
  t.teardown(() => mongo.stop())
  const config = await configFile(t, todoConfig)
  const changes = () => mongo.commands.splice(0).filter(({ name }) => name === 'create' || name === 'collMod').map(({ document }) => [document['create'] ?? document['collMod'], document['validationLevel'], document['validationAction']])

  const dry = await powersyncMongo('apply-validators', '--config', config, '--uri', mongo.uri, '--dry-run')
  t.equal(dry.code, 0)
  t.equal(dry.stderr, '')
  t.match(dry.stdout, /^app_lists: created with its validator \(dry run\)\n {2}\+ validator\.\$jsonSchema\.bsonType: "object"\n/)
  t.match(dry.stdout, /^todos: changed \(dry run\)$/m)
  t.same(changes(), [])

  process.env['MONGO_URI'] = mongo.uri
  const done = await powersyncMongo('apply-validators', '--config', config, '--level', 'moderate', '--action', 'warn')
  delete process.env['MONGO_URI']
  t.equal(done.code, 0)
  t.match(done.stdout, /^app_lists: created with its validator$/m)
  t.same(changes(), [['app_lists', 'moderate', 'warn'], ['todos', 'moderate', 'warn']])
})

t.test('apply-validators says that there is nothing to do', async t => {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const config = await configFile(t, 'import { collection } from \'fastify-powersync-mongo\'\nexport const collections = { empty: collection({ schema: \'any\' }) }')
  t.same(await powersyncMongo('apply-validators', '--config', config, '--uri', mongo.uri), { code: 0, stdout: '', stderr: '' })
})

t.test('a MongoDB that refuses, or a connection string that is none, is told with the next step', async t => {
  const mongo = await startWireServer({ on: { listCollections: () => commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }) } })
  t.teardown(() => mongo.stop())
  const config = await configFile(t, todoConfig)
  for (const [uri, options, message] of [
    [mongo.uri, [], /MongoDB did not do it \(Unauthorized\): give this server's user the role dbAdmin on the database, and run this again/],
    [mongo.uri, ['--dry-run'], /\(Unauthorized\): give this server's user the role read on/],
    ['localhost', [], /\(MongoParseError\): check that the server runs and that the connection string is right/]
  ] as const) {
    const { code, stderr } = await powersyncMongo('apply-validators', '--config', config, '--uri', uri, ...options)
    t.equal(code, 1)
    t.match(stderr, message)
    t.notMatch(stderr, /secret/)
  }
})

t.test('each collection is told as it is done, so that a refusal shows how far it got', async t => {
  const mongo = await startWireServer({ on: { create: ({ document }) => document['create'] === 'todos' ? commandError({ code: 13, codeName: 'Unauthorized' }) : undefined } })
  t.teardown(() => mongo.stop())
  const { code, stdout } = await powersyncMongo('apply-validators', '--config', await configFile(t, todoConfig), '--uri', mongo.uri)
  t.equal(code, 1)
  t.match(stdout, /^app_lists: created with its validator$/m)
  t.notMatch(stdout, /todos/)
})

t.test('arguments that make no sense', async t => {
  const config = await configFile(t, todoConfig)
  t.match(await powersyncMongo('apply-validators', '--help'), { code: 0, stdout: /^Usage: powersync-mongo apply-validators/ })
  t.match(await powersyncMongo('apply-validators', '--config', config), { code: 2, stderr: /Pass --uri or set MONGO_URI/ })
  t.match(await powersyncMongo('apply-validators', '--level', 'off'), { code: 2, stderr: /--level off is not one of strict, moderate/ })
  t.match(await powersyncMongo('apply-validators', '--action', 'ignore'), { code: 2, stderr: /--action ignore is not one of error, warn/ })
})

t.test('a dry run that MongoDB refuses asks for less', async t => {
  const mongo = await startWireServer({ on: { listCollections: () => commandError({ code: 13, codeName: 'Unauthorized' }) } })
  t.teardown(() => mongo.stop())
  const { code, stderr } = await powersyncMongo('apply-validators', '--config', await configFile(t, todoConfig), '--uri', mongo.uri, '--dry-run')
  t.equal(code, 1)
  t.match(stderr, /\(Unauthorized\): .*role read/)
})
