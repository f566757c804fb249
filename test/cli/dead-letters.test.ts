import fastifyMongodb from '@fastify/mongodb'
import t, { type Test } from 'tap'
import type { CrudTransaction, FailedOperation } from '../../index.js'
import { DeadLetters } from '../../lib/store/dead-letters.js'
import { configFile, powersyncMongo, powersyncMongoIn } from '../support/command-line.js'
import { testDatabase, withDatabase } from '../support/database.js'
import { keepLetter } from '../support/letters.js'
import { commandError, cursor, startWireServer } from '../support/wire-server.js'

const database = await testDatabase(t)
let databases = 0

const failed: FailedOperation = { error_code: 'INVALID_DATA', message: 'done: expected a boolean', operation_index: 1 }

/** What phones uploaded before the server knew booleans as text. */
const transaction = (id: string): CrudTransaction => ({
  id,
  clientId: 'phone',
  operations: [
    { op: 'PUT', table: 'todos', id: `${id}-a`, data: { title: 'secret' }, opId: `${id}0`, index: 0 },
    {
      op: 'PATCH',
      table: 'todos',
      id: `${id}-b`,
      data: { title: 'secret' },
      previous: { title: 'old' },
      metadata: 'note',
      index: 1
    }
  ]
})

/** A database with letters of these transactions, and the command on it. */
async function letters (t: Test, ...ids: string[]) {
  const name = `${database.database}_${++databases}`
  const uri = withDatabase(database.uri, name)
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  t.teardown(async () => {
    if (database.kind === 'MONGO_URI') await client.db().dropDatabase()
    await client.close()
  })
  const deadLetters = new DeadLetters(client.db())
  for (const id of ids) {
    await keepLetter(client.db(), deadLetters, transaction(id), {
      failed,
      user: { id: `user${id}` },
      requestId: 'req-1'
    })
  }
  const stored = (await deadLetters.list()).reverse()
  return {
    db: client.db(),
    deadLetters,
    ids: stored.map(({ _id }) => _id),
    uri,
    left: async () => (await deadLetters.list()).map(({ transaction_id: id }) => id).reverse(),
    command: (...args: string[]) => powersyncMongo('dead-letters', ...args, '--uri', uri)
  }
}

const config = `
import { collection, PowerSyncFatalError } from 'fastify-powersync-mongo'
import { Type } from '@sinclair/typebox'

export const collections = {
  todos: collection({
    schema: Type.Object({ title: Type.String() }),
    transform: operation => {
      if (operation.id === '2-b') throw new PowerSyncFatalError('QUOTA', 'Too many todos')
      return operation
    }
  })
}
export const authorize = ({ id }, { user, request }) => {
  if (id === '3-a') throw new Error('the session store is down')
  return request === undefined && id.startsWith(user.id.slice(4))
}
`

t.test('list prints the latest first, and nothing of what was uploaded', async t => {
  const { ids, command } = await letters(t, '1', '2', '3')
  const { code, stdout, stderr } = await command('list')
  t.equal(code, 0)
  t.equal(stderr, '')
  const lines = stdout.trimEnd().split('\n')
  t.same(lines.map(line => line.slice(0, 32)).filter(line => line[0] !== ' '), [...ids].reverse())
  t.match(lines[0], /^[0-9a-f]{32} {2}20\d\d-.*Z {2}INVALID_DATA: done: expected a boolean$/)
  t.equal(lines[1], '  2 operations on todos by user user3, client phone, transaction 3, request req-1')
  t.notMatch(stdout, /secret|old|note/)

  const json = await command('list', '--json', '--limit', '2')
  t.equal(json.stderr, 'These are the latest 2: --limit shows more.\n')
  t.match(
    json.stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line)),
    [{ _id: ids[2], failed_operation: failed, operation_count: 2 }, { _id: ids[1] }]
  )
  t.notMatch(json.stdout, /secret|operations"/)
  t.match((await command('list', '--user', 'user2')).stdout, new RegExp(`^${ids[1]} .*\n.*user2, client phone.*\n$`))
})

