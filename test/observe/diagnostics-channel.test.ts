import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import fastifyMetrics from 'fastify-metrics'
import Fastify from 'fastify'
import powersyncMongo, { collection, developmentAuth, type UploadMessage } from '../../index.js'
import { observed } from '../../lib/uploads/outcomes.js'
import { noSpans } from '../../lib/observe/spans.js'
import { testDatabase } from '../support/database.js'
import { keys, testServer, upload } from '../support/server.js'

const database = await testDatabase(t)
const collections = { notes: collection({ schema: Type.Object({ text: Type.String() }) }) }
const put = (id: string, transaction: number, text: unknown = 'x') => ({
  op: 'PUT',
  type: 'notes',
  id,
  data: { text },
  tx_id: transaction
})
const events = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

/** The messages of an upload's events, as they were at that moment. */
function listen (t: Test) {
  const heard: Array<[event: string, message: UploadMessage]> = []
  for (const event of events) {
    const channel = `tracing:fastify-powersync-mongo.upload:${event}`
    const listener = (message: unknown) => { heard.push([event, { ...message as UploadMessage }]) }
    subscribe(channel, listener)
    t.teardown(() => unsubscribe(channel, listener))
  }
  return heard
}

t.test('the channel tells when an upload starts and what became of it', async t => {
  const heard = listen(t)
  const app = await testServer(t, { mongo: { url: database.uri }, collections })
  await upload(app, { batch: [put('a', 1), put('b', 1), put('c', 2, 5)] })
  t.same(heard.map(([event]) => event), ['start', 'end', 'asyncStart', 'asyncEnd'])
  t.match(heard[0]?.[1], { request: { url: '/upload' }, transactions: 2, operations: 3, result: undefined })
  const { result, error } = heard[3]![1]
  t.equal(error, undefined)
  t.same(
    { ...result, milliseconds: 0 },
    {
      transactions: 2,
      applied: 1,
      rejected: 1,
      retryable: 0,
      notAttempted: 0,
      operations: 3,
      errorCodes: { INVALID_DATA: 1 },
      milliseconds: 0
    }
  )
})

t.test('an upload of the app\'s own has no request', async t => {
  const heard = listen(t)
  const app = await testServer(t, { mongo: { url: database.uri }, collections })
  await app.powersync.upload([{ operations: [{ op: 'DELETE', table: 'notes', id: 'x', index: 0 }] }], { id: 'user1' })
  t.equal(heard[0]?.[1].request, undefined)
  t.match(heard.at(-1)?.[1], { transactions: 1, result: { applied: 1 } })
})

t.test('a fault of the plugin itself is an error event', async t => {
  const heard = listen(t)
  const bug = new Error('a bug')
  await t.rejects(
    observed(() => Promise.reject(bug), noSpans)(
      [],
      { user: { id: 'user1' }, request: undefined, log: {} as never },
      { onRejection: 'skip' }
    )
  )
  t.same(
    heard.map(([event, { error }]) => [event, error]),
    [
      ['start', undefined],
      ['end', undefined],
      ['error', bug],
      ['asyncStart', bug],
      ['asyncEnd', bug]
    ]
  )
})

t.test('fastify-metrics shows uploads to Prometheus', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyMetrics.default, { endpoint: '/metrics' })
  const { Counter, Histogram } = app.metrics.client
  const transactions = new Counter({
    name: 'powersync_transactions_total',
    help: 'Client transactions by outcome',
    labelNames: ['outcome']
  })
  const rejections = new Counter({
    name: 'powersync_rejections_total',
    help: 'Rejected transactions by code',
    labelNames: ['code']
  })
  const durations = new Histogram({ name: 'powersync_upload_seconds', help: 'Time to apply an upload' })
  const listener = (message: unknown) => {
    const { result } = message as UploadMessage
    if (!result) return
    for (const outcome of ['applied', 'rejected', 'retryable'] as const) transactions.inc({ outcome }, result[outcome])
    for (const [code, count] of Object.entries(result.errorCodes)) rejections.inc({ code }, count)
    durations.observe(result.milliseconds / 1000)
  }
  subscribe('tracing:fastify-powersync-mongo.upload:asyncEnd', listener)
  t.teardown(() => unsubscribe('tracing:fastify-powersync-mongo.upload:asyncEnd', listener))
  await app.register(powersyncMongo, {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    authenticate: developmentAuth(),
    mongo: { url: database.uri },
    collections
  })

  await upload(app, { batch: [put('d', 1), put('e', 2, 5)] })
  await upload(app, { batch: [put('f', 3)] })
  const { body } = await app.inject('/metrics')
  t.match(body, /^powersync_transactions_total\{outcome="applied"\} 2$/m)
  t.match(body, /^powersync_transactions_total\{outcome="rejected"\} 1$/m)
  t.match(body, /^powersync_transactions_total\{outcome="retryable"\} 0$/m)
  t.match(body, /^powersync_rejections_total\{code="INVALID_DATA"\} 1$/m)
  t.match(body, /^powersync_upload_seconds_count 2$/m)
  t.match(
    body,
    /^http_request_duration_seconds_count\{.*route="\/upload".*\} 2$/m,
    'what fastify-metrics measures of itself'
  )
})
