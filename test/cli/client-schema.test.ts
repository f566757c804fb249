import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { bson, collection, throughParent, type Collections } from '../../index.js'
import { additive, fieldLevel, keepServer, versioned } from '../../lib/rules/conflicts/index.js'
import { clientSchemaOf, clientTablesOf, type ClientTarget } from '../../lib/schema/client-schema.js'
import { createValidators } from '../../lib/client/index.js'
import { streamListOf, streamsOf } from '../../lib/schema/streams.js'
import { configFile, powersyncMongo, todoConfig } from '../support/command-line.js'
import { serviceMissing, syncedRows, withSyncRules } from '../support/sync-rules.js'

const config = await configFile(t, todoConfig)
const print = async (...args: string[]) => (await powersyncMongo(...args, '--config', config)).stdout

t.test('client-schema prints tables and columns in each language', async t => {
  t.equal(await print('client-schema'), `import { column, Schema, Table } from '@powersync/common'

export const AppSchema = new Schema({
  lists: new Table({
    ownerId: column.text,
    name: column.text,
    created_at: column.text
  }),
  todos: new Table({
    list_id: column.text,
    done: column.integer,
    estimate: column.real,
    photo: column.text,
    "its$5": column.text
  })
})
`)
  t.match(
    await print('client-schema', '--target', 'dart'),
    "  Table('todos', [\n    Column.text('list_id'),\n    Column.integer('done'),\n    Column.real('estimate'),\n    " +
    "Column.text('photo'),\n    Column.text('its\\$5')\n  ])\n"
  )
  t.match(
    await print('client-schema', '--target', 'kotlin'),
    '      Column.integer("done"),\n      Column.real("estimate"),\n      Column.text("photo"),\n      ' +
    'Column.text("its\\$5")\n    )\n'
  )
  t.match(
    await print('client-schema', '--target', 'swift'),
    '    name: "todos",\n    columns: [\n      .text("list_id"),\n      .integer("done"),\n'
  )
})

t.test('client-schema prints what each resolveConflict needs to be tracked, and insertOnly', async t => {
  const Row = Type.Object({ amount: bson.Int32(), name: Type.Optional(Type.String()) })
  const collections = {
    stock: collection({ schema: Row, fields: { its$5: 'amount' }, resolveConflict: additive(['amount']) }),
    tasks: collection({ schema: Row, resolveConflict: fieldLevel({ metadata: 'modified' }) }),
    both: collection({
      schema: Row,
      resolveConflict: Object.assign(() => null, { tracks: { previous: ['amount', 'name'], metadata: true } })
    }),
    log: collection({ schema: Row, operations: ['PUT'], resolveConflict: versioned({ field: 'amount' }) }),
    kept: collection({ schema: Row, resolveConflict: keepServer })
  }
  const previous = { trackPrevious: { columns: ['its$5'] }, ignoreEmptyUpdates: true }
  t.strictSame(clientTablesOf(collections).map(({ options }) => options), [
    previous,
    { trackMetadata: true, ignoreEmptyUpdates: true },
    { trackPrevious: { columns: ['amount', 'name'] }, trackMetadata: true, ignoreEmptyUpdates: true },
    { insertOnly: true },
    {}
  ])
  const lines = {
    js: [
      "  }, { trackPrevious: { columns: ['its$5'] }, ignoreEmptyUpdates: true }),",
      '  }, { trackMetadata: true, ignoreEmptyUpdates: true }),',
      "  }, { trackMetadata: true, trackPrevious: { columns: ['amount', 'name'] }, ignoreEmptyUpdates: true }),",
      '  }, { insertOnly: true }),',
      '  })'
    ],
    dart: [
      "  ], trackPreviousValues: TrackPreviousValuesOptions(columnFilter: ['its\\$5']), ignoreEmptyUpdates: true),",
      '  ], trackMetadata: true, ignoreEmptyUpdates: true),',
      "  ], trackMetadata: true, trackPreviousValues: TrackPreviousValuesOptions(columnFilter: ['amount', 'name']), " +
      'ignoreEmptyUpdates: true),',
      "  Table.insertOnly('log', ["
    ],
    kotlin: [
      'import com.powersync.db.schema.TrackPreviousValuesOptions\n',
      '    ),\n    trackPreviousValues = TrackPreviousValuesOptions(columnFilter = listOf("its\\$5")),\n    ' +
      'ignoreEmptyUpdates = true\n  ),',
      '    ),\n    trackMetadata = true,\n    trackPreviousValues = TrackPreviousValuesOptions(columnFilter = ' +
      'listOf("amount", "name")),\n    ignoreEmptyUpdates = true\n  ),',
      '    ),\n    insertOnly = true\n  ),'
    ],
    swift: [
      '    ],\n    trackPreviousValues: TrackPreviousValuesOptions(columnFilter: ["its$5"]),\n    ' +
      'ignoreEmptyUpdates: true\n  ),',
      '    ],\n    insertOnly: true\n  ),'
    ]
  }
  for (const [target, expected] of Object.entries(lines)) {
    const code = clientSchemaOf(collections, target as ClientTarget)
    for (const line of expected) t.ok(code.includes(line), `${target}: ${line}\n${code}`)
  }
})

