import { readFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { CommandIO } from './io.js'

/** The file of each SDK in examples/connectors, which the package has. */
export const connectors = {
  js: 'connector.ts',
  'react-native': 'connector.ts',
  dart: 'connector.dart',
  kotlin: 'Connector.kt',
  swift: 'Connector.swift',
  dotnet: 'Connector.cs',
  rust: 'connector.rs'
} as const

/** `powersync-mongo connector`: the code and nothing else on stdout, so that it can go into a file. */
export function addConnector (program: Command, io: CommandIO): void {
  program.command('connector')
    .description('print a connector for an SDK of PowerSync: tokens and uploads, with what the server deduplicates by')
    .addOption(new Option('--target <name>', 'SDK of the client').choices(Object.keys(connectors)).default('js'))
    .addHelpText('after', '\nExample:\n  npx powersync-mongo connector --target swift > Connector.swift')
    .action(async ({ target }: { target: keyof typeof connectors }) => {
      const root = dirname(createRequire(import.meta.url).resolve('fastify-powersync-mongo/package.json'))
      io.stdout.write(await readFile(join(root, 'examples', 'connectors', connectors[target]), 'utf8'))
    })
}