t.test('list of nothing says so', async t => {
  const { command } = await letters(t)
  t.same(await command('list'), { code: 0, stdout: '', stderr: 'There are no dead letters.\n' })
})

t.test('show prints what was uploaded, and marks the operation that failed', async t => {
  const { ids, command, db, deadLetters } = await letters(t, '1')
  await keepLetter(
    db,
    deadLetters,
    { operations: [{ op: 'DELETE', table: 'a\u001b[2J\u009b', id: 'x\ny', index: 0 }] },
    { failed: { error_code: 'X', message: 'x' }, user: { id: 'user' } }
  )
  const { code, stdout } = await command('show', ids[0]!.slice(0, 10))
  t.equal(code, 0)
  t.same(stdout.split('\n').slice(2), [
    '   0 PUT todos 1-a (op_id 10)',
    '     data     {"title":"secret"}',
    ' > 1 PATCH todos 1-b',
    '     data     {"title":"secret"}',
    '     previous {"title":"old"}',
    '     metadata note',
    ''
  ])

  const all = await command('show', '--all', '--json')
  t.match(
    all.stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line)),
    [{ operations: [{ id: '1-a' }, { id: '1-b' }] }, { operations: [{ table: 'a\u001b[2J\u009b' }] }]
  )
  const last = await command('show', '--all', '--user', 'user')
  t.match(
    last.stdout,
    /1 operation on a\\u001b\[2J\\u009b by user user, client unknown, transaction unknown, request unknown\n {3}0 DELETE a\\u001b\[2J\\u009b x\\u000ay\n$/
  )
  t.notMatch(all.stdout + last.stdout, /[\u001b\u009b]/, 'nothing reaches the terminal that controls it') // eslint-disable-line no-control-regex
})

t.test(
  'retry runs letters through the app\'s schemas and hooks, the oldest first, and says what became of each',
  async t => {
    const { ids, db, left, command } = await letters(t, '1', '2', '3', '4')
    const file = await configFile(t, config)
    const { code, stdout, stderr } = await command('retry', '--all', '--config', file)
    t.equal(code, 1)
    t.same(stdout.trimEnd().split('\n'), [
      `${ids[0]}: applied`,
      `${ids[1]}: rejected again and kept: QUOTA: Too many todos`,
      `${ids[2]}: failed, not because of its data: authorize of todos failed: Error: the session store is down. Run this again later`,
      `${ids[3]}: applied`
    ])
    t.equal(stderr, '2 applied, 1 rejected, 0 waiting, 1 failed\n')
    t.same(await left(), ['2', '3'])
    t.same(
      (await db.collection('todos').find().sort({ _id: 1 }).toArray()).map(({ _id }) => String(_id)),
      ['1-a', '4-a']
    )
    t.match((await command('list')).stdout, /by user user2, .*, rejected again once, last 20\d\d-.*Z\n/)

    const fixed = await configFile(t, config.replace('\'2-b\'', '\'none\'').replace('\'3-a\'', '\'none\''), {
      name: 'collections.ts',
      inProject: true
    })
    t.same(await command('retry', ids[1]!, ids[2]!.slice(0, 12), '--json', '--config', fixed), {
      code: 0,
      stdout: `${JSON.stringify({ id: ids[1], status: 'success' })}\n${JSON.stringify({ id: ids[2]!.slice(0, 12), status: 'success' })}\n`,
      stderr: '2 applied, 0 rejected, 0 waiting, 0 failed\n'
    })
    t.same(await left(), [])
  }
)

t.test('a hook in TypeScript rejects for good, too', async t => {
  const { command, left } = await letters(t, '2')
  const { code, stdout } = await command(
    'retry',
    '--all',
    '--config',
    await configFile(t, config, { name: 'collections.ts', inProject: true })
  )
  t.equal(code, 1)
  t.match(stdout, /rejected again and kept: QUOTA/)
  t.same(await left(), ['2'])
})

