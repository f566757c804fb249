/**
 * What a value becomes, by the description of its type; and a row, by those of its columns. The server converts what
 * clients send to BSON in this way, and clients find out what the server would say.
 */
import type { Check, TableDescription } from '../../types/validators.js'
import {
  attempt, DecodeFault, forbiddenName, halfCharacter, integerText, invalid, isBase64, isContainer, isDecimal128,
  isForbiddenColumn, isForbiddenKey, isLong, isMoment, isObject, isWellFormed, JsonNumber, jsonTypeWords,
  KEY_RULE, maybeRounded, NAME_RULE, numberText, parseDate, parseDigits, toNumber, unknownName
} from './values.js'

/** The value as it is stored; or a fault of something in it; or undefined, if its type or its bounds are wrong. */
export type Convert = (value: unknown) => unknown

/** What makes of a description the conversion of its values. */
export type Kind = (check: Check, way: Way) => Convert

/** How values are converted: those of clients, or those of the app's own code on the server. */
export interface Way {
  /** What is accepted, in words. */
  words (check: Check): string
  /** The type of a value in words. */
  found (value: unknown): string
  /** The kinds of values that there are. */
  kinds: Partial<Record<Check['t'], Kind>>
  /** Another conversion than that of the kind. */
  convert? (check: Check, way: Way): Convert | undefined
  /** A faster one than `parseDate`. */
  parseDate? (text: string): number
  /** What a value of any type becomes, unless it is text, a boolean, null, an object or an array. */
  other: Convert
  parse (text: string): unknown
  /** Levels of arrays and objects in a value of any type. */
  deepest: number
  /** The app's code may leave properties undefined. */
  trusted?: true
}

/** What a client can find out: values stay as they are, or in a form that is equal when the stored ones are. */
export const checking: Omit<Way, 'kinds'> = {
  words: check => check.e,
  found: jsonTypeWords,
  other: value => {
    if (!(value instanceof JsonNumber)) return typeof value === 'number' ? value : undefined
    const text = numberText(value)
    // As a double, a long or a decimal.
    return text !== undefined && (isDecimal128(text) || !Number.isNaN(toNumber(text))) ? value : tooLong()
  },
  parse: text => parseDigits(text, String(Math.random())),
  deepest: 20 // to which the service turns nested documents into JSON (PowerSync: module-mongodb, bufferToSqlite.ts)
}

export const tooLong = () => invalid('a number of at most 34 digits', 'a longer one')

/** The conversion of values other than null. */
export const convertOf: Kind = (check, way) => way.convert?.(check, way) ?? way.kinds[check.t]!(check, way)

/** The converted value, or why it is not accepted. */
export function converterOf (check: Check, way: Way): Convert {
  const convert = convertOf(check, way)
  return value => {
    const converted = value !== null ? convert(value) : check.n ? null : undefined
    return converted === undefined ? mismatch(check, value, way) : converted
  }
}

/** The fault of a value whose type is wrong, or out of bounds, as a whole. */
export function mismatch (check: Check, value: unknown, way: Way, problem?: string): DecodeFault {
  return invalid(way.words(check), way.found(value), problem)
}

/** Whether a number is within inclusive limits. */
const limitTest = ([least, most]: Check['c'] | [] = []) => (value: number): boolean =>
  value >= (least ?? -Infinity) && value <= (most ?? Infinity)

/** @param divides whether a value is a multiple */
function rangeTest<Value extends number | bigint> (
  r: Check['r'], read: (bound: number | string) => Value, divides: (value: Value, divisor: Value) => boolean
): (value: Value) => boolean {
  if (!r) return () => true
  const [least = -Infinity, most = Infinity, above = -Infinity, below = Infinity, divisor] =
    r.map(bound => bound === null ? undefined : read(bound))
  return value => value >= least && value <= most && value > above && value < below &&
    (divisor === undefined || divides(value, divisor))
}

