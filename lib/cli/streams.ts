import type { Command } from 'commander'
import { streamListOf, streamsOf } from '../schema/streams.js'
import { configOption, loadConfig } from './config.js'
import { envOption } from './environment.js'
import type { CommandIO } from './io.js'

/** `powersync-mongo streams`: the YAML and nothing else on stdout, so that it can go into a file. */
export function addStreams (program: Command, io: CommandIO): void {
  program.command('streams')
    .description('print Sync Streams for PowerSync\'s configuration: look through them, who may read what is yours to decide')
    .addOption(configOption)
    .addOption(envOption)
    .option('--json', 'print { streams: [{ table, query, remarks }] } in place of YAML')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo streams > sync-config.yaml')
    .action(async ({ config, json }: { config?: string, json?: true }) => {
      const collections = await loadConfig(config, io.cwd())
      io.stdout.write(json ? `${JSON.stringify({ streams: streamListOf(collections) }, null, 2)}\n` : streamsOf(collections))
    })
}
