import type { Command } from 'commander'
import type { Collections } from '../../types/collections.js'
import { didYouMean, nearest } from '../nearest.js'
import { streamListOf, streamsOf } from '../schema/streams.js'
import { configOption, loadConfig } from './config.js'
import { envOption } from './environment.js'
import { usageError, type CommandIO } from './io.js'

/** `powersync-mongo streams`: the YAML and nothing else on stdout, so that it can go into a file. */
export function addStreams (program: Command, io: CommandIO): void {
  program.command('streams')
    .description('print Sync Streams for PowerSync\'s configuration: of each table the rows that its owner rule gives to the user')
    .addOption(configOption)
    .option('--everybody <table>', 'a table of which every user gets every row; repeat it, or separate tables by commas', listed)
    .addOption(envOption)
    .option('--json', 'print { streams: [{ table, query, remarks, off }] } in place of YAML')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo streams > sync-config.yaml')
    .action(async ({ config, everybody = [], json }: { config?: string, everybody?: string[], json?: true }) => {
      const collections = await loadConfig(config, io.cwd())
      checkTables(everybody, collections)
      io.stdout.write(json ? `${JSON.stringify({ streams: streamListOf(collections, everybody) }, null, 2)}\n` : streamsOf(collections, everybody))
    })
}

const listed = (text: string, before: string[] = []): string[] => [...before, ...text.split(',').map(table => table.trim())]

function checkTables (tables: string[], collections: Collections): void {
  const unknown = tables.find(table => !Object.hasOwn(collections, table))
  if (unknown === undefined) return
  throw usageError(`--everybody names ${unknown}, which is not one of collections${didYouMean(nearest(unknown, Object.keys(collections)))}`)
}