export const text: Kind = ({ c, re = [], len = Infinity, date, v }) => {
  const patterns = re.map(([source, flags, not]) => ({ pattern: new RegExp(source, flags), expected: !not }))
  const within = limitTest(c)
  // JSON Schema and MongoDB count code points: code units but for the first halves of pairs.
  const fits = (value: string) =>
    (within(value.length) && within(value.length / 2)) || within(value.replace(/[\ud800-\udbff]/g, '').length)
  return value => {
    if (typeof value !== 'string') return undefined
    if (!isWellFormed(value)) return halfCharacter()
    const isAllowed = fits(value) && value.length <= len &&
      (!v || v[0]!.includes(value)) && (!date || isMoment(value)) &&
      patterns.every(({ pattern, expected }) => attempt(() => pattern.test(value)) === expected)
    return isAllowed ? value : undefined
  }
}

export const literal: Kind = ({ v = [] }) => {
  // Of a literal that is another's spelling, and of spellings of several, the first counts.
  const spellings = v.flatMap(([literal, ...others]) => others.map(spelling => [spelling, literal] as const))
  const stored = new Map([...spellings.reverse(), ...v.map(([literal]) => [literal, literal] as const)])
  return value => {
    const literal = stored.get(value)
    if (literal !== undefined) return literal
    const number = stored.get(toNumber(value)) // "1.0"
    return typeof number === 'number' ? number : undefined
  }
}

export const number: Kind = ({ r, w }) => {
  const accepts = rangeTest(r, Number, (value, divisor) => {
    const quotient = value / divisor // 0.3 / 0.1 is 2.9999999999999996
    return Number.isInteger(divisor)
      ? value % divisor === 0
      : Math.abs(quotient - Math.round(quotient)) <= Number.EPSILON * Math.abs(quotient)
  })
  return value => {
    const number = toNumber(value)
    const fits = (w ? Number.isInteger(number) : !Number.isNaN(number)) && accepts(number)
    return fits ? w ? number + 0 : number : undefined // the driver stores -0 as a double
  }
}

export const long: Kind = ({ r, z }) => {
  const accepts = rangeTest(r, BigInt, (value, divisor) => value % divisor === 0n)
  return value => {
    if (z === 0 && maybeRounded(value)) return undefined
    const whole = typeof value === 'bigint' ? value : integerText(value) ?? toNumber(value)
    if (typeof whole === 'number' && !Number.isSafeInteger(whole)) return undefined
    const long = BigInt(whole)
    return isLong(long) && accepts(long) ? long : undefined
  }
}

export const decimal: Kind = ({ z }) => value => {
  if (typeof value === 'string' && /^(?:NaN|-?Infinity)$/.test(value)) return value // as the service writes them
  if ((typeof value === 'number' || z === 0) && maybeRounded(value)) return undefined
  // A number's shortest text is what was written, unless it had more digits than a double holds.
  const text = numberText(Object.is(value, -0) ? '-0' : typeof value === 'number' ? String(value) : value)
  return text !== undefined && isDecimal128(text) ? text : undefined
}

export const date: Kind = ({ c }, way) => {
  const within = limitTest(c)
  const parse = way.parseDate ?? parseDate
  return value => {
    const time = typeof value === 'string' ? parse(value) : NaN
    return within(time) ? time : undefined
  }
}

export const binary: Kind = ({ c }) => {
  const within = limitTest(c)
  return value => {
    if (typeof value !== 'string' || !isBase64(value)) return undefined
    const padding = value.endsWith('==') ? 2 : Number(value.endsWith('='))
    return within(value.length / 4 * 3 - padding) ? value : undefined
  }
}

export const array: Kind = ({ i, c, u }, way) => {
  const convert = converterOf(i!, way)
  const within = limitTest(c)
  return value => {
    if (!Array.isArray(value)) return undefined
    const items: unknown[] = []
    for (const [index, item] of value.entries()) {
      const converted = convert(item)
      if (converted instanceof DecodeFault) return converted.within(index)
      items.push(converted)
    }
    return within(items.length) && !(u && hasDuplicates(items)) ? items : undefined
  }
}