const oddConfig = `
import { bson, collection } from 'fastify-powersync-mongo'
import { Type } from '@sinclair/typebox'

export const collections = {
  order: collection({
    owner: 'user',
    fields: { quoted: 'a "quoted" name' },
    schema: Type.Object({
      user: bson.Long(),
      group: Type.String(),
      'a "quoted" name': Type.Optional(Type.String()),
      photo: Type.Union([bson.Binary(), Type.Null()]),
      scans: Type.Optional(bson.Json(Type.Array(bson.Binary())))
    })
  }),
  free: collection({ schema: 'any' })
}
`

const Row = Type.Object({
  owner_id: Type.String(),
  org_id: Type.Optional(bson.Long()),
  due: Type.Optional(bson.Date()),
  up: Type.Optional(Type.String())
})
const lineOf = (collections: Collections, table: string, everybody: string[] = []) =>
  streamListOf(collections, everybody).find(stream => stream.table === table)!

t.test('streams prints the rule of the owner: its fields, claims, and parents at any depth', async t => {
  const collections = {
    orgs: collection({
      schema: Row,
      name: 'all_orgs',
      id: 'integer',
      owner: ['owner_id', { field: 'org_id', claim: 'the \'org\'' }]
    }),
    lists: collection({ schema: Row, owner: throughParent('orgs', 'org_id') }),
    todos: collection({ schema: Row, owner: ['owner_id', throughParent('lists', 'up')] })
  }
  const orgs =
    '"owner_id" = auth.user_id() AND CAST("org_id" AS TEXT) = CAST(auth.parameter(\'the \'\'org\'\'\') AS TEXT)'
  const lists = `CAST("org_id" AS TEXT) IN (SELECT CAST("_id" AS TEXT) FROM "all_orgs" WHERE ${orgs})`
  for (const [table, where] of Object.entries({
    orgs,
    lists,
    todos: `"owner_id" = auth.user_id() AND "up" IN (SELECT "_id" FROM "lists" WHERE ${lists})`
  })) {
    t.ok(lineOf(collections, table).query.endsWith(` WHERE ${where}`), lineOf(collections, table).query)
    t.equal(lineOf(collections, table).off, undefined)
  }
})

