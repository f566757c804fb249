import { Type, type SchemaOptions, type TObject, type TProperties, type TSchema } from '@sinclair/typebox'
import { listWords } from '../type-words.js'

/**
 * Every option of the plugin and of `collection()`: the check at the start, the defaults, and the tables of
 * docs/options.md. Types for editors are in `types/`; a test compares their names with these.
 */

/** Cells in docs/options.md; `byDefault` if the schema has no default. An option without shares the row before it. */
export interface Row { type: string, byDefault?: string | undefined }

const row = (type: string, byDefault?: string): { row: Row } => ({ row: { type, byDefault } })

/** Options that hold further ones. Each is optional unless `required` lists it. */
export function object<Fields extends TProperties> (
  properties: Fields, { required = [], open = false, ...more }: SchemaOptions = {}
): TObject<Fields> {
  const schema = Type.Object(properties, { additionalProperties: open, expected: 'an object', ...more })
  return { ...schema, required } as unknown as TObject<Fields>
}

const text = (byDefault: string, pattern?: string, expected = 'text that is not empty'): TSchema =>
  Type.String({ minLength: 1, ...pattern && { pattern }, expected, ...row('text', byDefault) })

/** @param byDefault the number, or words for the table */
export function integer (minimum: number, maximum: number, unit: string, byDefault?: number | string): TSchema {
  const range = `${grouped(minimum)} to ${grouped(maximum)} ${unit}`
  const expected = `an integer from ${minimum} to ${maximum} ${unit}`
  const otherwise = typeof byDefault === 'number' ? { default: byDefault, ...row(range) } : row(range, byDefault)
  return Type.Integer({ minimum, maximum, expected, ...otherwise })
}

/** Thousands apart, as the documents write numbers. */
const grouped = (number: number): string => String(number).replaceAll(/\B(?=(\d{3})+$)/g, ' ')

export const functionOf = (expected = 'a function', more: SchemaOptions = {}) =>
  Type.Function([], Type.Unknown(), { expected, ...more })

const isFunction = functionOf()

const hook = (type: string, byDefault: string): TSchema => functionOf('a function', row(type, byDefault))

const oneOf = (names: readonly (string | false)[], more: SchemaOptions = {}): TSchema =>
  Type.Union(names.map(name => Type.Literal(name)), { expected: listWords(names.map(quoted)), ...more })

const choice = (names: readonly (string | false)[], byDefault: string | false): TSchema =>
  oneOf(names, { default: byDefault, ...row(names.map(name => `\`${quoted(name)}\``).join(', ')) })

const quoted = (name: string | false): string => name === false ? 'false' : `'${name}'`

const any = (type: string, byDefault: string): TSchema => Type.Unknown(row(type, byDefault))

export const hooks: Readonly<Record<string, TSchema>> = {
  authorize: hook('functions', 'none'),
  transform: isFunction,
  resolveConflict: isFunction,
  updateBatch: isFunction,
  onResult: isFunction
}

/** Open: the driver refuses options that it does not know. */
const mongo = object({
  // Empty text would mean another database: that of MONGO_URI, or of the host.
  url: Type.String({ minLength: 1, expected: 'a connection string' }),
  client: Type.Object({}, { expected: 'a MongoClient' }),
  database: Type.String({ minLength: 1, expected: 'the name of a database' }),
  name: Type.String({ minLength: 1, expected: 'the name of a connection' })
}, {
  open: true,
  fix: "pass { url: 'mongodb://…' }, or set MONGO_URI",
  ...row('object', "the host's unnamed `fastify.mongo`, else `MONGO_URI`")
})

/** Fastify's, and those of its official plugins. */
const routeOptionNames = [
  'attachValidation', 'bodyLimit', 'childLoggerFactory', 'compress', 'config', 'constraints', 'decompress',
  'errorHandler', 'exposeHeadRoute', 'handlerTimeout', 'helmet', 'logLevel', 'logSerializers', 'onError', 'onRequest',
  'onRequestAbort', 'onResponse', 'onSend', 'onTimeout', 'preHandler', 'preParsing', 'preSerialization',
  'preValidation', 'prefixTrailingSlash', 'schema', 'schemaErrorFormatter', 'serializerCompiler', 'validatorCompiler',
  'websocket'
]

const routeOptions = object({
  url: Type.String({ pattern: '^/', expected: 'a path that starts with /' }),
  ...Object.fromEntries(routeOptionNames.map(name => [name, Type.Unknown()]))
})

const route = (more: SchemaOptions = {}): TSchema =>
  Type.Union([Type.Literal(false), routeOptions], { expected: 'an object of route options, or false', ...more })

const MiB = 1024 ** 2

/** Also a table of clients: without what PowerSync's SDKs and SQLite refuse (client-names.ts). */
const mirrorPattern = '^(?!_?powersync|(?:ps|sqlite|pragma)_)[^$\\0"\'%,.#\\s[\\]]+$'

export const deduplicateDays = integer(1, 3650, 'days', 60)

