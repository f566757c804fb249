/** examples/lambda.ts with the events that API Gateway sends, format 2.0. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { testDatabase } from '../support/database.js'
import { keys } from '../support/server.js'

const mongo = await testDatabase(t)
const environment = {
  MONGO_URI: mongo.uri,
  POWERSYNC_URL: 'https://me.powersync.example',
  POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64
}
Object.assign(process.env, environment)
const { app, handler } = await import('../../examples/lambda.js')
t.teardown(() => app.close())

interface Request {
  method?: string
  path: string
  headers?: Record<string, string>
  body?: string
  isBase64Encoded?: boolean
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html */
function event ({ method = 'GET', path, headers = {}, ...body }: Request) {
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: '',
    headers: { host: 'abc123.execute-api.eu-central-1.amazonaws.com', 'x-forwarded-proto': 'https', ...headers },
    requestContext: {
      accountId: '123456789012',
      apiId: 'abc123',
      domainName: 'abc123.execute-api.eu-central-1.amazonaws.com',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'test' },
      requestId: 'JKJaXmPLvHcESHA=',
      routeKey: '$default',
      stage: '$default',
      time: '24/Nov/2026:05:00:00 +0000',
      timeEpoch: 1795496400000
    },
    isBase64Encoded: false,
    ...body
  }
}

async function invoke (request: Request) {
  const context = { awsRequestId: 'r1', callbackWaitsForEmptyEventLoop: true }
  const { statusCode, body, headers } = await handler(event(request), context as Parameters<typeof handler>[1])
  return { statusCode, body: JSON.parse(body), headers, context }
}

const upload = (description: string) =>
  JSON.stringify({ batch: [{ op: 'PUT', table: 'todos', id: description, data: { description, owner_id: 'anna' } }] })

t.test('keys, token and upload, as in any server', async t => {
  t.match(await invoke({ path: '/powersync/jwks' }), {
    statusCode: 200,
    body: { keys: [{ kty: 'RSA' }] },
    headers: { 'cache-control': /max-age/ }
  })
  t.match(await invoke({ path: '/powersync/token' }), { statusCode: 401, body: { code: 'FST_PSM_UNAUTHORIZED' } })
  const { body: { token } } = await invoke({ path: '/powersync/token', headers: { authorization: 'Session anna' } })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }

  t.match(await invoke({ method: 'POST', path: '/powersync/upload', headers, body: upload('Plain') }), {
    statusCode: 200,
    body: { results: [{ status: 'success' }] }
  })
  const encoded = Buffer.from(upload('In base64 – äöü')).toString('base64')
  t.match(await invoke({ method: 'POST', path: '/powersync/upload', headers, body: encoded, isBase64Encoded: true }), {
    statusCode: 200,
    body: { results: [{ status: 'success' }] }
  })
  t.match(await invoke({ method: 'POST', path: '/powersync/upload', headers, body: '{' }), {
    statusCode: 400,
    body: { code: 'FST_PSM_BODY' }
  })

  const stored = await app.mongo.db?.collection('todos').find().sort({ _id: 1 }).toArray()
  t.match(
    stored?.map(({ description, owner_id: owner }) => [description, owner]),
    [
      ['In base64 – äöü', 'anna'],
      ['Plain', 'anna']
    ]
  )
})

t.test('invocations share one connection, and do not wait for it to close', async t => {
  const opened: string[] = []
  for (const name of ['topologyOpening', 'connectionPoolCreated', 'connectionCreated'] as const) {
    app.mongo.client.on(name, () => opened.push(name))
  }
  const commands: unknown[] = []
  app.mongo.client.on('connectionCheckedOut', ({ connectionId }) => commands.push(connectionId))

  for (const description of ['First', 'Second', 'Third']) {
    const { statusCode, context } = await invoke({
      method: 'POST',
      path: '/powersync/upload',
      headers: { authorization: 'Session anna', 'content-type': 'application/json' },
      body: upload(description)
    })
    t.equal(statusCode, 200)
    t.equal(context.callbackWaitsForEmptyEventLoop, false)
  }
  t.strictSame(opened, [], 'nothing is opened after the start')
  t.ok(commands.length >= 3, 'each upload was sent to MongoDB')
})

t.test('by hand it answers one request', async t => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'lambda.ts'], {
    cwd: fileURLToPath(new URL('../../examples/', import.meta.url)),
    env: { ...process.env, ...environment, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  })
  t.match(stdout, /^200 \{"keys":\[\{"kty":"RSA"/)
})
