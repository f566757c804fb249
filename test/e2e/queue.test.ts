/** Whose the upload queue is, when it is empty, and what a token costs: with PowerSync's own client. */
import t, { type Test } from 'tap'
import { collection } from '../../index.js'
import { Type } from '@sinclair/typebox'
import { createConnector, type ConnectorOptions } from '../../lib/client/index.js'
import { testDatabase } from '../support/database.js'
import { testServer } from '../support/server.js'
import { openClient, sdkMissing } from './client.js'
import { testService } from './service.js'

const skip = await sdkMissing()

/** A client, and a server that takes the session's name for the user's. */
async function setUp (
  t: Test,
  { tokensExpireIn, ...options }: Partial<ConnectorOptions> & { tokensExpireIn?: number[] } = {}
) {
  const service = await testService(t, tokensExpireIn)
  const app = await testServer(t, {
    mongo: { url: (await testDatabase(t)).uri },
    powersyncUrl: service.url,
    checkpoints: true,
    collections: { lists: collection({ schema: Type.Object({ name: Type.String() }) }) },
    authenticate: ({ headers: { 'x-session': session } }) => typeof session === 'string' ? { id: session } : null
  }, { forceCloseConnections: true })
  const requests: string[] = []
  app.addHook('onRequest', async ({ routeOptions }) => { requests.push(String(routeOptions.url)) })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { database, drained } = await openClient(t, { backend: '', session: '' })
  let user = 'ann'
  const connector = createConnector({ url, headers: () => ({ 'x-session': user }), ...options })
  return {
    app,
    service,
    database,
    connector,
    drained,
    count: (route: string) => requests.filter(request => request === route).length,
    signIn: (name: string) => { user = name },
    connect: (more: object = {}, by = connector) =>
      database.connect(by, { retryDelayMs: 100, crudUploadThrottleMs: 10, ...more }),
    write: (name: string) => database.execute('INSERT INTO lists (id, name) VALUES (uuid(), ?)', [name]),
    names: async () => (await app.mongo.db!.collection('lists').find().toArray()).map(({ name }) => name).sort(),
    async failed () {
      await database.waitForStatus(({ uploadError }) => uploadError !== undefined, AbortSignal.timeout(10_000))
      return database.currentStatus.uploadError
    }
  }
}

t.test('settled: uploaded, and with checkpoint requests back', { skip }, async t => {
  const { app, connect, connector, count, database, names, write } = await setUp(t)
  await write('a')
  await connect()
  t.equal(await connector.settled(database), 'uploaded', 'in the legacy mode')
  t.same(await names(), ['a'])
  await database.disconnect()
  await connect({ checkpointMode: 'requests' })
  await write('b')
  await write('c')
  t.equal(await connector.settled(database, { signal: AbortSignal.timeout(10_000) }), 'synced')
  t.same(await names(), ['a', 'b', 'c'])
  t.equal(await connector.settled(database), 'synced', 'with an empty queue')
  t.equal(count('/checkpoint'), 0)
  await app.close()
  await write('d')
  await t.rejects(connector.settled(database), { code: 'PSM_NETWORK' })
  await t.rejects(connector.settled(database, { signal: AbortSignal.abort() }), { code: 'PSM_ABORTED' })
})

t.test('checkpoint requests by way of the app\'s own server', { skip }, async t => {
  const { app, connect, connector, count, database, drained, write } = await setUp(t, { checkpoints: true })
  await connect({ checkpointMode: 'requests' })
  await write('a')
  await drained()
  while (count('/checkpoint') === 0) await new Promise(resolve => setTimeout(resolve, 10))
  const client = await database.getClientId()
  t.match(await connector.postCheckpointRequest!(client, '40'), '40')
  t.equal(await connector.postCheckpointRequest!(client, '7'), '40')
  t.match(await app.mongo.db!.collection('powersync_write_checkpoints').find().toArray(), [
    { user_id: 'ann', client_id: client }
  ])
})

for (const uploadWith of ['token', 'headers'] as const) {
  t.test(`changes of one user are never uploaded as another: uploads with ${uploadWith}`, { skip }, async t => {
    const { connect, database, drained, failed, names, signIn, write } = await setUp(t, { uploadWith })
    await connect()
    await write('a')
    await drained()
    await database.disconnect()
    await write('b')
    signIn('bob')
    await connect()
    t.match(await failed(), { code: 'PSM_OTHER_USER' })
    t.same(await names(), ['a'])
    await database.disconnect()
    signIn('ann')
    await connect()
    await drained()
    t.same(await names(), ['a', 'b'])

    await database.disconnect()
    await write('c')
    await database.disconnectAndClear()
    signIn('bob')
    await write('d')
    await connect()
    await drained()
    t.same(await names(), ['a', 'b', 'd'])
  })
}

t.test(
  'with the option database the queue has its user before the first upload, and changes hands when it is empty',
  { skip },
  async t => {
    const setting = await setUp(t)
    const { app, database, drained, names, service, write } = setting
    let user = 'ann'
    const connector = createConnector({ url: app.listeningOrigin, database, headers: () => ({ 'x-session': user }) })
    const connect = () => setting.connect({}, connector)
    await connect()
    while (service.credentials.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
    await database.disconnect()
    user = 'bob'
    t.match(await connector.fetchCredentials(), { token: String }, 'nothing is queued')
    await write('of bob')
    user = 'ann'
    await t.rejects(connector.fetchCredentials(), { code: 'PSM_OTHER_USER' })
    user = 'bob'
    await connect()
    await drained()
    t.same(await names(), ['of bob'])
  }
)

t.test('the SDK renews a token with one request', { skip }, async t => {
  const { connect, count, drained, service, write } = await setUp(t, { tokensExpireIn: [20, 3600] })
  await connect()
  while (service.credentials.length < 2) await new Promise(resolve => setTimeout(resolve, 10))
  await write('a')
  await drained()
  t.equal(service.credentials.length, 2)
  t.equal(count('/token'), 2, 'one at first, one for the renewal')
})
