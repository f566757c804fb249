/**
 * `npm test`: gets the server that the tests run on, says what it is, and runs tap with the arguments given.
 *
 * By default in minutes, compiled by esbuild and without coverage, whose lines need TypeScript's own compiler.
 * TEST_SIZE=full takes coverage, and has the searches at random long.
 */
import { spawn } from 'node:child_process'
import { startServer } from './database.js'
import { fullSize } from './size.js'

const server = await startServer({ database: 'test', port: 0, download: true })
await server.stop()
console.log(`The tests run on ${server.description}.`)

const quick = ['--jobs=4', '--disable-coverage', '--node-arg=--import=tsx', '--test-env=TAP_TYPE_STRIP_ONLY=1']
spawn('tap', [...(fullSize ? [] : quick), ...process.argv.slice(2)], {
  stdio: 'inherit',
  shell: process.platform === 'win32'
})
  .on('error', error => {
    throw error
  })
  .on('exit', (code, signal) => {
    if (signal) process.kill(process.pid, signal)
    else process.exitCode = code ?? 1
  })
