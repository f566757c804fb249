import { clientSchemaOf, clientTablesOf, clientTargets } from '../schema/client-schema.js'
import { command } from './command.js'
import { configOptions, loadConfig } from './config.js'
import { environmentOptions } from './environment.js'

/** `powersync-mongo client-schema`: the code and nothing else on stdout, so that it can go into a file. */
export const clientSchemaCommand = command({
  summary: 'print the client\'s PowerSync schema',
  about: 'Prints the PowerSync schema of the client: its tables and columns, as your collections have them, with what resolveConflict needs to be tracked.',
  options: {
    ...configOptions,
    target: { type: 'string', value: '<name>', choices: clientTargets, default: 'js', help: 'language of the client' },
    ...environmentOptions,
    json: { type: 'boolean', help: 'print { tables: [{ name, columns: [{ name, type }], options }] } in place of code' }
  },
  example: 'client-schema > app/schema.js',

  async run ({ config, target, json }, io) {
    const collections = await loadConfig(config, io.cwd())
    io.stdout.write(json ? `${JSON.stringify({ tables: clientTablesOf(collections) }, null, 2)}\n` : clientSchemaOf(collections, target))
    return 0
  }
})
