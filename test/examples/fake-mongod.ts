/**
 * Stands in for mongod where it cannot be downloaded: does what mongodb-memory-server watches for, and keeps no data.
 */
import { parseArgs } from 'node:util'
import { startWireServer } from '../support/wire-server.js'

const { version, port, replSet, storageEngine, setParameter } = parseArgs({
  options: {
    version: { type: 'boolean' },
    port: { type: 'string' },
    replSet: { type: 'string' },
    storageEngine: { type: 'string' },
    setParameter: { type: 'string' }
  },
  strict: false
}).values

if (version) {
  console.log('db version v8.0.0')
} else {
  if (!replSet || storageEngine !== 'wiredTiger') throw new Error('expected --replSet and --storageEngine wiredTiger')
  await startWireServer({
    port: Number(port),
    hello: { setName: replSet },
    on: {
      replSetInitiate: () => {
        console.log('transition to primary complete; database writes are now permitted')
        return { ok: 1 }
      },
      getParameter: () => ({ ok: 1, given: setParameter }),
      shutdown: () => process.exit(0)
    }
  })
  console.log('Waiting for connections')
}
