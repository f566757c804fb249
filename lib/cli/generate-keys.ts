import { parseArgs } from 'node:util'
import { generatedAlgorithms, isGenerated } from '../keys/algorithms.js'
import { generateKeys } from '../keys/generate.js'
import type { GeneratedKeys } from '../keys/generate.js'
import { UsageError } from './command.js'
import type { CommandIO } from './command.js'

const usage = `Usage: powersync-mongo generate-keys [--alg ${generatedAlgorithms.join('|')}] [--kid <name>] [--format env|json]

Makes the key pair that signs PowerSync tokens. The private key is secret; use one pair for all processes of an app.

  --alg     signature algorithm (RS256)
  --kid     the pair's name in tokens (its RFC 7638 thumbprint)
  --format  env: POWERSYNC_PUBLIC_KEY and POWERSYNC_PRIVATE_KEY as base64, for a .env file (default)
            json: { publicKey, privateKey } as JWKs

Example: npx powersync-mongo generate-keys >> .env
`

/** `powersync-mongo generate-keys`: prints a new pair and nothing else on stdout, so that it can go into a file. */
export async function generateKeysCommand (args: string[], io: CommandIO): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      alg: { type: 'string', default: 'RS256' },
      kid: { type: 'string' },
      format: { type: 'string', default: 'env' },
      help: { type: 'boolean', short: 'h' }
    }
  })
  if (values.help) {
    io.stdout.write(usage)
    return 0
  }
  if (!isGenerated(values.alg)) throw new UsageError(`--alg ${values.alg} is not one of ${generatedAlgorithms.join(', ')}`)
  if (values.kid === '') throw new UsageError('--kid is empty')
  if (!isFormat(values.format)) throw new UsageError(`--format ${values.format} is not one of ${Object.keys(formats).join(', ')}`)

  io.stdout.write(formats[values.format](await generateKeys({ algorithm: values.alg, kid: values.kid })))
  return 0
}

const formats = {
  env: ({ publicKeyBase64, privateKeyBase64 }: GeneratedKeys) =>
    `POWERSYNC_PUBLIC_KEY=${publicKeyBase64}\nPOWERSYNC_PRIVATE_KEY=${privateKeyBase64}\n`,
  json: ({ publicKey, privateKey }: GeneratedKeys) =>
    `${JSON.stringify({ publicKey, privateKey }, null, 2)}\n`
}

function isFormat (name: string): name is keyof typeof formats {
  return Object.hasOwn(formats, name)
}
