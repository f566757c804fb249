import fc from 'fast-check'
import t from 'tap'
import { JsonNumber } from '../../lib/client/values.js'
import { parseJson, stringifyJson } from '../../lib/json.js'

const digitsOf = (value: unknown) => value instanceof JsonNumber ? String(value) : `plain ${String(value)}`

t.test('a number that a double does not hold as it is written keeps its digits, wherever it stands', async t => {
  const exact = [
    '9007199254740993',
    '-9007199254740993',
    '9007199254740992',
    '9223372036854775807',
    '-9223372036854775808',
    '0.12345678901234567890',
    '0.12345678901234567',
    '1e400',
    '-1e400',
    '1e-400',
    '1E+4000',
    '1.23456e-322',
    '12345678901234567890.5',
    '1'.repeat(10_000)
  ]
  for (const text of exact) {
    for (const [json, at] of [
      [text, (value: unknown) => value],
      [` ${text} `, (value: unknown) => value],
      [`[1,${text}]`, (value: unknown) => (value as unknown[])[1]],
      [`{"a":{"b":\n${text}}}`, (value: unknown) => (value as { a: { b: unknown } }).a.b]
    ] as const) {
      t.equal(digitsOf(at(parseJson(json))), text)
    }
  }
})

t.test('all other numbers are JavaScript\'s', async t => {
  for (const text of [
    '0',
    '-0',
    '1',
    '-1.5',
    '0.1',
    '0.30000000000000004',
    '1.0000000000000000000',
    '5e-324',
    '1.7976931348623157e308',
    '1e21',
    '1e300',
    '9007199254740991',
    '2.5E+3'
  ]) {
    t.strictSame(parseJson(`[${text}]`), [Number(text)], text)
  }
})

t.test('digits in text are text', async t => {
  for (const text of [
    '9007199254740993',
    ' 9007199254740993',
    ':1e400',
    '[1e-400]',
    '"a":9007199254740993,',
    'e999',
    '\\"9007199254740993'
  ]) {
    t.strictSame(parseJson(JSON.stringify({ [text]: [text] })), { [text]: [text] })
    t.strictSame(parseJson(`[${JSON.stringify(text)},9007199254740993]`), [text, new JsonNumber('9007199254740993')])
  }
})

t.test('all but the digits is as JSON.parse gives it', async t => {
  const withDigits = fc.json().map(json => `{"n":9007199254740993,"json":${json}}`)
  fc.assert(fc.property(withDigits, json => {
    const { n, json: rest } = parseJson(json) as { n: unknown, json: unknown }
    return digitsOf(n) === '9007199254740993' && stringifyJson(rest) === stringifyJson(JSON.parse(json).json)
  }), { numRuns: 500 })
  const odd = '{"a":1,"b":9007199254740993,"a":2,"__proto__":{"polluted":true},"constructor":3,"":4,"2":5,"1":6}'
  const parsed = parseJson(odd) as object
  t.strictSame(
    Object.entries(parsed).map(([name, value]) => [name, String(value)]),
    Object.entries(JSON.parse(odd)).map(([name, value]) => [name, String(name === 'b' ? '9007199254740993' : value)])
  )
  t.equal(Object.getPrototypeOf(parsed), Object.prototype)
  t.ok(Object.hasOwn(parsed, '__proto__'))
  for (const json of [
    '',
    '9007199254740993x',
    '[9007199254740993',
    '{"a":9007199254740993,}',
    '[09007199254740993]',
    '[9007199254740993.]',
    '["\t",9007199254740993]',
    '[1e400,truex]',
    '{ 9007199254740993:1}',
    '[1e400,{1e400:2}]'
  ]) {
    t.throws(() => parseJson(json), SyntaxError, json)
  }
})

t.test('any decimal number is the one that was written', async t => {
  const digits = fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.bigInt({ min: 0n, max: 10n ** 40n }),
      fc.integer({ min: 0, max: 42 }),
      fc.option(fc.integer({ min: -400, max: 400 }))
    )
    .map(([sign, whole, point, exponent]) => {
      const text = String(whole).padStart(point + 1, '0')
      return `${sign}${text.slice(0, text.length - point)}${point ? `.${text.slice(text.length - point)}` : ''}${exponent === null ? '' : `e${exponent}`}`
    })
  fc.assert(fc.property(digits, text => {
    const value = parseJson(`[${text}]`) as [unknown]
    return rational(String(value[0])) === rational(text)
  }), { numRuns: 2000 })
})

t.test(
  'a body that is as deep as it is long, or nothing but digits, neither ends the process nor keeps it busy for long',
  async t => {
    let depth = 0
    for (
      let value = parseJson(`${'['.repeat(500_000)}9007199254740993${']'.repeat(500_000)}`);
      Array.isArray(value);
      value = value[0]
    ) { depth++ }
    t.equal(depth, 500_000)
    for (const hostile of [
      '1'.repeat(4_000_000),
      `"${'1e123'.repeat(800_000)}"`,
      `"${'\\"'.repeat(2_000_000)}"`,
      `"${'\\\\'.repeat(2_000_000)}"`,
      `0.${'0'.repeat(4_000_000)}1`,
      '1,'.repeat(2_000_000) + '1'
    ]) {
      t.ok(parseJson(`[${hostile},9007199254740993]`))
    }
  }
)

t.test('more numbers than are worth their time, of forms that JavaScript does not print, are refused', async t => {
  const list = (count: number) => `[${Array(count).fill('1e400').join()}]`
  t.ok(parseJson(list(50_000)))
  t.throws(() => parseJson(list(50_001)), RangeError)
})

t.test('what is written again is what was read', async t => {
  for (const json of [
    '{"a":[9007199254740993,null,true,"x"],"b":{},"c":-0.12345678901234567890}',
    '[1e400,"\\u0000"]',
    '-0',
    '{"toJSON":{"n":9007199254740993},"z":-0}',
    '"9007199254740993"'
  ]) { t.equal(stringifyJson(parseJson(json)), json) }
  t.equal(
    stringifyJson({ a: undefined, b: [undefined], c: new Date(0) }),
    '{"b":[null],"c":"1970-01-01T00:00:00.000Z"}'
  )
  t.equal(stringifyJson(undefined), undefined)
  t.equal(stringifyJson({ l: 9007199254740993n }), '{"l":9007199254740993}', 'as an upload without HTTP may have it')
})

t.test('code that does not know of kept digits gets the number or its text', async t => {
  const number = new JsonNumber('9007199254740993')
  t.equal(Number(number), 9007199254740992)
  t.equal(`${number}`, '9007199254740993')
  t.equal(JSON.stringify({ number }), '{"number":"9007199254740993"}')
})

/** One spelling for each rational number: coefficient without trailing zeros, and exponent. */
function rational (text: string): string {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?$/i.exec(text)!
  let coefficient = BigInt(`${whole}${fraction}`)
  let power = Number(exponent) - fraction.length
  if (coefficient === 0n) return '0'
  while (coefficient % 10n === 0n) {
    coefficient /= 10n
    power++
  }
  return `${sign}${coefficient}e${power}`
}
