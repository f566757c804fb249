/** `npm run bench` runs all benchmarks, `npm run bench -- <name>` one; the figures also go to bench/results.json. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decode } from './decode.js'
import type { Measurement } from './support.js'

const benchmarks: Record<string, () => Measurement[]> = { decode }

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(benchmarks)
const results: Record<string, Measurement[]> = {}
for (const name of names) {
  const benchmark = benchmarks[name]
  if (!benchmark) throw new Error(`There is no benchmark ${name}: choose from ${Object.keys(benchmarks).join(', ')}`)
  results[name] = benchmark()
}
await writeFile(join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
