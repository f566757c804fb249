import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { collection, PowerSyncFatalError, type Hooks, type UploadOptions } from '../../index.js'
import { loggable } from '../../lib/observe/loggable.js'
import { testServer, upload } from '../support/server.js'
import {
  commandError, notWritablePrimary, startWireServer, writeConcernError, writeErrors, dropConnection, hang, type Outcome
} from '../support/wire-server.js'

/** A server whose MongoDB answers as scripted: what no database here can be made to do. */
async function scripted (t: Test, uploadOptions: UploadOptions = {}, hooks: Hooks = {}) {
  const mongo = await startWireServer()
  t.teardown(() => mongo.stop())
  const log: string[] = []
  const app = await testServer(t, {
    upload: uploadOptions,
    ...hooks,
    mongo: { url: mongo.uri, minHeartbeatFrequencyMS: 50, heartbeatFrequencyMS: 100 },
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }
  }, { logger: { level: 'warn', stream: { write: line => { log.push(line) } } } })
  mongo.reset() // of what the start asked for
  const put = (id: string) => ({ op: 'PUT', table: 'lists', id, data: { name: 'secret' } })
  return {
    mongo,
    log,
    uploadMany: () => upload(app, { batch: [put('a'), put('b'), put('c')] }),
    uploadOne: () => upload(app, { batch: [put('a')] }),
    letters: () =>
      mongo.commands.filter(({ name, collection }) => name === 'update' && collection === 'powersync_dead_letters')
        .length
  }
}

const duplicate = {
  code: 11000,
  errmsg: 'E11000 duplicate key error collection: test.lists index: name_1 dup key: { name: "secret" }',
  keyPattern: { name: 1 },
  keyValue: { name: 'secret' }
}
const invalid = {
  code: 121,
  errmsg: 'Document failed validation',
  errInfo: {
    failingDocumentId: 'b',
    details: {
      operatorName: '$jsonSchema',
      schemaRulesNotSatisfied: [
        {
          operatorName: 'properties',
          propertiesNotSatisfied: [
            {
              propertyName: 'name',
              details: [
                {
                  operatorName: 'bsonType',
                  specifiedAs: { bsonType: 'int' },
                  reason: 'type did not match',
                  consideredValue: 'secret',
                  consideredType: 'string'
                }
              ]
            }
          ]
        }
      ]
    }
  }
}

t.test(
  'MongoDB\'s faults that are in the data are final, with their operation, and no value in answer or log',
  async t => {
    for (const [fault, expected] of [
      [duplicate, { error_code: 'DUPLICATE_KEY', details: { index: 'name_1', fields: ['name'] } }],
      [
        { code: 11000, errmsg: 'E11000 duplicate key error collection: t.c index: my name collation: {} dup key: {}' },
        { error_code: 'DUPLICATE_KEY', details: { index: 'my name' } }
      ],
      [{ code: 11000, errmsg: undefined }, { error_code: 'DUPLICATE_KEY' }],
      [{ code: 2, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /refuses a value/ }],
      [{ code: 52, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /refuses a value/ }],
      [{ code: 56, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /refuses a value/ }],
      [{ code: 57, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /refuses a value/ }],
      [{ code: 17280, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /refuses a value/ }],
      [{ code: 10334, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /16 MiB/ }],
      [{ code: 17419, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /16 MiB/ }],
      [{ code: 17420, errmsg: 'secret' }, { error_code: 'INVALID_DATA', message: /16 MiB/ }],
      [
        invalid,
        { error_code: 'DOCUMENT_VALIDATION_FAILURE', details: { failures: [{ path: 'name', rule: 'bsonType' }] } }
      ]
    ] as const) {
      const { mongo, log, uploadMany, uploadOne, letters } = await scripted(t)
      mongo.script('update', writeErrors([{ index: 1, ...fault }]))
      const many = await uploadMany()
      t.equal(many.status, 200)
      t.match(many.body.results, [{ status: 'fatal_error', failed_operation: { operation_index: 1, ...expected } }])
      t.equal(letters(), 1)
      t.same(
        mongo.commands.map(({ name }) => name),
        ['update', 'abortTransaction', 'find', 'update', 'commitTransaction'],
        'the server says which operation: nothing is written again but the dead letter'
      )

      mongo.script('update', writeErrors([{ index: 0, ...fault }]))
      t.match((await uploadOne()).body.results, [
        { status: 'fatal_error', failed_operation: { operation_index: 0, ...expected } }
      ])
      t.notMatch(log.join('') + JSON.stringify(many.body), /secret/)
    }
  }
)

