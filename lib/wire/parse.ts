import { isUtf8 } from 'node:buffer'
import { BodyError, TooLargeError } from '../errors.js'
import { parseJson } from '../json.js'
import { createTurns } from '../turns.js'

/** Bytes of operations that are parsed at once. */
const piece = 64 * 1024

const enum Byte {
  quote = 0x22,
  comma = 0x2c,
  colon = 0x3a,
  openBracket = 0x5b,
  backslash = 0x5c,
  closeBracket = 0x5d,
  openBrace = 0x7b,
  closeBrace = 0x7d
}

export interface ParseOptions {
  /** What the body should be, for errors. */
  expected: string
  /** Bytes of a body up to which it is parsed as a whole, which takes some milliseconds. Default: none. */
  atOnce?: number
  /** The most units of JSON (`countUnits`) in one operation, and what the answer says of more. */
  units: { most: number, tooMany: (place: string, units: number) => string }
}

/** Parses JSON that is small. */
export function parseBody (bytes: Buffer, expected: string): unknown {
  checkText(bytes, expected)
  return parse(bytes.toString(), expected)
}

/** Ends when the body before is read. */
let queue: Promise<unknown> = Promise.resolve()
/** Of all bodies together. */
const turn = createTurns()

/**
 * Parses the body of an upload: a large one in pieces and after those before it, so that the process is free for
 * others. Fields that nobody reads, since `UploadBody` does not have them, are skipped.
 *
 * @throws {BodyError} for anything but JSON
 * @throws {TooLargeError} for an operation that has too much in it
 */
export function parseUpload (bytes: Buffer, options: ParseOptions): Promise<unknown> {
  if (bytes.length <= piece) return read(bytes, options)
  const result = queue.then(() => read(bytes, options))
  // Without the result: it would stay in memory until the next upload.
  queue = result.then(() => {}, () => {})
  return result
}

async function read (bytes: Buffer, options: ParseOptions): Promise<unknown> {
  const { expected, atOnce = 0, units: { most } } = options
  if (bytes.length > piece) await turn()
  // As many bytes cannot have too many units.
  if (bytes.length <= Math.min(most, atOnce)) return parseBody(bytes, expected)
  checkText(bytes, expected)
  const steps = walk(bytes, options)
  let step = steps.next()
  for (; !step.done; step = steps.next()) await turn()
  return step.value
}

/** Reads what stands at a place. */
type Reader = (place: string) => Generator<void, unknown>

/** Yields after each element of an object, and after each piece of a list. */
function * walk (bytes: Buffer, { expected, units: { most, tooMany } }: ParseOptions): Generator<void, unknown> {
  let at = 0
  skipSpace()
  const body = yield * object('', {
    client_id: value,
    schema_version: value,
    batch: values,
    operations: values,
    transactions: place => list(place, element => object(element, { transaction_id: value, crud: values }))
  })
  skipSpace()
  if (at < bytes.length) throw notJson(expected)
  return body

  /** Reads the fields that have a reader, and anything but an object as it is. */
  function * object (place: string, readers: Record<string, Reader>): Generator<void, unknown> {
    if (bytes[at] !== Byte.openBrace) return yield * value(place || 'The body')
    const fields: Record<string, unknown> = {}
    yield * elements(Byte.closeBrace, function * () {
      const start = at
      expect(Byte.quote)
      at = endOfString(bytes, at)
      expect(Byte.quote)
      const name = parseFrom(start) as string
      skipSpace()
      expect(Byte.colon)
      skipSpace()
      if (Object.hasOwn(readers, name)) fields[name] = yield * readers[name]!(place ? `${place}.${name}` : name)
      else ignore()
    })
    return fields
  }

  function * list (place: string, element: Reader): Generator<void, unknown> {
    if (bytes[at] !== Byte.openBracket) return yield * value(place)
    const all: unknown[] = []
    yield * elements(Byte.closeBracket, function * () { all.push(yield * element(`${place}[${all.length}]`)) })
    return all
  }

  /** Moves over what stands between brackets. */
  function * elements (end: Byte, element: () => Generator<void>): Generator<void> {
    at++
    skipSpace()
    while (bytes[at] !== end) {
      yield * element()
      skipSpace()
      if (bytes[at] !== end) {
        expect(Byte.comma)
        skipSpace()
        if (bytes[at] === end) throw notJson(expected)
      }
      yield
    }
    at++
  }

  /** A list of values as they are, many of them at once. */
  function * values (place: string): Generator<void, unknown> {
    if (bytes[at] !== Byte.openBracket) return yield * value(place)
    const all: unknown[] = []
    const first = ++at
    let start = first
    for (let index = 0; ; index++) {
      skipValue(() => `${place}[${index}]`)
      const isLast = bytes[at] !== Byte.comma
      if (isLast || at - start >= piece) {
        const some = parse(`[${bytes.toString('utf8', start, at)}]`, expected) as unknown[]
        // Beside a comma there is a value.
        if (some.length === 0 && !(isLast && start === first)) throw notJson(expected)
        all.push(...some)
        start = at + 1
        yield
      }
      if (isLast) break
      at++
    }
    expect(Byte.closeBracket)
    return all
  }

  function * value (place: string): Generator<void, unknown> {
    const start = at
    skipValue(() => place)
    return parseFrom(start)
  }

  /** Moves over a value that nobody reads. */
  function ignore (): void {
    const start = at
    at = endOfValue(bytes, at)
    if (at - start <= piece) parseFrom(start)
  }

  /** Moves to the end of a value. */
  function skipValue (place: () => string): void {
    const start = at
    at = endOfValue(bytes, at)
    const units = at - start > most ? countUnits(bytes.subarray(start, at)) : 0
    if (units > most) throw new TooLargeError(tooMany(place(), units))
  }

  function parseFrom (start: number): unknown {
    return parse(bytes.toString('utf8', start, at), expected)
  }

  function skipSpace (): void {
    while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  }

  function expect (byte: Byte): void {
    if (bytes[at] !== byte) throw notJson(expected)
    at++
  }
}

