import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Option, type Command } from 'commander'
import type { Collections } from '../../types/collections.js'
import { clientSchemaOf, clientTablesOf, clientTargets, type ClientTarget } from '../schema/client-schema.js'
import { descriptionsOf } from '../schema/descriptions.js'
import { rawTablesOf } from '../schema/raw-tables.js'
import { configOption, loadConfig } from './config.js'
import { envOption } from './environment.js'
import type { CommandIO } from './io.js'

/** `powersync-mongo client-schema`: the code and nothing else on stdout, so that it can go into a file. */
export function addClientSchema (program: Command, io: CommandIO): void {
  program.command('client-schema')
    .description('print the PowerSync schema of the client: tables, columns, and what resolveConflict needs to be tracked')
    .addOption(configOption)
    .addOption(new Option('--target <name>', 'language of the client').choices([...clientTargets, 'sql']).default('js'))
    .option('--validators', 'print a JavaScript module that checks operations as the server does, before they are queued')
    .addOption(envOption)
    .option('--json', 'print { tables: [{ name, columns: [{ name, type }], options }] }, or what the validators check, in place of code')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo client-schema > app/schema.js')
    .action(async (options: Options & { config?: string }) => {
      io.stdout.write(await print(await loadConfig(options.config, io.cwd()), options))
    })
}

interface Options { target: ClientTarget | 'sql', validators?: true, json?: true }

async function print (collections: Collections, { target, validators, json }: Options): Promise<string> {
  if (json) return `${JSON.stringify(validators ? descriptionsOf(collections) : { tables: clientTablesOf(collections) }, null, 2)}\n`
  if (validators) return await validatorsModule(collections)
  return target === 'sql' ? rawTablesOf(collections) : clientSchemaOf(collections, target)
}

/** The interpreter as it is built, and what it is to check. */
async function validatorsModule (collections: Collections): Promise<string> {
  const source = await readFile(join(dirname(createRequire(import.meta.url).resolve('fastify-powersync-mongo/package.json')), 'dist/lib/client/validate.js'), 'utf8')
  return `// Printed by powersync-mongo client-schema --validators: print it again when your collections change.
${source.replace(/^\/\/# sourceMappingURL.*\n?/m, '')}
export const { validate, tables, serverRules } = createValidators(${JSON.stringify(descriptionsOf(collections))})
`
}