export const pluginOptions = object({
  authenticate: functionOf('a function', {
    fix: 'pass (request) => ({ id }) for users who may have a token, null for others; ' +
      'developmentAuth() for development',
    ...row('`(request, context) => User \\| null`', 'required')
  }),
  collections: Type.Record(Type.String(), Type.Unknown(), {
    minProperties: 1,
    fix: 'pass { table: collection({ schema }) } for each table that clients may write',
    ...row('`{ [table]: collection() }`', 'required')
  }),
  prefix: text('none'),
  name: text('none', '^\\w+$', 'letters, digits and _: it becomes the property fastify.powersync.<name>'),
  powersyncUrl: text('`POWERSYNC_URL`'),
  keys: object({
    signing: any('key', '`POWERSYNC_PRIVATE_KEY`'),
    published: Type.Array(Type.Unknown(), {
      expected: 'an array of keys', ...row('array of keys', '`POWERSYNC_PUBLISHED_KEYS`')
    })
  }),
  mongo,
  token: object({
    expiresIn: integer(60, 86_400, 'seconds', 300),
    claims: hook('`(user, request) => object`', 'none')
  }),
  upload: object({
    authenticate: hook('as `authenticate`', '`firstOf(powersyncToken(), authenticate)`'),
    bodyLimit: integer(1024, 16 * MiB, 'bytes', 16 * MiB),
    maxOperations: integer(1, 10_000_000, 'operations', 100_000),
    maxConcurrent: integer(1, 1_000_000, 'uploads', '`mongo.maxPoolSize`'),
    deadline: integer(100, 600_000, 'milliseconds', 20_000),
    deduplicate: Type.Union([Type.Boolean(), object({ days: deduplicateDays })], {
      expected: 'true, false or { days }', ...row('boolean or `{ days }`', '`true`')
    }),
    requiresClientHandling: hook('`(failed, transaction, user) => boolean`', 'none'),
    faults: Type.Record(Type.String({ pattern: '^\\d+$' }), oneOf(['retry', 'reject']), {
      expected: 'an object of MongoDB\'s error codes', ...row("`{ [code]: 'retry' \\| 'reject' }`", 'none')
    }),
    deadLetters: object({
      expireAfterDays: integer(1, 3650, 'days', 'never'),
      mirror: text('none', mirrorPattern, 'the name of a collection of yours')
    })
  }),
  routes: object({
    jwks: route(row('object or `false`', '`{ url: \'/jwks\' }` and so on')),
    token: route(),
    upload: route(),
    checkpoint: route()
  }),
  ...hooks,
  validators: choice(['apply', 'check', false], false),
  checkpoints: Type.Boolean({ default: false, expected: 'true or false', ...row('boolean') })
}, { required: ['authenticate', 'collections'] })

const fields = Type.Array(Type.String({ expected: 'the name of a field' }), { expected: 'an array of fields' })

/** An object as `id`, by its type. */
export const idOptions: ReadonlyMap<unknown, TSchema> = new Map<unknown, TSchema>([
  ['string', object({ type: Type.String(), pattern: Type.String({ expected: 'a regular expression as text' }) })],
  ['uuid', object({ type: Type.String(), store: oneOf(['text', 'bson']) })],
  ['objectId', object({ type: Type.String() })],
  ['integer', object({ type: Type.String() })]
])

export const collectionOptions = object({
  schema: Type.Unknown({
    fix: "pass Type.Object({ … }), or 'any' to store values as they come",
    ...row("TypeBox object, or `'any'`", 'required')
  }),
  id: any('see [schemas.md](schemas.md#ids)', "`'string'`"),
  name: text("the table's"),
  fields: Type.Record(Type.String(), Type.String({ expected: 'the name of a field' }), {
    expected: '{ column: field }', ...row('`{ [column]: field }`', 'none')
  }),
  owner: any('field, object, array or function', 'none: every user writes every row'),
  authorizeTransfer: hook('`(operation, context) => true`', 'nobody'),
  operations: Type.Array(oneOf(['PUT', 'PATCH', 'DELETE']), {
    expected: "an array of 'PUT', 'PATCH' and 'DELETE'", ...row("array of `'PUT'`, `'PATCH'`, `'DELETE'`", 'all')
  }),
  writable: Type.Union([isFunction, fields], {
    expected: 'an array of fields, or a function', ...row('array of fields, or `(user) => true \\| fields`', 'all')
  }),
  defaults: Type.Record(Type.String(), isFunction, {
    expected: '{ field: () => value }', ...row('`{ [field]: () => value }`', 'none')
  }),
  migrations: Type.Record(Type.String({ pattern: '^([2-9]|[1-9]\\d{1,5})$' }), isFunction, {
    expected: '{ 2: operation => operation } for the versions from 2',
    ...row('`{ [version]: operation => operation }`', 'none')
  }),
  put: choice(['merge', 'replace'], 'merge'),
  nulls: choice(['store', 'unset'], 'store'),
  unknownFields: choice(['reject', 'drop', 'store'], 'reject'),
  ...hooks
}, { required: ['schema'] })
