/** Values as clients send them, and faults. Clients run this as well: it needs no Buffer, no TextEncoder, no Node. */

/** The digits of a JSON number that a double may not hold. Code that does not know of it rounds, as JSON.parse does. */
export class JsonNumber {
  readonly #text: string

  constructor (text: string) {
    this.#text = text
  }

  valueOf (): number {
    return Number(this.#text)
  }

  toString (): string {
    return this.#text
  }

  toJSON (): string {
    return this.#text
  }
}

/** Where text begins and ends, and the numbers that a double may not hold; a name without quotes stays wrong. */
const TOKEN = /(?:\\.){1,99}|"|-?\d(?:[\d.]{15,}(?:[eE][-+]?\d+)?|[\d.]*[eE][-+]?\d{3,})(?!\s*:)/g

/**
 * JSON.parse with a `JsonNumber` for each number whose digits have to be kept. They are parsed as text with a mark.
 * @param mark starts no text in the JSON: the sender must be unable to guess it
 * @throws {RangeError} for more than 50 000 numbers that JavaScript prints in another way: each takes microseconds
 */
export function parseDigits (text: string, mark: string): unknown {
  let inText = false
  let reprinted = 0
  const marked = text.replace(TOKEN, token => {
    if (token === '"') inText = !inText
    if (inText || !NUMBER.test(token)) return token
    if (String(Number(token)) !== token && ++reprinted > 50_000) throw RangeError()
    return isHeld(token) ? token : `"${mark}${token}"`
  })
  const root = { value: JSON.parse(marked) as unknown }
  const containers: Record<string, unknown>[] = [root]
  for (const container of containers) { // no recursion: JSON may be nested as deeply as a body is long
    for (const name in container) {
      const value = container[name]
      const isNumber = typeof value === 'string' && value.startsWith(mark)
      if (isNumber) container[name] = new JsonNumber(value.slice(mark.length))
      else if (isContainer(value)) containers.push(value as Record<string, unknown>)
    }
  }
  return root.value
}

/** Whether a JavaScript number is all that the text says, and no text of other digits would give it. */
export function isHeld (token: string): boolean {
  const number = Number(token)
  return isShortest(number, token) && (!/^-?\d{16}/.test(token) || Number.isSafeInteger(number))
}

/** Whether a text says the same decimal number as JavaScript prints. */
export function isShortest (number: number | bigint | string, text: string): boolean {
  const printed = String(number)
  return printed === text || spelling(printed) === spelling(text)
}

/** One spelling for each decimal number; none for zero. */
function spelling (text: string): string {
  const [sign, digits, exponent] = decimalOf(text)
  return digits && `${sign}${digits}e${exponent}`
}

/** JSON's numbers, also as text: Kotlin and Swift send every value so, and print reals as `2.5`, `1.0E10`, `1e+16`. */
const NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/
const INTEGER = /^-?\d+$/

/** Sign, digits without zeros around them, and the exponent of the last digit. */
function decimalOf (text: string): [sign: string, digits: string, exponent: number] {
  const [, sign = '', whole = text, fraction = '', exponent = '0'] = NUMBER.exec(text) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  const zeros = digits.length - significant.length
  return [sign, significant, Number(exponent) - fraction.length + zeros]
}

/** The text of a number that was sent as text, or whose digits were kept. */
export function numberText (value: unknown): string | undefined {
  const text = value instanceof JsonNumber ? String(value) : value
  // 400 characters: more than any of the types prints; a megabyte of digits would keep the parsers busy.
  return typeof text === 'string' && text.length <= 400 && NUMBER.test(text) ? text : undefined
}

export function integerText (value: unknown): string | undefined {
  const text = numberText(value)
  return text !== undefined && INTEGER.test(text) ? text : undefined
}

/**
 * Whether a JavaScript client, whose SDK parses a row's values, may have rounded a number in the body: it is beyond
 * 2⁵³, and as JavaScript prints it. In the text of a JSON column, the digits are those of the client's database.
 */
export const maybeRounded = (value: unknown): boolean => typeof value === 'number'
  ? Number.isInteger(value) && !Number.isSafeInteger(value)
  : value instanceof JsonNumber && isShortest(Number(value), String(value))

/** NaN if the value is not a number, is not finite, or would lose precision as a double. */
export function toNumber (value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? value : NaN
  const text = numberText(value)
  const number = Number(text)
  if (text === undefined || !Number.isFinite(number)) return NaN
  if (isShortest(number, text)) return number
  const isWhole = Number.isInteger(number)
  if (isWhole && isShortest(BigInt(number), text)) return number
  // Programs print at most 17 digits of a double. SQLite's last one may be wrong, but in whole numbers below 10^17.
  const [, { length }] = decimalOf(text)
  const isPrinted = length < 17 ? isShortest(number.toPrecision(length), text) : !isWhole || Math.abs(number) > 1e17
  return isPrinted && length < 18 && !INTEGER.test(text) ? number : NaN
}

/** Whether MongoDB stores a whole number as long. */
export const isLong = (integer: bigint): boolean => BigInt.asIntN(64, integer) === integer

/** Decimal128 has 34 digits and exponents from -6176 to 6111. */
export function isDecimal128 (text: string): boolean {
  const [, { length }, exponent] = decimalOf(text)
  return length === 0 || (length <= 34 && exponent >= -6176 && exponent + length <= 6145)
}

/** Sign and century, year, month, day; time, second, milliseconds; and the zone: sign, hours, minutes. */
const DATE = new RegExp('^([+-]\\d\\d)?(\\d{4})-(\\d\\d)-(\\d\\d)' +
  '(?:[T ]((?:[01]\\d|2[0-3]):\\d\\d)(?::(\\d\\d)(?:\\.(\\d{1,3})\\d{0,6})?)?' +
  '(?:Z|([+-])([01]\\d|2[0-3])(?::?([0-5]\\d))?)?)?$')

/**
 * Reads a date as PowerSync's service and clients write it: with `T` or a space, with 1 to 9 fraction digits (BSON has
 * milliseconds: further ones are cut off) or none, without seconds, bare, with extended years (`+010000-01-01…`), with
 * `Z`, an offset or nothing, which means UTC. `new Date(text)` would read it in the host's zone, and accept much more.
 * @returns milliseconds since 1970; NaN if the text is anything else, or a day or time that does not exist
 */
export function parseDate (text: string): number {
  const parts = DATE.exec(text)
  if (!parts) return NaN
  const [, sign = '', short, month, day, time = '00:00', second = '00', fraction = ''] = parts
  const [zone = '+', hours = 0, minutes = 0] = parts.slice(8)
  const year = Number(sign + short)
  // The same day in years that JavaScript takes as they are: the calendar repeats itself every 400 years.
  const near = 2000 + (year % 400 + 400) % 400
  const start = Date.parse(`${near}-${month}-${day}T${time}:${second}.${fraction.padEnd(3, '0')}Z`)
  const east = Number(`${zone}1`) * (Number(hours) * 60 + Number(minutes)) * 60_000
  const milliseconds = start + (year - near) * YEAR - east
  // 30 February is a day in March; and ECMA-262 has no year -000000, nor times beyond 100 000 000 days from 1970.
  const isDay = new Date(start).getUTCDate() === Number(day) && !Object.is(year, -0)
  return isDay && Math.abs(milliseconds) <= 8.64e15 ? milliseconds : NaN
}

/** The mean of 400 years, in milliseconds. */
const YEAR = 31_556_952_000

/** RFC 3339, 5.6 and 5.7: either case, and a 61st second at the end of a UTC day. */
export function isMoment (text: string): boolean {
  const whole = text.toUpperCase().replace(/\.\d+/, '')
  if (whole.slice(17, 19) !== '60') return !Number.isNaN(parseDate(whole))
  return parseDate(`${whole.slice(0, 17)}59${whole.slice(19)}`) % 86_400_000 === 86_399_000
}

/** Whether it is what an encoder writes. No repeated group: in long text, it would run out of stack. */
export function isBase64 (text: string): boolean {
  return text.length % 4 === 0 && !/[^A-Za-z\d+/]/.test(text.slice(0, -2)) &&
    /^[A-Za-z\d+/]*(?:[AEIMQUYcgkosw048]=|[AQgw]==)?$/.test(text.slice(-3))
}

/** Without lone surrogates, which have no UTF-8 and which the driver would silently replace by U+FFFD. */
export function isWellFormed (text: string): boolean {
  // Hermes has no such method.
  return (text as string & { isWellFormed?: () => boolean }).isWellFormed?.() ?? !/[\ud800-\udfff]/u.test(text)
}

/** What `work` gives; undefined if it throws, as a pattern such as `(a|b)*` does in V8 for millions of characters. */
export function attempt<Result> (work: () => Result): Result | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

export const isContainer = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !(value instanceof JsonNumber)

export const isObject = (value: unknown): value is Record<string, unknown> =>
  isContainer(value) && !Array.isArray(value)

/**
 * Keys that are forbidden at any depth: BSON cannot hold NUL and lone surrogates, `__proto__` changes a JavaScript
 * object, and `_bsontype` makes the driver throw, for every retry again. MongoDB ≥ 5 takes dots and dollars there.
 */
export const isForbiddenKey = (key: string): boolean =>
  key === '__proto__' || key === '_bsontype' || key.includes('\0') || !isWellFormed(key)

/** The same for columns, which become names in an update: `$` starts an operator, `.` a path, none is empty. */
export const isForbiddenColumn = (column: string): boolean =>
  /^$|^_?id$|^\$|\./.test(column) || isForbiddenKey(column)

export const KEY_RULE = 'a name other than __proto__ and _bsontype without NUL'
export const NAME_RULE = 'a name other than _id, id, __proto__ and _bsontype that is not empty, ' +
  'does not start with "$" and contains neither "." nor NUL'

/** Why an uploaded value cannot be stored: types and places, never a value. It is returned and not thrown. */
export class DecodeFault {
  /** Column, and the way into its JSON: `address.lines[2]`. */
  path = ''

