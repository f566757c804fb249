import { Type, type TObject, type TProperties, type TSchema } from '@sinclair/typebox'

/**
 * Every option of the plugin and of `collection()`, once: the check at start, the defaults and the tables of
 * docs/options.md come from here. Types for editors are in `types/`; a test compares their names with these.
 */

/** A row of the table in docs/options.md. */
export interface Row {
  /** Code or words. */
  type: string
  /** For the table, where the schema has no `default`. */
  byDefault?: string | undefined
  /** Markdown. */
  meaning: string
}

const withRow = <Schema extends TSchema>(schema: Schema, row: Row): Schema => ({ ...schema, row })

/** Options that hold further ones. Each is optional unless `required` lists it. */
function object<Properties extends TProperties> (properties: Properties, settings: { required?: string[], open?: boolean } = {}): TObject<Properties> {
  const { required = [], open = false } = settings
  return { ...Type.Object(properties, { additionalProperties: open, expected: 'an object' }), required } as unknown as TObject<Properties>
}

function text (meaning: string, byDefault: string | undefined, settings: { pattern?: string, expected?: string } = {}): TSchema {
  const { pattern, expected = 'text' } = settings
  return withRow(Type.String({ minLength: 1, ...pattern && { pattern }, expected }), { type: 'text', byDefault, meaning })
}

function integer (meaning: string, limits: { minimum: number, maximum: number, unit: string, default?: number, byDefault?: string }): TSchema {
  const { minimum, maximum, unit, default: value, byDefault } = limits
  const schema = Type.Integer({ minimum, maximum, ...value !== undefined && { default: value }, expected: `an integer from ${minimum} to ${maximum} ${unit}` })
  return withRow(schema, { type: `${grouped(minimum)} to ${grouped(maximum)} ${unit}`, byDefault, meaning })
}

const isFunction = Type.Function([], Type.Unknown(), { expected: 'a function' })

const hook = (type: string, meaning: string, byDefault?: string): TSchema => withRow(isFunction, { type, byDefault, meaning })

function choice (names: string[], meaning: string, byDefault: string): TSchema {
  const schema = Type.Union(names.map(name => Type.Literal(name)), { default: byDefault, expected: names.map(name => `'${name}'`).join(' or ') })
  return withRow(schema, { type: names.map(name => `\`'${name}'\``).join(', '), meaning })
}

const any = (type: string, meaning: string, byDefault?: string): TSchema => withRow(Type.Unknown(), { type, byDefault, meaning })

/** Thousands apart, as the documents write numbers. */
const grouped = (number: number): string => String(number).replaceAll(/\B(?=(\d{3})+$)/g, ' ')

const MiB = 1024 ** 2

/** The same five for the plugin and for a collection: one row for all of them. */
export const hooks = {
  authorize: hook('functions', 'hooks: [hooks.md](hooks.md). The hooks of the plugin run for every collection, before a collection\'s own', 'none'),
  transform: isFunction,
  resolveConflict: isFunction,
  updateBatch: isFunction,
  onResult: isFunction
}

/** What @fastify/mongodb and the driver take goes through: the driver refuses names that it does not know. */
const mongo = withRow(object({
  url: Type.String({ expected: 'a connection string' }),
  client: Type.Object({}, { expected: 'a MongoClient' }),
  database: Type.String({ expected: 'the name of a database' }),
  name: Type.String({ expected: 'the name of a connection' })
}, { open: true }), {
  type: 'object',
  byDefault: "the host's unnamed `fastify.mongo`, else `MONGO_URI`",
  meaning: 'the connection, as [@fastify/mongodb](https://github.com/fastify/fastify-mongodb) takes it: `url`, or `client` (the host closes it); `database`, if the URL names none; `name`, to use or create `fastify.mongo.<name>`; options of the driver\'s `MongoClient`'
})

/** Fastify's, and those of its official plugins. */
const routeOptionNames = [
  'attachValidation', 'bodyLimit', 'childLoggerFactory', 'compress', 'config', 'constraints', 'decompress', 'errorHandler', 'exposeHeadRoute',
  'handlerTimeout', 'helmet', 'logLevel', 'logSerializers', 'onError', 'onRequest', 'onRequestAbort', 'onResponse', 'onSend', 'onTimeout',
  'preHandler', 'preParsing', 'preSerialization', 'preValidation', 'prefixTrailingSlash', 'schema', 'schemaErrorFormatter',
  'serializerCompiler', 'validatorCompiler', 'websocket'
]

