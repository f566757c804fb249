/**
 * What the server says of an operation's data, before the operation is queued: an interpreter of the descriptions that
 * `powersync-mongo client-schema --validators` prints beside it. It mirrors lib/schema: fuzzing holds the two together.
 */
import type { Check, OperationToCheck, TableDescription, Verdict } from '../../types/validators.js'

/** A number whose digits a double does not hold. */
class Num {
  constructor (readonly text: string) {}
}

type Row = Record<string, unknown>
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const INTEGER = /^-?\d+$/
const BASE64 = /^(?:[\w+/]{4})*(?:[\w+/][AQgw]==|[\w+/]{2}[AEIMQUYcgkosw048]=)?$/
const DATE = /^(?:([+-])(\d{6})|(\d{4}))-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?)?$/
const KEY_RULE = 'a name other than __proto__ and _bsontype without NUL'
const NAME_RULE = 'a name other than _id, id, __proto__ and _bsontype that is not empty, does not start with "$" and contains neither "." nor NUL'

const isWell = (text: string) => !/[\ud800-\udfff]/u.test(text)
const isForbiddenKey = (key: string) => key === '__proto__' || key === '_bsontype' || key.includes('\0') || !isWell(key)
const isForbiddenColumn = (column: string) => /^$|^_?id$|^\$|\./.test(column) || isForbiddenKey(column)
const isContainer = (value: unknown): value is object => typeof value === 'object' && value !== null && !(value instanceof Num)
const isObject = (value: unknown): value is Row => isContainer(value) && !Array.isArray(value)
const has = (object: object, name: string) => Object.prototype.hasOwnProperty.call(object, name)
const within = (value: number, [least, most]: Check['c'] = [null, null]) => value >= (least ?? -Infinity) && value <= (most ?? Infinity)
const fault = (path: string, expected: string, found: string, problem = 'cannot be stored', code = 'INVALID_DATA'): Verdict => ({ code, path, message: `${path} ${problem}: expected ${expected}, found ${found}` })
const forbidden = (path: string, rule: string) => fault(path, rule, 'a name that data never set')
const halfCharacter = (path: string) => fault(path, 'well-formed Unicode text', 'text with half a character')
const unknownName = (path: string, words: string) => fault(path, words, 'another name', 'is not in the schema', 'SCHEMA_MISMATCH')

function join (path: string, key: string): string {
  if (path.length > 512) return path.endsWith('…') ? path : `${path}…`
  const name = /^[\w$-]{1,64}$/.test(key) ? key : JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)
  return path === '' ? name : `${path}.${name}`
}

function words (value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'string') return 'text'
  return value instanceof Num ? 'a number' : typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** JSON.parse that keeps digits: strings get a letter in front, numbers become strings with another. */
function parse (text: string): unknown {
  JSON.parse(text)
  return untag(JSON.parse(text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g, token => token[0] === '"' ? `"s${token.slice(1)}` : `"n${token}"`)), 0)
}

/** What is deeper is refused before anybody looks at it. */
function untag (value: unknown, depth: number): unknown {
  if (typeof value === 'string') {
    const text = value.slice(1)
    return value[0] === 's' ? text : isHeld(text) ? Number(text) : new Num(text)
  }
  if (typeof value !== 'object' || value === null || depth > 60) return value
  if (Array.isArray(value)) return value.map(item => untag(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.slice(1), untag(item, depth + 1)]))
}

const isHeld = (text: string) => isShortest(Number(text), text) && (Number.isSafeInteger(Number(text)) || !/^-?\d{16}/.test(text))
const isShortest = (number: number, text: string) => String(number) === text || (Number.isFinite(number) && decimal(String(number)) === decimal(text))

/** Sign, digits without zeros around them, exponent of the last: one for each decimal number. */
function decimalParts (text: string): [sign: string, digits: string, exponent: number] {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) as unknown as string[]
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  return [sign!, significant, Number(exponent) - fraction.length + digits.length - significant.length]
}

const decimal = (text: string) => decimalParts(text)[1] === '' ? '0' : decimalParts(text).join()

function numberText (value: unknown): string | undefined {
  const text = value instanceof Num ? value.text : value
  return typeof text === 'string' && text.length <= 400 && NUMBER.test(text) ? text : undefined
}