t.test('a fault of MongoDB in a retry is told by its name, since its message may quote the data', async t => {
  const letter = {
    _id: 'f0',
    user_id: 'user1',
    mirror: null,
    client_id: null,
    transaction_id: null,
    sequence: null,
    rows: [],
    since: [],
    failed_operation: failed,
    operations: [
      { index: 0, op: 'DELETE', table: 'todos', id: '1', op_id: null, data: null, previous: null, metadata: null }
    ]
  }
  const found = [letter]
  const mongo = await startWireServer({
    on: { find: ({ document }) => cursor((document['filter'] as { _id?: unknown })._id ? found : []) }
  })
  t.teardown(() => mongo.stop())
  mongo.script('delete', commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }))
  const file = await configFile(t, config)
  t.same(await powersyncMongo('dead-letters', 'retry', 'f0', '--config', file, '--uri', mongo.uri), {
    code: 1,
    stdout: 'f0: failed, not because of its data: MongoDB (Unauthorized). Run this again later\n',
    stderr: '0 applied, 0 rejected, 0 waiting, 1 failed\n'
  })
  found.length = 0
  t.match(await powersyncMongo('dead-letters', 'retry', 'f0', '--config', file, '--uri', mongo.uri), {
    code: 1,
    stderr: /f0: there is no such dead letter/
  })
})

t.test('a letter waits for older ones of its client on the same rows', async t => {
  const { db, command } = await letters(t)
  const file = await configFile(t, config.replace('operation.id === \'2-b\'', 'operation.data.title === \'first\''))
  const fields = {
    user_id: 'user1',
    client_id: 'phone',
    transaction_id: null,
    mirror: null,
    failed_operation: failed,
    attempts: 0,
    tables: ['todos'],
    operation_count: 1,
    rows: ['row'],
    since: []
  }
  const operation = (title: string) => ({
    index: 0,
    op: 'PUT',
    table: 'todos',
    id: '1-a',
    op_id: null,
    data: JSON.stringify({ title }),
    previous: null,
    metadata: null
  })
  await db.collection<{ _id: string, [field: string]: unknown }>(DeadLetters.collectionName).insertMany([
    { _id: 'aa', ...fields, sequence: 1, created_at: new Date(1), operations: [operation('first')] },
    { _id: 'bb', ...fields, sequence: 2, created_at: new Date(2), operations: [operation('second')] }
  ])
  t.same(await command('retry', '--all', '--config', file), {
    code: 1,
    stdout:
      'aa: rejected again and kept: QUOTA: Too many todos\nbb: waiting for older letters of its client on the same ' +
      'rows: retry or discard aa first\n',
    stderr: '0 applied, 1 rejected, 1 waiting, 0 failed\n'
  })
  t.same(
    (await command('retry', 'bb', '--json', '--config', file)).stdout,
    `${JSON.stringify({ id: 'bb', status: 'not_attempted', waits_for: ['aa'] })}\n`
  )
  await command('discard', 'aa')
  t.match(await command('retry', 'bb', '--config', file), { code: 0, stdout: 'bb: applied\n' })
})

t.test('an onResult that fails is logged', async t => {
  const { command } = await letters(t, '1')
  const file = await configFile(t, `${config}\nexport const onResult = () => { throw new Error('metrics are down') }`)
  t.match(await command('retry', '--all', '--config', file), { code: 0, stdout: /applied/, stderr: /onResult failed/ })
})

t.test('discard deletes letters', async t => {
  const { ids, left, command } = await letters(t, '1', '2', '3')
  t.same(await command('discard', ids[1]!), { code: 0, stdout: `${ids[1]}: discarded\n`, stderr: '' })
  t.same(await left(), ['1', '3'])
  t.same(await command('discard', '--all', '--yes', '--json'), {
    code: 0,
    stdout: `${JSON.stringify({ id: ids[0], status: 'discarded' })}\n${JSON.stringify({ id: ids[2], status: 'discarded' })}\n`,
    stderr: ''
  })
  t.same(await left(), [])
})

