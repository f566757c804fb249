import t from 'tap'
import { Type, type TSchema } from '@sinclair/typebox'
import { collection } from '../../lib/schema/collection.js'
import { checkTables } from '../../lib/schema/client-names.js'
import { DecodeFault } from '../../lib/client/values.js'
import { bson } from '../../lib/schema/fields.js'
import { lastWriteWins } from '../../lib/rules/conflicts/last-write-wins.js'
import type { CollectionOptions } from '../../types/collections.js'
import { compileCollection, decoderOf } from './decode.js'

t.test('a keyword that would be ignored stops the start, which names it and says what to write instead', async t => {
  const every = [
    Type.String,
    Type.Boolean,
    Type.Number,
    Type.Integer,
    Type.Unknown,
    Type.Any,
    bson.Date,
    bson.Boolean,
    bson.ObjectId,
    bson.UUID,
    bson.Int32,
    bson.Long,
    bson.Double,
    bson.Decimal128,
    bson.Binary
  ]
  const keywords = [
    'readOnly',
    'writeOnly',
    'const',
    'not',
    'allOf',
    'anyOf',
    'oneOf',
    'if',
    'then',
    'else',
    'nullable',
    'contentEncoding',
    'contentMediaType',
    'prefixItems',
    'contains',
    'minProperties',
    'propertyNames',
    'unevaluatedProperties',
    'discriminator',
    'maxlength',
    'minlength'
  ]
  for (const type of every) {
    for (const keyword of keywords) {
      const expected = {
        code: 'FST_PSM_OPTION',
        message: new RegExp(
          `collections\\.rows\\.schema is wrong at value: it uses "${keyword}", which is not supported here: \\w`
        )
      }
      t.throws(() => decoderOf(type({ [keyword]: {} } as never)), expected, keyword)
    }
  }
  const wrong: Array<[TSchema, string]> = [
    [Type.Integer({ enum: [1] } as never), 'enum'],
    [Type.Boolean({ pattern: 'x' } as never), 'pattern'],
    [bson.ObjectId({ pattern: 'x' } as never), 'pattern'],
    [bson.Decimal128({ minimum: 0 } as never), 'minimum'],
    [bson.Date({ format: 'date' } as never), 'format'],
    [bson.Date({ exclusiveMinimumTimestamp: 0 } as never), 'exclusiveMinimumTimestamp'],
    [Type.Number({ format: 'float' } as never), 'format'],
    [Type.Literal('a', { enum: ['a'] } as never), 'enum'],
    [Type.Union([Type.Literal('a')], { not: {} } as never), 'not'],
    [Type.Union([Type.Literal('a', { not: {} } as never), Type.Literal('b')]), 'not'],
    [Type.Array(Type.String(), { contains: Type.String() }), 'contains'],
    [Type.Object({}, { minProperties: 1 }), 'minProperties'],
    [Type.Object({}, { patternProperties: {} } as never), 'patternProperties'],
    [Type.Record(Type.String(), Type.String(), { maxProperties: 1 }), 'maxProperties'],
    [bson.Json(Type.Object({}), { minProperties: 1 } as never), 'minProperties'],
    [Type.Array(Type.Object({ a: Type.String({ readOnly: true }) })), 'readOnly']
  ]
  for (const [type, keyword] of wrong) {
    t.throws(() => decoderOf(type), { code: 'FST_PSM_OPTION', message: new RegExp(`it uses "${keyword}"`) }, keyword)
  }
  t.throws(() => decoderOf(Type.String({ readOnly: true })), {
    message: /leave the field out of the collection's writable$/
  })
  t.throws(() => decoderOf(Type.Readonly(Type.String())), {
    message: /is a Type\.Readonly, which checks nothing: leave the field out of the collection's writable/
  })
  t.throws(() => decoderOf(Type.String({ nullable: true })), { message: /use Type\.Union\(\[…, Type\.Null\(\)\]\)/ })
})

t.test('a keyword with a value that says something else, or nothing, stops the start', async t => {
  const wrong: Array<[TSchema, RegExp]> = [
    [Type.Number({ multipleOf: 0 }), /has multipleOf set to something that is not above 0/],
    [Type.Integer({ multipleOf: -2 }), /multipleOf/],
    [bson.Long({ multipleOf: 0n }), /multipleOf/],
    [
      Type.Array(Type.String(), { uniqueItems: 'yes' as never }),
      /has uniqueItems set to something that is not true or false/
    ],
    [Type.Literal(null as never), /has a literal that is not well-formed text, a number, true or false/],
    [Type.Literal('a\ud800'), /has a literal that is not well-formed text/],
    [Type.Union([Type.Literal('a'), Type.Literal(1n as never)]), /has a literal/],
    [Type.Literal(NaN), /has a literal/],
    [Type.Union([Type.Literal(1), Type.Literal(Infinity)]), /has a literal/],
    [Type.String({ pattern: /^a$/i as never }), /has a pattern that is not a regular expression with the flag u/],
    [Type.String({ pattern: null as never }), /has a pattern that is not/]
  ]
  for (const [type, message] of wrong) t.throws(() => decoderOf(type), { code: 'FST_PSM_OPTION', message })
})

