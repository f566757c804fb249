import t, { type Test } from 'tap'
import { context, trace, SpanStatusCode } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan
} from '@opentelemetry/sdk-trace-base'
import { Type } from '@sinclair/typebox'
import { collection, PowerSyncFatalError, type Hooks } from '../../index.js'
import { loadSpans } from '../../lib/observe/spans.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'
import { commandError, startWireServer } from '../support/wire-server.js'

const database = await testDatabase(t)
const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
trace.setGlobalTracerProvider(provider)
t.teardown(() => provider.shutdown())

/** The spans of what was done since, as a tree of names, and each by its name. */
function spans () {
  const finished = exporter.getFinishedSpans()
  exporter.reset()
  const childrenOf = (parent: string | undefined): unknown[] =>
    finished
      .filter(span => span.parentSpanContext?.spanId === parent)
      .map(span => {
        const children = childrenOf(span.spanContext().spanId)
        return children.length ? [span.name, children] : span.name
      })
  return {
    tree: childrenOf(undefined),
    find: (name: string) => finished.find(span => span.name === name) as ReadableSpan,
    finished
  }
}

const server = (t: Test, hooks: Hooks = {}, uri = database.uri) =>
  testServer(t, {
    mongo: { url: uri },
    collections: { notes: collection({ schema: Type.Object({ text: Type.String() }) }) },
    ...hooks
  })
const put = (id: number, text: unknown = 'secret-value') => ({
  op: 'PUT',
  type: 'notes',
  id: `row-${id}`,
  data: { text },
  op_id: id,
  tx_id: id
})

t.test('an upload is a span, and so is each step that it took', async t => {
  const app = await server(t, { authorize: () => true })
  await upload(app, { client_id: 'phone', batch: [put(1), put(2)] })
  const { tree, find } = spans()
  t.same(tree, [
    [
      'powersync.upload',
      ['powersync.ledger', 'powersync.decode', 'powersync.hooks', 'powersync.storage', 'powersync.commit']
    ]
  ])
  t.same(find('powersync.upload').attributes, {
    'powersync.transactions': 2,
    'powersync.transactions.applied': 2,
    'powersync.transactions.rejected': 0,
    'powersync.transactions.retryable': 0,
    'powersync.transactions.not_attempted': 0,
    'powersync.operations': 2,
    'powersync.error_codes': []
  })
  t.equal(find('powersync.upload').status.code, SpanStatusCode.UNSET)
  t.equal(find('powersync.upload').instrumentationScope.name, 'fastify-powersync-mongo')
})

t.test('a lone operation needs no transaction, and shows none', async t => {
  const app = await server(t)
  await upload(app, { batch: [put(1)] })
  t.same(spans().tree, [['powersync.upload', ['powersync.decode', 'powersync.storage']]])
})

t.test('a hook\'s own spans are children of its step', async t => {
  const app = await server(t, {
    transform: operation =>
      trace.getTracer('app').startActiveSpan('quota', span => {
        span.end()
        return operation
      })
  })
  await upload(app, { batch: [put(1)] })
  t.same(spans().tree, [
    ['powersync.upload', ['powersync.decode', ['powersync.hooks', ['quota']], 'powersync.storage', 'powersync.commit']]
  ])
})

t.test('rejected data fails its step with the code, and not the upload', async t => {
  const app = await server(t, {
    authorize: ({ id }) => {
      if (id === 'row-3') throw new PowerSyncFatalError('QUOTA', 'secret reason')
      return true
    }
  })
  await upload(app, { client_id: 'phone', batch: [put(3)] })
  const { tree, find, finished } = spans()
  t.same(
    tree,
    [
      [
        'powersync.upload',
        [
          'powersync.ledger',
          'powersync.decode',
          'powersync.hooks',
          'powersync.ledger',
          'powersync.storage',
          'powersync.commit'
        ]
      ]
    ],
    'what failed, and the commit of the dead letter'
  )
  t.match(find('powersync.hooks'), { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': 'QUOTA' } })
  t.match(find('powersync.upload'), {
    status: { code: SpanStatusCode.UNSET },
    attributes: { 'powersync.transactions.rejected': 1, 'powersync.error_codes': ['QUOTA'] }
  })
  t.notMatch(
    JSON.stringify(finished.map(({ name, attributes, events, status }) => ({ name, attributes, events, status }))),
    /secret|row-/
  )
})

t.test(
  'what has to be sent again fails the upload\'s span, with MongoDB\'s name for the error and nothing of its message',
  async t => {
    const mongo = await startWireServer()
    t.teardown(() => mongo.stop())
    const app = await server(t, {}, mongo.uri)
    exporter.reset()
    mongo.script('update', commandError({ code: 13, codeName: 'Unauthorized', errmsg: 'secret message' }))
    t.equal((await upload(app, { batch: [put(1)] })).status, 503)
    const { find, finished } = spans()
    t.match(find('powersync.storage'), {
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'Unauthorized' }
    })
    t.match(find('powersync.upload'), {
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'powersync.transactions.retryable': 1 }
    })
    t.notMatch(
      JSON.stringify(finished.map(({ name, attributes, events, status }) => ({ name, attributes, events, status }))),
      /secret|row-/
    )
  }
)

t.test('an error without a code is known by its class, and what is no error by its type', async t => {
  const { run } = await loadSpans()
  for (const thrown of [new RangeError('x'), 'text', null]) await t.rejects(run('work', async () => { throw thrown }))
  t.same(spans().finished.map(({ attributes }) => attributes['error.type']), ['RangeError', 'string', 'object'])
})

t.test('without @opentelemetry/api there are no spans', async t => {
  const { run } = await loadSpans(() => Promise.reject(new Error('Cannot find package \'@opentelemetry/api\'')))
  t.equal(await run('work', async () => 5), 5)
  t.same(spans().finished, [])
})