/** Keys keep the order in which they came: documents that differ in it are not equal to MongoDB. */
export const object: Kind = ({ p = {}, i, k = '', x, z }, way) => {
  const properties = new Map(Object.entries(p).map(([name, [check, optional]]) =>
    [name, { convert: converterOf(check, way), optional }]))
  const required = Object.entries(p).filter(([, [, optional]]) => !optional)
  const pattern = new RegExp(k, 'u')
  const others = i && converterOf(i, way)
  const convertProperty = (name: string, value: unknown) => {
    if (isForbiddenKey(name)) return forbiddenName(KEY_RULE)
    const property = properties.get(name)
    // JSON, unlike a column, tells null and absent apart.
    if (property) return value === null && property.optional ? null : property.convert(value)
    if (others && attempt(() => pattern.test(name))) return others(value)
    return x ? unknownName(x) : convertAny(value, z!, way)
  }
  return value => {
    if (!isObject(value)) return undefined
    const document: Record<string, unknown> = {}
    for (const [name, property] of Object.entries(value)) {
      if (way.trusted && property === undefined) continue
      const converted = convertProperty(name, property)
      if (converted instanceof DecodeFault) return converted.within(name)
      document[name] = converted
    }
    const absent = required.find(([name]) => !hasOwn(document, name))
    return absent ? mismatch(absent[1][0], undefined, way, 'is required').within(absent[0]) : document
  }
}

/** A column that holds an object or array as JSON text; some connectors send it parsed. */
export const jsonText: Kind = ({ i, e }, way) => {
  const convert = converterOf(i!, way)
  return value => {
    const isText = typeof value === 'string' && !way.trusted
    const content = isText ? attempt(() => way.parse(value)) : value
    return isContainer(content) ? convert(content) : isText ? invalid(e, 'other text') : undefined
  }
}

export const any: Kind = ({ z }, way) => value => convertAny(value, z!, way)

/** The first that accepts the value. */
export const union: Kind = ({ o }, way) => {
  const variants = o!.map(variant => converterOf(variant, way))
  return value => {
    for (const convert of variants) {
      const converted = convert(value)
      if (!(converted instanceof DecodeFault)) return converted
    }
    return undefined
  }
}

/** All kinds; a module that is printed has those that it needs. */
export const kinds: Required<Way['kinds']> = {
  s: text,
  v: literal,
  n: number,
  l: long,
  m: decimal,
  d: date,
  b: binary,
  a: array,
  o: object,
  j: jsonText,
  y: any,
  u: union
}

/** A value of any type, as it came. */
function convertAny (value: unknown, depth: number, way: Way): unknown {
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string') return isWellFormed(value) ? value : halfCharacter()
  const other = way.other(value)
  if (other !== undefined) return other
  if (!isContainer(value)) return invalid(way.trusted ? 'any BSON value' : 'any JSON value', way.found(value))
  if (depth > way.deepest) return invalid(`JSON of at most ${way.deepest} levels`, 'a deeper one')
  const items: Iterable<[string | number, unknown]> = Array.isArray(value) ? value.entries() : Object.entries(value)
  const converted = (Array.isArray(value) ? [] : {}) as Record<string | number, unknown>
  for (const [step, item] of items) {
    const isName = typeof step === 'string'
    if (isName && item === undefined && way.trusted) continue // the driver may write null
    const result = isName && isForbiddenKey(step) ? forbiddenName(KEY_RULE) : convertAny(item, depth + 1, way)
    if (result instanceof DecodeFault) return result.within(step)
    converted[step] = result
  }
  return converted
}

/** As JSON Schema has it: objects are equal in whatever order of their names. */
function hasDuplicates (items: unknown[]): boolean {
  const ordered = (_: string, value: unknown) => {
    if (typeof value === 'bigint') return { $numberLong: String(value) }
    return isObject(value) ? { object: Object.keys(value).sort().map(name => [name, value[name]]) } : value
  }
  // Most are text, which needs no JSON; that never begins with an apostrophe.
  const texts = items.map(item => typeof item === 'string' ? `'${item}` : JSON.stringify(item, ordered))
  return new Set(texts).size < items.length
}

/** A column, as rows are read by it. */
export interface RowField {
  /** At the client. */
  column: string
  /** In the document. */
  name: string
  check: Check
  /** Null and absence are accepted. */
  nullable: boolean
  /** Says whose row it is: the server sets it. */
  owner: boolean
  /** Clients cannot change it. */
  readOnly: boolean
  /** The value that the server gives, as BSON; null for none. */
  default?: (() => unknown) | undefined
}

