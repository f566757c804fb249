import { streamListOf, streamsOf } from '../schema/streams.js'
import { command } from './command.js'
import { configOptions, loadConfig } from './config.js'
import { environmentOptions } from './environment.js'

/** `powersync-mongo streams`: the YAML and nothing else on stdout, so that it can go into a file. */
export const streamsCommand = command({
  summary: 'print Sync Streams for PowerSync\'s configuration',
  about: 'Prints Sync Streams for PowerSync\'s configuration (YAML): one per table, each user\'s own rows where it has an owner. ' +
    'Look through them before you use them: who may read what is yours to decide.',
  options: {
    ...configOptions,
    ...environmentOptions,
    json: { type: 'boolean', help: 'print { streams: [{ table, query, remarks }] } in place of YAML' }
  },
  example: 'streams > sync-config.yaml',

  async run ({ config, json }, io) {
    const collections = await loadConfig(config, io.cwd())
    io.stdout.write(json ? `${JSON.stringify({ streams: streamListOf(collections) }, null, 2)}\n` : streamsOf(collections))
    return 0
  }
})
