/** Tokens that expire and keys that change, under clients that go on working. */
import t from 'tap'
import { generateKeys, powersyncToken } from '../../index.js'
import { keys } from '../support/server.js'
import { inSync, insert, rows, startServer, twoDevices, until, type Device } from './set-up.js'

/** Only a token opens uploads, and not the app's session beside it. */
const upload = { authenticate: powersyncToken() }

/** A's write arrives at B. */
async function roundTrip (a: Device, b: Device, user: string, name: string): Promise<void> {
  await insert(a, 'string_ids', { id: `${user} ${name}`, owner_id: user, name })
  await a.drained()
  const arrived = () => rows(b, 'SELECT id FROM string_ids WHERE name = ?', [name])
  await until(`B has ${name}`, async () => (await arrived()).length > 0)
}

t.test('tokens are renewed before they expire', async t => {
  const app = await startServer(t, { upload, token: { expiresIn: 60 } })
  const { user, a, b } = await twoDevices(t)
  const first = [a.credentials, b.credentials]
  const firstHasExpired = performance.now() + 61_000
  let trips = 0
  await until('both devices have asked for further tokens, and the first ones have expired', async () => {
    await roundTrip(a, b, user, `renewal ${trips++}`)
    return performance.now() > firstHasExpired && [a, b].every(({ credentials }, index) => credentials > first[index]!)
  }, 120)
  await inSync(app, user, a, b)
  t.strictSame([a.rejections, b.rejections], [[], []])
  t.comment(`${trips} round trips; ${a.credentials} and ${b.credentials} requests for credentials`)
})

t.test('a key is rotated as planned: the old one stays published', async t => {
  const first = await startServer(t, { upload })
  const { user, a, b } = await twoDevices(t)
  await roundTrip(a, b, user, 'with the old key')

  await first.close()
  const fresh = await generateKeys()
  const app = await startServer(t, { upload, keys: { signing: fresh.privateKey, published: [keys.publicKey] } })
  await roundTrip(a, b, user, 'with tokens of the old key')

  for (const device of [a, b]) {
    await device.database.disconnect()
    await device.connect()
  }
  await roundTrip(a, b, user, 'with tokens of the new key')
  await inSync(app, user, a, b)
  t.strictSame([a.rejections, b.rejections], [[], []])
})

t.test('a key is replaced at once: clients get tokens of the new one', async t => {
  const first = await startServer(t, { upload })
  const { user, a, b } = await twoDevices(t)
  await roundTrip(a, b, user, 'with the old key')
  const before = a.credentials

  await first.close()
  const statuses: number[] = []
  const app = await startServer(t, {
    upload,
    keys: { signing: (await generateKeys()).privateKey },
    routes: { upload: { onResponse: async (_request, { statusCode }) => { statuses.push(statusCode) } } }
  })
  await roundTrip(a, b, user, 'refused with the old token, then accepted with a new one')
  t.strictSame(statuses, [401, 200])

  for (const device of [a, b]) {
    await device.database.disconnect()
    await device.connect()
  }
  await roundTrip(a, b, user, 'over connections with the new key')
  await inSync(app, user, a, b)
  t.ok(a.credentials > before)
  t.strictSame([a.rejections, b.rejections], [[], []])
})
