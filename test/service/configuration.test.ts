/** What the PowerSync Service of `npm run test:service` is configured with. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parse, type CollectionTag } from 'yaml'
import { commandLine, rejections } from './set-up.js'

const examples = join(import.meta.dirname, '..', '..', 'examples')
const read = (file: string) => readFile(join(import.meta.dirname, file), 'utf8')

interface Compose { services: Record<string, { volumes?: string[] }> }

/** In place of what the first file says, and not beside it. */
const override: CollectionTag = { tag: '!override', collection: 'map' }

t.test('the streams are those of the collections', async t => {
  const printed = await commandLine('streams', '--rejections', rejections)
  t.equal(await read('streams.yaml'), printed, 'collections.ts says how to print them')
})

t.test('docker-compose.yml changes services of the examples, and names files that are there', async t => {
  const { services } = parse(await read('docker-compose.yml'), { customTags: [override] }) as Compose
  const base = parse(await readFile(join(examples, 'docker-compose.yml'), 'utf8')) as Compose
  for (const [name, { volumes = [] }] of Object.entries(services)) {
    t.ok(base.services[name], name)
    for (const volume of volumes) t.ok(existsSync(join(examples, volume.split(':')[0]!)), volume)
  }
})
