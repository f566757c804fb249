import fp from 'fastify-plugin'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { firstOf, identifier, powersyncToken } from './lib/auth/authenticators.js'
import { createTokens, noTokens } from './lib/auth/tokens.js'
import { CollectionRegistry } from './lib/rules/registry.js'
import { OptionError } from './lib/errors.js'
import { observed } from './lib/uploads/outcomes.js'
import { startFacts } from './lib/observe/start-facts.js'
import { loadSpans } from './lib/observe/spans.js'
import { readOptions, readSigning } from './lib/options/settings.js'
import { checkpointRoute } from './lib/routes/checkpoint.js'
import { jwksRoute } from './lib/routes/jwks.js'
import { tokenRoute } from './lib/routes/token.js'
import { addRoute, isolate } from './lib/routes/scope.js'
import { uploadRoute } from './lib/routes/upload.js'
import { checkpointTaker } from './lib/store/checkpoints.js'
import { prepareCollections } from './lib/store/collections.js'
import { connect } from './lib/store/connect.js'
import { DeadLetters } from './lib/store/dead-letters.js'
import { Ledger } from './lib/store/ledger.js'
import { refused } from './lib/store/mongodb-errors.js'
import { Statements } from './lib/store/statements.js'
import { ensureValidators } from './lib/store/validators.js'
import { asGiven, withClaims } from './lib/user.js'
import { createGate, processMemory } from './lib/uploads/gate.js'
import { createRerun } from './lib/uploads/rerun.js'
import { createUploader } from './lib/uploads/uploader.js'
import type { Identity, PowerSync, PowerSyncMongoOptions, RouteName } from './types/index.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What fastify-powersync-mongo offers to the app's own routes and jobs; further registrations by their `name`. */
    powersync: PowerSync & Record<string, PowerSync>
  }
}

/**
 * Adds `GET /jwks`, `GET /token` and `POST /upload` to a Fastify server: the backend of a PowerSync app on MongoDB.
 * With `checkpoints` also `PUT /checkpoint`.
 *
 * @throws {OptionError} `FST_PSM_OPTION` for a mistake in the options
 * @throws {KeyError} `FST_PSM_KEY` for a key that cannot be used
 * @throws {MongoError} `FST_PSM_MONGO` when MongoDB cannot be reached or has no transactions
 */
async function powersyncMongo (fastify: FastifyInstance, options: PowerSyncMongoOptions): Promise<void> {
  const { name, authenticate, routes = {} } = options
  const settings = readOptions(options, process.env)
  const { expiresIn, bodyLimit, maxOperations, deadline, deduplicate, faults = {}, requiresClientHandling } = settings
  const signing = readSigning(options, process.env)
  const decorate = prepareDecorator(fastify, name)
  const collections = new CollectionRegistry(options.collections, options)
  const { client, db, features } = await connect(fastify, options.mongo, process.env['MONGO_URI'])
  if (options.validators) await ensureValidators(db, options.collections, options.validators, fastify.log)
  for (const warning of await prepareCollections(db, options.collections)) {
    fastify.log.warn(`fastify-powersync-mongo: ${warning}`)
  }

  const spans = await loadSpans()
  const gate = createGate({
    // 0: without limit.
    maxConcurrent: settings.maxConcurrent ?? (client.options.maxPoolSize || 100),
    patience: deadline / 3,
    memory: processMemory
  })
  // Before anything is closed: Fastify waits for connections, and the work of a client that went away has none.
  fastify.addHook('preClose', () => gate.close())
  const ledger = deduplicate && new Ledger(db, deduplicate)
  const shared = { db, collections, statements: new Statements(db, features), faults, spans, deadline }
  const deadLetters = new DeadLetters(db, settings.deadLetters, createRerun({ ...shared, log: fastify.log }))
  const fail = (collection: string) => refused(`the indexes of ${collection} be read and changed`, 'readWrite')
  await ledger?.createIndexes().catch(fail(Ledger.collectionName))
  await deadLetters.createIndexes().catch(fail(DeadLetters.collectionName))
  const upload = observed(createUploader({ ...shared, ledger, deadLetters }), spans)
  const uploading = options.upload?.authenticate ?? firstOf(powersyncToken(), authenticate)
  if (uploading.development) {
    fastify.log.warn(
      'fastify-powersync-mongo: developmentAuth() is on: ANYBODY gets a token for ANY user and may upload. ' +
      'Never expose this server'
    )
  }

  // In a scope of its own, so that neither changes the other: the host's parsers, compilers, use of @fastify/jwt, and
  // ours.
  await fastify.register(async scope => {
    const namespace = name ? `powersync_${name}` : 'powersync'
    const tokens = signing ? await createTokens(scope, { ...signing, expiresIn, namespace }) : noTokens
    const ofToken = withClaims(options.token?.claims)
    const toUser = routes.token === false ? asGiven : ofToken
    const identify = identifier(uploading, toUser, { route: 'upload', verifyToken: tokens.verify }, deadline)
    isolate(scope)
    const all: Partial<Record<RouteName, RouteOptions>> = {
      ...signing && {
        jwks: jwksRoute(signing.keys.published),
        token: tokenRoute(
          identifier(authenticate, toUser, { route: 'token', verifyToken: tokens.verify }, deadline),
          tokens.sign,
          signing.powersyncUrl
        )
      },
      upload: uploadRoute({ identify, upload, bodyLimit, maxOperations, requiresClientHandling, gate }),
      ...options.checkpoints && { checkpoint: checkpointRoute(identify, checkpointTaker(db)) }
    }
    const added = Object.entries(all).flatMap(([route, definition]) => {
      const own = routes[route as RouteName]
      return own === false ? [] : [addRoute(scope, definition, own)]
    })
    const facts = startFacts(options.collections, {
      database: db.databaseName,
      routes: added,
      uploads: options.upload?.authenticate
        ? 'users of upload.authenticate'
        : signing
          ? 'users of authenticate and bearers of this server\'s tokens'
          : 'users of authenticate'
    })
    fastify.log.info(facts, 'fastify-powersync-mongo is ready')
    decorate({
      signToken: async identity => tokens.sign(await ofToken(identified(identity), undefined)),
      jwks: { keys: signing?.keys.published ?? [] },
      upload: async (transactions, identity) => {
        const user = await asGiven(identified(identity), undefined)
        return await upload(transactions, { user, request: undefined, log: fastify.log }, { onRejection: 'skip' })
      },
      deadLetters,
      collections: collections.tables(),
      health: () => gate.health()
    })
  }, options.prefix === undefined ? {} : { prefix: options.prefix })
}