t.test('streams gives no table to everybody, unless it is asked to', async t => {
  const rows: Array<[Parameters<typeof collection<typeof Row>>[0], RegExp]> = [
    [
      { schema: Row },
      /^No stream: rows has no owner\. To send every row to every user, print it with --everybody rows\.$/
    ],
    [{ schema: Row, operations: [] }, /rows has no owner/],
    [{ schema: Row, owner: () => null }, /the owner of rows is a function of the server/],
    [
      { schema: Row, owner: ['owner_id', { field: 'org_id', value: () => 5 }] },
      /the value of org_id in the owner of rows is a function/
    ],
    [
      { schema: Row, owner: { field: 'due', claim: 'day' } },
      /due in the owner of rows has a type that PowerSync compares differently/
    ],
    [
      {
        schema: Type.Object({ ...Row.properties, due: Type.Union([Type.Literal(1), Type.Literal(2)]) }) as never,
        owner: { field: 'due', claim: 'level' }
      },
      /due in the owner of rows has a type that PowerSync compares differently/
    ],
    // A user '5' gets rows of 5, which no text equals.
    ...[Type.Union([bson.Int32(), Type.String()]), Type.Union([Type.Literal('ann'), Type.Literal(5)])].map(
      (due): typeof rows[number] => [
        { schema: Type.Object({ ...Row.properties, due }) as never, owner: 'due' },
        /due in the owner of rows has a type that PowerSync compares differently/
      ]
    ),
    [{ schema: Row, owner: ['owner_id', throughParent('tags', 'up')] }, /tags has no owner/],
    [
      { schema: Row, owner: throughParent('coded', 'up') },
      /the ids of coded have a type that PowerSync compares differently/
    ]
  ]
  for (const [options, off] of rows) {
    const collections = {
      rows: collection(options),
      tags: collection({ schema: Row }),
      coded: collection({ schema: Row, owner: 'owner_id', id: { decode: text => text, encode: String } })
    }
    t.match(lineOf(collections, 'rows').off, off)
    const yaml = streamsOf(collections)
    t.notMatch(yaml, /^ +query: (?!.*WHERE)/m)
    t.match(yaml, '  # "rows":\n  #   auto_subscribe: true\n  #   query: ')
    t.notOk('off' in lineOf(collections, 'rows', ['rows']))
    t.match(
      streamsOf(collections, ['rows']),
      /^ {2}"rows":\n {4}auto_subscribe: true\n {4}query: "SELECT [^\n]*FROM \\"rows\\""\n/m
    )
  }
})

t.test('streams prints no collection whose name PowerSync takes for a pattern, or cannot read', async t => {
  for (const name of ['rows%', 'a"b', 'a*b']) {
    const collections = {
      rows: collection({ name, schema: Row, owner: 'owner_id' }),
      below: collection({ schema: Row, owner: throughParent('rows', 'up') })
    }
    const fault = `PowerSync cannot read the collection's name ${JSON.stringify(name)}`
    t.equal(lineOf(collections, 'rows').off, `No stream: ${fault}. Rename it.`)
    t.equal(lineOf(collections, 'rows', ['rows']).off, `No stream: ${fault}. Rename it.`)
    t.match(lineOf(collections, 'below').off, `No stream: ${fault}. To send`)
  }
  const Starred = Type.Object({ 'a*b': Type.String(), owner_id: Type.String() })
  const collections = {
    'r*': collection({ name: 'rows', schema: Row, owner: 'owner_id' }),
    rows: collection({ schema: Starred, owner: 'owner_id' }),
    mapped: collection({ schema: Starred, fields: { a: 'a*b' }, owner: 'a*b' }),
    below: collection({ schema: Row, owner: throughParent('rows', 'up') })
  }
  const named = (name: string) => new RegExp(`No stream: PowerSync cannot read the name "${name.replace('*', '\\*')}"`)
  t.match(lineOf(collections, 'r*').off, named('r*'))
  for (const table of ['rows', 'mapped', 'below']) t.match(lineOf(collections, table).off, named('a*b'))
})

t.test('streams prints each table\'s own columns, the id last, and an owner\'s own rows', async t => {
  t.equal(
    await print('streams'),
    `config:
  edition: 3
streams:
  "lists":
    auto_subscribe: true
    query: "SELECT \\"owner_id\\" AS \\"ownerId\\", \\"name\\", \\"created_at\\", \\"_id\\" AS \\"id\\" FROM \\"app_lists\\" AS \\"lists\\" WHERE \\"owner_id\\" = auth.user_id()"
  # No stream: todos has no owner. To send every row to every user, print it with --everybody todos.
  # "todos":
  #   auto_subscribe: true
  #   query: "SELECT \\"list_id\\", \\"done\\", \\"estimate\\", CASE WHEN typeof(\\"photo\\") = 'blob' THEN base64(\\"photo\\") ELSE \\"photo\\" END AS \\"photo\\", \\"it's $5\\" AS \\"its$5\\", \\"_id\\" AS \\"id\\" FROM \\"todos\\""
`
  )
})

