/**
 * `npm run bench` runs all benchmarks, `npm run bench -- <name>` some of them; the figures also go to
 * bench/results.json. `--quick` runs each for a moment, to see that it runs, and checks what is exact. `--profiles
 * <folder>` writes CPU profiles of the plugin's server under `upload`, for Chrome's developer tools or any other reader
 * of .cpuprofile.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { commands } from './commands.js'
import { congestion } from './congestion.js'
import { decode } from './decode.js'
import { growth } from './growth.js'
import { jwks } from './jwks.js'
import { memory } from './memory.js'
import { perOp } from './per-op.js'
import type { Figure, Options } from './support.js'
import { token } from './token.js'
import { upload } from './upload.js'

const benchmarks: Record<string, (options: Options) => Promise<Figure[]>> = {
  decode,
  upload,
  commands,
  'per-op': perOp,
  token,
  jwks,
  memory,
  growth,
  congestion
}

const { values: { quick, profiles }, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, profiles: { type: 'string' } }
})
const names = positionals.length ? positionals : Object.keys(benchmarks)
const results: Record<string, Figure[]> = {}
for (const name of names) {
  const benchmark = benchmarks[name]
  if (!benchmark) throw new Error(`There is no benchmark ${name}: choose from ${Object.keys(benchmarks).join(', ')}`)
  results[name] = await benchmark({ quick, profiles })
}
await writeFile(join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