t.test('what is no schema of TypeBox stops the start with a sentence', async t => {
  for (const type of [undefined, null, true, 'text', {}, { type: 'string' }, class {}]) {
    for (const schema of [type, Type.Object({ in: type as never })]) {
      t.throws(() => decoderOf(schema as never), {
        code: 'FST_PSM_OPTION',
        message:
          /is wrong at value(?:\.in)?: it is (?:not a schema of @sinclair\/typebox 0\.34|a schema of typebox 1\.x): write import \{ Type \} from 'fastify-powersync-mongo'/
      })
    }
  }
})

t.test('Type.Optional of what is neither a column nor a property stops the start', async t => {
  const text = Type.Optional(Type.String())
  const wrong: Record<string, TSchema> = {
    'value[]': Type.Array(text),
    'value.a[]': Type.Object({ a: Type.Array(text) }),
    'value."*"': Type.Record(Type.String(), text),
    value: Type.Union([text, Type.Number()])
  }
  const message = ': it is a Type.Optional, which only a column or a property can be: use Type.Union([…, Type.Null()])'
  for (const [path, type] of Object.entries(wrong)) {
    const expected = `fastify-powersync-mongo: option collections.rows.schema is wrong at ${path}${message}`
    t.throws(() => decoderOf(type), { code: 'FST_PSM_OPTION', message: expected })
    t.throws(() => decoderOf(Type.Optional(type)), { code: 'FST_PSM_OPTION', message: expected })
  }
  t.throws(() => decoderOf(Type.Object({}, { additionalProperties: text })), { message: /is a Type\.Optional/ })
  t.throws(() => decoderOf(bson.Json(Type.Optional(Type.Array(Type.String())))), { message: /is a Type\.Optional/ })
  const properties = decoderOf(Type.Optional(Type.Object({ a: text, b: Type.Optional(Type.Array(Type.String())) })))
  t.strictSame(properties('{"a":null}'), { a: null })
})

t.test('a type that the schema does not have stops the start', async t => {
  for (const type of [Type.Any, Type.Unknown, bson.Date, bson.Int32]) {
    t.throws(() => decoderOf(type({ type: 'string' } as never)), {
      code: 'FST_PSM_OPTION',
      message: /uses "type", which is not supported here: use the Type\.… or bson\.… of that name/
    })
  }
})

t.test('what only describes a schema is no keyword', async t => {
  const words = {
    $id: 'x',
    title: 'x',
    description: 'x',
    examples: ['x'],
    $comment: 'x',
    deprecated: true,
    'x-label': 'x',
    not: undefined
  }
  t.equal(decoderOf(Type.String(words as never))('a'), 'a')
  t.equal(decoderOf(bson.Int32(words as never))(1), 1)
  compileCollection('rows', collection({ schema: Type.Object({}, { title: 'Rows', $id: 'rows' }) }))
})

t.test('enum of text is honoured', async t => {
  const decode = decoderOf(Type.String({ enum: ['a', 'b'] }))
  t.equal(decode('a'), 'a')
  t.match(decode('z'), { code: 'INVALID_DATA', expected: 'text that is "a" or "b"' })
  for (const wrong of ['a', [1], [null], []]) {
    t.throws(() => decoderOf(Type.String({ enum: wrong } as never)), {
      message: /has an enum that is not a list of texts/
    })
  }
})

t.test('a default within JSON, or of a part of a column, stops the start', async t => {
  const wrong = [
    Type.Object({ a: Type.Boolean({ default: false }) }),
    Type.Array(Type.String({ default: 'x' })),
    Type.Union([Type.String({ default: 'x' }), Type.Null()]),
    bson.Json(Type.Object({}, { default: {} }))
  ]
  for (const type of wrong) {
    t.throws(() => decoderOf(type), {
      code: 'FST_PSM_OPTION',
      message: /has a default, which only a column can have: give it to the column, or set it in a transform hook/
    })
  }
})

t.test('a list of required names that is not the schema\'s own stops the start', async t => {
  const optional = { a: Type.Optional(Type.String()) }
  t.throws(() => decoderOf(Type.Object(optional, { required: ['a'] })), {
    message: /has "a" in "required", which is not a required property/
  })
  t.throws(() => decoderOf(Type.Object(optional, { required: ['b'] })), { message: /has "b" in "required"/ })
  t.throws(() => compileCollection('rows', collection({ schema: Type.Object(optional, { required: ['a'] }) })), {
    message: /collections\.rows\.schema is wrong: it has "a" in "required"/
  })
})