t.test('what the definition cannot say is said in a comment', async t => {
  const odd = await configFile(t, oddConfig)
  t.match(
    (await powersyncMongo('client-schema', '--config', odd)).stdout,
    /^\/\/ "free" has no schema: add the columns that your app uses\.\nimport /
  )
  const { stdout } = await powersyncMongo('streams', '--config', odd, '--everybody', 'free')
  t.match(
    stdout,
    '  "order":\n    # PowerSync leaves binary data within JSON out: "scans". Keep it in a field of its own.\n    # ' +
    'PowerSync finds no field whose name has a double quote: "a \\"quoted\\" name". Rename it.\n    ' +
    'auto_subscribe: true\n'
  )
  t.match(
    stdout,
    '  "free":\n    # Without schema, columns that hold binary data do not sync: select them as base64.\n    ' +
    'auto_subscribe: true\n    query: "SELECT *, \\"_id\\" AS \\"id\\" FROM \\"free\\""'
  )
})

t.test('--json gives both as data', async t => {
  const { tables } = JSON.parse(await print('client-schema', '--json'))
  t.same(tables[0], {
    name: 'lists',
    columns: [
      { name: 'ownerId', type: 'text' },
      { name: 'name', type: 'text' },
      { name: 'created_at', type: 'text' }
    ],
    options: {}
  })
  t.same(tables[1].columns.map(({ type }: { type: string }) => type), ['text', 'integer', 'real', 'text', 'text'])

  const { streams } = JSON.parse(await print('streams', '--json'))
  t.same(streams[0], {
    table: 'lists',
    query:
      'SELECT "owner_id" AS "ownerId", "name", "created_at", "_id" AS "id" FROM "app_lists" AS "lists" WHERE ' +
      '"owner_id" = auth.user_id()',
    remarks: []
  })
  t.match(streams[1], {
    table: 'todos',
    remarks: [],
    off: 'No stream: todos has no owner. To send every row to every user, print it with --everybody todos.'
  })
})

