import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { JsonNumber } from '../../lib/client/values.js'
import { parseJson } from '../../lib/json.js'
import { countUnits, parseBody, parseUpload } from '../../lib/wire/parse.js'
import { UploadBody } from '../../lib/wire/schemas.js'

const options = {
  expected: 'an upload',
  units: { most: 100_000, tooMany: (place: string, units: number) => `${place} has ${units}` }
}
const read = (text: string, most = 100_000) =>
  parseUpload(Buffer.from(text), { ...options, units: { ...options.units, most } })

/** What is read of a body: the fields that it may have, of those what parseJson gives. */
function expected (text: string): unknown {
  const body = parseJson(text)
  const upload = only(body, ...Object.keys(UploadBody.properties))
  if (Array.isArray(upload?.['transactions'])) {
    upload['transactions'] = upload['transactions'].map(
      transaction => only(transaction, 'transaction_id', 'crud') ?? transaction
    )
  }
  return upload ?? body
}

function only (value: unknown, ...names: string[]): Record<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof JsonNumber) {
    return undefined
  }
  return Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name)))
}

const small = fc.jsonValue({ maxDepth: 4 })
/** Some larger than what is parsed at once. */
const value = fc.oneof(
  { weight: 5, arbitrary: small },
  { weight: 1, arbitrary: fc.constantFrom('x"\\,]}'.repeat(15_000), 'é'.repeat(40_000)) }
)
const list = fc.oneof(
  { weight: 5, arbitrary: fc.array(value) as fc.Arbitrary<unknown> },
  { weight: 1, arbitrary: value }
)
const transaction = fc.record({ transaction_id: value, crud: list, other: small }, { requiredKeys: [] })
const body = fc.record(
  {
    client_id: value,
    schema_version: value,
    batch: list,
    operations: list,
    transactions: fc.oneof(fc.array(fc.oneof(transaction, value)), value),
    other: small
  },
  { requiredKeys: [] }
)
const text = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: body as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: value }),
    fc.constantFrom(undefined, 1, '\t')
  )
  .map(([value, space]) => JSON.stringify(value, null, space))

t.test('more numbers than are worth their time, of forms that JavaScript does not print, are too large', async t => {
  const numbers = Array(50_001).fill('12345678901234567890').join()
  const body = Buffer.from(`{"batch":[{"data":{"json":[${numbers}]}}]}`)
  await t.rejects(parseUpload(body, options), {
    statusCode: 413,
    message: 'An operation has too many numbers that JavaScript prints in another way'
  })
})

t.test('an upload is read as if parsed whole, without what nobody reads', async t => {
  await fc.assert(fc.asyncProperty(text, async text => {
    assert.deepStrictEqual(await read(text, Infinity), expected(text))
  }), { numRuns: 100 })
  t.pass()
})

t.test('what is not JSON is refused', async t => {
  const broken = fc
    .tuple(text, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.constantFrom('', ...'{}[],:"\\ 1\n'))
    .map(([text, part, character]) => {
      const at = Math.floor(text.length * part)
      return text.slice(0, at) + character + text.slice(character ? at : at + 1)
    })
    .filter(text => text.length > 0)
  await fc.assert(fc.asyncProperty(broken, async text => {
    let result: unknown
    try {
      result = expected(text)
    } catch {
      await assert.rejects(read(text, Infinity), {
        code: 'FST_PSM_BODY',
        message: 'The body: expected an upload, found something that is not JSON'
      })
      return
    }
    assert.deepStrictEqual(await read(text, Infinity), result)
  }), { numRuns: 200 })
  t.pass()
})

t.test('a list that is cut between two pieces keeps its commas', async t => {
  const large = JSON.stringify('x'.repeat(70_000))
  for (const text of [
    `[${large},]`,
    `[${large},,1]`,
    `[,${large}]`,
    `[${large}`,
    `[${large},`,
    `[${large}} 1]`,
    `[${large},${large}, ]`,
    `[${' '.repeat(70_000)},1]`
  ]) {
    await t.rejects(read(`{"batch":${text}}`), { code: 'FST_PSM_BODY', message: /not JSON/ })
  }
  t.strictSame(await read(`{"batch":[ ${large} , 1\n]}`), { batch: ['x'.repeat(70_000), 1] })
})

t.test('nothing, other bytes than UTF-8 and other text are refused', async t => {
  const cases: [Buffer, string][] = [
    [Buffer.alloc(0), 'nothing'],
    [Buffer.from([0x22, 0xff, 0x22]), 'bytes that are not UTF-8'],
    [Buffer.from('secret'), 'something that is not JSON']
  ]
  for (const [bytes, found] of cases) {
    const error = { code: 'FST_PSM_BODY', statusCode: 400, message: `The body: expected an upload, found ${found}` }
    await t.rejects(parseUpload(bytes, options), error)
    t.throws(() => parseBody(bytes, 'an upload'), error)
  }
  t.same(parseBody(Buffer.from('{"client_id":"é"}'), 'an upload'), { client_id: 'é' })
})

t.test('what nobody reads is not parsed', async t => {
  await t.resolves(read(`{"batch":[],"unread":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`))
})

t.test('one operation holds so many names and values, those in its text included', async t => {
  const tooLarge = (place: string) => ({
    code: 'FST_PSM_TOO_LARGE',
    statusCode: 413,
    message: new RegExp(`^${place} has 1\\d{5}$`)
  })
  const many = Array(120_000).fill(0)
  await t.rejects(read(JSON.stringify({ batch: [1, { op: 'PUT', data: { many } }] })), tooLarge('batch\\[1\\]'))
  await t.rejects(
    read(JSON.stringify({ operations: [{ op: 'PUT', data: { text: JSON.stringify(many) } }] })),
    tooLarge('operations\\[0\\]')
  )
  await t.rejects(read(JSON.stringify({ client_id: many })), tooLarge('client_id'))
  await t.resolves(
    read(JSON.stringify({ batch: Array(11).fill({ op: 'PUT', data: many.slice(0, 10_000) }), unread: many }))
  )
})

t.test('a large upload leaves others their turn', async t => {
  const batch = JSON.stringify({
    batch: Array.from({ length: 60_000 }, (_, id) => ({
      op: 'PUT',
      type: 'lists',
      id: `${id}`,
      data: { name: 'x'.repeat(60) }
    }))
  })
  let turns = 0
  let running = true
  const count = () => {
    turns++
    if (running) setImmediate(count)
  }
  setImmediate(count)
  await Promise.all([read(batch), read(batch)])
  running = false
  t.ok(turns > 2, `${turns} turns`)
})

t.test('units of JSON are counted the same wherever bytes begin and end', async t => {
  const bytes = Buffer.from('[{"a":1,"b":[2,{}]},"c,:",{"d":[[]]}]')
  for (let start = 0; start <= bytes.length; start++) {
    for (let end = start; end <= bytes.length; end++) {
      const part = bytes.subarray(start, end)
      t.equal(countUnits(part), part.toString().replace(/[^{[,:]/g, '').length, `${start} to ${end}`)
    }
  }
})
