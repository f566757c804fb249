import t from 'tap'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseEnv, promisify } from 'node:util'
import { run } from '../../lib/cli/run.js'
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

t.test('--format json prints both halves as JWKs', async (t) => {
  const { code, stdout } = await powersyncMongo('generate-keys', '--alg', 'EdDSA', '--kid', 'spring', '--format', 'json')

  t.equal(code, 0)
  const { publicKey, privateKey } = JSON.parse(stdout)
  t.match(publicKey, { kty: 'OKP', crv: 'Ed25519', kid: 'spring', alg: 'EdDSA', use: 'sig' })
  t.notHas(publicKey, { d: String })
  t.strictSame(loadKeys({ signing: privateKey, publicKey }).published, [publicKey])
})

t.test('--alg chooses the algorithm', async (t) => {
  const { stdout } = await powersyncMongo('generate-keys', '--alg=ES256', '--format=json')

  t.match(JSON.parse(stdout).privateKey, { kty: 'EC', crv: 'P-256', alg: 'ES256' })
})

t.test('help goes to stdout with exit code 0', async (t) => {
  for (const help of ['--help', '-h']) {
    const all = await powersyncMongo(help)
    t.match(all, { code: 0, stdout: /generate-keys {2,}make the key pair/, stderr: '' })

    const one = await powersyncMongo('generate-keys', help)
    t.match(one, { code: 0, stdout: /--alg.*--kid.*--format/, stderr: '' })
  }
})

t.test('arguments that make no sense go to stderr with exit code 2 and the next step', async (t) => {
  const cases: Array<[args: string[], stderr: RegExp]> = [
    [[], /^Usage: powersync-mongo <command>/],
    [['make-keys'], /no command "make-keys"; "npx powersync-mongo --help"/],
    [['toString'], /no command "toString"/],
    [['generate-keys', '--colour', 'red'], /generate-keys: Unknown option '--colour'.*"npx powersync-mongo generate-keys --help"/],
    [['generate-keys', 'now'], /Unexpected argument 'now'/],
    [['generate-keys', '--kid'], /'--kid <value>' argument missing/],
    [['generate-keys', '--kid', ''], /--kid is empty/],
    [['generate-keys', '--alg', 'HS256'], /--alg HS256 is not one of RS256, ES256, EdDSA/],
    [['generate-keys', '--format', 'pem'], /--format pem is not one of env, json/]
  ]
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await powersyncMongo(...args)
    t.equal(code, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, message)
  }
})

t.test('an error that is not the user\'s is not passed off as one', async (t) => {
  const full = new TypeError('no space left on device')
  const io = { stdout: { write () { throw full } }, stderr: { write () { t.fail('nothing to say') } } }

  await t.rejects(run(['generate-keys', '--alg', 'EdDSA'], io), full)
})

t.test('as a process of its own, it prints, and exits with the code', async (t) => {
  const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
  // The flags of this process load TypeScript: the child needs them too.
  const powersyncMongo = (...args: string[]) => promisify(execFile)(process.execPath, [...process.execArgv, main, ...args])

  const { stdout } = await powersyncMongo('generate-keys', '--alg', 'ES256')
  t.match(stdout, /^POWERSYNC_PUBLIC_KEY=.+\nPOWERSYNC_PRIVATE_KEY=.+\n$/)
  await t.rejects(powersyncMongo('make-keys'), { code: 2, stdout: '', stderr: /no command "make-keys"/ })
})