/** Where a value ends: a comma, the end of what it is in, or of the body. */
function endOfValue (bytes: Buffer, start: number): number {
  let depth = 0
  let at = start
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === Byte.quote) at = endOfString(bytes, at + 1)
    else if (byte === Byte.openBrace || byte === Byte.openBracket) depth++
    else if ((byte === Byte.closeBrace || byte === Byte.closeBracket) && depth-- === 0) return at
    else if (byte === Byte.comma && depth === 0) return at
  }
  return at
}

/** Where the quote stands that ends a text. */
function endOfString (bytes: Buffer, start: number): number {
  let at = start
  for (; at < bytes.length && bytes[at] !== Byte.quote; at++) if (bytes[at] === Byte.backslash) at++
  return at
}

function checkText (bytes: Buffer, expected: string): void {
  if (bytes.length === 0) throw new BodyError(`The body: expected ${expected}, found nothing`)
  // Decoding would put U+FFFD in the place of other bytes: other ids and values than were sent.
  if (!isUtf8(bytes)) throw new BodyError(`The body: expected ${expected}, found bytes that are not UTF-8`)
}

function parse (text: string, expected: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (!(error instanceof RangeError)) throw notJson(expected)
    throw new TooLargeError('An operation has too many numbers that JavaScript prints in another way')
  }
}

const notJson = (expected: string) => new BodyError(`The body: expected ${expected}, found something that is not JSON`)

/** 1 for each byte that makes a value or a name of JSON one more. */
const UNITS = Uint8Array.from({ length: 256 }, (_, byte) => Number('{[,:'.includes(String.fromCharCode(byte))))
const UNITS_OF_TWO = Uint8Array.from({ length: 256 ** 2 }, (_, two) => UNITS[two & 255]! + UNITS[two >> 8]!)

/**
 * How many values and names JSON holds at most, told without reading it. Those within text count as well: a JSON column
 * is text that is parsed later, and prose has few.
 */
export function countUnits (bytes: Uint8Array): number {
  const { buffer, byteOffset, length } = bytes
  if (length === 0) return 0
  // Two at a time, which begin at an even place.
  if (length % 2 === 1) return UNITS[bytes[length - 1]!]! + countUnits(bytes.subarray(0, -1))
  if (byteOffset % 2 === 1) return UNITS[bytes[0]!]! + countUnits(bytes.subarray(1))
  const pairs = new Uint16Array(buffer, byteOffset, length / 2)
  let units = 0
  for (let at = 0; at < pairs.length; at++) units += UNITS_OF_TWO[pairs[at]!]!
  return units
}
