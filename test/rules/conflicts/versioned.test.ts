import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../../index.js'
import { versioned } from '../../../lib/rules/conflicts/index.js'
import { Double, Int32, Long } from '../../../lib/bson.js'
import { serverWith } from './server.js'

const Row = Type.Object({ text: Type.Optional(Type.String()), version: Type.Optional(bson.Int32()) })
const conflict = {
  status: 'fatal_error',
  failed_operation: { error_code: 'CONFLICT', operation_index: 0, details: { path: 'version' } }
}
const success = { status: 'success' }

t.test('versioned: what the client saw is as the server has it, and the server counts', async t => {
  const { after } = await serverWith(t, collection({ schema: Row, resolveConflict: versioned({ field: 'version' }) }))
  const server = { text: 'server', version: 3 }
  const client = (version: number) => ({ text: 'client', version: new Int32(version) })

  t.same((await after(server, ['PATCH', { text: 'client', version: 4 }])).row, client(4), 'the next version')
  t.same(
    (await after(server, ['PATCH', { text: 'client', version: 4 }, { old: { version: 3 } }])).row,
    client(4),
    'or what it was before'
  )
  t.same(
    (await after(server, ['PATCH', { text: 'client' }, { old: { version: 3 } }])).row,
    client(4),
    'the server counts, even if the client does not'
  )
  t.same((await after(server, ['PATCH', { text: 'client', version: 99 }, { old: { version: 3 } }])).row, client(4))
  t.same((await after(server, ['PUT', { text: 'client', version: 4 }])).row, client(4))
  t.same(
    (await after({ text: 'server' }, ['PATCH', { text: 'client', version: 1 }])).row,
    client(1),
    'a row without has version 0'
  )
  t.same((await after({ text: 'server' }, ['PATCH', { text: 'client' }, { old: { version: null } }])).row, client(1))
  t.same(
    (await after(server, ['PATCH', { text: 'x', version: 4 }], ['PATCH', { text: 'client', version: 5 }])).row,
    client(5),
    'one after the other, before it has synced'
  )
  t.same((await after(server, ['DELETE', undefined, { old: { version: 3 } }])).row, null)
  t.same(
    await after(server, ['PATCH', {}, { old: { version: 1 } }]),
    { row: { text: 'server', version: new Int32(3) }, result: success },
    'what changes nothing passes'
  )

  for (const stale of [
    ['PATCH', { text: 'client', version: 3 }],
    ['PATCH', { text: 'client', version: 3 }, { old: { version: 2 } }],
    ['PATCH', { text: 'client', version: 4 }, { old: { version: 2 } }],
    ['PATCH', { text: 'client', version: 5 }, { old: { version: 4 } }],
    ['PATCH', { text: 'client' }],
    ['PUT', { text: 'client', version: 3 }],
    ['PUT', { text: 'client' }],
    ['DELETE', undefined, { old: { version: 2 } }],
    ['DELETE']
  ] as Array<Parameters<typeof after>[1]>) {
    t.match(
      await after(server, stale),
      { row: { text: 'server', version: new Int32(3) }, result: conflict },
      JSON.stringify(stale)
    )
  }
})

t.test('versioned: a stale change is rejected and kept as a dead letter, or dropped', async t => {
  const server = { text: 'server', version: 3 }
  const reject = await serverWith(
    t,
    collection({ schema: Row, resolveConflict: versioned({ field: 'version', onStale: 'reject' }) })
  )
  await reject.after(server, ['PATCH', { text: 'client', version: 2 }])
  t.match(await reject.app.powersync.deadLetters.list(), [
    { failed_operation: { error_code: 'CONFLICT' }, operations: [{ op: 'PATCH', id: 'a' }] }
  ])
  const keep = await serverWith(
    t,
    collection({ schema: Row, resolveConflict: versioned({ field: 'version', onStale: 'keep' }) })
  )
  t.match(await keep.after(server, ['PATCH', { text: 'client', version: 2 }]), {
    row: { text: 'server' },
    result: success
  })
  t.same(await keep.app.powersync.deadLetters.list(), [])
})

t.test('versioned: the version keeps the type of its field', async t => {
  const types = [
    [bson.Long(), Long.fromString('9007199254740993'), '9007199254740994', Long.fromString('9007199254740994')],
    [bson.Double(), new Double(3), 4, new Double(4)],
    [Type.Integer(), new Int32(3), 4, new Int32(4)]
  ] as const
  for (const [type, before, sent, stored] of types) {
    const { after } = await serverWith(
      t,
      collection({
        schema: Type.Object({ version: type as (typeof types)[0][0] }),
        resolveConflict: versioned({ field: 'version' })
      })
    )
    t.same((await after({ version: before }, ['PATCH', { version: sent }])).row, { version: stored })
  }
})
