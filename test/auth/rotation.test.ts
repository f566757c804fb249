import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { importJWK, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { collection, generateKeys, type KeyOptions } from '../../index.js'
import { serviceKeys } from '../support/service-keys.js'
import { testServer } from '../support/server.js'
import { startWireServer } from '../support/wire-server.js'

const mongo = await startWireServer()
t.teardown(() => mongo.stop())
const collections = { lists: collection({ schema: Type.Object({ name: Type.String() }) }) }
const [previous, next] = [await generateKeys({ algorithm: 'RS256' }), await generateKeys({ algorithm: 'EdDSA' })]

const server = (t: Test, keys: KeyOptions) =>
  testServer(t, { mongo: { url: mongo.uri }, collections, keys, authenticate: () => null })

async function upload (app: FastifyInstance, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  return (await app.inject({ method: 'POST', url: '/upload', headers, payload: '{"batch":[]}' })).statusCode
}

const minute = 60_000
const lifetime = 5 * minute

interface Refusal { minute: number, at: 'service' | 'upload' }

/**
 * Plays a rotation minute by minute. In each of them a client gets a token, connects with it, and every token that
 * has not ended is used to connect to the service and to upload.
 *
 * @param waits minutes between publishing the next key and signing with it, and between that and dropping the previous
 * one
 * @returns what was refused
 */
async function rotate (t: Test, waits: { sign: number, drop: number }): Promise<Refusal[]> {
  const real = Date.now
  let offset = 0
  Date.now = () => real() + offset
  t.teardown(() => { Date.now = real })

  const deployments = [
    { from: 0, app: await server(t, { signing: previous.privateKey }) },
    { from: 7, app: await server(t, { signing: previous.privateKey, published: [next.publicKey] }) },
    { from: 7 + waits.sign, app: await server(t, { signing: next.privateKey, published: [previous.publicKey] }) },
    { from: 7 + waits.sign + waits.drop, app: await server(t, { signing: next.privateKey }) }
  ]
  const current = (minute: number) => deployments.findLast(({ from }) => from <= minute)!.app
  let clock = 0
  const service = serviceKeys(
    async () => (await current(clock).inject('/jwks')).json(),
    'https://test.powersync.example',
    Date.now
  )

  const refusals: Refusal[] = []
  let tokens: Array<{ token: string, ends: number }> = []
  for (; clock < 7 + waits.sign + waits.drop + 12; clock++, offset += minute) {
    const app = current(clock)
    const { token } = await app.powersync.signToken({ id: 'user1' })
    tokens = [{ token, ends: Date.now() + lifetime - 1000 }, ...tokens.filter(({ ends }) => ends > Date.now())]
    for (const { token } of tokens) {
      if (await service.connect(token) !== 'ok') refusals.push({ minute: clock, at: 'service' })
      if (await upload(app, token) !== 200) refusals.push({ minute: clock, at: 'upload' })
    }
  }
  return refusals
}

t.test('the documented rotation refuses nobody', async t => {
  t.same(await rotate(t, { sign: 10, drop: 6 }), [])
})

t.test(
  'signing at once with a key that was just published is refused by the service, which keeps what it has for 5 minutes',
  async t => {
    const refusals = await rotate(t, { sign: 0, drop: 6 })
    t.ok(refusals.length > 0)
    t.ok(
      refusals.every(({ minute, at }) => at === 'service' && minute >= 7 && minute <= 8),
      'until it has looked again'
    )
  }
)

t.test('dropping the previous key at once refuses the tokens that it signed', async t => {
  const refusals = await rotate(t, { sign: 10, drop: 0 })
  t.ok(refusals.some(({ at }) => at === 'upload'))
  t.ok(refusals.some(({ at }) => at === 'service'))
})

t.test('a token counts by the published key that its kid names, and by that key\'s algorithm only', async t => {
  const stranger = await generateKeys({ algorithm: 'ES256' })
  const app = await server(t, { signing: next.privateKey, published: [previous.privateKey] })
  const now = Math.floor(Date.now() / 1000)
  const status = async (
    key: typeof previous,
    {
      alg = key.publicKey.alg as string,
      kid = key.publicKey.kid as string | undefined,
      aud = 'https://test.powersync.example',
      exp = now + 60
    } = {}
  ) => {
    const token = await new SignJWT({ sub: 'user1', aud, iat: now, exp })
      .setProtectedHeader({ alg, ...(kid && { kid }) })
      .sign(await importJWK({ ...key.privateKey, alg }))
    return upload(app, token)
  }
  t.equal(await status(next), 200)
  t.equal(await status(previous), 200)
  t.equal(await status(previous, { aud: 'https://other.example' }), 401)
  t.equal(await status(previous, { exp: now - 1 }), 401)
  t.equal(await status(previous, { alg: 'RS512' }), 401)
  t.equal(await status(previous, { kid: next.publicKey.kid }), 401)
  t.equal(await status(next, { kid: previous.publicKey.kid }), 401)
  t.equal(await status(previous, { kid: '' }), 401, 'without a kid')
  t.equal(await status(stranger), 401)
  t.equal(await status(stranger, { kid: previous.publicKey.kid }), 401)
  t.equal(await upload(app, 'rubbish'), 401)
})
