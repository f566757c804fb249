import { Option, type Command } from 'commander'
import { algorithmNames, type KeyAlgorithm } from '../keys/algorithms.js'
import { generateKeys } from '../keys/generate.js'
import type { CommandIO } from './io.js'

/** `powersync-mongo generate-keys`: prints a new pair and nothing else on stdout, so that it can go into a file. */
export function addGenerateKeys (program: Command, { stdout }: CommandIO): void {
  program.command('generate-keys')
    .description('make the key pair that signs tokens, as lines for .env: one pair for all processes of an app')
    .addOption(new Option('--alg <name>', 'signature algorithm').choices(algorithmNames).default('RS256'))
    .option('--kid <name>', 'the pair\'s name in tokens (default: its RFC 7638 thumbprint)')
    .option('--json', 'print { publicKey, privateKey } as JWKs')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo generate-keys >> .env')
    .action(async ({ alg, kid, json }: { alg: KeyAlgorithm, kid?: string, json?: true }) => {
      const { publicKey, privateKey, publicKeyBase64, privateKeyBase64 } = await generateKeys({ algorithm: alg, kid })
      stdout.write(json
        ? `${JSON.stringify({ publicKey, privateKey }, null, 2)}\n`
        : `POWERSYNC_PUBLIC_KEY=${publicKeyBase64}\nPOWERSYNC_PRIVATE_KEY=${privateKeyBase64}\n`)
    })
}
