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

/** Reads what stands at a place; the result may be a promise. */
type Reader = (place: string) => unknown

async function read (bytes: Buffer, { expected, atOnce = 0, units: { most, tooMany } }: ParseOptions): Promise<unknown> {
  // As many bytes cannot have too many units.
  if (bytes.length <= Math.min(most, atOnce)) return parseBody(bytes, expected)
  checkText(bytes, expected)
  let at = 0
  let since = performance.now()

  skipSpace()
  const body = await object({ client_id: value, schema_version: value, batch: list(value), operations: list(value), transactions: list(object({ transaction_id: value, crud: list(value) })) })('The body')
  skipSpace()
  if (at < bytes.length) throw notJson(expected)
  return body

  /** Reads the fields that have a reader, and anything but an object as it is. */
  function object (readers: Record<string, Reader>): Reader {
    return async place => {
      if (bytes[at] !== Byte.openBrace) return value(place)
      const fields: Record<string, unknown> = {}
      await elements(Byte.closeBrace, () => {
        const name = parse(textTo(skipString), expected) as string
        skipSpace()
        expect(Byte.colon)
        skipSpace()
        if (!Object.hasOwn(readers, name)) return ignore()
        return then(readers[name]!(place === 'The body' ? name : `${place}.${name}`), field => { fields[name] = field })
      })
      return fields
    }
  }

  function list (element: Reader): Reader {
    return async place => {
      if (bytes[at] !== Byte.openBracket) return value(place)
      const all: unknown[] = []
      await elements(Byte.closeBracket, () => then(element(`${place}[${all.length}]`), each => { all.push(each) }))
      return all
    }
  }

  /** Moves over what stands between brackets. */
  async function elements (end: Byte, element: () => void | Promise<void>): Promise<void> {
    at++
    skipSpace()
    while (bytes[at] !== end) {
      const pending = element()
      if (pending) await pending
      skipSpace()
      if (bytes[at] !== end) {
        expect(Byte.comma)
        skipSpace()
        if (bytes[at] === end) throw notJson(expected)
      }
      if (performance.now() - since < slice) continue
      await nextTurn()
      since = performance.now()
    }
    at++
  }

  function value (place: string): unknown {
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

  function textTo (move: () => void): string {
    const start = at
    move()
    return bytes.toString('utf8', start, at)
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

/** Goes on at once where it can: a promise for each operation would take longer than parsing it. */
function then (value: unknown, next: (value: unknown) => void): void | Promise<void> {
  return value instanceof Promise ? value.then(next) : next(value)
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