function integerText (value: unknown): string | undefined {
  const text = numberText(value)
  return text !== undefined && INTEGER.test(text) ? text : undefined
}

const maybeRounded = (value: unknown) => typeof value === 'number'
  ? Number.isInteger(value) && !Number.isSafeInteger(value)
  : value instanceof Num && isShortest(Number(value.text), value.text)

function toNumber (value: unknown): number {
  if (typeof value === 'number') return value
  const text = numberText(value)
  const number = Number(text)
  return text !== undefined && Number.isFinite(number) && holds(number, text) ? number : NaN
}

function holds (number: number, text: string): boolean {
  const { length } = text.replace(/e.*$/i, '').replace(/[-.]/g, '').replace(/^0+|0+$/g, '')
  if (number === 0) return length === 0
  return length <= 15 || (INTEGER.test(text) ? BigInt(text) === BigInt(number) || isShortest(number, text) : length <= 17)
}

const isLong = (value: bigint) => BigInt.asIntN(64, value) === value

/** Decimal128 has 34 digits and exponents from -6176 to 6111. */
function isDecimal128 (text: string): boolean {
  const [, { length }, exponent] = decimalParts(text)
  return length === 0 || (length <= 34 && exponent >= -6176 && exponent + length <= 6145)
}

function inRange<Value extends number | bigint> (value: Value, [minimum, maximum, above, below, divisor]: Value[], divides: (divisor: Value) => boolean): boolean {
  return !(value < minimum!) && !(value > maximum!) && !(value <= above!) && !(value >= below!) && (divisor === undefined || divides(divisor))
}

function date (text: string): number {
  const [matched, sign, long, short, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone, hours = '0', minutes = '0'] = DATE.exec(text) ?? []
  const year = Number(`${sign ?? ''}${long ?? short}`)
  if (matched === undefined || Object.is(year, -0) || Number(hour) > 23 || Number(hours) > 23 || [minute, second, minutes].some(part => Number(part) > 59)) return NaN
  // The same day in years that Date takes as they are: the calendar repeats itself every 400 years.
  const near = 2000 + (year % 400 + 400) % 400
  const start = Date.UTC(near, Number(month) - 1, Number(day))
  if (new Date(start).getUTCDate() !== Number(day) || new Date(start).getUTCMonth() !== Number(month) - 1) return NaN
  const offset = (Number(hours) * 60 + Number(minutes)) * (zone === '-' ? -60_000 : 60_000)
  const time = start + (year - near) / 400 * 146_097 * 86_400_000 + ((Number(hour) * 60 + Number(minute)) * 60 + Number(second)) * 1000 + Number(fraction.padEnd(3, '0').slice(0, 3)) - offset
  return Math.abs(time) <= 8.64e15 ? time : NaN
}