  constructor (
    /** `SCHEMA_MISMATCH`: an unknown column. `UNAUTHORIZED`: one that the user may not write. */
    readonly code: 'INVALID_DATA' | 'SCHEMA_MISMATCH' | 'UNAUTHORIZED',
    readonly expected: string,
    readonly found: string,
    readonly problem: string = 'cannot be stored'
  ) {}

  /** Adds an outer step to the path: a column, a name within its JSON, or a position. A long path is cut. */
  within (step: string | number): this {
    const outer = typeof step === 'number' ? `[${step}]` : pathStep(step)
    this.path = cut(`${outer}${/^(?:\[|$)/.test(this.path) ? '' : '.'}${this.path}`, 512)
    return this
  }

  get message (): string {
    return `${this.path} ${this.problem}: expected ${this.expected}, found ${this.found}`
  }
}

/** Names come from the client: they are cut, and quoted where they look odd. */
export const pathStep = (name: string): string => /^[\w$-]{1,64}$/.test(name) ? name : JSON.stringify(cut(name, 64))

const cut = (text: string, most: number) => text.length > most ? `${text.slice(0, most)}…` : text

export const invalid = (expected: string, found: string, problem?: string) =>
  new DecodeFault('INVALID_DATA', expected, found, problem)

export const halfCharacter = () => invalid('well-formed Unicode text', 'text with half a character')

export const forbiddenName = (rule: string) => invalid(rule, 'a name that data never set')

export const unknownName = (expected: string) =>
  new DecodeFault('SCHEMA_MISMATCH', expected, 'another name', 'is not in the schema')

export function jsonTypeWords (value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof JsonNumber) return 'a number'
  return { undefined: 'nothing', string: 'text', object: 'an object' }[typeof value as string] ?? `a ${typeof value}`
}
