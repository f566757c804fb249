/** The examples of how the plugin fits into an app: each as its own process, used by HTTP. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeJwt } from 'jose'
import t from 'tap'
import { testDatabase } from '../support/database.js'
import { keys } from '../support/server.js'
import { codeBlocks, readDocument } from '../support/documents.js'
import { startExample } from './run.js'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))

t.test('custom-update-batch.ts: the hook wraps and replaces how a transaction is written', async t => {
  const { url, output } = await startExample(t, 'custom-update-batch.ts')
  t.match(output, `curl ${url}/stock`)
  const upload = (...batch: object[]) => send(`${url}/powersync/upload`, 'POST', { batch })

  await t.test('wrapped: with a history in the same transaction', async t => {
    const todo = { op: 'PUT', table: 'todos', id: 't1', data: { description: 'Milk' } }
    t.match(await upload(todo, { op: 'DELETE', table: 'todos', id: 't1' }), { results: [{ status: 'success' }] })
    t.match(await get(`${url}/history`), [
      { op: 'PUT', todo: 't1', by: 'anonymous', data: { description: 'Milk' } },
      { op: 'DELETE', todo: 't1', by: 'anonymous', data: null }
    ])
    t.match(await upload(todo, { ...todo, id: 't2', data: { description: 5 } }), {
      results: [{ failed_operation: { error_code: 'INVALID_DATA' } }]
    })
    t.equal((await get(`${url}/history`) as unknown[]).length, 2, 'a transaction that fails has none')
  })

  await t.test('replaced: the server counts', async t => {
    const take = (id: string, count: number, op = 'PUT') =>
      upload({ op, table: 'withdrawals', id, data: { product: 'apples', count } })
    t.match(await take('w1', 3), { results: [{ status: 'success' }] })
    t.match(await take('w2', 4), { results: [{ status: 'success' }] })
    t.match(await take('w3', 4), {
      results: [{ failed_operation: { error_code: 'OUT_OF_STOCK', operation_index: 0 } }]
    })
    t.match(await take('w1', 1, 'PATCH'), { results: [{ failed_operation: { error_code: 'FINAL' } }] })
    t.match(await get(`${url}/stock`), [{ name: 'apples', available: 3 }])
  })
})

t.test('existing-backend.ts: two registrations in a host with its own connection, JWTs and hooks', async t => {
  const { url } = await startExample(t, 'existing-backend.ts')
  const signIn = async (name: string, role: string) =>
    bearer(((await get(`${url}/login?name=${name}&role=${role}`)) as { session: string }).session)
  const customer = await signIn('anna', 'customer')
  const staff = await signIn('ben', 'staff')
  const order = { batch: [{ op: 'PUT', table: 'orders', id: 'o1', data: { item: 'Pencil', customer: 'anna' } }] }
  const parcel = { batch: [{ op: 'PUT', table: 'parcels', id: 'p1', data: { order: 'o1', shelf: 4 } }] }

  await t.test('the host\'s session gets a token and uploads, and the row is its user\'s', async t => {
    t.equal((await fetch(`${url}/apps/shop/token`)).status, 401)
    const { token } = await get(`${url}/apps/shop/token`, customer) as { token: string }
    t.match(await send(`${url}/apps/shop/upload`, 'POST', order, bearer(token)), { results: [{ status: 'success' }] })
    t.match(await send(`${url}/apps/shop/upload`, 'POST', order, staff), {
      results: [{ failed_operation: { error_code: 'UNAUTHORIZED' } }]
    })
    t.strictSame(await get(`${url}/orders`), [{ _id: 'o1', item: 'Pencil', customer: 'anna' }])
  })

  await t.test('the second registration has its own users, tables, and tokens', async t => {
    t.equal((await fetch(`${url}/apps/warehouse/token`, { headers: customer })).status, 401)
    t.match(await send(`${url}/apps/warehouse/upload`, 'POST', parcel, staff), { results: [{ status: 'success' }] })
    t.match(await send(`${url}/apps/warehouse/upload`, 'POST', order, staff), {
      results: [{ failed_operation: { error_code: 'SCHEMA_MISMATCH' } }]
    })
    const { token } = await get(`${url}/apps/shop/token`, staff) as { token: string }
    t.match(await send(`${url}/apps/warehouse/upload`, 'POST', parcel, bearer(token)), { statusCode: 401 })
    t.match(await get(`${url}/status`), { shop: { tables: ['orders'] }, warehouse: { tables: ['parcels'] } })
  })

  await t.test('the host\'s hooks run for its routes, and a route\'s own only there', async t => {
    const shop = await fetch(`${url}/apps/shop/jwks`)
    t.equal(shop.headers.get('x-served-by'), 'shop')
    const upload = await fetch(`${url}/apps/warehouse/upload`, {
      method: 'POST',
      headers: { ...staff, 'content-type': 'application/json' },
      body: JSON.stringify(parcel)
    })
    t.strictSame([upload.headers.get('x-served-by'), upload.headers.get('x-app')], ['shop', 'warehouse'])
    t.equal(shop.headers.get('x-app'), null)
  })
})

t.test('multi-tenant.ts: a database per tenant, and no token crosses', async t => {
  const { url } = await startExample(t, 'multi-tenant.ts')
  const todo = (description: string) => ({
    batch: [{ op: 'PUT', table: 'todos', id: 'same', data: { description, created_by: 'anna' } }]
  })
  const tokens: Record<string, { authorization: string }> = {}
  for (const tenant of ['acme', 'globex']) {
    const { token, powersync_url: powersyncUrl } = (await get(
      `${url}/${tenant}/powersync/token?user_id=anna`
    )) as Record<'token' | 'powersync_url', string>
    tokens[tenant] = bearer(token)
    t.equal(powersyncUrl, `https://${tenant}.powersync.example`)
    t.match(await send(`${url}/${tenant}/powersync/upload`, 'POST', todo(`of ${tenant}`), tokens[tenant]), {
      results: [{ status: 'success' }]
    })
  }
  t.match(await get(`${url}/acme/todos`), [{ _id: 'same', description: 'of acme', created_by: 'anna' }])
  t.match(await get(`${url}/globex/todos`), [{ _id: 'same', description: 'of globex', created_by: 'anna' }])
  t.match(await send(`${url}/globex/powersync/upload`, 'POST', todo('stolen'), tokens['acme']), { statusCode: 401 })
  t.match(await send(`${url}/globex/powersync/upload`, 'POST', todo('stolen')), { statusCode: 401 })
  t.equal((await fetch(`${url}/initech/todos`)).status, 404)
})

t.test('docs/from-node-demo.md: the demo\'s own client notices nothing', async t => {
  const [code = ''] = codeBlocks(await readDocument('docs/from-node-demo.md'))
    .filter(({ language }) => language === 'ts')
    .map(({ code }) => code)
  const folder = await mkdtemp(join(examples, '.readme-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'server.ts'), code)
  const mongo = await testDatabase(t)
  const { url } = await startExample(t, join(basename(folder), 'server.ts'), {
    env: {
      DATABASE_URI: mongo.uri,
      POWERSYNC_PRIVATE_KEY: keys.privateKeyBase64,
      POWERSYNC_PUBLIC_KEY: keys.publicKeyBase64,
      POWERSYNC_URL: 'https://me.powersync.example'
    }
  })

  for (const slash of ['', '/']) {
    t.match(await get(`${url}/api/auth/keys${slash}`), { keys: [{ kty: 'RSA' }] })
    for (const [query, sub] of [['', 'UserID '], ['?user_id=u-123', 'u-123']] as const) {
      const { token, powersync_url: powersyncUrl } = (await get(`${url}/api/auth/token${slash}${query}`)) as Record<
        string,
        string
      >
      t.equal(powersyncUrl, 'https://me.powersync.example')
      t.match(decodeJwt(String(token)), { sub, aud: 'https://me.powersync.example' })
    }
    const preflight = await fetch(`${url}/api/data${slash}`, {
      method: 'OPTIONS',
      headers: {
        origin: 'http://localhost:5173',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type'
      }
    })
    t.ok(preflight.ok)
    t.match(Object.fromEntries(preflight.headers), {
      'access-control-allow-origin': '*',
      'access-control-allow-methods': /POST/,
      'access-control-allow-headers': 'content-type'
    })
  }

  const list = { name: 'Groceries', owner_id: 'u-123', created_at: '2024-10-31 10:33:24' }
  t.match(await send(`${url}/api/data/`, 'POST', {
    batch: [
      { op: 'PUT', table: 'lists', id: 'l1', data: list },
      {
        op: 'PUT',
        table: 'todos',
        id: 't1',
        data: { list_id: 'l1', description: 'Milk', completed: 0, photo_id: 'p1' }
      }
    ]
  }), { message: 'Batch completed', results: [{ status: 'success' }] })
  t.match(await send(`${url}/api/data`, 'PUT', { table: 'lists', data: { id: 'l2', ...list } }), {
    message: 'PUT completed for lists l2'
  })
  t.match(await send(`${url}/api/data`, 'PATCH', { table: 'lists', data: { id: 'l2', name: 'Hardware' } }), {
    message: 'PATCH completed for lists'
  })
  t.match(await send(`${url}/api/data/`, 'DELETE', { table: 'lists', data: { id: 'l1' } }), {
    message: 'DELETE completed for lists l1'
  })
  for (const checkpoint of [1, 2]) t.strictSame(await send(`${url}/api/data/checkpoint`, 'PUT', {}), { checkpoint })
  t.strictSame(await send(`${url}/api/data/checkpoint/`, 'PUT', { user_id: 'u-123', client_id: 'c1' }), {
    checkpoint: 1
  })

  const { default: { mongodb: { MongoClient } } } = await import('@fastify/mongodb')
  const client = new MongoClient(mongo.uri)
  t.teardown(() => client.close())
  t.match(await client.db().collection('lists').find().toArray(), [
    { _id: 'l2', name: 'Hardware', created_at: new Date('2024-10-31T10:33:24Z') }
  ])
  t.match(await client.db().collection('todos').find().toArray(), [{ _id: 't1', completed: false, photo_id: 'p1' }])
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function get (url: string, headers: Record<string, string> = {}): Promise<unknown> {
  return await (await fetch(url, { headers })).json()
}

async function send (
  url: string,
  method: string,
  body: object,
  headers: Record<string, string> = {}
): Promise<unknown> {
  return await (
    await fetch(url, {
      method,
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
  ).json()
}
