import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { connectors } from '../../lib/cli/printers.js'
import { powersyncMongo } from '../support/command-line.js'
import { root } from '../support/documents.js'

for (const [target, file] of Object.entries(connectors)) {
  t.test(`connector --target ${target} prints examples/connectors/${file}`, async t => {
    const { stdout } = await powersyncMongo('connector', '--target', target)
    t.equal(stdout, await readFile(join(root, 'examples', 'connectors', file), 'utf8'))
    t.match(stdout, /compiled/i, 'it says whether it was compiled')
    if (!file.endsWith('.ts')) {
      for (const name of ['client_id', 'results', 'requires_client_handling']) t.match(stdout, name)
    }
  })
}

t.test('without --target it is that of JavaScript', async t => {
  t.equal(
    (await powersyncMongo('connector')).stdout,
    await readFile(join(root, 'examples', 'connectors', 'connector.ts'), 'utf8')
  )
})
