import t from 'tap'
import { Type } from '@sinclair/typebox'
import { bson, collection } from '../../../index.js'
import { additive, fieldLevel, lastWriteWins, versioned } from '../../../lib/rules/conflicts/index.js'
import { Decimal128, Double, Int32, Long } from '../../../lib/bson.js'
import { upload } from '../../support/server.js'
import { serverWith } from './server.js'

const decimal = (text: string) => Decimal128.fromString(text)
const invalid = (path: string) => ({
  status: 'fatal_error',
  failed_operation: { error_code: 'INVALID_DATA', details: { path } }
})

t.test('additive: the difference is added to what the server has, exactly, in the type of the field', async t => {
  const { app, after } = await serverWith(t, collection({
    schema: Type.Object({
      int: Type.Optional(bson.Int32({ minimum: 0 })),
      long: Type.Optional(bson.Long()),
      double: Type.Optional(bson.Double()),
      decimal: Type.Optional(bson.Decimal128()),
      number: Type.Optional(Type.Number()),
      name: Type.Optional(Type.String())
    }),
    resolveConflict: additive(['int', 'long', 'double', 'decimal', 'number'])
  }))
  for (const [field, stored, old, sent, result] of [
    ['int', 10, 10, 7, new Int32(7)],
    ['int', 5, 10, 7, new Int32(2)],
    ['int', null, null, 3, new Int32(3)],
    [
      'long',
      Long.fromString('9007199254740993'),
      '9007199254740990',
      '9007199254740992',
      Long.fromString('9007199254740995')
    ],
    ['long', 1, 5, 4, Long.fromNumber(0)],
    ['double', 0.3, 0.1, 0.2, new Double(0.4)],
    ['double', 3, 1, 2, new Double(4)],
    [
      'decimal',
      decimal('1234567890123456789012345678901234'),
      '1.50',
      '2.50',
      decimal('1234567890123456789012345678901235')
    ],
    ['decimal', decimal('10.10'), '0', '-0.05', decimal('10.05')],
    ['number', 1.5, 1, 1.25, new Double(1.75)]
  ] as const) {
    const { row } = await after({ [field]: stored, name: 'x' }, [
      'PATCH',
      { [field]: sent, name: 'new' },
      { old: { [field]: old } }
    ])
    t.same(String(row?.[field]), String(result), `${field}: ${String(stored)} + ${sent} - ${old}`)
    t.equal(row?.[field]?.constructor, result.constructor)
    t.equal(row?.['name'], 'new', 'other fields are as the client says')
  }

  const server = { int: 3, name: 'server' }
  t.match(
    await after(server, ['PATCH', { int: 5 }, { old: { int: 9 } }]),
    { row: { int: new Int32(3) }, result: invalid('int') },
    'the sum has to fit the field'
  )
  t.match(await after({ int: 2 ** 31 - 1 }, ['PATCH', { int: 2 }, { old: { int: 1 } }]), { result: invalid('int') })
  t.match(await after({ decimal: decimal('1E+40') }, ['PATCH', { decimal: '1' }, { old: { decimal: '0' } }]), {
    result: invalid('decimal')
  })
  t.match(await after({ int: 'many' }, ['PATCH', { int: 2 }, { old: { int: 1 } }]), { result: invalid('int') })
  t.match(
    await after(server, ['PATCH', { int: 5 }]),
    { row: { int: new Int32(3) }, result: invalid('int') },
    'so does what it was before'
  )
  t.match(await after(server, ['PATCH', { int: 5 }, { old: { name: 'x' } }]), { result: invalid('int') })
  t.match(
    (await upload(app, { batch: [{ op: 'PATCH', table: 'rows', id: 'a', data: { int: 5 }, old: { int: 1 } }] })).body
      .results,
    [invalid('int')],
    'and an op_id, by which a retry is recognised'
  )
  t.match(await after(server, ['PATCH', { int: null }, { old: { int: 1 } }]), { row: { int: null } }, 'null clears')
  t.match(await after(server, ['PATCH', { name: 'client' }]), { row: { int: new Int32(3), name: 'client' } })
  t.match(
    await after(server, ['PUT', { int: 8, name: 'client' }]),
    { row: { int: new Int32(3), name: 'client' } },
    'a PUT has no difference'
  )
  t.match(await after({ name: 'server' }, ['PUT', { int: 8, name: 'client' }]), {
    row: { int: new Int32(8), name: 'client' }
  })
  t.same((await after(server, ['DELETE'])).row, null)
})

t.test('the helpers know a field whose name objects inherit from one that is not there', async t => {
  const Row = Type.Object({ constructor: Type.Optional(bson.Double()), text: Type.Optional(Type.String()) })
  const modified = { metadata: 'toString' }
  const ways = {
    additive: additive(['constructor']),
    versioned: versioned({ field: 'constructor' }),
    lastWriteWins: lastWriteWins({ field: 'constructor' }),
    fieldLevel: fieldLevel(modified)
  }
  for (const [name, resolveConflict] of Object.entries(ways)) {
    const { after } = await serverWith(t, collection({ schema: Row, resolveConflict: resolveConflict as never }))
    t.match(
      await after(
        { text: 'x' },
        ['PATCH', { constructor: 1 }, { old: { constructor: null } }],
        ['PATCH', { text: 'y', constructor: 2 }, { old: { constructor: 1 } }]
      ),
      { row: { text: 'y', constructor: 2 }, result: { status: 'success' } },
      name
    )
  }
})

t.test('additive: digits of a number beyond 2⁵³ count where there is no schema', async t => {
  const { app, after } = await serverWith(t, collection({ schema: 'any', resolveConflict: additive(['n']) }))
  await after({ n: Long.fromString('9007199254740993') })
  const change = '"data":{"n":9007199254740999},"old":{"n":9007199254740995}'
  const body = `{"client_id":"phone","batch":[{"op":"PATCH","table":"rows","id":"a","op_id":1,${change}}]}`
  t.match((await upload(app, body)).body, { results: [{ status: 'success' }] })
  const row = await app.mongo.db!.collection('rows').findOne({}, { promoteValues: false })
  t.equal(String(row?.['n']), '9007199254740997')
})