t.test('faults of what an updateBatch hook writes in bulk are the data\'s as well', async t => {
  const { mongo, uploadMany } = await scripted(t, {}, {
    updateBatch: async ({ operations }, { db, session }) => {
      await db.collection('lists').insertMany(operations.map(({ id }) => ({ _id: id as never })), { session })
    }
  })
  for (const [fault, index] of [[duplicate, 'name_1'], [{ code: 11000, errmsg: undefined }, '']] as const) {
    mongo.script('insert', writeErrors([{ index: 1, ...fault }]))
    t.match((await uploadMany()).body.results, [
      { status: 'fatal_error', failed_operation: { error_code: 'DUPLICATE_KEY', details: { index } } }
    ])
  }
})

t.test('a fault that is not known to be in the data is to be tried again, and leaves no dead letter', async t => {
  const faults: Record<string, Outcome> = {
    'an unknown code': writeErrors([{ index: 0, code: 424242, errmsg: 'secret' }]),
    'no permission': commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'not allowed: secret' }),
    'a time-out': commandError({ code: 50, codeName: 'MaxTimeMSExpired' })
  }
  for (const [name, fault] of Object.entries(faults)) {
    for (const kind of ['uploadOne', 'uploadMany'] as const) {
      const server = await scripted(t)
      server.mongo.script('update', fault)
      const { status, body } = await server[kind]()
      t.equal(status, 503, name)
      t.match(body.results, [{ status: 'retryable_error' }], name)
      t.equal(server.letters(), 0, name)
      t.match(server.log.join(''), /upload failed and has to be sent again/)
      t.notMatch(server.log.join('') + JSON.stringify(body), /secret/, name)
    }
  }
})

t.test('what MongoDB labels as passing is tried again by the server itself', async t => {
  const { mongo, uploadMany, uploadOne } = await scripted(t)
  const commands = () => mongo.commands.splice(0).map(({ name }) => name)
  mongo.script('update', commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] }))
  t.equal((await uploadMany()).status, 200)
  t.same(commands(), ['update', 'abortTransaction', 'update', 'commitTransaction'])

  for (const errmsg of [
    'E11000 duplicate key error collection: test.lists index: _id_ dup key: { _id: "a" }',
    // of a clustered collection
    'E11000 duplicate key error collection: test.lists dup key: { _id: "an index: name_1" }'
  ]) {
    const met = () => writeErrors([{ index: 0, code: 11000, errmsg, keyPattern: { _id: 1 } }])
    mongo.script('update', met())
    t.equal((await uploadMany()).status, 200, 'two uploads create one document')
    t.same(commands(), ['update', 'abortTransaction', 'update', 'commitTransaction'])
    mongo.script('update', met())
    t.equal((await uploadOne()).status, 200)
    t.same(commands(), ['update', 'update', 'commitTransaction'])
  }

  mongo.script('commitTransaction', commandError({ code: 112, codeName: 'WriteConflict' }))
  t.equal((await uploadMany()).status, 200, 'a write conflict without its label')
  t.same(commands(), ['update', 'commitTransaction', 'update', 'commitTransaction'])

  mongo.script(
    'commitTransaction',
    writeConcernError({ code: 64, codeName: 'WriteConcernTimeout', labels: ['UnknownTransactionCommitResult'] })
  )
  t.equal((await uploadMany()).status, 200)
  t.same(commands(), ['update', 'commitTransaction', 'commitTransaction'])

  mongo.script('commitTransaction', dropConnection('after'))
  t.equal((await uploadMany()).status, 200, 'a commit whose answer is lost is asked for again')
  t.same(commands(), ['update', 'commitTransaction', 'commitTransaction'])

  mongo.script('update', notWritablePrimary())
  t.equal((await uploadMany()).status, 200)
})

