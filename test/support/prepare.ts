/** Before the tests, each of which is a process: gets the server that they run on, and says what it is. */
import { startServer } from './database.js'

const server = await startServer({ database: 'test', port: 0, download: true })
await server.stop()
console.log(`The tests run on ${server.description}.`)
