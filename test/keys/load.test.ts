import t, { type Test } from 'tap'
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, importJWK, jwtVerify, SignJWT } from 'jose'
import type { JWK } from 'jose'
import { loadKeys } from '../../lib/keys/load.js'
import type { KeySet } from '../../lib/keys/load.js'
import type { KeySource } from '../../types/index.js'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const otherP256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' })
const ed25519 = generateKeyPairSync('ed25519')
const otherEd25519 = generateKeyPairSync('ed25519')

const publicMembers = ['kty', 'n', 'e', 'crv', 'x', 'y', 'kid', 'alg', 'use']

function jwkOf (key: KeyObject, more: object = {}): JWK {
  return { ...key.export({ format: 'jwk' }), ...more } as JWK
}

function base64Of (jwk: object): string {
  return Buffer.from(JSON.stringify(jwk)).toString('base64')
}

function pemOf (
  key: KeyObject,
  type: 'pkcs8' | 'spki' | 'pkcs1' | 'sec1' = key.type === 'private' ? 'pkcs8' : 'spki'
): string {
  return key.export({ type, format: 'pem' } as { type: 'pkcs1', format: 'pem' }).toString()
}

/** Signs as the token route will, and verifies with nothing but what is published, as the service does. */
async function assertUsable (t: Test, { signing, published }: KeySet): Promise<void> {
  const token = await new SignJWT({}).setProtectedHeader({ alg: signing.algorithm, kid: signing.kid })
    .sign(signing.privateKey)
  const byKid = published.find(({ kid }) => kid === signing.kid)
  await t.resolves(jwtVerify(token, await importJWK({ ...byKid } as JWK), { algorithms: [signing.algorithm] }))
  for (const jwk of published) {
    await t.resolves(importJWK({ ...jwk }))
    t.strictSame(
      Object.keys(jwk).filter(member => !publicMembers.includes(member)),
      [],
      'nothing private is published'
    )
  }
}

/** Every run of 12 characters in a secret: none may stand in a message, whole or in part. */
function assertNoPartOf (t: Test, error: Error, secret: string): void {
  const told = `${error.message}\n${error.stack}\n${JSON.stringify(error)}\n${String(error.cause)}`
  const parts = Array.from({ length: Math.max(0, secret.length - 11) }, (_, start) => secret.slice(start, start + 12))
  t.strictSame(
    parts.filter(part => told.includes(part) && !/^[-A-Z ]+$/.test(part)),
    [],
    'the error holds no part of the input'
  )
  t.equal(error.cause, undefined)
}

function keyErrorOf (t: Test, load: () => unknown): Error {
  try {
    load()
  } catch (error) {
    t.match(error, { code: 'FST_PSM_KEY' })
    return error as Error
  }
  throw new Error('loadKeys did not throw')
}

