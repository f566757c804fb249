import { parseArgs } from 'node:util'
import { streamsOf } from '../collections/streams.js'
import type { CommandIO } from './command.js'
import { loadConfig } from './config.js'

const usage = `Usage: powersync-mongo streams --config <file>

Prints Sync Streams for PowerSync's configuration (YAML): one per table, each user's own rows where it has an owner.
Look through them before you use them: who may read what is yours to decide.

  --config  the file that exports your collections

Example: npx powersync-mongo streams --config collections.js > sync-config.yaml
`

/** `powersync-mongo streams`: the YAML and nothing else on stdout, so that it can go into a file. */
export async function streamsCommand (args: string[], io: CommandIO): Promise<number> {
  const { values } = parseArgs({ args, options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } } })
  if (values.help) {
    io.stdout.write(usage)
    return 0
  }
  io.stdout.write(streamsOf(await loadConfig(values.config)))
  return 0
}
