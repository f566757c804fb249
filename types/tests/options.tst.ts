import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyRequest } from 'fastify'
import { expect, test } from 'tstyche'
import powersyncMongo, {
  bson, collection, developmentAuth, firstOf, jwtIssuers, powersyncToken, type CrudOperation, type CrudTransaction,
  type FailedOperation, type PowerSyncMongoOptions, type Identity, type User
} from '../../index.js'

const app = Fastify()
const lists = collection({ schema: Type.Object({ name: Type.String(), size: bson.Int32() }) })
const required = { authenticate: () => null, collections: { lists } }

test('functions among the options know their arguments', () => {
  app.register(powersyncMongo, {
    collections: { lists },
    authenticate: request => {
      expect(request).type.toBe<FastifyRequest>()
      return { id: 'ann', role: 'editor' }
    },
    token: {
      claims: (user, request) => {
        expect(user).type.toBe<Identity>()
        expect(request).type.toBe<FastifyRequest | undefined>()
        return { role: user['role'] }
      }
    },
    upload: {
      requiresClientHandling: (failed, transaction, user) => {
        expect(failed).type.toBe<FailedOperation>()
        expect(transaction).type.toBe<CrudTransaction>()
        expect(user).type.toBe<User>()
        return true
      }
    },
    authorize: operation => {
      expect(operation).type.toBe<CrudOperation>()
      return true
    },
    updateBatch: async (transaction, { db, session }, next) => {
      expect(transaction).type.toBe<CrudTransaction>()
      expect(next).type.toBe<(transaction?: CrudTransaction) => Promise<void>>()
      await db.collection('log').insertOne({ at: new Date() }, { session })
      await next()
    }
  })
})

test('who may sign in is one function or several, of the plugin or of the app', () => {
  expect<PowerSyncMongoOptions>().type.toBeAssignableFrom({ ...required, authenticate: developmentAuth() })
  expect<PowerSyncMongoOptions>().type.toBeAssignableFrom({
    ...required,
    authenticate: jwtIssuers({ issuers: 'https://id.example.com', audience: 'api' })
  })
  expect<PowerSyncMongoOptions>().type.toBeAssignableFrom({
    ...required,
    authenticate: firstOf(powersyncToken(), async () => ({ id: 'ann' }))
  })
  expect<PowerSyncMongoOptions>().type.not.toBeAssignableFrom({ ...required, authenticate: () => 'ann' })
})

test('an option of another kind, or one that there is not, is an error', () => {
  expect(app.register).type.toBeCallableWith(powersyncMongo, required)
  expect(app.register).type.not.toBeCallableWith(powersyncMongo, { authenticate: () => null })
  expect(app.register).type.not.toBeCallableWith(powersyncMongo, { ...required, upload: { faults: { 13: 'ignore' } } })
  expect(app.register).type.not.toBeCallableWith(powersyncMongo, { ...required, token: { expiresIn: '5m' } })
  expect(app.register).type.not.toBeCallableWith(powersyncMongo, { ...required, validators: 'drop' })
  expect(app.register).type.not.toBeCallableWith(powersyncMongo, { ...required, routes: { sync: false } })
  expect(app.register).type.not.toBeCallableWith(powersyncMongo, {
    ...required,
    collections: { lists: Type.Object({}) }
  })
})

test('route options are those of Fastify, with another path', () => {
  expect<PowerSyncMongoOptions>().type.toBeAssignableFrom({
    ...required,
    routes: { jwks: false as const, upload: { url: '/api/data', bodyLimit: 1024, onRequest: async () => {} } }
  })
  expect<PowerSyncMongoOptions>().type.not.toBeAssignableFrom({ ...required, routes: { upload: { url: 5 } } })
})
