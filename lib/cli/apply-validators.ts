import { parseArgs } from 'node:util'
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { applyDifference, compareValidators, nameOf, remedyOf } from '../storage/validators.js'
import { choice, UsageError, type CommandIO } from './command.js'
import { loadConfig } from './config.js'

const usage = `Usage: powersync-mongo apply-validators --config <file> [options]

Makes MongoDB enforce your schemas: creates or changes the $jsonSchema validator of each collection, and says what
changes. What is as it should be stays untouched.

  --config   the file that exports your collections
  --uri      connection string with the database in its path (MONGO_URI)
  --level    strict: for all documents (default); moderate: not for those that break the rules already
  --action   error: refuse the document (default); warn: only log it
  --dry-run  say what would change, and change nothing

Example: npx powersync-mongo apply-validators --config collections.js --dry-run
`

/** `powersync-mongo apply-validators`: 0 when the database is as it should be, 1 when MongoDB refused. */
export async function applyValidatorsCommand (args: string[], io: CommandIO): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string' },
      uri: { type: 'string' },
      level: { type: 'string', default: 'strict' },
      action: { type: 'string', default: 'error' },
      'dry-run': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' }
    }
  })
  if (values.help) {
    io.stdout.write(usage)
    return 0
  }
  const level = choice('level', values.level, ['strict', 'moderate'] as const)
  const action = choice('action', values.action, ['error', 'warn'] as const)
  const uri = values.uri ?? process.env['MONGO_URI']
  if (!uri) throw new UsageError('which MongoDB? Pass --uri or set MONGO_URI')
  const collections = await loadConfig(values.config)

  const dry = values['dry-run']
  let client: mongodb.MongoClient | undefined
  const apply = async () => {
    client = new fastifyMongodb.mongodb.MongoClient(uri, { serverSelectionTimeoutMS: 7500 })
    const db = client.db()
    for (const difference of await compareValidators(db, collections, { level, action })) {
      if (!dry) await applyDifference(db, difference)
      const { name, action, changes } = difference
      io.stdout.write(`${name}: ${words[action]}${dry && action !== 'none' ? ' (dry run)' : ''}\n${changes.map(change => `  ${change}\n`).join('')}`)
    }
    return 0
  }
  const code = await apply().catch((error: unknown) => {
    io.stderr.write(`powersync-mongo apply-validators: MongoDB did not do it (${nameOf(error)}): ${remedyOf(error, dry ? 'read' : 'dbAdmin')}, and run this again\n`)
    return 1
  })
  await client?.close()
  return code
}

const words = { create: 'created with its validator', update: 'changed', none: 'as it should be' }