/** What would be stored, in some form that is equal where that is; undefined when it is refused. */
function decode (check: Check, value: unknown): unknown {
  switch (check.t) {
    case 's': return typeof value === 'string' && isText(check, value) ? value : undefined
    case 'v': {
      const numeric = typeof value === 'string' || value instanceof Num ? toNumber(value) : NaN
      const group = check.v!.find(([stored]) => stored === value) ?? check.v!.find(group => group.includes(value)) ?? check.v!.find(([stored]) => stored === numeric)
      return group?.[0]
    }
    case 'n': {
      const number = toNumber(value)
      const [low, high] = check.c ?? []
      if (!Number.isFinite(number) || (check.w && !(Number.isInteger(number) && number >= low! && number <= high!))) return undefined
      const range = (check.r ?? []).map(bound => bound ?? undefined) as number[]
      return inRange(number, range, divisor => Math.abs(number / divisor - Math.round(number / divisor)) <= Number.EPSILON * Math.abs(number / divisor)) ? number : undefined
    }
    case 'l': {
      if (check.z === 0 && maybeRounded(value)) return undefined
      const digits = integerText(value) ?? (Number.isSafeInteger(toNumber(value)) ? toNumber(value) : undefined)
      if (digits === undefined) return undefined
      const long = BigInt(digits)
      const range = (check.r ?? []).map(bound => bound === null ? undefined : BigInt(bound)) as bigint[]
      return isLong(long) && inRange(long, range, divisor => long % divisor === 0n) ? String(long) : undefined
    }
    case 'm': {
      if (['NaN', 'Infinity', '-Infinity'].includes(value as string)) return value
      if ((typeof value === 'number' || check.z === 0) && maybeRounded(value)) return undefined
      const text = typeof value === 'number' ? String(value) : numberText(value)
      return text !== undefined && isDecimal128(text) ? text : undefined
    }
    case 'd': {
      const time = typeof value === 'string' ? date(value) : NaN
      return !Number.isNaN(time) && within(time, check.c) ? time : undefined
    }
    case 'b': return typeof value === 'string' && !value.includes('_') && BASE64.test(value) && within(value.length / 4 * 3 - (/=*$/.exec(value))![0].length, check.c) ? value : undefined
    case 'a': {
      if (!Array.isArray(value) || !within(value.length, check.c)) return undefined
      const items = value.map(item => orNull(check.i!, item))
      return items.includes(undefined) || (check.u && new Set(items.map(item => JSON.stringify(item))).size < items.length) ? undefined : items
    }
    case 'o': return isObject(value) && !flawOfObject(check, value, '') ? value : undefined
    case 'j': {
      const content = contentOf(value)
      return content && decode(check.i!, content)
    }
    case 'y': return flawOfAny(value, Math.max(check.z!, 1), '') ? undefined : value
    case 'u': return check.o!.map(variant => decode(variant, value)).find(decoded => decoded !== undefined)
  }
}

const orNull = (check: Check, value: unknown, optional?: 1): unknown => value !== null ? decode(check, value) : check.n || optional ? null : undefined

function isText ({ c, re = [], len = Infinity, date: isDate, v }: Check, text: string): boolean {
  return isWell(text) && text.length <= len && (!c || within(Array.from(text).length, c)) && (!v || v[0]!.includes(text)) &&
    re.every(([source, flags, not]) => new RegExp(source, flags).test(text) !== Boolean(not)) && (!isDate || isMoment(text))
}

/** RFC 3339: either case, and a 61st second at the end of a UTC day. */
function isMoment (text: string): boolean {
  const whole = text.toUpperCase().replace(/\.\d+/, '')
  if (whole.slice(17, 19) !== '60') return !Number.isNaN(date(whole))
  return date(`${whole.slice(0, 17)}59${whole.slice(19)}`) % 86_400_000 === 86_399_000
}

/** Why `decode` refuses a value. */
function explain (check: Check, value: unknown, path: string): Verdict {
  if (check.w && typeof value === 'string' && !isWell(value) && check.t === 's') return halfCharacter(path)
  if (check.t === 'o' && isObject(value)) return flawOfObject(check, value, path)!
  if (check.t === 'y') return flawOfAny(value, Math.max(check.z!, 1), path)!
  if (check.t === 'a' && Array.isArray(value)) {
    const index = value.findIndex(item => orNull(check.i!, item) === undefined)
    if (index >= 0) return explain(check.i!, value[index], `${path}[${index}]`)
  }
  if (check.t === 'j') {
    const content = contentOf(value)
    return content ? explain(check.i!, content, path) : fault(path, check.e, typeof value === 'string' ? 'other text' : words(value))
  }
  return fault(path, check.e, words(value))
}

function contentOf (value: unknown): object | undefined {
  let content = value
  try {
    if (typeof value === 'string') content = parse(value)
  } catch {
    return undefined
  }
  return isContainer(content) ? content : undefined
}

function flawOfObject ({ p = {}, i, k, x }: Check, value: Row, path: string): Verdict | undefined {
  for (const name of Object.keys(value)) {
    const at = join(path, name)
    if (isForbiddenKey(name)) return forbidden(at, KEY_RULE)
    const [check, optional] = has(p, name) ? p[name]! : [i && (k === undefined || new RegExp(k, 'u').test(name)) ? i : undefined]
    if (!check) return unknownName(at, x!)
    if (orNull(check, value[name], optional) === undefined) return explain(check, value[name], at)
  }
  const absent = Object.keys(p).find(name => !p[name]![1] && !has(value, name))
  return absent === undefined ? undefined : fault(join(path, absent), p[absent]![0].e, 'nothing', 'is required')
}

