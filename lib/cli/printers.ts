/** The commands that print code or keys, and nothing else on stdout, so that it can go into a file. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import type { Collections, KeyAlgorithm } from '../../types/index.js'
import { kinds } from '../client/check.js'
import { rejectionColumns } from '../client/rejections.js'
import { quote } from '../client/sql.js'
import { algorithmNames } from '../keys/jwk.js'
import { generateKeys } from '../keys/generate.js'
import { didYouMean, nearest } from '../nearest.js'
import { clientSchemaOf, clientTablesOf, clientTargets, type ClientTarget } from '../schema/client-schema.js'
import { descriptionsOf } from '../schema/descriptions.js'
import { rawTablesOf } from '../schema/raw-tables.js'
import { streamListOf, streamsOf } from '../schema/streams.js'
import { configOption, envOption, loadApp, packageFolder } from './config.js'
import { jsonText, usageError, type CommandIO } from './terminal.js'

export function addGenerateKeys (program: Command, { stdout }: CommandIO): void {
  program.command('generate-keys')
    .description('generate the key pair that signs tokens, as lines for .env: one pair for all processes of an app')
    .addOption(new Option('--alg <name>', 'signature algorithm').choices(algorithmNames).default('RS256'))
    .option('--kid <name>', 'name of the pair in tokens (default: its RFC 7638 thumbprint)')
    .option('--json', 'print { publicKey, privateKey } as JWKs')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo generate-keys >> .env')
    .action(async ({ alg, kid, json }: { alg: KeyAlgorithm, kid?: string, json?: true }) => {
      const { publicKey, privateKey, publicKeyBase64, privateKeyBase64 } = await generateKeys({ algorithm: alg, kid })
      stdout.write(json
        ? jsonText({ publicKey, privateKey })
        : `POWERSYNC_PUBLIC_KEY=${publicKeyBase64}\nPOWERSYNC_PRIVATE_KEY=${privateKeyBase64}\n`)
    })
}

export const connectors = {
  js: 'connector.ts',
  'react-native': 'connector.ts',
  dart: 'connector.dart',
  kotlin: 'Connector.kt',
  swift: 'Connector.swift',
  dotnet: 'Connector.cs',
  rust: 'connector.rs'
}

interface Options { config?: string, rejections?: string, json?: true }
interface SchemaOptions extends Options { target: ClientTarget | 'sql', validators?: true }

export function addPrinters (program: Command, { stdout, cwd }: CommandIO): void {
  const rejectionsWords = 'also print the table of rejected changes, named as in upload.deadLetters.mirror'
  program.command('client-schema')
    .description('print the client\'s PowerSync schema: tables, columns, and what resolveConflict needs to be tracked')
    .addOption(configOption)
    .addOption(new Option('--target <name>', 'language of the client').choices([...clientTargets, 'sql']).default('js'))
    .option('--validators', 'print a JavaScript module that checks operations like the server, before they are queued')
    .option('--rejections <table>', rejectionsWords)
    .addOption(envOption)
    .option('--json', 'print { tables: [{ name, columns: [{ name, type }], options }] }, or what the validators check')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo client-schema > app/schema.js')
    .action(async ({ config, target, validators, rejections, json }: SchemaOptions) => {
      const { collections } = await loadApp(config, cwd(), rejections)
      const others = rejections === undefined ? [] : [{ name: rejections, columns: rejectionList, options: {} }]
      const tables = () => [...clientTablesOf(collections), ...others]
      if (json) stdout.write(jsonText(validators ? descriptionsOf(collections) : { tables: tables() }))
      else if (validators) stdout.write(await validatorsModule(collections))
      else stdout.write(target === 'sql' ? rawTablesOf(collections) : clientSchemaOf(collections, target, others))
    })

  program.command('connector')
    .description('print a connector for a PowerSync SDK, which sends the ids that make retries idempotent')
    .addOption(new Option('--target <name>', 'SDK of the client').choices(Object.keys(connectors)).default('js'))
    .addHelpText('after', '\nExample:\n  npx powersync-mongo connector --target swift > Connector.swift')
    .action(async ({ target }: { target: keyof typeof connectors }) => {
      stdout.write(await readFile(join(packageFolder, 'examples/connectors', connectors[target]), 'utf8'))
    })

  program.command('streams')
    .description('print Sync Streams for PowerSync\'s configuration: a user gets the rows of the owner rules')
    .addOption(configOption)
    .option('--everybody <table>', 'table whose rows all users get; repeat it, or separate tables by commas', listed)
    .option('--rejections <table>', rejectionsWords)
    .addOption(envOption)
    .option('--json', 'print { streams: [{ table, query, remarks, off }] }')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo streams > sync-config.yaml')
    .action(async ({ config, everybody = [], rejections, json }: Options & { everybody?: string[] }) => {
      const { collections } = await loadApp(config, cwd(), rejections)
      const unknown = everybody.find(table => !Object.hasOwn(collections, table))
      if (unknown !== undefined) {
        const hint = didYouMean(nearest(unknown, Object.keys(collections)))
        throw usageError(`--everybody names ${unknown}, which is not one of collections${hint}`)
      }
      const others = rejections === undefined ? [] : [rejectionsStream(rejections)]
      const streams = () => [...streamListOf(collections, everybody), ...others]
      stdout.write(json ? jsonText({ streams: streams() }) : streamsOf(collections, everybody, others))
    })
}

const listed = (text: string, before: string[] = []): string[] =>
  [...before, ...text.split(',').map(table => table.trim())]

const rejectionList = Object.entries(rejectionColumns({ text: 'text', integer: 'integer' } as const))
  .map(([name, type]) => ({ name, type }))

function rejectionsStream (table: string) {
  const names = rejectionList.map(({ name }) => quote(name)).join(', ')
  const query = `SELECT ${names}, "_id" AS "id" FROM ${quote(table)} WHERE "user_id" = auth.user_id()`
  return { table, query, remarks: [] }
}

/** The built modules of the checks in one, applied to the collections' descriptions. */
async function validatorsModule (collections: Collections): Promise<string> {
  const folder = join(packageFolder, 'dist/lib/client')
  const files = ['values.js', 'check.js', 'validate.js'].map(file => readFile(join(folder, file), 'utf8'))
  const code = (await Promise.all(files)).join('')
  const descriptions = JSON.stringify(descriptionsOf(collections))
  const used = Object.entries(kinds)
    .filter(([kind]) => descriptions.includes(`"t":"${kind}"`))
    .map(([kind, { name }]) => `${kind}: ${name}`)
  return `// Printed by powersync-mongo client-schema --validators: print it again when your collections change.
${code.replace(/^(?:import [^;]*?;|\/\/# sourceMappingURL.*)\n/gm, '').replace(/^export /gm, '')}
export const { validate, tables, serverRules } = validatorsOf(${descriptions}, { ${used.join(', ')} })
`
}
