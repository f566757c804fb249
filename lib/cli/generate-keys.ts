import { algorithmNames } from '../keys/algorithms.js'
import { generateKeys } from '../keys/generate.js'
import { command } from './command.js'

/** `powersync-mongo generate-keys`: prints a new pair and nothing else on stdout, so that it can go into a file. */
export const generateKeysCommand = command({
  summary: 'make the key pair that signs tokens',
  about: 'Makes the key pair that signs PowerSync tokens, as POWERSYNC_PUBLIC_KEY and POWERSYNC_PRIVATE_KEY in base64 for a .env file. ' +
    'The private key is secret; use one pair for all processes of an app.',
  options: {
    alg: { type: 'string', value: '<name>', choices: algorithmNames, default: 'RS256', help: 'signature algorithm' },
    kid: { type: 'string', value: '<name>', help: 'the pair\'s name in tokens (its RFC 7638 thumbprint)' },
    json: { type: 'boolean', help: 'print { publicKey, privateKey } as JWKs' }
  },
  example: 'generate-keys >> .env',

  async run ({ alg, kid, json }, { stdout }) {
    const { publicKey, privateKey, publicKeyBase64, privateKeyBase64 } = await generateKeys({ algorithm: alg, kid })
    stdout.write(json
      ? `${JSON.stringify({ publicKey, privateKey }, null, 2)}\n`
      : `POWERSYNC_PUBLIC_KEY=${publicKeyBase64}\nPOWERSYNC_PRIVATE_KEY=${privateKeyBase64}\n`)
    return 0
  }
})
