import t from 'tap'
import { createPublicKey } from 'node:crypto'
import { calculateJwkThumbprint, importJWK, jwtVerify, SignJWT } from 'jose'
import { generateKeys } from '../../lib/keys/generate.js'
import { algorithmNames } from '../../lib/keys/jwk.js'
import type { KeyAlgorithm } from '../../types/index.js'

for (const algorithm of algorithmNames) {
  t.test(`a generated ${algorithm} pair signs and verifies with another library`, async (t) => {
    const { publicKey, privateKey } = await generateKeys({ algorithm })

    const token = await new SignJWT({}).setProtectedHeader({ alg: algorithm }).sign(await importJWK({ ...privateKey }))
    await t.resolves(jwtVerify(token, await importJWK({ ...publicKey })))
    for (const jwk of [publicKey, privateKey]) {
      t.equal(jwk.alg, algorithm)
      t.equal(jwk.use, 'sig')
      t.equal(jwk.kid, await calculateJwkThumbprint({ ...publicKey }))
    }
  })

  t.test(`the public half of a generated ${algorithm} pair has no private members`, async (t) => {
    const { publicKey, privateKey } = await generateKeys({ algorithm })

    const members = { RSA: ['n', 'e'], EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'] }[publicKey.kty]
    t.strictSame(Object.keys(publicKey).sort(), ['kty', ...members, 'kid', 'alg', 'use'].sort())
    t.type(privateKey.d, 'string')
  })
}

t.test('RS256 with 2048 bits is the default', async (t) => {
  const { publicKey } = await generateKeys()

  t.equal(publicKey.alg, 'RS256')
  t.equal(createPublicKey({ key: { ...publicKey }, format: 'jwk' }).asymmetricKeyDetails?.modulusLength, 2048)
})

t.test('a given kid names both halves', async (t) => {
  const { publicKey, privateKey } = await generateKeys({ algorithm: 'ES256', kid: 'spring' })

  t.equal(publicKey.kid, 'spring')
  t.equal(privateKey.kid, 'spring')
})

t.test('the base64 form is that of the JWK as JSON', async (t) => {
  const keys = await generateKeys({ algorithm: 'EdDSA' })

  t.strictSame(JSON.parse(Buffer.from(keys.publicKeyBase64, 'base64').toString()), keys.publicKey)
  t.strictSame(JSON.parse(Buffer.from(keys.privateKeyBase64, 'base64').toString()), keys.privateKey)
})

t.test('no two pairs are the same', async (t) => {
  const [one, other] = await Promise.all([generateKeys({ algorithm: 'ES256' }), generateKeys({ algorithm: 'ES256' })])

  t.not(one.publicKey.kid, other.publicKey.kid)
})

for (const algorithm of ['HS256', 'PS256', 'toString']) {
  t.test(`${algorithm} keys are not generated, and the error lists those that are`, async (t) => {
    await t.rejects(generateKeys({ algorithm: algorithm as KeyAlgorithm }), {
      code: 'FST_PSM_KEY', message: /RS256, RS384, RS512, ES256, ES384, ES512, EdDSA/
    })
  })
}

t.test('an unknown option is refused', async t => {
  await t.rejects(generateKeys({ alg: 'ES256' } as never), {
    code: 'FST_PSM_KEY',
    message: /generateKeys: alg is an unknown option: expected algorithm or kid/
  })
})

t.test('an empty kid is refused', async (t) => {
  await t.rejects(generateKeys({ kid: '' }), { code: 'FST_PSM_KEY', message: /kid is empty/ })
  await t.rejects(generateKeys({ kid: 5 as never }), { code: 'FST_PSM_KEY', message: /kid is a number: name the key/ })
})
