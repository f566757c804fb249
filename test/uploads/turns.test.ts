import t from 'tap'
import { bson, collection, Type } from '../../index.js'
import { decodeAll } from '../../lib/rules/hooks.js'
import { CollectionRegistry } from '../../lib/rules/registry.js'
import { userOf } from '../../lib/user.js'

/** Work that others get turns in between: none could come before its end if it were one piece. */
async function turnsIn (work: () => Promise<unknown>): Promise<number> {
  let turns = 0
  let isOver = false
  const count = () => {
    if (isOver) return
    turns++
    setImmediate(count)
  }
  setImmediate(count)
  await work()
  isOver = true
  return turns
}

const registry = new CollectionRegistry({
  rows: collection({ schema: Type.Object({ json: bson.Json(Type.Array(Type.Any())) }) })
}, {})
const json = `[${Array(50_000).fill('{"a":1}').join()}]`
const operations = Array.from({ length: 20 }, (_, index) =>
  ({ op: 'PUT' as const, table: 'rows', id: `row${index}`, data: { json }, index }))

t.test('operations with large values are decoded one after the other, and others get turns in between', async t => {
  const ofUser = registry.for(userOf('user1', {}))
  const turns = await turnsIn(() => decodeAll([{ operations }], ofUser, registry.migrations))
  t.ok(turns > 2, `${turns}`)
})
