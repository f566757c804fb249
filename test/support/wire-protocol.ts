/**
 * MongoDB's wire protocol, as much of it as the driver speaks: OP_MSG with document sequences, and OP_QUERY with
 * OP_REPLY for the first hello of a connection. BSON is walked, not deserialised, until somebody asks for a document.
 * https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
 */
import fastifyMongodb from '@fastify/mongodb'

const { deserialize, serialize } = fastifyMongodb.mongodb.BSON

export type Document = Readonly<Record<string, unknown>>

export interface Command {
  /** The command's first key; `hello` for its legacy names too. */
  readonly name: string
  readonly database: string
  /** What the command acts on, where that is a collection. */
  readonly collection: string | undefined
  /** Number of the connection it came on, from 1 in the order of arrival. */
  readonly connection: number
  /** How many documents, updates, deletes or ops it holds. */
  readonly statements: number
  /** False for `w: 0`: the client reads no reply. */
  readonly acknowledged: boolean
  /** The whole command, document sequences included as arrays. Deserialised when first read. */
  readonly document: Document
  /** The session's id in hex. */
  readonly lsid: string | undefined
  readonly txnNumber: number | undefined
  readonly autocommit: false | undefined
  readonly startTransaction: true | undefined
  /** The first key of each statement: says which are inserts, updates and deletes in a `bulkWrite`. */
  statementKeys (): string[]
  /** A boolean at the top level of the command, without deserialising the rest. */
  flag (name: string): boolean | undefined
}

interface Message {
  bytes: Buffer
  requestId: number
  opCode: number
  acknowledged: boolean
  /** OP_QUERY names the database outside of the command. */
  database: string | undefined
  /** Where the command's document starts. */
  body: number
  sequences: Sequence[]
}

interface Sequence { identifier: string, start: number, end: number }

interface Element { type: number, name: string, start: number, end: number }

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013
const HEADER_BYTES = 16
/** `maxMessageSizeBytes` of the hello reply, and room for the command around the documents. */
const LARGEST_MESSAGE_BYTES = 48_000_000 + 16_384

const CHECKSUM_PRESENT = 1
const MORE_TO_COME = 2

