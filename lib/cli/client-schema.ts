import { parseArgs } from 'node:util'
import { clientSchemaOf, clientTargets } from '../collections/client-schema.js'
import { choice, type CommandIO } from './command.js'
import { loadConfig } from './config.js'

const usage = `Usage: powersync-mongo client-schema --config <file> [--target ${clientTargets.join('|')}]

Prints the PowerSync schema of the client: its tables and columns, as your collections have them.

  --config  the file that exports your collections
  --target  language of the client (js)

Example: npx powersync-mongo client-schema --config collections.js > app/schema.js
`

/** `powersync-mongo client-schema`: the code and nothing else on stdout, so that it can go into a file. */
export async function clientSchemaCommand (args: string[], io: CommandIO): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { config: { type: 'string' }, target: { type: 'string', default: 'js' }, help: { type: 'boolean', short: 'h' } }
  })
  if (values.help) {
    io.stdout.write(usage)
    return 0
  }
  const target = choice('target', values.target, clientTargets)
  io.stdout.write(clientSchemaOf(await loadConfig(values.config), target))
  return 0
}