const route = Type.Union([
  Type.Literal(false),
  object({ url: Type.String({ pattern: '^/', expected: 'a path that starts with /' }), ...Object.fromEntries(routeOptionNames.map(name => [name, Type.Unknown()])) })
], { expected: 'an object of route options, or false' })

export const deduplicateDays = integer('time after its last upload until a client database is forgotten', { minimum: 1, maximum: 3650, unit: 'days', default: 60 })

const deduplicate = Type.Union([Type.Boolean(), object({ days: deduplicateDays })], { expected: 'true, false or { days }' })

export const pluginOptions = object({
  authenticate: hook('`(request, context) => User \\| null`', 'who may have a token and, unless `upload.authenticate` says otherwise, upload: [authentication.md](authentication.md)', 'required'),
  collections: withRow(Type.Record(Type.String(), Type.Unknown(), { expected: '{ table: collection({ schema }) } for each table that clients may write' }), {
    type: '`{ [table]: collection() }`', byDefault: 'required', meaning: 'the allowlist of tables that clients may write: [`collection()`](#collection), [schemas.md](schemas.md)'
  }),
  prefix: text('path of the routes, as in `/powersync`', 'none'),
  name: text('name of this registration, if the server has several: `fastify.powersync.<name>`', 'none', { pattern: '^\\w+$', expected: 'letters, digits and _: it becomes the property fastify.powersync.<name>' }),
  powersyncUrl: text('URL of the PowerSync instance: the tokens\' audience, and the address that clients connect to. A `/` at its end is removed. In production https, except on localhost', '`POWERSYNC_URL`'),
  keys: object({
    signing: any('key', 'the private key that signs tokens; `POWERSYNC_PUBLIC_KEY` must match it if it is set', '`POWERSYNC_PRIVATE_KEY`'),
    published: withRow(Type.Array(Type.Unknown(), { expected: 'an array of keys' }), { type: 'array of keys', byDefault: '`POWERSYNC_PUBLISHED_KEYS`', meaning: 'further public keys for `/jwks`, [during a key rotation](keys.md#rotate-keys)' })
  }),
  mongo,
  token: object({
    expiresIn: integer('lifetime of a token', { minimum: 60, maximum: 86_400, unit: 'seconds', default: 300 }),
    claims: hook('`(user, request) => object`', 'claims of the token beside `sub`, JSON values: with the id they are [the user that hooks see](authorization.md#the-user). `parameters` must be an object; the reserved `sub`, `aud`, `iat`, `exp`, `nbf`, `iss` and `jti` cannot be set', 'none')
  }),
  upload: object({
    authenticate: hook('as `authenticate`', 'who may upload', '`firstOf(powersyncToken(), authenticate)`'),
    bodyLimit: integer('size of a body. A client cannot split a transaction, so a larger one blocks its queue; a rejected upload must fit into a dead letter', { minimum: 1024, maximum: 16 * MiB, unit: 'bytes', default: 16 * MiB }),
    maxOperations: integer('size of an upload', { minimum: 1, maximum: 10_000_000, unit: 'operations', default: 100_000 }),
    maxConcurrent: integer('uploads at work at a time, for [backpressure](reliability.md#shutdown-and-load). A further one waits for a third of `upload.deadline`, then gets 503', { minimum: 1, maximum: 1_000_000, unit: 'uploads', byDefault: '`mongo.maxPoolSize`' }),
    deadline: integer('time after which an upload that still waits for MongoDB or a hook gets 503. Keep it below the clients\' time-out', { minimum: 100, maximum: 600_000, unit: 'milliseconds', default: 20_000 }),
    deduplicate: withRow(deduplicate, { type: 'boolean or `{ days }`', byDefault: '`true`', meaning: '[retries are idempotent](reliability.md#exactly-once-the-ledger), for clients that send `client_id` and `op_id`' }),
    requiresClientHandling: hook('`(failed, transaction, user) => boolean`', 'for clients that send `transactions`: `true` leaves a rejected transaction to the client, without a dead letter', 'none'),
    faults: withRow(Type.Record(Type.String({ pattern: '^\\d+$' }), Type.Union([Type.Literal('retry'), Type.Literal('reject')], { expected: "'retry' or 'reject'" }), { expected: 'an object of MongoDB\'s error codes' }), {
      type: "`{ [code]: 'retry' \\| 'reject' }`", byDefault: 'none', meaning: 'overrides for [MongoDB\'s error codes](reliability.md#faults)'
    }),
    deadLetters: object({
      expireAfterDays: integer('age at which MongoDB deletes [dead letters](dead-letters.md)', { minimum: 1, maximum: 3650, unit: 'days', byDefault: 'never' }),
      mirror: text('collection for notes that sync to the users of rejected changes', 'none', { pattern: '^(?!system\\.|_?powersync)[^$\\0]+$', expected: 'the name of a collection of yours' })
    })
  }),
  routes: object({
    jwks: withRow(route, { type: 'object or `false`', byDefault: '`{ url: \'/jwks\' }` and so on', meaning: 'Fastify\'s route options to merge in (`config`, `onRequest`, `schema`, …) and `url`, another path below `prefix`; `false` leaves the route out. Without `token` and `jwks` neither `keys` nor `powersyncUrl` is needed: [write-only](identity-providers.md#write-only)' }),
    token: route,
    upload: route,
    checkpoint: route
  }),
  ...hooks,
  validators: withRow(Type.Union([Type.Literal('apply'), Type.Literal('check'), Type.Literal(false)], { default: false, expected: "'apply', 'check' or false" }), {
    type: "`'apply'`, `'check'`, `false`", meaning: '`\'apply\'` writes the schemas to [MongoDB\'s validators](schemas.md#mongodb-validators) at each start; `\'check\'` stops the start if they differ'
  }),
  checkpoints: withRow(Type.Boolean({ default: false, expected: 'true or false' }), { type: 'boolean', meaning: 'adds `PUT /checkpoint`: [custom write checkpoints](reliability.md#write-checkpoints)' })
}, { required: ['authenticate', 'collections'] })