t.test('discard --all asks on a terminal, and deletes nothing unless the answer is yes', async t => {
  const { uri, left } = await letters(t, '1', '2')
  const discard =
    (...args: string[]) =>
      (stdin: string) =>
        powersyncMongoIn(
          { columns: 120, stdin, env: { TERM: 'dumb' } },
          'dead-letters',
          'discard',
          ...args,
          '--uri',
          uri
        )
  for (const answer of ['', 'n\n', 'no\n', '2\n']) {
    t.same(
      await discard('--all')(answer),
      { code: 1, stdout: '', stderr: 'Delete 2 dead letters with everything that was uploaded? [y/N] ' },
      answer
    )
  }
  t.same(await left(), ['1', '2'])
  t.match(await discard('--all', '--user', 'user1')('y\n'), {
    code: 0,
    stdout: /^\w+: discarded\n$/,
    stderr: /^Delete 1 dead letter with /
  })
  t.same(await left(), ['2'])
  t.match(await discard('--all')(' Yes \n'), { code: 0, stdout: /: discarded\n/ })
  t.same(await left(), [])
  t.match(await discard('--all')(''), { code: 0, stdout: '', stderr: '' }, 'nothing to ask about')
})

t.test('an id of no letter, or of several, is told, and the others are done', async t => {
  const { db, ids, left, command } = await letters(t, '1')
  await db.collection<{ _id: string }>(DeadLetters.collectionName).insertMany(['gone1', 'gone2'].map(_id => ({ _id })))
  const file = await configFile(t, config)
  for (const action of [['show'], ['retry', '--config', file], ['discard']]) {
    const { code, stderr } = await command(...action, 'zz', 'gone', ...action[0] === 'discard' ? [ids[0]!] : [])
    t.equal(code, 1)
    t.match(
      stderr,
      /zz: there is no such dead letter: "npx powersync-mongo dead-letters list" prints the ids\ngone: The ids of several dead letters begin with "gone": give more of it\n/
    )
  }
  await db.collection<{ _id: string }>(DeadLetters.collectionName).deleteMany({ _id: { $in: ['gone1', 'gone2'] } })
  t.same(await left(), [])
})

t.test('a connection string without a database is refused, as by the plugin', async t => {
  const file = await configFile(t, config)
  const uri = database.uri.replace(/\/[^/?]+\?/, '/?')
  for (const args of [['dead-letters', 'list'], ['apply-validators', '--config', file]]) {
    const { code, stdout, stderr } = await powersyncMongo(...args, '--uri', uri)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, /^error: the connection string names no database\n {2}→ put it in the path, as in mongodb:/)
  }
})

