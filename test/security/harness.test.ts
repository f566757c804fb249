/** The matrix proves something only if the harness sees what it looks for, and if good requests pass. */
import t from 'tap'
import { testDatabase } from '../support/database.js'
import {
  attack, checkAnswer, checkLeaks, checkLines, checkPrototypes, ignored, keys, MARKER, nobody, startHost, unauthorized,
  type Attack
} from './harness.js'
import { issued } from './issuers.js'
import { own } from './jws.js'
import { malloryObjectId, malloryUuid, ALICE_SECRET } from './seeds.js'

const host = await startHost(t, await testDatabase(t))
const batch = (operation: object) => ({ body: { batch: [operation] } })

t.test('what Mallory may do, she can do', async t => {
  const rows: Array<[table: string, id: string, data: object]> = [
    [
      'lists',
      'mallory-new',
      {
        name: 'x',
        settings: '{"theme":"dark","tags":["a"]}',
        extra: '[1]',
        labels: '{"a":1}',
        done: 1,
        due: '2025-01-01'
      }
    ],
    ['todos', 'mallory-new', { list_id: 'mallory-list', text: 'x' }],
    ['notes', '00000000-0000-4000-8000-000000000000', { text: 'x' }],
    ['photos', '000000000000000000000000', { title: 'x', data: 'AAAA' }],
    [
      'counters',
      '-5',
      { int: 1, long: '9223372036854775807', double: 1.5, decimal: '1E+6144', number: 1e300, positive: 0 }
    ],
    ['documents', 'mallory-new', { x: { y: [1] } }],
    [
      'contacts',
      'mallory-new',
      {
        email: 'a@example.com',
        link: 'https://example.com',
        at: '2025-01-01T00:00:00Z',
        ref: malloryUuid,
        kind: 'home'
      }
    ],
    ['drafts', 'mallory-new', { text: 'x' }],
    ['drafts', 'mallory-published', { text: 'x', publish_as: 'mallory-published' }],
    ['events', 'mallory-new', { name: 'x' }],
    ['people', 'mallory-new', { name: 'x' }],
    ['articles', 'mallory-new', { title: 'x' }],
    ['logs', 'mallory-new', { text: 'x' }],
    ['gifts', 'mallory-new', { name: 'x' }],
    ['notices', 'mallory-new', { text: 'x' }]
  ]
  const body = {
    client_id: 'mallory-phone',
    batch: rows.map(([table, id, data], index) => ({ op: 'PUT', table, id, data, op_id: index + 1, tx_id: index }))
  }
  checkAnswer(await host.send({ token: own({ sub: 'mallory', org: null, role: null }), body }), ignored)
  checkAnswer(
    await host.send({
      token: own({ sub: 'mallory', org: null, role: null }),
      headers: { 'x-session': 'session-of-mallory' },
      body: { batch: [{ op: 'PATCH', table: 'photos', id: malloryObjectId, data: { title: 'y' } }] }
    }),
    ignored
  )
  const issuedToken = issued(host.issuer, { sub: 'mallory', org: 'evil' })
  checkAnswer(
    await host.send({
      token: issuedToken,
      ...batch({ op: 'PUT', table: 'invoices', id: 'mallory-new', data: { total: 1 } })
    }),
    ignored
  )
  checkAnswer(
    await host.send({
      token: issuedToken,
      ...batch({ op: 'PATCH', table: 'gifts', id: 'mallory-new', data: { owner_id: 'bob' } })
    }),
    ignored
  )
  checkAnswer(
    await host.send({
      token: issued(host.issuer, { sub: 'editor' }),
      ...batch({ op: 'PUT', table: 'articles', id: 'editor-new', data: { title: 'x', price: 1 } })
    }),
    ignored
  )
  const db = host.app.mongo.db!
  t.match(await db.collection('invoices').find({ org_id: 'evil' }).sort({ _id: 1 }).toArray(), [
    { _id: 'evil-invoice' },
    { _id: 'mallory-new', total: 1 }
  ])
  t.match(await db.collection('gifts').find({ owner_id: 'bob' }).toArray(), [{ _id: 'mallory-new' }])
  t.match(await db.collection('articles').find({ author_id: 'editor' }).toArray(), [{ _id: 'editor-new', price: 1 }])
  for (const name of [
    'lists',
    'todos',
    'documents',
    'contacts',
    'drafts',
    'events',
    'accounts',
    'articles',
    'logs',
    'gifts',
    'notices'
  ]) { t.ok(await db.collection<{ _id: string }>(name).findOne({ _id: 'mallory-new' }), name) }
  t.match(await db.collection<{ _id: string }>('lists').findOne({ _id: 'mallory-published' }), { owner_id: 'mallory' })
  t.match(
    (await host.send({ method: 'GET', url: '/token', token: null, headers: { 'x-session': 'session-of-mallory' } }))
      .text,
    /"token"/
  )
  host.state = await host.snapshot()
})

t.test('a change, another answer, a leak, a second log line and a property of all objects are seen', async t => {
  const legitimate: Attack = {
    name: 'no attack',
    request: batch({ op: 'PATCH', table: 'lists', id: 'mallory-list', data: { note: 'changed' } }),
    refused: ignored
  }
  await t.rejects(() => attack(host, legitimate), /no collection has changed[^]*'lists'/)
  await t.rejects(
    () => attack(host, { ...legitimate, name: 'the same again', refused: unauthorized }),
    /the same again: 200 .*success/
  )
  await t.rejects(() => attack(host, { ...legitimate, refused: nobody }), /expected the status 401, found 200/)
  const created = batch({ op: 'PUT', table: 'people', id: 'another', data: { name: 'x' } })
  await t.rejects(() => attack(host, { name: 'no attack', request: created, refused: ignored }), /'accounts'/)

  const answer = { status: 200, headers: '{}', text: '{}' }
  const token = own({ sub: 'mallory', org: null, role: null })
  for (const secret of [MARKER, ALICE_SECRET, keys.privateKey.d, '-----BEGIN PRIVATE KEY-----']) {
    t.throws(() => checkLeaks([{}], [{ ...answer, text: secret }], []), /neither the logs nor the answer/)
    t.throws(() => checkLeaks([{}], [answer], [secret]), /neither the logs nor the answer/)
  }
  for (const part of token.split('.')) {
    t.throws(() => checkLeaks([{ token }], [answer], [part]), /neither the logs nor the answer/)
  }
  checkLeaks([{ token, body: MARKER }], [answer], ['{"level":30}\n'])

  for (const line of [
    '{"level":30}\n{"level":60}\n',
    '{"level":30,"x":"\x1b[31m"}\n',
    '{"level":30,"x":"\x9b31m"}\n',
    '{"level":60,"forged":true}\n',
    `{"x":"${'x'.repeat(9000)}"}\n`
  ]) { t.throws(() => checkLines([line])) }
  checkLines(['{"level":30,"x":"\\u001b"}\n'])

  // eslint-disable-next-line no-extend-native -- that is what it looks for
  Object.defineProperty(Object.prototype, 'polluted', { value: true, enumerable: true, configurable: true })
  t.throws(() => checkPrototypes(), /no prototype has got a property/)
  delete (Object.prototype as { polluted?: boolean }).polluted
  checkPrototypes()
})