/** @throws {TypeError} for a user that no token can be of */
function identified (identity: Identity): Identity {
  if (typeof identity.id === 'string' && identity.id !== '') return identity
  throw new TypeError(
    'fastify.powersync: the user\'s id is not text, or empty: it becomes the sub of the token, by which the ' +
    'PowerSync Service knows the user'
  )
}

/** A function that adds `fastify.powersync`, or `fastify.powersync.<name>`, once there is something to add. */
function prepareDecorator (fastify: FastifyInstance, name: string | undefined): (powersync: PowerSync) => void {
  const existing = fastify.hasDecorator('powersync') ? fastify.powersync as Record<string, unknown> : undefined
  if (existing && (name === undefined || existing[name] !== undefined)) {
    throw new OptionError(
      'name',
      `is ${name ? 'taken' : 'missing'}: this server has fastify-powersync-mongo already, so give this registration a name of its own`
    )
  }
  return powersync => {
    if (name === undefined) fastify.decorate('powersync', powersync as FastifyInstance['powersync'])
    else if (existing) existing[name] = powersync
    else fastify.decorate('powersync', { [name]: powersync } as FastifyInstance['powersync'])
  }
}

/** The plugin, for `fastify.register`: see `PowerSyncMongoOptions`. */
const plugin = fp(powersyncMongo, { fastify: '5.x', name: 'fastify-powersync-mongo' })

export default plugin
export { plugin as powersyncMongo }
export { Type } from '@sinclair/typebox'
export { bson } from './lib/schema/fields.js'
export { collection, powersyncOptions } from './lib/schema/collection.js'
export { developmentAuth, firstOf, powersyncToken } from './lib/auth/authenticators.js'
export { jwtIssuers } from './lib/auth/jwt-issuers.js'
export { throughParent } from './lib/rules/through-parent.js'
export { jsonSchemaOf } from './lib/schema/json-schema.js'
export { generateKeys } from './lib/keys/generate.js'
export { MongoDBStorage } from './lib/store/mongodb-storage.js'
export { PowerSyncFatalError } from './lib/errors.js'
/**
 * Every error of this package, by its class: `error instanceof errors.OptionError`. Each has a `code` of `ErrorCode`.
 */
export * as errors from './lib/errors.js'

export type { ErrorCode } from './lib/errors.js'
export type {
  Authenticate, AuthenticateContext, AuthorizeHook, AuthorizeTransferHook, Claims, Collection, CollectionOptions,
  Collections, Conflict, CrudOperation, CrudTransaction, DeadLetter, DeadLetterNote, DeadLetters, FailedOperation,
  Hooks, IdCodec, Identity, IdType, JwtIssuersOptions, KeyOptions, KeySource, MongoOptions, OnResultHook,
  OperationContext, OperationErrorCode, Owner, PowerSync, PowerSyncMongoOptions, ResolveConflictHook, RowOf,
  TokenOptions, TransactionContext, TransactionResult, TransformHook, UpdateBatchHook, UploadMessage, UploadOptions,
  User
} from './types/index.js'
