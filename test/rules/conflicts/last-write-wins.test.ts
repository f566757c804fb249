import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../../index.js'
import { keepServer, lastWriteWins } from '../../../lib/rules/conflicts/index.js'
import { serverWith } from './server.js'

const [earlier, time, later] = [
  '2025-06-01T10:00:00.000Z',
  '2025-06-01T12:00:00.000Z',
  '2025-06-01T14:00:00.000Z'
] as const
const existing = { text: 'server', at: new Date(time) }

t.test('lastWriteWins', async t => {
  const { after } = await serverWith(t, collection({
    schema: Type.Object({ text: Type.Optional(Type.String()), at: Type.Optional(bson.Date()) }),
    resolveConflict: lastWriteWins({ field: 'at' })
  }))
  const text = async (...args: Parameters<typeof after>) => (await after(...args)).row?.['text'] ?? null

  t.equal(await text(existing, ['PATCH', { text: 'client', at: later }]), 'client', 'a later change is written')
  t.equal(await text(existing, ['PATCH', { text: 'client', at: earlier }]), 'server', 'an earlier one is dropped')
  t.equal(
    await text(existing, ['PATCH', { text: 'client', at: time }]),
    'client',
    'of two at the same time, the one that arrives later counts'
  )
  t.equal(await text(existing, ['PUT', { text: 'client', at: earlier }]), 'server', 'so it is with a PUT')
  t.equal(await text(existing, ['PUT', { text: 'client', at: later }]), 'client')
  t.equal(await text(existing, ['PUT', { text: 'client' }]), 'client', 'a change without time is written')
  t.equal(
    await text({ text: 'server' }, ['PATCH', { text: 'client', at: earlier }]),
    'client',
    'so is one on a row without'
  )
  t.equal(
    await text({ text: 'server', at: 'soon' }, ['PATCH', { text: 'client', at: earlier }]),
    'client',
    'or with something else'
  )
  t.equal(
    await text(existing, ['PATCH', { text: 'client' }, { old: { at: time } }]),
    'client',
    'what a change does not set is as it was before'
  )
  t.equal(await text(existing, ['PATCH', { text: 'client' }, { old: { at: earlier } }]), 'server')
  t.equal(await text(existing, ['DELETE']), null, 'a DELETE deletes')
  t.equal(await text(existing, ['DELETE', undefined, { old: { at: time } }]), null)
  t.equal(
    await text(existing, ['DELETE', undefined, { old: { at: earlier } }]),
    'server',
    'unless the row has been changed since'
  )
  t.equal(
    await text(existing, ['DELETE', undefined, { old: { at: earlier }, metadata: JSON.stringify({ at: later }) }]),
    null,
    'metadata may say when it was'
  )
  t.equal(await text(existing, ['DELETE', undefined, { metadata: JSON.stringify({ at: earlier }) }]), 'server')
  for (const metadata of ['by swiping', '5', 'null', '{"at"', '{}']) {
    t.equal(await text(existing, ['DELETE', undefined, { metadata }]), null, metadata)
  }
  t.match(await after(existing, ['DELETE', undefined, { metadata: '{"at":"soon"}' }]), {
    row: existing,
    result: { status: 'fatal_error', failed_operation: { error_code: 'INVALID_DATA', details: { path: 'at' } } }
  })
})

t.test('lastWriteWins by a number, or by text', async t => {
  const clocks = {
    number: [bson.Long(), 10, 9, 11],
    double: [bson.Double(), 10, 9.5, 10.5],
    text: [Type.String(), '2025-06', '2025-05', '2025-07']
  } as const
  for (const [name, [type, time, earlier, later]] of Object.entries(clocks)) {
    const { after } = await serverWith(t, collection({
      schema: Type.Object({ text: Type.Optional(Type.String()), clock: Type.Optional(type as typeof clocks.text[0]) }),
      resolveConflict: lastWriteWins({ field: 'clock' })
    }))
    t.match(
      await after({ text: 'server', clock: time }, ['PATCH', { text: 'client', clock: earlier }]),
      { row: { text: 'server' } },
      name
    )
    t.match(await after({ text: 'server', clock: time }, ['PATCH', { text: 'client', clock: later }]), {
      row: { text: 'client' }
    })
    t.match(await after({ text: 'server', clock: new Date() }, ['PATCH', { text: 'client', clock: earlier }]), {
      row: { text: name === 'text' ? 'client' : 'server' }
    })
  }
})

t.test('keepServer: rows are created and never changed', async t => {
  const { after } = await serverWith(
    t,
    collection({ schema: Type.Object({ text: Type.Optional(Type.String()) }), resolveConflict: keepServer })
  )
  t.match(await after({ text: 'server' }, ['PATCH', { text: 'client' }], ['PUT', { text: 'client' }], ['DELETE']), {
    row: { text: 'server' },
    result: { status: 'success' }
  })
})
