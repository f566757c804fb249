import { BSON, ObjectId, type mongodb } from '../bson.js'
import type { FailedOperation } from '../../types/index.js'

/** A dead letter in which changes of its rows are noted. Null: too many for the page, the letter alone has them. */
export interface OpenLetter { _id: string, rows: ReadonlySet<string> | null }

/** Why a client transaction was rejected. */
interface Rejection {
  /** By which operations refer to it. */
  number: number
  /** Fingerprint of the operation that failed, so that it is found whatever the transaction is cut into. */
  failed: string | null
  reason: FailedOperation
}

export interface PageContent {
  /** Null: there is no such page yet. */
  version: mongodb.ObjectId | null
  /** Of the client's letters: grows by one with each. */
  sequence: number
  /** Records of `recordBytes` each. */
  operations: Buffer
  rejections: readonly Rejection[]
  letters: readonly OpenLetter[]
}

export type Verdict = 'applied' | Rejection

export interface Settlement {
  /** Fingerprints. */
  operations: readonly string[]
  /** Why they are rejected; undefined: they are applied. */
  rejected?: Omit<Rejection, 'number'> | undefined
  /** Fingerprints of all operations of the upload; asked for when something may be forgotten. */
  upload: () => ReadonlySet<string>
  /** A letter that is written with it. */
  opened?: OpenLetter | undefined
  /** Letters that are gone. */
  closed?: ReadonlySet<string> | undefined
}

/** Bytes of an operation's fingerprint: 96 bits of SHA-256. */
export const fingerprintBytes = 12

/** Fingerprint, seconds since 1970, number of its rejection (0: applied). */
const recordBytes = fingerprintBytes + 4 + 2

/** Kept though a later upload did not contain them any more: copies of an upload may still be on their way. */
const keptOperations = 2000
const keptSeconds = 86_400

/** Far below 16 MiB: what exceeds it is forgotten, the oldest first. */
const mostRecords = 500_000

/** Bytes of rejections: what exceeds them is forgotten with its operations, the oldest first. */
const mostRejections = 3 * 1024 ** 2

/** Rows of all letters on a page, some 30 bytes each. */
const mostRows = 20_000

export function withLetter (letters: readonly OpenLetter[], letter: OpenLetter): OpenLetter[] {
  const rows = [...letters, letter].reduce((sum, each) => sum + (each.rows?.size ?? 0), 0)
  return [...letters, rows > mostRows ? { ...letter, rows: null } : letter]
}

/**
 * The outcomes of one client database's operations, in order of arrival. Immutable.
 *
 * It forgets only what a later upload of its client no longer contained, which its client therefore has an answer for;
 * and even of that it keeps the last 2 000 operations and the last day.
 */
export class Page {
  constructor (readonly content: PageContent) {}

  static readonly empty: PageContent =
    { version: null, sequence: 0, operations: Buffer.alloc(0), rejections: [], letters: [] }

  /** Of memory, roughly. */
  get bytes (): number {
    const { operations, rejections, letters } = this.content
    const ofLetters = letters.reduce((sum, { rows }) => sum + 100 + 50 * (rows?.size ?? 0), 0)
    return 500 + operations.length + 500 * rejections.length + ofLetters
  }

  /** The outcomes of operations that are not new, by fingerprint. */
  verdicts (fingerprints: ReadonlyArray<string | undefined>): ReadonlyMap<string, Verdict> {
    const { operations, rejections } = this.content
    const verdicts = new Map<string, Verdict>()
    if (operations.length === 0) return verdicts
    // Four bytes of a record tell of most that they are not asked for.
    const asked = Buffer.from(fingerprints.filter(fingerprint => fingerprint !== undefined).join(''), 'latin1')
    const beginnings = new Set<number>()
    for (let at = 0; at < asked.length; at += fingerprintBytes) beginnings.add(asked.readUInt32LE(at))
    for (let at = 0; at < operations.length; at += recordBytes) {
      if (!beginnings.has(operations.readUInt32LE(at))) continue
      const number = numberAt(operations, at)
      const rejection = rejections.find(each => each.number === number)
      verdicts.set(fingerprintAt(operations, at), rejection ?? 'applied')
    }
    return verdicts
  }

  next ({ operations, rejected, upload, opened, closed }: Settlement, now = Date.now()): Page {
    const { rejections, letters, sequence } = this.content
    const seconds = Math.floor(now / 1000)
    const staying = this.#kept(upload, operations.length, seconds)
    const found = rejections.length ? numbersIn(staying) : new Set<number>()
    const known = fitting(rejections.filter(({ number }) => found.has(number)))
    const used = new Set(known.map(({ number }) => number))
    const isKnown = (at: number) => numberAt(staying, at) === 0 || used.has(numberAt(staying, at))
    const kept = used.size < found.size ? recordsOf(staying, isKnown) : staying
    let number = 1
    while (used.has(number)) number++
    const rejection = rejected && { number, ...rejected }
    const record = Buffer.alloc(recordBytes)
    record.writeUInt32LE(seconds, fingerprintBytes)
    record.writeUInt16LE(rejection?.number ?? 0, fingerprintBytes + 4)
    const end = record.toString('latin1', fingerprintBytes)
    const added = Buffer.from(operations.map(fingerprint => fingerprint + end).join(''), 'latin1')
    const open = closed?.size ? letters.filter(({ _id }) => !closed.has(_id)) : letters
    return new Page({
      version: new ObjectId(),
      sequence: opened ? sequence + 1 : sequence,
      operations: Buffer.concat([kept, added]),
      rejections: rejection ? [...known, rejection] : known,
      letters: opened ? withLetter(open, opened) : open
    })
  }

  /** The records that stay. Those that go are at the beginning, but for what the upload contains. */
  #kept (upload: () => ReadonlySet<string>, adding: number, seconds: number): Buffer {
    const { operations } = this.content
    let end = 0
    const mayLeave = () => {
      const staying = (operations.length - end) / recordBytes + adding
      const isOld = () => operations.readUInt32LE(end + fingerprintBytes) < seconds - keptSeconds
      return staying > mostRecords || (staying > keptOperations && isOld())
    }
    while (end < operations.length && mayLeave()) end += recordBytes
    if (end === 0) return operations
    const uploaded = upload()
    const staying = recordsOf(operations.subarray(0, end), at => uploaded.has(fingerprintAt(operations, at)))
    return Buffer.concat([staying, operations.subarray(end)])
  }
}

const fingerprintAt = (records: Buffer, at: number): string => records.toString('latin1', at, at + fingerprintBytes)

const numberAt = (records: Buffer, at: number): number => records.readUInt16LE(at + fingerprintBytes + 4)

function recordsOf (records: Buffer, stays: (at: number) => boolean): Buffer {
  const staying: Buffer[] = []
  for (let at = 0; at < records.length; at += recordBytes) {
    if (stays(at)) staying.push(records.subarray(at, at + recordBytes))
  }
  return Buffer.concat(staying)
}

/** The latest rejections, as many as there is room for. */
function fitting (rejections: readonly Rejection[]): readonly Rejection[] {
  let bytes = 0
  const exceeding = rejections.findLastIndex(({ reason }) => {
    bytes += 100 + BSON.calculateObjectSize(reason)
    return bytes > mostRejections
  })
  return rejections.slice(exceeding + 1)
}

function numbersIn (records: Buffer): Set<number> {
  const numbers = new Set<number>()
  for (let at = 0; at < records.length; at += recordBytes) numbers.add(numberAt(records, at))
  numbers.delete(0)
  return numbers
}