t.test('additionalProperties has to agree with what the collection says', async t => {
  const start = (additionalProperties: boolean | TSchema, unknownFields?: 'reject' | 'drop' | 'store') =>
    compileCollection('rows', collection({ unknownFields, schema: Type.Object({}, { additionalProperties }) }))
  start(false)
  start(false, 'drop')
  start(true, 'store')
  for (const wrong of [
    () => start(true),
    () => start(false, 'store'),
    () => start(Type.String()),
    () => start(true, 'drop')
  ]) {
    t.throws(wrong, {
      code: 'FST_PSM_OPTION',
      message: /collections\.rows\.schema is wrong: it says in additionalProperties something else than unknownFields/
    })
  }
  t.throws(() => compileCollection('rows', collection({ schema: Type.Object({}, { minProperties: 1 }) })), {
    message: /is wrong: it uses "minProperties"/
  })
  t.throws(() => compileCollection('rows', collection({ schema: Type.Object({}, { default: {} }) })), {
    message: /has a default, which only a column can have/
  })
  t.throws(() => decoderOf(Type.Record(Type.String(), Type.String(), { additionalProperties: true })), {
    message: /has additionalProperties: describe all names by the key of Type\.Record/
  })
  t.type(
    decoderOf(Type.Record(Type.String({ pattern: '^x' }), Type.String(), { additionalProperties: false }))('{"y":"a"}'),
    DecodeFault
  )
})

t.test('columns that the client\'s SQLite cannot have side by side stop the start, unless they are mapped', async t => {
  const start =
    (names: string[], options: Partial<CollectionOptions> = {}) =>
      () =>
        compileCollection(
          'rows',
          collection({
            schema: Type.Object(Object.fromEntries(names.map(name => [name, Type.String()]))),
            ...options
          } as CollectionOptions)
        )
  t.throws(start(['userId', 'userid']), {
    code: 'FST_PSM_OPTION',
    message:
      /has the column "userid", which SQLite does not tell from "userId": map "userid" to another in collections\.rows\.fields/
  })
  for (const name of ['ID', 'Id', 'iD']) {
    t.throws(start([name]), { message: new RegExp(`has the column "${name}", which SQLite does not tell from "id"`) })
  }
  for (const name of ['a[0]', 'a b', "it's", 'a"b', 'a%', 'a,b', 'a#b', 'a\nb']) {
    t.throws(start([name]), { message: /which PowerSync's clients do not open: quotes, brackets, blanks/ }, name)
  }
  t.throws(start(Array.from({ length: 2000 }, (_, index) => `c${index}`)), {
    message: /has 2000 fields: a table of PowerSync has at most 1999 columns/
  })
  start(Array.from({ length: 1999 }, (_, index) => `c${index}`))()
  // The SDK makes a DELETE of `UPDATE … SET _deleted = 1` in a table with trackMetadata.
  for (const name of ['_deleted', '_Deleted', '_metadata']) {
    const tracked = { resolveConflict: lastWriteWins({ field: 'at' }) } as unknown as Partial<CollectionOptions>
    t.throws(start([name, 'at'], tracked), {
      message: new RegExp(`has the column "${name}", which trackMetadata keeps for itself: map "${name}" to another`)
    })
    start([name, 'at'], { ...tracked, fields: { mapped: name } })()
    start([name, 'at'])()
    const columns = Array.from({ length: 1997 }, (_, index) => index ? `c${index}` : 'at')
    start(columns, tracked)()
    t.throws(start([...columns, 'one'], tracked), { message: /has 1998 fields: a table of PowerSync has at most 1997/ })
  }
  start(['userId', 'userid', 'ID', 'a[0]', 'Ä', 'ä'], {
    fields: { user_id_2: 'userid', identity: 'ID', first: 'a[0]' }
  })()
})

t.test('tables that the client cannot have side by side stop the start', async t => {
  const kept = [
    'ps_crud', 'PS_data__x', 'sqlite_log', 'SQLite_master', 'powersync_crud', 'powersync_operations', 'json_each',
    'pragma_table_info'
  ]
  for (const table of kept) {
    t.throws(
      () => checkTables(['lists', table]),
      {
        code: 'FST_PSM_OPTION',
        message:
          /a name that PowerSync or SQLite keeps for itself: rename the client's table, and give the collection's own name in its option name/
      },
      table
    )
  }
  t.throws(() => checkTables(['Lists', 'lists']), {
    message: /has the table "lists", which SQLite does not tell from "Lists"/
  })
  for (const table of ['a b', '', 'a.b', 'a[0]']) {
    t.throws(() => checkTables([table]), { message: /which PowerSync's clients do not open/ }, table)
  }
  checkTables(['lists', 'list', 'Ä', 'ä', 'psx', 'ps', 'sqlite', 'powersync', 'json', 'json_each_day'])
})
