import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection, type CrudOperation, type UpdateBatchHook } from '../../../index.js'
import { Double } from '../../../lib/bson.js'
import { additive, fieldLevel } from '../../../lib/rules/conflicts/index.js'
import { serverWith } from './server.js'

const [earlier, time, later] = [
  '2025-06-01T10:00:00.000Z',
  '2025-06-01T12:00:00.000Z',
  '2025-06-01T14:00:00.000Z'
] as const
const schema = Type.Object({
  title: Type.Optional(Type.String()),
  status: Type.Optional(Type.String()),
  modified: Type.Optional(bson.Json(Type.Record(Type.String(), bson.Date())))
})
const said = (times: Record<string, unknown>) => ({
  metadata: JSON.stringify(
    Object.fromEntries(Object.entries(times).map(([field, time]) => [`${field}_modified_at`, time]))
  )
})

t.test('fieldLevel: of an operation those fields are written that nobody changed later', async t => {
  const { after } = await serverWith(
    t,
    collection({ schema, writable: ['title', 'status'], resolveConflict: fieldLevel({ metadata: 'modified' }) })
  )
  const server = { title: 'server', status: 'server', modified: { title: new Date(time), status: new Date(time) } }
  const change = { title: 'client', status: 'client' }

  t.same((await after(server, ['PATCH', change, said({ title: later, status: earlier })])).row,
    { title: 'client', status: 'server', modified: { title: new Date(later), status: new Date(time) } })
  t.same((await after(server, ['PUT', change, said({ title: later, status: earlier })])).row,
    { title: 'client', status: 'server', modified: { title: new Date(later), status: new Date(time) } })
  t.same((await after(server, ['PATCH', change, said({ title: earlier, status: earlier })])).row, server)
  t.same((await after({ ...server, status: null }, ['PUT', change, said({ title: earlier, status: earlier })])).row, {
    ...server,
    status: null
  })
  t.same(
    (
      await after({ title: 'server', modified: server.modified }, [
        'PUT',
        change,
        said({ title: later, status: earlier })
      ])
    ).row,
    { title: 'client', status: null, modified: { title: new Date(later), status: new Date(time) } }
  )
  t.match(
    (await after(server, ['PATCH', { title: 'client' }, said({ title: time })])).row,
    { title: 'client', status: 'server' },
    'of equal times, what arrives later'
  )
  t.match((await after(server, ['PATCH', { title: 'client' }, said({ title: Date.parse(later) })])).row, {
    title: 'client',
    modified: { title: new Date(later) }
  })
  t.same((await after(server, ['DELETE'])).row, null)
  t.same((await after(server, ['PATCH', {}])).row, server)

  for (const unknown of [undefined, null, 'soon', 5, { title: 'soon' }]) {
    t.same(
      (await after({ ...server, modified: unknown }, ['PATCH', { title: 'client' }, said({ title: earlier })])).row,
      { title: 'client', status: 'server', modified: { title: new Date(earlier) } },
      'the server has no time'
    )
  }

  for (const metadata of [
    undefined,
    'by hand',
    '{}',
    '{"title_modified_at":null}',
    said({ title: '9999-01-01' }).metadata
  ]) {
    const before = Date.now()
    const { row } = await after(server, ['PATCH', { title: 'client' }, { metadata } as object])
    t.equal(row?.['title'], 'client')
    const { title, status } = row?.['modified'] as Record<string, Date>
    t.ok(title!.getTime() >= before && title!.getTime() <= Date.now(), `${metadata}: counts as changed now`)
    t.same(status, new Date(time))
  }

  for (const none of ['soon', '2025-02-30', true, {}, -1e300]) {
    t.match(await after(server, ['PATCH', { title: 'client' }, said({ title: none })]), {
      row: { title: 'server' },
      result: {
        status: 'fatal_error',
        failed_operation: { error_code: 'INVALID_DATA', details: { path: 'metadata.title_modified_at' } }
      }
    })
  }
})

t.test('fieldLevel: the times are the server\'s, also where a client could write them', async t => {
  const { after } = await serverWith(
    t,
    collection({ schema, put: 'replace', resolveConflict: fieldLevel({ metadata: 'modified' }) })
  )
  const { row } = await after({ title: 'server', modified: { title: new Date(time) } }, [
    'PUT',
    { title: 'client', modified: JSON.stringify({ title: earlier }) },
    said({ title: later, status: later, modified: later })
  ])
  t.same(row, { title: 'client', status: null, modified: { title: new Date(later), status: new Date(later) } })
})

t.test('what another program wrote stays where it wins, even if it does not fit the schema', async t => {
  const number = Type.Object({ ...schema.properties, title: Type.String({ maxLength: 6 }), score: bson.Double() })
  const options = { schema: number, writable: ['title', 'status', 'score'] as const }
  const newer = { title: new Date(time), score: new Date(time) }
  for (const [title, score] of [['server', new Double(NaN)], ['much too long', 'text']]) {
    const server = { title, score, status: 'server', modified: newer }
    const put = ['PUT', { title: 'client', score: 5, status: 'client' }] as const
    const times = said({ title: earlier, score: earlier })
    const modified = { metadata: 'modified' }
    const byField = await serverWith(t, collection({ ...options, resolveConflict: fieldLevel(modified) }))
    t.match(await byField.after(server, [...put, times]), {
      row: { title, score, status: 'client' }, result: { status: 'success' }
    })
    // An `updateBatch` may pass on copies.
    const copy = ({ data, ...rest }: CrudOperation) => ({ ...rest, data: { ...data } }) as CrudOperation
    const updateBatch: UpdateBatchHook = ({ operations, ...rest }, _, next) =>
      next({ ...rest, operations: operations.map(copy) })
    for (const hooks of [{}, { updateBatch }]) {
      const summed = await serverWith(t, collection({ ...options, ...hooks, resolveConflict: additive(['score']) }))
      t.match(await summed.after(server, [...put]), { row: { title: 'client', score }, result: { status: 'success' } })
    }
  }
})
