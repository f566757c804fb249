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
 * Parses the body of an upload, a few operations at a time, so that a large one leaves the process free for others.
 * What nobody reads, as a field of the body that `UploadBody` does not have, is skipped.
 *
 * @throws {BodyError} for what is not JSON
 * @throws {TooLargeError} for an operation that has too much in it
 */
export function parseUpload (bytes: Buffer, options: ParseOptions): Promise<unknown> {
  return bytes.length > piece ? inTurn(() => read(bytes, options)) : read(bytes, options)
}

let turn: Promise<unknown> = Promise.resolve()

/** One after the other, and in between whatever else there is to do. */
function inTurn<Result> (work: () => Promise<Result>): Promise<Result> {
  const result = turn.then(work)
  turn = result.then(() => nextTurn(), () => nextTurn())
  return result
}

async function read (bytes: Buffer, { expected, atOnce = 0, units: { most, tooMany } }: ParseOptions): Promise<unknown> {
  checkText(bytes, expected)
  // As many bytes cannot have too many units.
  if (bytes.length <= Math.min(most, atOnce)) return parse(bytes.toString(), expected)
  let at = 0
  let since = performance.now()

  skipSpace()
  const body = bytes[at] === Byte.openBrace
    ? await object('The body', { client_id: value, batch: operations, operations, transactions: place => list(place, transaction) })
    : await value('The body')
  skipSpace()
  if (at < bytes.length) throw notJson(expected)
  await breathe()
  return body

  function transaction (place: string): unknown {
    return bytes[at] === Byte.openBrace ? object(place, { transaction_id: value, crud: operations }) : value(place)
  }

  /** The fields that have a reader. */
  async function object (place: string, readers: Record<string, Reader>): Promise<object> {
    const fields: Record<string, unknown> = {}
    at++
    skipSpace()
    while (bytes[at] !== Byte.closeBrace) {
      const name = parse(textTo(skipString), expected) as string
      skipSpace()
      expect(Byte.colon)
      skipSpace()
      const inside = place === 'The body' ? name : `${place}.${name}`
      const reader = Object.hasOwn(readers, name) ? readers[name] : undefined
      if (reader) fields[name] = await reader(inside)
      else ignore()
      await separator(Byte.closeBrace)
    }
    at++
    return fields
  }

  async function list (place: string, element: Reader): Promise<unknown> {
    if (bytes[at] !== Byte.openBracket) return value(place)
    const elements: unknown[] = []
    at++
    skipSpace()
    while (bytes[at] !== Byte.closeBracket) {
      elements.push(await element(`${place}[${elements.length}]`))
      await separator(Byte.closeBracket)
    }
    at++
    return elements
  }

  /** As `list`, but neighbours are parsed together. */
  async function operations (place: string): Promise<unknown> {
    if (bytes[at] !== Byte.openBracket) return value(place)
    const all: unknown[] = []
    let index = 0
    let start = at + 1
    do {
      at++
      check(`${place}[${index++}]`)
      const isLast = bytes[at] === Byte.closeBracket
      if (!isLast && bytes[at] !== Byte.comma) throw notJson(expected)
      if (!isLast && at - start < piece) continue
      const text = bytes.toString('utf8', start, at)
      // Between brackets, nothing would be an empty list.
      if (/^\s*$/.test(text) && !(isLast && index === 1)) throw notJson(expected)
      for (const operation of parse(`[${text}]`, expected) as unknown[]) all.push(operation)
      start = at + 1
      await breathe()
    } while (bytes[at] !== Byte.closeBracket)
    at++
    return all
  }

  function value (place: string): unknown {
    return parse(textTo(() => check(place)), expected)
  }

  /** Moves over a value that is going to be parsed. */
  function check (place: string): void {
    const start = at
    skipValue()
    const units = at - start > most ? countUnits(bytes.subarray(start, at)) : 0
    if (units > most) throw new TooLargeError(tooMany(place, units))
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
          if (depth === 0) return
          depth--
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

  /** Moves over a comma, behind which there is more, or to the end. */
  async function separator (end: Byte): Promise<void> {
    skipSpace()
    if (bytes[at] === end) return
    expect(Byte.comma)
    skipSpace()
    if (bytes[at] === end) throw notJson(expected)
    await breathe()
  }

  function skipSpace (): void {
    while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  }

  function expect (byte: Byte): void {
    if (bytes[at] !== byte) throw notJson(expected)
    at++
  }

  async function breathe (): Promise<void> {
    if (performance.now() - since < slice) return
    await nextTurn()
    since = performance.now()
  }
}

/** Reads what stands at a place; the result may be a promise. */
type Reader = (place: string) => unknown

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