/** Cuts a stream of bytes into messages. Throws a `RangeError` when a length cannot be one. */
export function messageReader (onMessage: (bytes: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = []
  let length = 0
  let wanted = 4

  return function read (chunk) {
    chunks.push(chunk)
    length += chunk.length
    if (length < wanted) return

    let bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    wanted = nextLength(bytes)
    while (bytes.length >= wanted) {
      const message = bytes.subarray(0, wanted)
      bytes = bytes.subarray(wanted)
      wanted = nextLength(bytes)
      onMessage(message)
    }
    chunks = [bytes]
    length = bytes.length
  }
}

function nextLength (bytes: Buffer): number {
  if (bytes.length < 4) return 4
  const length = bytes.readInt32LE(0)
  if (length < HEADER_BYTES || length > LARGEST_MESSAGE_BYTES) {
    throw new RangeError(`A message of ${length} bytes: not the MongoDB wire protocol.`)
  }
  return length
}

/** Reads one message, and gives with it the function that encodes its reply. */
export function readCommand (
  bytes: Buffer,
  connection: number
): { command: Command, encode: (reply: Document) => Buffer } {
  const message = readMessage(bytes)
  const encode = message.opCode === OP_QUERY ? encodeOpReply : encodeOpMsg
  return { command: commandOf(message, connection), encode: (reply) => encode(message.requestId, reply) }
}

function readMessage (bytes: Buffer): Message {
  const requestId = bytes.readInt32LE(4)
  const opCode = bytes.readInt32LE(12)
  if (opCode === OP_MSG) return readOpMsg(bytes, requestId)
  if (opCode === OP_QUERY) return readOpQuery(bytes, requestId)
  throw new RangeError(`Op code ${opCode} is neither OP_MSG nor OP_QUERY.`)
}

function readOpMsg (bytes: Buffer, requestId: number): Message {
  const flags = bytes.readUInt32LE(HEADER_BYTES)
  const end = (flags & CHECKSUM_PRESENT) === 0 ? bytes.length : bytes.length - 4
  const sequences: Sequence[] = []
  let body = -1
  let at = HEADER_BYTES + 4

  while (at < end) {
    const kind = bytes[at]
    const size = bytes.readInt32LE(at + 1)
    if (kind === 0) body = at + 1
    else sequences.push(readSequence(bytes, at + 1, size))
    at += 1 + size
  }
  return {
    bytes,
    requestId,
    opCode: OP_MSG,
    acknowledged: (flags & MORE_TO_COME) === 0,
    database: undefined,
    body,
    sequences
  }
}

function readSequence (bytes: Buffer, at: number, size: number): Sequence {
  const identifierEnd = bytes.indexOf(0, at + 4)
  return { identifier: bytes.toString('latin1', at + 4, identifierEnd), start: identifierEnd + 1, end: at + size }
}

function readOpQuery (bytes: Buffer, requestId: number): Message {
  const nameStart = HEADER_BYTES + 4
  const nameEnd = bytes.indexOf(0, nameStart)
  const database = bytes.toString('utf8', nameStart, nameEnd).replace(/\.\$cmd$/, '')
  return { bytes, requestId, opCode: OP_QUERY, acknowledged: true, database, body: nameEnd + 1 + 8, sequences: [] }
}

/** The field that holds a write command's statements, in the command or as a document sequence. */
const statementFields: Readonly<Record<string, string>> = {
  insert: 'documents',
  update: 'updates',
  delete: 'deletes',
  bulkWrite: 'ops'
}

function commandOf (message: Message, connection: number): Command {
  const { bytes } = message
  const first = elements(bytes, message.body).next().value
  if (first === undefined) throw new RangeError('A command without a name.')
  const name = /^is_?master$/i.test(first.name) ? 'hello' : first.name

  let document: Document | undefined
  let statements: number | undefined

  return {
    name,
    connection,
    acknowledged: message.acknowledged,
    collection: first.type === 2 ? stringAt(bytes, first) : undefined,
    get database () { return message.database ?? stringAt(bytes, find(message, '$db')) ?? '' },
    get statements () { return (statements ??= countStatements(message, name)) },
    get document () { return (document ??= deserialiseCommand(message)) },
    get lsid () { return lsidOf(this.document) },
    get txnNumber () { return this.document.txnNumber as number | undefined },
    get autocommit () { return this.document.autocommit as false | undefined },
    get startTransaction () { return this.document.startTransaction as true | undefined },
    statementKeys: () =>
      Array.from(statementsOf(message, name), start => elements(bytes, start).next().value?.name ?? ''),
    flag (field) {
      const element = find(message, field)
      return element?.type === 8 ? bytes[element.start] === 1 : undefined
    }
  }
}

function lsidOf (document: Document): string | undefined {
  const lsid = document.lsid as { id: { toString (encoding: 'hex'): string } } | undefined
  return lsid?.id.toString('hex')
}

function deserialiseCommand (message: Message): Document {
  const { bytes, body } = message
  const document: Record<string, unknown> = deserialize(bytes.subarray(body, body + bytes.readInt32LE(body)))
  for (const { identifier, start, end } of message.sequences) {
    document[identifier] = Array.from(sequenceStarts(bytes, start, end), at =>
      deserialize(bytes.subarray(at, at + bytes.readInt32LE(at)))
    )
  }
  return document
}

function countStatements (message: Message, name: string): number {
  const starts = statementsOf(message, name)
  let count = 0
  while (starts.next().done !== true) count++
  return count
}

/** Where each statement's document starts. */
function * statementsOf (message: Message, name: string): Generator<number, undefined> {
  const { bytes, sequences } = message
  const field = statementFields[name]
  if (field === undefined) return
  const sequence = sequences.find(({ identifier }) => identifier === field)
  if (sequence !== undefined) {
    yield * sequenceStarts(bytes, sequence.start, sequence.end)
    return
  }
  const array = find(message, field)
  if (array !== undefined) yield * arrayStarts(bytes, array.start, array.end)
}

/** The documents of an array. Its keys are skipped, not read: benchmarks count thousands. */
function * arrayStarts (bytes: Buffer, arrayStart: number, arrayEnd: number): Generator<number, undefined> {
  let at = arrayStart + 4
  while (at < arrayEnd - 1) {
    while (bytes[++at] !== 0);
    const start = at + 1
    yield start
    at = start + bytes.readInt32LE(start)
  }
}

function * sequenceStarts (bytes: Buffer, start: number, end: number): Generator<number, undefined> {
  for (let at = start; at < end; at += bytes.readInt32LE(at)) yield at
}

function find (message: Message, name: string): Element | undefined {
  for (const element of elements(message.bytes, message.body)) if (element.name === name) return element
  return undefined
}

function stringAt (bytes: Buffer, element: Element | undefined): string | undefined {
  return element === undefined ? undefined : bytes.toString('utf8', element.start + 4, element.end - 1)
}

/** The elements of the document or array that starts at `at`. */
function * elements (bytes: Buffer, at: number): Generator<Element, undefined> {
  const end = at + bytes.readInt32LE(at) - 1
  let next = at + 4
  while (next < end) {
    const type = bytes.readUInt8(next)
    const nameEnd = bytes.indexOf(0, next + 1)
    const name = bytes.toString('utf8', next + 1, nameEnd)
    const start = nameEnd + 1
    next = start + valueBytes(type, bytes, start)
    yield { type, name, start, end: next }
  }
}

/** How long a value of each BSON type is; https://bsonspec.org/spec.html */
const fixedBytes: Readonly<Record<number, number>> = {
  1: 8, // double
  6: 0, // undefined
  7: 12, // ObjectId
  8: 1, // boolean
  9: 8, // date
  10: 0, // null
  16: 4, // int32
  17: 8, // timestamp
  18: 8, // int64
  19: 16, // decimal128
  127: 0, // max key
  255: 0 // min key
}

/** For the types that begin with an int32: what to add to it. */
const prefixedBytes: Readonly<Record<number, number>> = {
  2: 4, // string
  3: 0, // document
  4: 0, // array
  5: 5, // binary
  12: 16, // DBPointer
  13: 4, // code
  14: 4, // symbol
  15: 0 // code with scope
}

const REGULAR_EXPRESSION = 11

function valueBytes (type: number, bytes: Buffer, at: number): number {
  const fixed = fixedBytes[type]
  if (fixed !== undefined) return fixed
  const added = prefixedBytes[type]
  if (added !== undefined) return added + bytes.readInt32LE(at)
  if (type === REGULAR_EXPRESSION) return bytes.indexOf(0, bytes.indexOf(0, at) + 1) + 1 - at
  throw new RangeError(`BSON type ${type} does not exist.`)
}

function encodeOpMsg (requestId: number, reply: Document): Buffer {
  const document = serialize(reply)
  const bytes = Buffer.alloc(HEADER_BYTES + 5 + document.length)
  writeHeader(bytes, requestId, OP_MSG)
  bytes.set(document, HEADER_BYTES + 5)
  return bytes
}

function encodeOpReply (requestId: number, reply: Document): Buffer {
  const document = serialize(reply)
  const bytes = Buffer.alloc(HEADER_BYTES + 20 + document.length)
  writeHeader(bytes, requestId, OP_REPLY)
  bytes.writeInt32LE(1, HEADER_BYTES + 16) // numberReturned
  bytes.set(document, HEADER_BYTES + 20)
  return bytes
}

function writeHeader (bytes: Buffer, responseTo: number, opCode: number): void {
  bytes.writeInt32LE(bytes.length, 0)
  bytes.writeInt32LE(responseTo, 8)
  bytes.writeInt32LE(opCode, 12)
}