function flawOfAny (value: unknown, depth: number, path: string): Verdict | undefined {
  if (typeof value === 'string') return isWell(value) ? undefined : halfCharacter(path)
  if (value instanceof Num) return isStorable(value) ? undefined : fault(path, 'a number of at most 34 digits', 'a longer one')
  if (!isContainer(value)) return undefined
  if (depth > 20) return fault(path, 'JSON of at most 20 levels', 'a deeper one')
  for (const [name, item] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${name}]` : join(path, name)
    const flaw = !Array.isArray(value) && isForbiddenKey(name) ? forbidden(at, KEY_RULE) : flawOfAny(item, depth + 1, at)
    if (flaw) return flaw
  }
  return undefined
}

function isStorable (value: Num): boolean {
  const digits = integerText(value)
  const number = toNumber(value)
  const text = numberText(value)
  return (digits !== undefined && (isLong(BigInt(digits)) || Number.isInteger(number))) || isShortest(number, value.text) || (text !== undefined && isDecimal128(text))
}

function verdictOn (table: TableDescription, { op, id, opData = {} }: OperationToCheck): Verdict | undefined {
  if (!table.operations.includes(op)) return { code: 'UNAUTHORIZED', message: `${op} is not allowed on this table` }
  if (table.id && !isId(table.id, id)) return fault('id', table.id.e, 'other text')
  if (op === 'DELETE') return undefined
  const data = parse(JSON.stringify(opData)) as Row
  for (const [column, [check, by]] of Object.entries(table.columns)) {
    const value = has(data, column) ? data[column] : undefined
    if (by === 2 || (value === undefined && op === 'PATCH')) continue
    if (value === undefined || value === null) {
      if (!check.n && !(op === 'PUT' && (by === 1 || table.perUser))) return fault(join('', column), check.e, words(value), 'is required')
    } else if (decode(check, value) === undefined) return explain(check, value, join('', column))
  }
  for (const [column, value] of Object.entries(data)) {
    const path = join('', column)
    if (has(table.columns, column)) continue
    if (isForbiddenColumn(column)) {
      if (/^_?id$/.test(column) && !isContainer(value) && String(value instanceof Num ? value.text : value) === id) continue
      return forbidden(path, NAME_RULE)
    }
    if (table.others === 'reject' || table.hidden.includes(column)) return unknownName(path, table.words)
    const flaw = table.others === 'store' && flawOfAny(value, 1, path)
    if (flaw) return flaw
  }
  return undefined
}

/** Bytes of UTF-8, without an encoder: not every platform has one. */
const byteLength = (text: string) => encodeURIComponent(text).replace(/%../g, 'x').length

function isId (check: Check, id: string): boolean {
  if (check.t === 'l') return integerText(id) !== undefined && Number(id) !== 0 && isLong(BigInt(id))
  return id !== '' && !id.includes('\0') && isText({ ...check, len: Infinity }, id) && byteLength(id) <= check.len!
}

/** All that a printed module exports. */
export function createValidators (descriptions: Record<string, TableDescription>) {
  const validate = (operation: OperationToCheck): Verdict | undefined => {
    if (has(descriptions, operation.table)) return verdictOn(descriptions[operation.table]!, operation)
    return { code: 'SCHEMA_MISMATCH', message: 'The table is not one of the server\'s collections' }
  }
  /** By table: a Standard Schema of whole rows, `id` included. */
  const tables = Object.fromEntries(Object.keys(descriptions).map(table => [table, {
    '~standard': {
      version: 1 as const,
      vendor: 'fastify-powersync-mongo',
      validate (value: unknown) {
        if (!isObject(value)) return { issues: [{ message: `expected a row, found ${words(value)}` }] }
        const { id, ...opData } = value
        const verdict = validate({ op: 'PUT', table, id: String(id), opData })
        return verdict ? { issues: [{ message: verdict.message, ...verdict.path && { path: [verdict.path.split(/[.[]/)[0]!] } }] } : { value }
      }
    }
  }]))
  /** By table: rules that only the server can check. */
  const serverRules = Object.fromEntries(Object.entries(descriptions).map(([table, { server }]) => [table, server]))
  return { validate, tables, serverRules }
}