t.test('a MongoDB that never answers, or never stops conflicting, is given up at the deadline', async t => {
  for (const name of ['update', 'commitTransaction'] as const) {
    const { mongo, uploadMany, uploadOne, log } = await scripted(t, { deadline: 300 })
    mongo.script(name, hang())
    const { status, body } = await uploadMany()
    t.equal(status, 503)
    t.match(body.results, [{ status: 'retryable_error' }])
    t.match(log.join(''), /longer than 300 ms/)
    t.equal((await uploadOne()).status, 200, 'the next upload is not held up')
  }
  const conflict = commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] })
  const unknown = commandError({
    code: 64,
    codeName: 'WriteConcernTimeout',
    labels: ['UnknownTransactionCommitResult']
  })
  for (const [name, fault] of [['update', conflict], ['commitTransaction', unknown]] as const) {
    const { mongo, uploadMany } = await scripted(t, { deadline: 2000 })
    mongo.script(name, ...Array<typeof fault>(100_000).fill(fault))
    t.equal((await uploadMany()).status, 503)
    const attempts = () => mongo.commands.filter(command => command.name === name).length
    t.ok(attempts() > 2)
    await new Promise(resolve => setTimeout(resolve, 700))
    const then = attempts()
    await new Promise(resolve => setTimeout(resolve, 700))
    t.equal(attempts(), then, 'nothing goes on behind the answer')
  }
})

t.test('a dead letter that cannot be stored leaves the transaction with the client', async t => {
  const { mongo, uploadMany, log } = await scripted(t)
  mongo.script(
    'update',
    writeErrors([{ index: 1, ...duplicate }]),
    commandError({ code: 13, codeName: 'Unauthorized' })
  )
  const { status, body } = await uploadMany()
  t.equal(status, 503)
  t.match(body.results, [
    { status: 'retryable_error', message: 'The server could not keep the rejected transaction: send it again' }
  ])
  t.match(log.join(''), /could not be kept as a dead letter/)
})

t.test('writes are asked for with the majority\'s acknowledgement', async t => {
  const { mongo, uploadMany, uploadOne } = await scripted(t)
  await uploadMany()
  await uploadOne()
  t.same(
    mongo.commands.map(({ name, document }) => [name, (document['writeConcern'] as { w?: unknown } | undefined)?.w]),
    [
      ['update', undefined],
      ['commitTransaction', 'majority'],
      ['update', 'majority']
    ]
  )
})

t.test('an app may have rejections of its own class', t => {
  class QuotaExceeded extends PowerSyncFatalError {}
  t.ok(new QuotaExceeded('QUOTA', 'Enough') instanceof PowerSyncFatalError)
  t.ok(new QuotaExceeded('QUOTA', 'Enough') instanceof QuotaExceeded)
  t.notOk(new PowerSyncFatalError('QUOTA', 'Enough') instanceof QuotaExceeded)
  t.end()
})

t.test('an error is logged without what it says of the data', async t => {
  t.same(loggable({ name: 'MongoServerError', code: 2, codeName: 'BadValue', message: 'secret', errmsg: 'secret' }), {
    type: 'MongoServerError',
    code: 2,
    codeName: 'BadValue',
    errorLabels: undefined,
    reason: 'refused by MongoDB'
  })
  for (const name of ['MongoBulkWriteError', 'MongoClientBulkWriteError', 'MongoWriteConcernError']) {
    t.notMatch(JSON.stringify(loggable({ name, message: 'secret', result: { value: 'secret' } })), 'secret', name)
  }
  const own = Object.assign(new TypeError('own'), { code: 'E_OWN', config: { headers: 'secret' } })
  own.cause = Object.assign(new Error('a request'), { request: 'secret', cause: own })
  const { type, code, reason, stack, cause } = loggable(own)!
  t.match({ type, code, reason, stack, cause }, {
    type: 'TypeError', code: 'E_OWN', reason: 'own', stack: /faults\.test/, cause: { reason: 'a request', cause: {} }
  })
  t.notMatch(JSON.stringify(loggable(own)), 'secret')
  t.same(loggable({ response: 'secret' })?.reason, undefined)
  t.same(loggable('a text'), { type: 'string', reason: 'a text' })
  t.same(loggable(new PowerSyncFatalError('INVALID_DATA', 'secret', { details: { path: 'secret' } })), {
    type: 'PowerSyncFatalError',
    code: 'INVALID_DATA',
    reason: 'rejected'
  })
  t.equal(loggable(undefined), undefined)
})