t.test('--everybody is repeated or takes a list, of tables that are there', async t => {
  t.match(await print('streams', '--everybody', 'lists, todos'), /"lists"[^#]*"todos"[^#]*$/)
  t.match(await print('streams', '--everybody', 'lists', '--everybody', 'todos'), /"lists"[^#]*"todos"[^#]*$/)
  t.match(await powersyncMongo('streams', '--everybody', 'todo', '--config', config), {
    code: 2,
    stderr: /--everybody names todo, which is not one of collections; did you mean todos\?/
  })
})

t.test('--validators prints a module without imports, which gives the verdict of the server', async t => {
  const module = await print('client-schema', '--validators')
  t.notMatch(module, /^import /m)
  const { validate, serverRules } = (await import(`data:text/javascript,${encodeURIComponent(module)}`)) as ReturnType<
    typeof createValidators
  >
  const list = { op: 'PUT', table: 'lists', id: 'a', opData: { name: 'Groceries' } }
  t.equal(validate(list), undefined)
  t.same(validate({ ...list, opData: { name: 'x'.repeat(201) } }), {
    code: 'INVALID_DATA',
    path: 'name',
    message: 'name cannot be stored: expected text of 0 to 200 characters, found text'
  })
  t.same(validate({ ...list, table: 'other' }), {
    code: 'SCHEMA_MISMATCH',
    message: 'The table is not one of the server\'s collections'
  })
  t.match(serverRules, { lists: ['owner'], todos: [] })
  const { validate: same } = createValidators(JSON.parse(await print('client-schema', '--validators', '--json')))
  t.same(same({ ...list, opData: {} }), {
    code: 'INVALID_DATA',
    path: 'name',
    message: 'name is required: expected text of 0 to 200 characters, found nothing'
  })
})

t.test('the validators of the example take at most 5 kB, compressed, in an app', async t => {
  const { stdout } = await powersyncMongo(
    'client-schema',
    '--validators',
    '--config',
    join(import.meta.dirname, '../../examples/collections.ts')
  )
  const {
    outputFiles: [bundle]
  } = await build({ stdin: { contents: stdout }, bundle: true, minify: true, format: 'esm', write: false })
  const size = gzipSync(bundle!.contents).length
  t.ok(size <= 5000, `${size} bytes`)
})

t.test('--target sql prints raw tables with what SQLite can check', async t => {
  const bounds = await configFile(
    t,
    `
    import { bson, collection } from 'fastify-powersync-mongo'
    import { Type } from '@sinclair/typebox'
    export const collections = {
      items: collection({
        owner: 'by',
        schema: Type.Object({
          by: Type.String(), name: Type.String({ minLength: 1, maxLength: 9 }), done: bson.Boolean(), kind: Type.Optional(Type.Union([Type.Literal("a'b"), Type.Literal('c')])),
          size: Type.Optional(bson.Int32({ exclusiveMinimum: 0 })), count: bson.Long({ maximum: 9007199254740993n }), tags: Type.Optional(Type.Array(Type.String())), at: bson.Date(), n: Type.Number({ default: 0 })
        })
      })
    }`
  )
  const { stdout } = await powersyncMongo('client-schema', '--target', 'sql', '--config', bounds)
  t.equal(
    stdout,
    `-- Rows that sync down have to meet these constraints as well: run powersync-mongo apply-validators first.
CREATE TABLE "items" (
  id TEXT PRIMARY KEY NOT NULL,
  "by" TEXT,
  "name" TEXT NOT NULL CHECK (length("name") >= 1 AND length("name") <= 9),
  "done" INTEGER NOT NULL CHECK ("done" IN (1, '1', 'true', 0, '0', 'false')),
  "kind" TEXT CHECK ("kind" IN ('a''b', 'c')),
  "size" INTEGER CHECK ("size" >= -2147483648 AND "size" <= 2147483647 AND "size" > 0),
  "count" INTEGER NOT NULL CHECK ("count" <= 9007199254740993),
  "tags" TEXT CHECK (json_valid("tags")),
  "at" TEXT NOT NULL,
  "n" REAL
);
`
  )
})

t.test('a language that there is not', async t => {
  t.match(await powersyncMongo('client-schema', '--target', 'cobol'), {
    code: 2,
    stderr: /argument 'cobol' is invalid. Allowed choices are js, dart, kotlin, swift/
  })
})

t.test(
  'the service itself understands the streams, and gives the same client schema',
  { skip: serviceMissing },
  async t => {
    const { errors, broken, code } = await withSyncRules<{
      errors: string[]
      broken: number
      code: Record<string, string>
    }>(
      t,
      `
    const column = (name, sqlite_type) => ({ name, sqlite_type })
    const tables = [
      { name: 'app_lists', columns: [column('_id', 'text'), column('owner_id', 'text'), column('name', 'text'), column('created_at', 'text')] },
      { name: 'todos', columns: [column('_id', 'text'), column('list_id', 'text'), column('done', 'integer'), column('estimate', 'real'), column('photo', 'blob'), column("it's $5", 'text')] }
    ]
    const schema = new rules.StaticSchema([{ tag: 'default', schemas: [{ name: 'test', tables }] }])
    const parse = yaml => rules.SqlSyncRules.fromYaml(yaml, { defaultSchema: 'test', schema, throwOnError: false })
    const { config, errors } = parse(input)
    const broken = parse('config:\\n  edition: 3\\nstreams:\\n  a:\\n    query: SELEC nothing')
    const code = Object.fromEntries(['js', 'dart', 'kotlin', 'swift'].map(target => [target, rules.schemaGenerators[target].generate(config, schema)]))
    const result = { errors: errors.map(error => error.message), broken: broken.errors.length, code }
  `,
      await print('streams', '--everybody', 'todos')
    )
    t.same(errors, [])
    t.ok(broken > 0, 'it would find a mistake')
    for (const [target, theirs] of Object.entries(code)) {
      const ours = await print('client-schema', '--target', target)
      for (const name of ['ownerId', 'created_at', 'done', 'estimate', 'photo']) {
        const type = new RegExp(`(?:${name}["']?: column\\.(\\w+)|\\.(\\w+)\\(["']${name}["']\\))`)
        t.same(type.exec(ours)?.slice(1), type.exec(theirs)?.slice(1), `${target} ${name}`)
        t.ok(type.test(ours), `${target} has ${name}`)
      }
    }
  }
)

t.test(
  'the service gives a user the rows of the stream, with values that go back as they came',
  { skip: serviceMissing },
  async t => {
    const bytes = Buffer.from([1, 2, 3])
    const streams = (await powersyncMongo('streams', '--everybody', 'free', '--config', await configFile(t, oddConfig)))
      .stdout
    t.same(await syncedRows(t, streams, [{ sub: '5' }], [
      {
        collection: 'order',
        record: {
          _id: 'a',
          id: 'not the id',
          user: { $int: '5' },
          group: 'x',
          photo: { $bytes: bytes.toString('base64') },
          secret: 'z'
        }
      },
      { collection: 'order', record: { _id: 'b', user: { $int: '5' }, group: 'x', photo: null } },
      { collection: 'order', record: { _id: 'c', user: { $int: '6' }, group: 'x', photo: null } },
      { collection: 'free', record: { _id: 'd', name: 'x' } }
    ]), {
      errors: [],
      synced: [[
        { table: 'order', id: 'a', data: { user: 5, group: 'x', photo: 'AQID', id: 'a' } },
        { table: 'order', id: 'b', data: { user: 5, group: 'x', photo: null, id: 'b' } },
        { table: 'free', id: 'd', data: { _id: 'd', name: 'x', id: 'd' } }
      ]]
    })
  }
)

t.test(
  '--rejections prints the mirror of dead letters, of which a user gets their own',
  { skip: serviceMissing },
  async t => {
    const streams = await print('streams', '--everybody', 'todos', '--rejections', 'rejections')
    const note = {
      created_at: '2026-01-01T00:00:00Z',
      error_code: 'INVALID_DATA',
      message: 'no',
      path: null,
      table: 'todos',
      row_id: 'x',
      op: 'PUT',
      data: '{}',
      operation_index: { $int: '0' },
      operations: '[]'
    }
    const { errors, synced } = await syncedRows(t, streams, [{ sub: 'ann' }, { sub: 'ben' }], [
      { collection: 'rejections', record: { _id: 'a', user_id: 'ann', ...note, tables: '["todos"]', op_ids: '["1"]' } },
      { collection: 'rejections', record: { _id: 'b', user_id: 'ben', ...note } }
    ])
    t.same(errors, [])
    t.same(synced, ['a', 'b'].map(id => [{ table: 'rejections', id, data: { ...note, operation_index: 0, id } }]))
  }
)

t.test('--rejections prints the same columns for each language', async t => {
  const columns = [
    'created_at',
    'error_code',
    'message',
    'path',
    'table',
    'row_id',
    'op',
    'data',
    'operation_index',
    'operations'
  ]
  const { tables } = JSON.parse(await print('client-schema', '--json', '--rejections', 'refused')) as {
    tables: Array<{ name: string, columns: Array<{ name: string, type: string }> }>
  }
  t.strictSame(tables.map(({ name }) => name), ['lists', 'todos', 'refused'])
  t.strictSame(
    tables.at(-1)?.columns,
    columns.map(name => ({ name, type: name === 'operation_index' ? 'integer' : 'text' }))
  )
  t.match(
    await print('client-schema', '--rejections', 'refused'),
    '  refused: new Table({\n    created_at: column.text,'
  )
  const { streams } = JSON.parse(await print('streams', '--json', '--rejections', 'refused')) as {
    streams: Array<{ table: string, query: string }>
  }
  t.strictSame(streams.at(-1), {
    table: 'refused',
    query: `SELECT ${columns.map(name => `"${name}"`).join(', ')}, "_id" AS "id" FROM "refused" WHERE "user_id" = auth.user_id()`,
    remarks: []
  })
})

t.test(
  'where no table has a rule, the service reads the file as one without streams',
  { skip: serviceMissing },
  async t => {
    const collections = { rows: collection({ schema: Row }) }
    t.same(
      await syncedRows(t, streamsOf(collections), [{ sub: '5' }], [{ collection: 'rows', record: { _id: 'a' } }]),
      { errors: [], synced: [[]] }
    )
  }
)
