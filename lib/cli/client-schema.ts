import { Option, type Command } from 'commander'
import { clientSchemaOf, clientTablesOf, clientTargets } from '../schema/client-schema.js'
import { configOption, loadConfig } from './config.js'
import { envOption } from './environment.js'
import type { CommandIO } from './io.js'

/** `powersync-mongo client-schema`: the code and nothing else on stdout, so that it can go into a file. */
export function addClientSchema (program: Command, io: CommandIO): void {
  program.command('client-schema')
    .description('print the PowerSync schema of the client: tables, columns, and what resolveConflict needs to be tracked')
    .addOption(configOption)
    .addOption(new Option('--target <name>', 'language of the client').choices(clientTargets).default('js'))
    .addOption(envOption)
    .option('--json', 'print { tables: [{ name, columns: [{ name, type }], options }] } in place of code')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo client-schema > app/schema.js')
    .action(async ({ config, target, json }: { config?: string, target: typeof clientTargets[number], json?: true }) => {
      const collections = await loadConfig(config, io.cwd())
      io.stdout.write(json ? `${JSON.stringify({ tables: clientTablesOf(collections) }, null, 2)}\n` : clientSchemaOf(collections, target))
    })
}
