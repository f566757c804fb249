import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { transform } from 'esbuild'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { bson, collection, type Owner } from '../../index.js'
import { additive, fieldLevel, keepServer, versioned } from '../../lib/rules/conflicts/index.js'
import { clientSchemaOf, clientTablesOf, type ClientTarget } from '../../lib/schema/client-schema.js'
import { createValidators } from '../../lib/client/index.js'
import { streamsOf } from '../../lib/schema/streams.js'
import { configFile, powersyncMongo, todoConfig } from '../support/command-line.js'

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
  t.match(await print('client-schema', '--target', 'dart'), "  Table('todos', [\n    Column.text('list_id'),\n    Column.integer('done'),\n    Column.real('estimate'),\n    Column.text('photo'),\n    Column.text('its\\$5')\n  ])\n")
  t.match(await print('client-schema', '--target', 'kotlin'), '      Column.integer("done"),\n      Column.real("estimate"),\n      Column.text("photo"),\n      Column.text("its\\$5")\n    )\n')
  t.match(await print('client-schema', '--target', 'swift'), '    name: "todos",\n    columns: [\n      .text("list_id"),\n      .integer("done"),\n')
})

t.test('client-schema prints what each resolveConflict needs to be tracked, and insertOnly', async t => {
  const Row = Type.Object({ amount: bson.Int32(), name: Type.Optional(Type.String()) })
  const collections = {
    stock: collection({ schema: Row, fields: { its$5: 'amount' }, resolveConflict: additive(['amount']) }),
    tasks: collection({ schema: Row, resolveConflict: fieldLevel({ metadata: 'modified' }) }),
    both: collection({ schema: Row, resolveConflict: Object.assign(() => null, { tracks: { previous: ['amount', 'name'], metadata: true } }) }),
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
      "  ], trackMetadata: true, trackPreviousValues: TrackPreviousValuesOptions(columnFilter: ['amount', 'name']), ignoreEmptyUpdates: true),",
      "  Table.insertOnly('log', ["
    ],
    kotlin: [
      'import com.powersync.db.schema.TrackPreviousValuesOptions\n',
      '    ),\n    trackPreviousValues = TrackPreviousValuesOptions(columnFilter = listOf("its\\$5")),\n    ignoreEmptyUpdates = true\n  ),',
      '    ),\n    trackMetadata = true,\n    trackPreviousValues = TrackPreviousValuesOptions(columnFilter = listOf("amount", "name")),\n    ignoreEmptyUpdates = true\n  ),',
      '    ),\n    insertOnly = true\n  ),'
    ],
    swift: [
      '    ],\n    trackPreviousValues: TrackPreviousValuesOptions(columnFilter: ["its$5"]),\n    ignoreEmptyUpdates: true\n  ),',
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

t.test('streams says where the owner is not the user\'s id alone', async t => {
  const schema = Type.Object({ owner_id: Type.String(), author_id: Type.String(), org_id: Type.String() })
  const lines = (owner: Owner<'owner_id' | 'author_id' | 'org_id'>) => streamsOf({ rows: collection({ schema, owner }) }).split('\n').slice(4)
  const query = 'query: "SELECT \\"owner_id\\", \\"author_id\\", \\"org_id\\", \\"_id\\" AS \\"id\\" FROM \\"rows\\"'
  t.same(lines(['owner_id', 'author_id', { field: 'org_id', value: user => user['org'] }]), [
    '    # Whose rows they are is also a matter of what the server finds of the user: add a condition on "org_id".',
    '    auto_subscribe: true',
    `    ${query} WHERE \\"owner_id\\" = auth.user_id() AND \\"author_id\\" = auth.user_id()"`,
    ''
  ])
  t.same(lines(() => null), [
    '    # Every user gets every row: add a WHERE, unless that is what you want.',
    '    # Whose rows they are is what a function of the server says: add the same to the WHERE.',
    '    auto_subscribe: true',
    `    ${query}"`,
    ''
  ])
})

t.test('streams prints each table\'s own columns, the id last, and an owner\'s own rows', async t => {
  t.equal(await print('streams'), `config:
  edition: 3
streams:
  "lists":
    auto_subscribe: true
    query: "SELECT \\"owner_id\\" AS \\"ownerId\\", \\"name\\", \\"created_at\\", \\"_id\\" AS \\"id\\" FROM \\"app_lists\\" AS \\"lists\\" WHERE \\"owner_id\\" = auth.user_id()"
  "todos":
    # Every user gets every row: add a WHERE, unless that is what you want.
    auto_subscribe: true
    query: "SELECT \\"list_id\\", \\"done\\", \\"estimate\\", CASE WHEN typeof(\\"photo\\") = 'blob' THEN base64(\\"photo\\") ELSE \\"photo\\" END AS \\"photo\\", \\"it's $5\\" AS \\"its$5\\", \\"_id\\" AS \\"id\\" FROM \\"todos\\""
`)
})

t.test('what the definition cannot say is said in a comment', async t => {
  const odd = await configFile(t, oddConfig)
  t.match((await powersyncMongo('client-schema', '--config', odd)).stdout, /^\/\/ "free" has no schema: add the columns that your app uses\.\nimport /)
  const { stdout } = await powersyncMongo('streams', '--config', odd)
  t.match(stdout, '  "order":\n    # PowerSync leaves binary data within JSON out: "scans". Keep it in a field of its own.\n    # PowerSync finds no field whose name has a double quote or an asterisk: "a \\"quoted\\" name". Rename it.\n    auto_subscribe: true\n')
  t.match(stdout, '  "free":\n    # Every user gets every row: add a WHERE, unless that is what you want.\n    # Without schema, columns that hold binary data do not sync: select them as base64.\n    auto_subscribe: true\n    query: "SELECT *, \\"_id\\" AS \\"id\\" FROM \\"free\\""')
})

t.test('--json gives both as data', async t => {
  const { tables } = JSON.parse(await print('client-schema', '--json'))
  t.same(tables[0], { name: 'lists', columns: [{ name: 'ownerId', type: 'text' }, { name: 'name', type: 'text' }, { name: 'created_at', type: 'text' }], options: {} })
  t.same(tables[1].columns.map(({ type }: { type: string }) => type), ['text', 'integer', 'real', 'text', 'text'])

  const { streams } = JSON.parse(await print('streams', '--json'))
  t.same(streams[0], {
    table: 'lists',
    query: 'SELECT "owner_id" AS "ownerId", "name", "created_at", "_id" AS "id" FROM "app_lists" AS "lists" WHERE "owner_id" = auth.user_id()',
    remarks: []
  })
  t.match(streams[1], { table: 'todos', remarks: ['Every user gets every row: add a WHERE, unless that is what you want.'] })
})

t.test('--validators prints a module without imports, which gives the verdict of the server', async t => {
  const module = await print('client-schema', '--validators')
  t.notMatch(module, /^import /m)
  const { validate, serverRules } = await import(`data:text/javascript,${encodeURIComponent(module)}`) as ReturnType<typeof createValidators>
  const list = { op: 'PUT', table: 'lists', id: 'a', opData: { name: 'Groceries' } }
  t.equal(validate(list), undefined)
  t.same(validate({ ...list, opData: { name: 'x'.repeat(201) } }), { code: 'INVALID_DATA', path: 'name', message: 'name cannot be stored: expected text of 0 to 200 characters, found text' })
  t.same(validate({ ...list, table: 'other' }), { code: 'SCHEMA_MISMATCH', message: 'The table is not one of the server\'s collections' })
  t.match(serverRules, { lists: ['owner'], todos: [] })
  const { validate: same } = createValidators(JSON.parse(await print('client-schema', '--validators', '--json')))
  t.same(same({ ...list, opData: {} }), { code: 'INVALID_DATA', path: 'name', message: 'name is required: expected text of 0 to 200 characters, found nothing' })
})

t.test('the validators of the example take at most 5 kB, compressed, in an app', async t => {
  const { stdout } = await powersyncMongo('client-schema', '--validators', '--config', join(import.meta.dirname, '../../examples/collections.ts'))
  const { code } = await transform(stdout, { minify: true, format: 'esm' })
  const size = gzipSync(code).length
  t.ok(size <= 5000, `${size} bytes`)
})

t.test('--target sql prints raw tables with what SQLite can check', async t => {
  const bounds = await configFile(t, `
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
    }`)
  const { stdout } = await powersyncMongo('client-schema', '--target', 'sql', '--config', bounds)
  t.equal(stdout, `-- Rows that sync down have to meet these constraints as well: run powersync-mongo apply-validators first.
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
`)
})

t.test('a language that there is not', async t => {
  t.match(await powersyncMongo('client-schema', '--target', 'cobol'), { code: 2, stderr: /argument 'cobol' is invalid. Allowed choices are js, dart, kotlin, swift/ })
})

/** The service's own parser needs Node 21 or later: this one, or the one that NODE_FOR_SERVICE names. */
function service (): { node: string, rules: string } | string {
  const node = process.env['NODE_FOR_SERVICE'] || (Number(process.versions.node.split('.')[0]) > 20 ? process.execPath : undefined)
  if (!node) return 'needs Node 22: run the tests with it, or set NODE_FOR_SERVICE to its path'
  try {
    return { node, rules: import.meta.resolve('@powersync/service-sync-rules') }
  } catch (error) {
    return `needs the package @powersync/service-sync-rules: ${(error as Error).message.split('\n', 1).join()}`
  }
}

const available = service()
t.test('the service itself understands the streams, and gives the same client schema', { skip: typeof available === 'string' ? available : false }, async t => {
  const { node, rules } = available as { node: string, rules: string }
  const script = await configFile(t, `
    import { readFileSync } from 'node:fs'
    const rules = await import(${JSON.stringify(rules)})
    const column = (name, sqlite_type) => ({ name, sqlite_type })
    const tables = [
      { name: 'app_lists', columns: [column('_id', 'text'), column('owner_id', 'text'), column('name', 'text'), column('created_at', 'text')] },
      { name: 'todos', columns: [column('_id', 'text'), column('list_id', 'text'), column('done', 'integer'), column('estimate', 'real'), column('photo', 'blob'), column("it's $5", 'text')] }
    ]
    const schema = new rules.StaticSchema([{ tag: 'default', schemas: [{ name: 'test', tables }] }])
    const parse = yaml => rules.SqlSyncRules.fromYaml(yaml, { defaultSchema: 'test', schema, throwOnError: false })
    const { config, errors } = parse(readFileSync(process.argv[2], 'utf8'))
    const broken = parse('config:\\n  edition: 3\\nstreams:\\n  a:\\n    query: SELEC nothing')
    const code = Object.fromEntries(['js', 'dart', 'kotlin', 'swift'].map(target => [target, rules.schemaGenerators[target].generate(config, schema)]))
    console.log(JSON.stringify({ errors: errors.map(error => error.message), broken: broken.errors.length, code }))
  `, { name: 'check.mjs' })
  const yaml = join(dirname(script), 'streams.yaml')
  await writeFile(yaml, await print('streams'))
  const { stdout } = await promisify(execFile)(node, [script, yaml], { env: { _TAPJS_PROCESSINFO_COVERAGE_: '0' } })
  const { errors, broken, code } = JSON.parse(stdout) as { errors: string[], broken: number, code: Record<string, string> }
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
})

t.test('the service gives a user the rows of the stream, with values that go back as they came', { skip: typeof available === 'string' ? available : false }, async t => {
  const { node, rules } = available as { node: string, rules: string }
  const script = await configFile(t, `
    import { readFileSync } from 'node:fs'
    const rules = await import(${JSON.stringify(rules)})
    const { config, errors } = rules.SqlSyncRules.fromYaml(readFileSync(process.argv[2], 'utf8'), { defaultSchema: 'test', throwOnError: false })
    const sqlite = rules.nodeSqlite(await import('node:sqlite'))
    const synced = config.hydrate({ hydrationState: rules.DEFAULT_HYDRATION_STATE, sqlite })
    const subscriber = new rules.RequestParameters(new rules.BaseJwtPayload({ sub: '5' }), {})
    const { querier } = synced.getBucketParameterQuerier({ globalParameters: subscriber, hasDefaultStreams: true, streams: {} })
    const buckets = querier.staticBuckets.map(({ bucket }) => bucket)
    const sync = (name, record) => synced.evaluateRow({ sourceTable: { connectionTag: 'default', schema: 'test', name }, record })
      .filter(({ bucket }) => buckets.includes(bucket)).map(({ table, id, data }) => ({ table, id, data }))
    const rows = [
      ...sync('order', { _id: 'a', id: 'not the id', user: 5n, group: 'x', photo: new Uint8Array([1, 2, 3]), secret: 'z' }),
      ...sync('order', { _id: 'b', user: 5n, group: 'x', photo: null }),
      ...sync('order', { _id: 'c', user: 6n, group: 'x', photo: null }),
      ...sync('free', { _id: 'd', name: 'x' })
    ]
    console.log(JSON.stringify({ errors: errors.map(error => error.message), rows }, (_, value) => typeof value === 'bigint' ? Number(value) : value))
  `, { name: 'rows.mjs' })
  const yaml = join(dirname(script), 'streams.yaml')
  await writeFile(yaml, (await powersyncMongo('streams', '--config', await configFile(t, oddConfig))).stdout)
  const { stdout } = await promisify(execFile)(node, [script, yaml], { env: { _TAPJS_PROCESSINFO_COVERAGE_: '0' } })
  t.same(JSON.parse(stdout), {
    errors: [],
    rows: [
      { table: 'order', id: 'a', data: { user: 5, group: 'x', photo: 'AQID', id: 'a' } },
      { table: 'order', id: 'b', data: { user: 5, group: 'x', photo: null, id: 'b' } },
      { table: 'free', id: 'd', data: { _id: 'd', name: 'x', id: 'd' } }
    ]
  })
})
