import { isUtf8 } from 'node:buffer'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BodyError, TooLargeError } from '../errors.js'
import { parseJson } from '../json.js'

/** Bytes of operations that are parsed at once. */
const piece = 64 * 1024

/** Milliseconds after which others get their turn. */
const slice = 10

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

/**
 * Parses the body of an upload, an operation at a time, so that a large one leaves the process free for others.
 * Fields that nobody reads, since `UploadBody` does not have them, are skipped.
 *
 * @throws {BodyError} for anything but JSON
 * @throws {TooLargeError} for an operation that has too much in it
 */
export function parseUpload (bytes: Buffer, options: ParseOptions): Promise<unknown> {
  return bytes.length > piece ? inTurn(() => read(bytes, options)) : read(bytes, options)
}

let turn: Promise<unknown> = Promise.resolve()

/** One after the other, and in between whatever else there is to do. */
function inTurn<Result> (work: () => Promise<Result>): Promise<Result> {
  const result = turn.then(work).finally(() => nextTurn())
  turn = result.catch(() => {})
  return result
}

async function read (bytes: Buffer, options: ParseOptions): Promise<unknown> {
  const { expected, atOnce = 0, units: { most } } = options
  // As many bytes cannot have too many units.
  if (bytes.length <= Math.min(most, atOnce)) return parseBody(bytes, expected)
  checkText(bytes, expected)
  let since = performance.now()
  const steps = walk(bytes, options)
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value
    if (performance.now() - since < slice) continue
    await nextTurn()
    since = performance.now()
  }
}

/** Reads what stands at a place. */
type Reader = (place: string) => Iterable<void, unknown>

/** Yields after each element of an object or a list. */
function * walk (bytes: Buffer, { expected, units: { most, tooMany } }: ParseOptions): Generator<void, unknown> {
  let at = 0
  skipSpace()
  const transaction = object({ transaction_id: value, crud: list(value) })
  const upload = object({
    client_id: value,
    schema_version: value,
    batch: list(value),
    operations: list(value),
    transactions: list(transaction)
  })
  const body = yield * upload('The body')
  skipSpace()
  if (at < bytes.length) throw notJson(expected)
  return body

  /** Reads the fields that have a reader, and anything but an object as it is. */
  function object (readers: Record<string, Reader>): Reader {
    return function * (place) {
      if (bytes[at] !== Byte.openBrace) return yield * value(place)
      const fields: Record<string, unknown> = {}
      yield * elements(Byte.closeBrace, function * () {
        const start = at
        skipString()
        const name = parse(bytes.toString('utf8', start, at), expected) as string
        skipSpace()
        expect(Byte.colon)
        skipSpace()
        if (!Object.hasOwn(readers, name)) ignore()
        else fields[name] = yield * readers[name]!(place === 'The body' ? name : `${place}.${name}`)
      })
      return fields
    }
  }

  function list (element: Reader): Reader {
    return function * (place) {
      if (bytes[at] !== Byte.openBracket) return yield * value(place)
      const all: unknown[] = []
      yield * elements(Byte.closeBracket, function * () {
        all.push(yield * element(`${place}[${all.length}]`))
      })
      return all
    }
  }

  /** Moves over what stands between brackets. */
  function * elements (end: Byte, element: () => Iterable<void>): Generator<void> {
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

  function * value (place: string): Generator<void, unknown> {
    const start = at
    skipValue()
    const units = at - start > most ? countUnits(bytes.subarray(start, at)) : 0
    if (units > most) throw new TooLargeError(tooMany(place, units))
    return parse(bytes.toString('utf8', start, at), expected)
  }

  /** Moves over a value that nobody reads. */
  function ignore (): void {
    const start = at
    skipValue()
    if (at - start <= piece) parse(bytes.toString('utf8', start, at), expected)
  }

  /** Moves to the end of a value: a comma, or the end of what it is in. */
  function skipValue (): void {
    let depth = 0
    for (; at < bytes.length; at++) {
      switch (bytes[at]) {
        case Byte.quote:
          skipString()
          at--
          break
        case Byte.openBrace:
        case Byte.openBracket:
          depth++
          break
        case Byte.closeBrace:
        case Byte.closeBracket:
          if (depth-- === 0) return
          break
        case Byte.comma:
          if (depth === 0) return
      }
    }
    if (depth > 0) throw notJson(expected)
  }

  function skipString (): void {
    expect(Byte.quote)
    for (; at < bytes.length; at++) {
      if (bytes[at] === Byte.backslash) at++
      else if (bytes[at] === Byte.quote) {
        at++
        return
      }
    }
    throw notJson(expected)
  }

  function skipSpace (): void {
    while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  }

  function expect (byte: Byte): void {
    if (bytes[at] !== byte) throw notJson(expected)
    at++
  }
}

function checkText (bytes: Buffer, expected: string): void {
  if (bytes.length === 0) throw new BodyError(`The body: expected ${expected}, found nothing`)
  // Decoding would put U+FFFD in the place of other bytes: other ids and values than were sent.
  if (!isUtf8(bytes)) throw new BodyError(`The body: expected ${expected}, found bytes that are not UTF-8`)
}

function parse (text: string, expected: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw notJson(expected)
  }
}

const notJson = (expected: string) => new BodyError(`The body: expected ${expected}, found something that is not JSON`)

/** 1 for each byte that makes a value or a name of JSON one more: `{ [ , :`. */
const UNITS = new Uint8Array(256)
for (const character of '{[,:') UNITS[character.charCodeAt(0)] = 1

/**
 * How many values and names JSON holds at most, told without reading it. Those within text count as well: a JSON column
 * is text that is parsed later, and prose has few.
 */
export function countUnits (bytes: Uint8Array): number {
  let units = 0
  for (let at = 0; at < bytes.length; at++) units += UNITS[bytes[at]!]!
  return units
}
