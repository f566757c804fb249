import t from 'tap'
import { parseEnv } from 'node:util'
import { loadKeys } from '../../lib/keys/load.js'
import { powersyncMongo } from '../support/command-line.js'

t.test('generate-keys prints a .env file with a pair that loads', async (t) => {
  const { code, stdout, stderr } = await powersyncMongo('generate-keys')

  t.equal(code, 0)
  t.equal(stderr, '')
  t.match(stdout, /^POWERSYNC_PUBLIC_KEY=[\w+/=]+\nPOWERSYNC_PRIVATE_KEY=[\w+/=]+\n$/)
  const { POWERSYNC_PUBLIC_KEY: publicKey, POWERSYNC_PRIVATE_KEY: signing } = parseEnv(stdout)
  const keys = loadKeys({ signing, publicKey })
  t.equal(keys.signing.algorithm, 'RS256')
  t.equal(keys.published.length, 1)
})

t.test('--json prints both halves as JWKs', async (t) => {
  const { code, stdout } = await powersyncMongo('generate-keys', '--alg', 'EdDSA', '--kid', 'spring', '--json')

  t.equal(code, 0)
  const { publicKey, privateKey } = JSON.parse(stdout)
  t.match(publicKey, { kty: 'OKP', crv: 'Ed25519', kid: 'spring', alg: 'EdDSA', use: 'sig' })
  t.notHas(publicKey, { d: String })
  t.strictSame(loadKeys({ signing: privateKey, publicKey }).published, [publicKey])
})

t.test('--alg chooses the algorithm', async (t) => {
  const { stdout } = await powersyncMongo('generate-keys', '--alg=ES256', '--json')

  t.match(JSON.parse(stdout).privateKey, { kty: 'EC', crv: 'P-256', alg: 'ES256' })
})
