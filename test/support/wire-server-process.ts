/**
 * The wire server as a process of its own, for benchmarks:
 *   node --import tsx test/support/wire-server-process.ts [--port 0] [--delay 1] [--max-wire-version 25] [--topology
 *   mongos]
 * Prints its connection string. A parent that forked it gets `{ uri }` as a message, may ask for `{ counts }` with the
 * message `counts`, and takes it along when it ends.
 */
import { parseArgs } from 'node:util'
import { startWireServer, type Topology } from './wire-server.js'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    delay: { type: 'string', default: '0' },
    'max-wire-version': { type: 'string', default: '25' },
    topology: { type: 'string', default: 'replicaSet' }
  }
})

const server = await startWireServer({
  port: Number(values.port),
  delay: Number(values.delay),
  maxWireVersion: Number(values['max-wire-version']),
  topology: values.topology as Topology,
  log: false
})

console.log(server.uri)
process.send?.({ uri: server.uri })
process.on('message', (message) => { if (message === 'counts') process.send?.({ counts: server.counts }) })
process.on('disconnect', () => process.exit())