/** What one user may write, where that is not the same for all. */
export interface Limits {
  /** Whether the server sets the field, because it says whose row it is. */
  owns (name: string): boolean
  /** Why the user may not write a field. */
  refuses (name: string): DecodeFault | undefined
}

type Row = Record<string, unknown>

/** What a decoder has to know of an uploaded operation. */
export type UploadedRow = { op: string, id: string, data: Readonly<Row> }

/** The columns that a table does not have: what becomes of them, and which belong to fields under another name. */
export type OtherColumns = Pick<TableDescription, 'others' | 'hidden' | 'words'>

/** The fields that an operation writes: of a PUT all that the user may write, of a PATCH the changed ones. */
export function rowReader (fields: readonly RowField[], { others, hidden, words }: OtherColumns, way: Way) {
  // Copied by name: objects of one shape are read faster. The names that every object inherits are looked up with care.
  const columns = fields.map(({ column, name, check, nullable, owner, readOnly, default: byDefault }) => ({
    column,
    name,
    check,
    nullable,
    owner,
    readOnly,
    byDefault,
    inherited: column in Object.prototype,
    convert: convertOf(check, way)
  }))
  const known = new Set(fields.map(field => field.column))

  const readOthers = (data: Readonly<Row>, row: Row, id: string, limits: Limits | undefined): Row | DecodeFault => {
    for (const [column, value] of Object.entries(data)) {
      if (known.has(column)) continue
      if (isForbiddenColumn(column)) {
        if (isOwnId(column, value, id)) continue
        return forbiddenName(NAME_RULE).within(column)
      }
      if (value === undefined) continue
      if (others === 'reject' || hidden.includes(column)) return unknownName(words).within(column)
      if (others === 'drop') continue
      const converted = limits?.refuses(column) ?? convertAny(value, 1, way)
      if (converted instanceof DecodeFault) return converted.within(column)
      row[column] = converted
    }
    return row
  }

  return ({ op, id, data }: UploadedRow, limits?: Limits): Row | DecodeFault => {
    const row: Row = {}
    let count = 0
    for (let index = 0; index < columns.length; index++) {
      const field = columns[index]!
      const { column, name } = field
      const value = !field.inherited || hasOwn(data, column) ? data[column] : undefined
      if (value !== undefined) count++
      else if (op === 'PATCH') continue
      if (limits || field.readOnly) {
        const refused = limits?.refuses(name)
        if (refused && value !== undefined && (op === 'PATCH' || value !== null)) return refused.within(column)
        if (refused || field.readOnly) continue
      }
      let converted: unknown = null
      if (value !== undefined && value !== null) {
        converted = field.convert(value)
        if (converted === undefined) return mismatch(field.check, value, way).within(column)
        if (converted instanceof DecodeFault) return converted.within(column)
      } else {
        if (op === 'PUT' && field.byDefault) converted = field.byDefault()
        if (converted === null && !field.nullable && !(op === 'PUT' && (field.owner || limits?.owns(name)))) {
          return mismatch(field.check, value, way, 'is required').within(column)
        }
      }
      row[name] = converted
    }
    // Counting the columns is quicker than looking each of them up, and tells whether there are others.
    return Object.keys(data).length === count ? row : readOthers(data, row, id, limits)
  }
}

/** Clients whose stream selects `_id` have it as a column too, and some connectors send the whole row. */
const isOwnId = (column: string, value: unknown, id: string): boolean =>
  /^_?id$/.test(column) && !isContainer(value) && String(value) === id

const hasOwn = (object: object, name: string): boolean => Object.prototype.hasOwnProperty.call(object, name)

/** The most bytes of an id that is text. */
export const longestId = 1024

/** Whether a text is an id of the collection, in its one spelling. */
export function idTest (check: Check, way: Way): (id: string) => boolean {
  if (check.t === 'l') return id => integerText(id) !== undefined && Number(id) !== 0 && isLong(BigInt(id))
  const convert = text(check, way)
  return id => id !== '' && id.length <= longestId && !id.includes('\0') && convert(id) === id &&
    (id.length <= longestId / 3 || byteLength(id) <= longestId)
}

/** Bytes of UTF-8, without an encoder: not every platform has one. */
const byteLength = (text: string) => encodeURIComponent(text).replace(/%../g, 'x').length