t.test('a signing key is taken in every form', async (t) => {
  const forms: Record<string, [KeyObject, KeySource]> = {
    'base64 of JWK JSON': [rsa.privateKey, base64Of(jwkOf(rsa.privateKey))],
    'base64 in lines of 76 characters': [rsa.privateKey, base64Of(jwkOf(rsa.privateKey)).replace(/.{76}/g, '$&\n')],
    'base64url of JWK JSON': [rsa.privateKey, Buffer.from(JSON.stringify(jwkOf(rsa.privateKey))).toString('base64url')],
    'JWK JSON': [rsa.privateKey, ` ${JSON.stringify(jwkOf(rsa.privateKey))}\n`],
    'JWK object': [rsa.privateKey, jwkOf(rsa.privateKey)],
    'JWK object, EC': [p256.privateKey, jwkOf(p256.privateKey)],
    'JWK object, OKP': [ed25519.privateKey, jwkOf(ed25519.privateKey)],
    'PEM, PKCS#8, RSA': [rsa.privateKey, pemOf(rsa.privateKey)],
    'PEM, PKCS#8, EC': [p256.privateKey, pemOf(p256.privateKey)],
    'PEM, PKCS#8, Ed25519': [ed25519.privateKey, pemOf(ed25519.privateKey)],
    'PEM, PKCS#1': [rsa.privateKey, pemOf(rsa.privateKey, 'pkcs1')],
    'PEM, SEC1': [p256.privateKey, pemOf(p256.privateKey, 'sec1')],
    'PEM with \\n for line breaks, as in a .env file': [rsa.privateKey, pemOf(rsa.privateKey).replaceAll('\n', '\\n')],
    'PEM with other text before it': [rsa.privateKey, `Bag Attributes\n${pemOf(rsa.privateKey)}`],
    'PEM in quotes, with \\n for line breaks': [rsa.privateKey, `"${pemOf(rsa.privateKey).replaceAll('\n', '\\n')}"`],
    'PEM in apostrophes': [rsa.privateKey, `'${pemOf(rsa.privateKey)}'`],
    'PEM with CRLF behind a byte order mark': [
      rsa.privateKey,
      `\uFEFF${pemOf(rsa.privateKey).replaceAll('\n', '\r\n')}`
    ],
    'PEM with \\r\\n': [rsa.privateKey, pemOf(rsa.privateKey).replaceAll('\n', '\\r\\n')],
    'PEM in one line': [rsa.privateKey, pemOf(rsa.privateKey).replaceAll('\n', ' ')],
    'PEM that YAML has indented': [p256.privateKey, pemOf(p256.privateKey).replaceAll('\n', '\n    ')],
    'PEM as `openssl ecparam -genkey` writes it': [
      p256.privateKey,
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${pemOf(p256.privateKey, 'sec1')}`
    ],
    'PEM of both halves': [rsa.privateKey, `${pemOf(rsa.publicKey)}${pemOf(rsa.privateKey)}`],
    'base64 of PEM': [rsa.privateKey, Buffer.from(pemOf(rsa.privateKey)).toString('base64')],
    'base64 in quotes': [rsa.privateKey, `"${base64Of(jwkOf(rsa.privateKey))}"`],
    'JWK JSON in apostrophes': [rsa.privateKey, `'${JSON.stringify(jwkOf(rsa.privateKey))}'`],
    'JWK JSON in quotes': [rsa.privateKey, JSON.stringify(JSON.stringify(jwkOf(rsa.privateKey)))],
    'JWK Set': [rsa.privateKey, { keys: [jwkOf(rsa.privateKey)] }],
    'base64 of a JSON array': [rsa.privateKey, base64Of([jwkOf(rsa.privateKey)])]
  }
  for (const [name, [key, signing]] of Object.entries(forms)) {
    await t.test(name, async (t) => {
      const keys = loadKeys({ signing })

      t.ok(keys.signing.privateKey.equals(key))
      t.equal(keys.published.length, 1)
      t.equal(keys.published[0].kid, keys.signing.kid)
      t.equal(keys.published[0].use, 'sig')
      t.equal(keys.signing.kid, await calculateJwkThumbprint(jwkOf(key)))
      await assertUsable(t, keys)
    })
  }
})

t.test('a public key is taken in every form', async (t) => {
  const forms: Record<string, [KeyObject, KeySource]> = {
    'base64 of JWK JSON': [rsa.publicKey, base64Of(jwkOf(rsa.publicKey))],
    'JWK JSON': [rsa.publicKey, JSON.stringify(jwkOf(rsa.publicKey))],
    'JWK object': [p384.publicKey, jwkOf(p384.publicKey)],
    'PEM, SPKI, RSA': [rsa.publicKey, pemOf(rsa.publicKey)],
    'PEM, SPKI, EC': [p521.publicKey, pemOf(p521.publicKey)],
    'PEM, SPKI, Ed25519': [ed25519.publicKey, pemOf(ed25519.publicKey)],
    'PEM, PKCS#1': [rsa.publicKey, pemOf(rsa.publicKey, 'pkcs1')],
    'private JWK': [rsa.publicKey, jwkOf(rsa.privateKey)],
    'private PEM': [ed25519.publicKey, pemOf(ed25519.privateKey)]
  }
  for (const [name, [key, published]] of Object.entries(forms)) {
    await t.test(name, async (t) => {
      const keys = loadKeys({ signing: jwkOf(p256.privateKey), published: [published] })

      t.equal(keys.published.length, 2)
      t.equal(keys.published[1]?.kid, await calculateJwkThumbprint(jwkOf(key)))
      await assertUsable(t, keys)
    })
  }
})

t.test('the algorithm is that of the JWK, else RS256 for RSA and what the curve says for the others', async (t) => {
  const cases: Array<[JWK, string]> = [
    [jwkOf(rsa.privateKey), 'RS256'],
    [jwkOf(rsa.privateKey, { alg: 'RS384' }), 'RS384'],
    [jwkOf(rsa.privateKey, { alg: 'RS512' }), 'RS512'],
    [jwkOf(p256.privateKey), 'ES256'],
    [jwkOf(p384.privateKey), 'ES384'],
    [jwkOf(p521.privateKey), 'ES512'],
    [jwkOf(ed25519.privateKey), 'EdDSA'],
    [jwkOf(ed25519.privateKey, { alg: 'EdDSA', use: 'sig' }), 'EdDSA']
  ]
  for (const [signing, algorithm] of cases) {
    const keys = loadKeys({ signing })

    t.equal(keys.signing.algorithm, algorithm)
    t.equal(keys.published[0].alg, algorithm)
    await assertUsable(t, keys)
  }
})

t.test('the kid is that of the JWK', async (t) => {
  const keys = loadKeys({ signing: jwkOf(rsa.privateKey, { kid: 'spring' }) })

  t.equal(keys.signing.kid, 'spring')
  t.equal(keys.published[0].kid, 'spring')
})

t.test('JSON is read as JSON, whatever its texts and its other members hold', async t => {
  for (const kid of ['a}b{', 'say "hi"', 'a\\nb', '\\']) {
    const jwk = JSON.stringify(jwkOf(p256.privateKey, { kid, meta: { of: { the: ['app', {}] } } }))
    for (const signing of [jwk, JSON.stringify(jwk), Buffer.from(jwk).toString('base64'), ` {"keys": [${jwk}]}\n`]) {
      t.equal(loadKeys({ signing }).published[0].kid, kid, signing)
    }
  }
})

t.test('only the listed members of a JWK are published, whatever else it holds', async (t) => {
  const keys = loadKeys({
    signing: jwkOf(rsa.privateKey, { key_ops: ['sign'], note: 'secret' }),
    published: [jwkOf(p256.privateKey, { ext: true, k: 'secret' })]
  })

  t.strictSame(Object.keys(keys.published[0]).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'])
  t.strictSame(Object.keys(keys.published[1] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
})

t.test('the configured public half', async (t) => {
  await t.test('is accepted when it matches, and published once', async (t) => {
    const keys = loadKeys({ signing: jwkOf(rsa.privateKey), publicKey: pemOf(rsa.publicKey) })

    t.equal(keys.published.length, 1)
  })

  await t.test('gives its kid and alg to a private half that has none', async (t) => {
    const keys = loadKeys({
      signing: pemOf(rsa.privateKey),
      publicKey: jwkOf(rsa.publicKey, { kid: 'spring', alg: 'RS384' })
    })

    t.equal(keys.signing.kid, 'spring')
    t.equal(keys.signing.algorithm, 'RS384')
    await assertUsable(t, keys)
  })

  const matchless: Record<string, KeySource> = {
    'another key of the same kind': jwkOf(otherRsa.publicKey),
    'a key of another kind': jwkOf(ed25519.publicKey)
  }
  for (const [name, publicKey] of Object.entries(matchless)) {
    await t.test(`is refused when it is ${name}`, async (t) => {
      const error = keyErrorOf(t, () => loadKeys(
        { signing: jwkOf(rsa.privateKey), publicKey },
        { signing: 'POWERSYNC_PRIVATE_KEY', publicKey: 'POWERSYNC_PUBLIC_KEY' }
      ))

      t.match(error.message, /POWERSYNC_PUBLIC_KEY is not the public half of the key in POWERSYNC_PRIVATE_KEY/)
      t.match(error.message, /generate-keys/)
    })
  }

  for (const [member, one, other] of [['kid', 'spring', 'autumn'], ['alg', 'RS256', 'RS512']] as const) {
    await t.test(`is refused when it has another ${member}`, async (t) => {
      const error = keyErrorOf(t, () => loadKeys({
        signing: jwkOf(rsa.privateKey, { [member]: one }),
        publicKey: jwkOf(rsa.publicKey, { [member]: other })
      }))

      t.match(error.message, `option keys.publicKey has another ${member} than the key in option keys.signing`)
    })
  }
})

t.test('further keys', async (t) => {
  const signing = jwkOf(rsa.privateKey, { kid: 'spring' })

  await t.test('follow the signing key in their order', async (t) => {
    const { published } = loadKeys({
      signing,
      published: [jwkOf(p256.publicKey, { kid: 'b' }), jwkOf(ed25519.publicKey, { kid: 'a' })]
    })

    t.strictSame(published.map(({ kid }) => kid), ['spring', 'b', 'a'])
  })

  await t.test('are published once, however often they are given', async (t) => {
    const { published } = loadKeys({
      signing,
      published: [jwkOf(rsa.publicKey, { kid: 'spring' }), pemOf(p256.publicKey), jwkOf(p256.privateKey)]
    })

    t.equal(published.length, 2)
    t.equal(published[0].kid, 'spring')
  })

  await t.test('may be one key under two names', async (t) => {
    const { published } = loadKeys({ signing, published: [jwkOf(rsa.publicKey, { kid: 'autumn' })] })

    t.strictSame(published.map(({ kid }) => kid), ['spring', 'autumn'])
  })

  const clashes: Record<string, JWK[]> = {
    'the signing key': [jwkOf(otherRsa.publicKey, { kid: 'spring' })],
    'the signing key, which has another alg': [jwkOf(rsa.publicKey, { kid: 'spring', alg: 'RS512' })],
    'each other': [jwkOf(p256.publicKey, { kid: 'b' }), jwkOf(otherP256.publicKey, { kid: 'b' })]
  }
  for (const [name, published] of Object.entries(clashes)) {
    await t.test(`are refused when they share a kid with ${name}`, async (t) => {
      const error = keyErrorOf(t, () => loadKeys({ signing, published }))

      t.match(error.message, `option keys.published[${published.length - 1}] has the same kid as another key`)
    })
  }

  const [one, two] = [jwkOf(p256.publicKey, { kid: 'b' }), jwkOf(ed25519.publicKey, { kid: 'a' })]
  const pems = pemOf(p256.publicKey) + pemOf(ed25519.publicKey)
  const texts: Record<string, KeySource> = {
    'JWK JSON': `${JSON.stringify(one)},${JSON.stringify(two)}`,
    'JWK JSON in lines': `${JSON.stringify(one, null, 2)}\n${JSON.stringify(two, null, 2)}\n`,
    'a JSON array': JSON.stringify([one, two]),
    'a JWK Set': { keys: [one, two] },
    'JSON of a JWK Set': JSON.stringify({ keys: [one, two] }),
    'base64 of a JWK Set': base64Of({ keys: [one, two] }),
    'PEM, one behind the other': pems,
    'PEM with \\n, in quotes': `"${pems.replaceAll('\n', '\\n')}"`,
    'PEM with a comma between': `${pemOf(p256.publicKey)},${pemOf(ed25519.publicKey)}`,
    'base64 with a comma': `${base64Of(one)},${base64Of(two)},`,
    'base64 with blanks': ` ${base64Of(one)} \n${base64Of(two)}`,
    'base64 in lines of 76 characters': `${base64Of(one).replace(/.{76}/g, '$&\n')},${base64Of(two)}`,
    'base64 in quotes': `"${base64Of(one)}", "${base64Of(two)}"`,
    'base64 of PEM': [pemOf(p256.publicKey), pemOf(ed25519.publicKey)]
      .map(pem => Buffer.from(pem).toString('base64'))
      .join(),
    'PEM and JWK JSON': `${pemOf(p256.publicKey)}\n${JSON.stringify(two)}`,
    'PEM and base64': `${pemOf(p256.publicKey)}\n${base64Of(two)}`
  }
  for (const [name, published] of Object.entries(texts)) {
    await t.test(`may stand in one text: ${name}`, async t => {
      const keys = loadKeys({ signing, published })

      t.same(keys.published.slice(1).map(({ x }) => x), [one.x, two.x])
      await assertUsable(t, keys)
    })
  }

  await t.test('are refused when one of them cannot be read', async t => {
    for (const published of [
      `${base64Of(one)},${base64Of(two).slice(0, -9)}`,
      `${pemOf(p256.publicKey)},${base64Of(two).slice(0, -9)}`
    ]) {
      t.match(
        keyErrorOf(t, () => loadKeys({ signing, published })).message,
        /option keys\.published\[0\] cannot be read as a key/
      )
    }
  })

  await t.test('are checked as the signing key is', async (t) => {
    const secret = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
    const error = keyErrorOf(t, () =>
      loadKeys({ signing, published: [jwkOf(secret.publicKey)] }, { published: 'PUBLISHED' })
    )

    t.match(error.message, /PUBLISHED\[0\] is a key of the kind secp256k1/)
  })
})

t.test('a key that cannot be used is refused, with what was found and without any of the key', async (t) => {
  const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey
  const brainpool = generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' }).privateKey
  const x25519 = generateKeyPairSync('x25519').privateKey
  const ed448 = generateKeyPairSync('ed448').privateKey
  const rsaPss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
  const rsaJwk = jwkOf(rsa.privateKey)
  const oct = { kty: 'oct', k: 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA' }
  const encrypted = rsa.privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString()
  const encryptedPkcs1 = rsa.privateKey
    .export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString()

  const cases: Array<[name: string, signing: unknown, message: RegExp]> = [
    ['nothing', undefined, /option keys\.signing is missing: expected base64 of a JWK.*generate-keys/],
    ['null', null, /is missing/],
    ['empty text', '', /is missing.*generate-keys/],
    ['blank text', ' \n', /is missing/],
    ['an empty array', [], /is missing/],
    ['two private keys', [rsaJwk, pemOf(p256.privateKey)], /holds 2 keys: expected one/],
    ['a number', 5, /is a number: expected/],
    ['a file that was not read as text', Buffer.from(pemOf(p256.privateKey)), /is a Buffer: expected base64/],
    ['a key of node:crypto', rsa.privateKey, /is a PrivateKeyObject: expected base64/],
    ['plain text', 'a secret that someone typed by hand', /cannot be read as a key.*generate-keys/],
    [
      'base64 of something else',
      Buffer.from('another secret, for HS256').toString('base64'),
      /cannot be read as a key/
    ],
    ['base64 that was cut', base64Of(rsaJwk).slice(0, -40), /cannot be read as a key/],
    ['JSON that was cut', JSON.stringify(rsaJwk).slice(0, -1), /cannot be read as a key/],
    ['base64 of JSON null', Buffer.from('null').toString('base64'), /cannot be read as a key/],
    ['a symmetric key', oct, /is a key of the kind oct: PowerSync takes.*generate-keys/],
    ['a symmetric key in base64', base64Of(oct), /kind oct/],
    ['an object that is no JWK', { d: rsaJwk.d }, /cannot be read as a key/],
    ['an unknown kty', { ...rsaJwk, kty: 'AKP' }, /cannot be read as a key/],
    ['a kty that is the key', { kty: rsaJwk.d }, /cannot be read as a key/],
    ['a kty that is no text', { kty: { d: rsaJwk.d } }, /cannot be read as a key/],
    ['a key to encrypt with', { ...rsaJwk, use: 'enc' }, /an invalid use: expected "sig", or no use/],
    ['a kid that is a number', { ...rsaJwk, kid: 1 }, /an invalid kid: expected text/],
    ['an empty kid', { ...rsaJwk, kid: '' }, /an invalid kid/],
    ['a public JWK', jwkOf(rsa.publicKey), /is a public key: expected the private half.*generate-keys/],
    ['public PEM', pemOf(rsa.publicKey), /is a public key/],
    ['public PEM, PKCS#1', pemOf(rsa.publicKey, 'pkcs1'), /is a public key/],
    [
      'RSA of 1024 bits',
      jwkOf(rsa1024),
      /kind RSA of 1024 bits: PowerSync takes RSA of at least 2048 bits.*generate-keys/
    ],
    ['RSA of 1024 bits as PEM', pemOf(rsa1024), /kind RSA of 1024 bits/],
    ['secp256k1 (P-256K)', jwkOf(secp256k1), /is a key of the kind secp256k1: PowerSync takes.*generate-keys/],
    ['secp256k1 as PEM', pemOf(secp256k1), /is a key of the kind secp256k1/],
    ['a Brainpool curve', pemOf(brainpool), /is a key of the kind brainpoolP256r1/],
    ['X25519', jwkOf(x25519), /is a key of the kind x25519/],
    ['X25519 as PEM', pemOf(x25519), /is a key of the kind x25519/],
    ['Ed448', jwkOf(ed448), /is a key of the kind ed448/],
    ['RSA-PSS', pemOf(rsaPss), /is a key of the kind rsa-pss/],
    [
      'a curve that does not exist',
      { ...jwkOf(p521.privateKey), crv: 'P-512' },
      /cannot be read as a key.*generate-keys/
    ],
    [
      'an alg of another kind of key',
      { ...rsaJwk, alg: 'ES256' },
      /an invalid alg: expected RS256, RS384, RS512, or no alg/
    ],
    ['an alg of another curve', jwkOf(p256.privateKey, { alg: 'ES384' }), /an invalid alg: expected ES256/],
    ['an alg that PowerSync does not take', { ...rsaJwk, alg: 'PS256' }, /an invalid alg/],
    ['an alg that is null', { ...rsaJwk, alg: null }, /an invalid alg/],
    ['a JWK without modulus', { ...rsaJwk, n: undefined }, /cannot be read as a key/],
    ['an RSA JWK without its primes', { ...rsaJwk, p: undefined, q: 5 }, /cannot be read as a key/],
    [
      'a coordinate that is off the curve',
      jwkOf(p256.privateKey, { x: jwkOf(otherP256.publicKey).x }),
      /cannot be read as a key/
    ],
    ['an RSA JWK with empty members', { ...rsaJwk, d: '', dp: '' }, /not of one pair|cannot be read as a key/],
    [
      'a curve that is the key',
      { ...jwkOf(p256.privateKey), crv: jwkOf(p256.privateKey).d },
      /cannot be read as a key/
    ],
    [
      'two EC halves of different pairs',
      jwkOf(otherP256.publicKey, { d: jwkOf(p256.privateKey).d }),
      /not of one pair/
    ],
    [
      'two Ed25519 halves of different pairs',
      jwkOf(otherEd25519.publicKey, { d: jwkOf(ed25519.privateKey).d }),
      /not of one pair/
    ],
    ['two RSA halves of different pairs', { ...rsaJwk, n: jwkOf(otherRsa.publicKey).n }, /not of one pair/],
    ['an RSA key that cannot sign', { ...rsaJwk, p: 'AA', q: 'AA', d: 'AA' }, /not of one pair/],
    ['PEM with a passphrase', encrypted, /is PEM protected by a passphrase/],
    ['PEM with a passphrase, PKCS#1', encryptedPkcs1, /is PEM protected by a passphrase/],
    ['PEM that was cut', pemOf(rsa.privateKey).slice(0, 400), /cannot be read as a key/],
    [
      'PEM of something else',
      '-----BEGIN PRIVATE KEY-----\nc2VjcmV0IHNlY3JldCBzZWNyZXQ=\n-----END PRIVATE KEY-----\n',
      /cannot be read as a key/
    ]
  ]
  for (const [name, signing, message] of cases) {
    await t.test(name, async (t) => {
      const error = keyErrorOf(t, () => loadKeys({ signing: signing as KeySource }))

      t.match(error.message, message)
      const secrets =
        typeof signing === 'object'
          ? Object.values({ ...signing }).filter(value => typeof value === 'string')
          : [String(signing)]
      for (const secret of secrets) assertNoPartOf(t, error, secret)
    })
  }
})