const names = (expected: string) => Type.Array(Type.String({ expected: 'the name of a field' }), { expected })

export const collectionOptions = object({
  schema: any("TypeBox object, or `'any'`", '[the fields](types.md)', 'required'),
  id: any('see [schemas.md](schemas.md#ids)', "how the client's text ids become `_id`", "`'string'`"),
  name: text('name of the MongoDB collection', "the table's"),
  fields: withRow(Type.Record(Type.String(), Type.String(), { expected: '{ column: field }' }), { type: '`{ [column]: field }`', byDefault: 'none', meaning: 'columns of the client whose document field has another name' }),
  owner: any('field, object, array or function', '[who owns a row](owners.md): forced on insert, and a condition of every write and of the stream', 'none: every user writes every row'),
  authorizeTransfer: hook('`(operation, context) => true`', '[who may give a row away](owners.md#transfer-a-row)', 'nobody'),
  operations: withRow(Type.Array(Type.Union(['PUT', 'PATCH', 'DELETE'].map(name => Type.Literal(name)), { expected: "'PUT', 'PATCH' or 'DELETE'" }), { expected: "an array of 'PUT', 'PATCH' and 'DELETE'" }), { type: "array of `'PUT'`, `'PATCH'`, `'DELETE'`", byDefault: 'all', meaning: '[what clients may send](authorization.md#operations)' }),
  writable: withRow(Type.Union([isFunction, names('an array of fields')], { expected: 'an array of fields, or a function' }), { type: 'array of fields, or `(user) => true \\| fields`', byDefault: 'all', meaning: '[the fields that clients may write](authorization.md#columns)' }),
  defaults: withRow(Type.Record(Type.String(), isFunction, { expected: '{ field: () => value }' }), { type: '`{ [field]: () => value }`', byDefault: 'none', meaning: 'values of the server for fields that a PUT does not have' }),
  migrations: withRow(Type.Record(Type.String({ pattern: '^([2-9]|[1-9]\\d{1,5})$' }), isFunction, { expected: '{ 2: operation => operation } for the versions from 2' }), { type: '`{ [version]: operation => operation }`', byDefault: 'none', meaning: '[migrate operations of older clients](schemas.md#change-a-schema-while-old-clients-are-out-there)' }),
  put: choice(['merge', 'replace'], 'what a PUT does to fields that the schema does not know: keep or drop them', 'merge'),
  nulls: choice(['store', 'unset'], 'null is stored as null, or removes the field', 'store'),
  unknownFields: choice(['reject', 'drop', 'store'], 'what happens to a column that is not in the schema', 'reject'),
  ...hooks
}, { required: ['schema'] })