t.test('a MongoDB that refuses, or a connection string that is none, is told with the next step', async t => {
  const mongo = await startWireServer({
    on: { find: () => commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret' }) }
  })
  t.teardown(() => mongo.stop())
  const file = await configFile(t, config)
  for (const [uri, reason, remedy] of [
    [mongo.uri, 'Unauthorized', 'give this server\'s user the role readWrite on the database, and run this again'],
    ['localhost', 'MongoParseError', 'check that the server runs and that the connection string is right'],
    ['mongodb://localhost/%zz', 'URIError', 'check that the server runs and that the connection string is right']
  ] as const) {
    for (const args of [['list'], ['show', 'f'], ['discard', '--all', '--yes'], ['retry', '--all', '--config', file]]) {
      const { code, stderr } = await powersyncMongo('dead-letters', ...args, '--uri', uri)
      t.equal(code, 1)
      t.match(stderr, new RegExp(`MongoDB failed \\(${reason}\\)\n  → ${remedy}`))
      t.notMatch(stderr, /secret/)
    }
  }
})

t.test('arguments that make no sense', async t => {
  const retry = ['retry', '--all', '--uri', database.uri]
  const cases: [string[], RegExp][] = [
    [['toString'], /unknown command 'toString'\n/],
    [['retyr'], /unknown command 'retyr'\n\(Did you mean retry\?\)\n/],
    [['list', 'f0'], /too many arguments for 'list'/],
    [['list', '--all'], /unknown option '--all'/],
    [['show'], /expected ids or --all\n {2}→ "npx powersync-mongo dead-letters list" prints the ids/],
    [['discard', 'f0', '--all', '--yes'], /expected ids or --all/],
    [['discard', '--all'], /discard --all has no terminal to ask on\n {2}→ pass --yes as well/],
    [['show', 'f0', '--user', 'user1'], /--user goes with --all/],
    [['list', '--limit', '0'], /option '--limit <n>' argument '0' is invalid\. Expected a whole number from 1\./],
    [['list', '--limit', 'ten'], /argument 'ten' is invalid/],
    [['list'], /MongoDB is missing\n {2}→ pass --uri or set MONGO_URI/],
    [retry, /--config is missing/],
    [
      [...retry, '--config', await configFile(t, `${config}\nexport const transform = 5`)],
      /: fastify-powersync-mongo: option transform is 5: expected a function\n/
    ],
    [
      [...retry, '--config', await configFile(t, `${config}\nexport const resolveConflict = 5`)],
      /option resolveConflict is 5: expected a function/
    ]
  ]
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await powersyncMongo('dead-letters', ...args)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.match(stderr, /\n {2}→ ./)
  }
  t.match(await powersyncMongoIn({ env: { MONGO_URI: database.uri } }, 'dead-letters', 'list'), { code: 0 })
})

t.test('on a terminal it says how far it is, in lines that fit', async t => {
  const { ids, uri } = await letters(t, '1', '2', '3')
  const file = await configFile(t, config.replace('\'3-a\'', '\'none\''))
  const retried = await retryAll(60, file, uri)
  t.equal(
    retried.stderr,
    'dead letters: 0 of 3\r\x1b[Kdead letters: 1 of 3\r\x1b[Kdead letters: 2 of 3\r\x1b[K2 applied, 1 rejected, 0 ' +
    'waiting, 0 failed\n'
  )
  t.equal(
    retried.stdout,
    `${ids[0]}: \x1b[32mapplied\x1b[39m\n${ids[1]}: \x1b[31mrejected\x1b[39m again and kept:\n  QUOTA: Too many todos\n${ids[2]}: \x1b[32mapplied\x1b[39m\n`
  )

  const shown = await powersyncMongoIn(
    { columns: 60, env: { NO_COLOR: '1' } },
    'dead-letters',
    'show',
    '--all',
    '--uri',
    uri
  )
  t.same(
    shown.stdout.split('\n').filter(line => line.length > 60),
    []
  )
  t.match(shown.stdout, /\n {3}0 PUT todos 2-a \(op_id 20\)\n/)
  const gone = await powersyncMongoIn({ columns: 60 }, 'dead-letters', 'discard', 'zz', '--uri', uri)
  t.match(
    gone.stderr,
    // eslint-disable-next-line no-control-regex
    /^dead letters: 0 of 1\r\x1b\[Kzz: there is no such dead letter: "npx powersync-mongo\n {2}dead-letters list" prints the ids\n$/
  )
})

t.test('what a hook logs stands in lines of its own', async t => {
  const { uri } = await letters(t, '1')
  const file = await configFile(t, `${config}\nexport const onResult = () => { throw new Error('metrics are down') }`)
  const { stderr } = await retryAll(80, file, uri)
  t.match(stderr, /^dead letters: 0 of 1\r\x1b\[K\{.*onResult failed.*\}\n/) // eslint-disable-line no-control-regex
})

/** On a terminal that is so wide. */
function retryAll (columns: number, file: string, uri: string) {
  return powersyncMongoIn({ columns }, 'dead-letters', 'retry', '--all', '--config', file, '--uri', uri)
}
