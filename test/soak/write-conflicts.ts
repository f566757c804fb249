/**
 * MongoDB's write conflicts, for an emulator that has none between updates: a proxy between the driver and the
 * emulator that lets the first writer of a document win, as MongoDB's storage engine does. A transaction that writes a
 * document which another one has written and not committed yet, or has committed since this one began, is answered
 * with `WriteConflict` and `TransientTransactionError`.
 *
 * Without it two transactions that update one document both commit, and the first one's update is gone:
 * `write-conflicts.test.ts` shows it. Writes outside of transactions pass unseen.
 * https://www.mongodb.com/docs/manual/core/transactions-production-consideration/#in-progress-transactions-and-write-conflicts
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import fastifyMongodb from '@fastify/mongodb'
import { commandError } from '../support/wire-replies.js'
import { messageReader, readCommand, type Command, type Document } from '../support/wire-protocol.js'

export interface WriteConflicts {
  /** The emulator's connection string, by way of this proxy. */
  uri: string
  /** How many write conflicts were answered. */
  readonly conflicts: number
  stop (): Promise<void>
}

const { EJSON, deserialize } = fastifyMongodb.mongodb.BSON

const HOST = '127.0.0.1'

/** @param uri of the emulator, which has to listen on the loopback interface */
export async function startWriteConflicts (uri: string): Promise<WriteConflicts> {
  const emulator = /127\.0\.0\.1:(\d+)/.exec(uri)
  if (!emulator) throw new RangeError(`${uri} is not on ${HOST}`)
  const documents = new Documents()
  const sockets = new Set<Socket>()
  let connections = 0

  const listener = createServer({ noDelay: true }, accept)
  listener.listen(0, HOST)
  await once(listener, 'listening')
  const address = `${HOST}:${(listener.address() as AddressInfo).port}`

  function accept (client: Socket): void {
    const connection = ++connections
    const upstream = track(connect({ host: HOST, port: Number(emulator![1]), noDelay: true }))
    track(client)
    /** What to do with the reply to a request. */
    const replies = new Map<number, (succeeded: boolean) => void>()

    client.on('data', messageReader(bytes => {
      const { command, encode } = readCommand(bytes, connection)
      const verdict = documents.judge(command)
      if (verdict === 'conflict') return client.write(encode(writeConflict))
      if (verdict === 'gone') return client.write(encode(noSuchTransaction))
      if (verdict) replies.set(requestId(bytes), verdict)
      upstream.write(bytes)
    }))
    upstream.on('data', messageReader(bytes => {
      const reply = replies.get(responseTo(bytes))
      if (reply && replies.delete(responseTo(bytes))) reply(succeeded(bytes))
      // The driver goes where the reply to `hello` says that the replica set is.
      if (bytes.includes(emulator![0])) putInPlace(bytes, emulator![0], address)
      if (client.writable) client.write(bytes)
      if (client.destroyed && replies.size === 0) upstream.destroy()
    }))
    // A commit that is under way is waited for: it holds its documents until it is known what became of it.
    client.on('close', () => {
      documents.lost(connection)
      if (replies.size === 0) upstream.destroy()
    })
    upstream.on('close', () => client.destroy())
  }

  function track (socket: Socket): Socket {
    sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }

  return {
    uri: uri.replace(emulator[0], address),
    get conflicts () { return documents.conflicts },
    async stop () {
      const closed = once(listener, 'close')
      listener.close()
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }
}

interface Transaction {
  number: number
  /** The time when it began, in commits. */
  began: number
  written: Set<string>
  state: 'open' | 'committing' | 'committed' | 'over'
  connections: Set<number>
}

/** Who has written which document. */
class Documents {
  conflicts = 0
  #commits = 0
  /** By session. */
  readonly #transactions = new Map<string, Transaction>()
  readonly #held = new Map<string, Transaction>()
  readonly #committed = new Map<string, number>()

  /** Nothing when a command may pass, a function when its reply is needed, or why it may not. */
  judge (command: Command): ((succeeded: boolean) => void) | 'conflict' | 'gone' | undefined {
    const { name, lsid, txnNumber, autocommit } = command
    if (lsid === undefined || txnNumber === undefined || autocommit !== false) return undefined
    const transaction = this.#transaction(command, lsid, txnNumber)
    if (name === 'abortTransaction') {
      this.#release(transaction)
      return undefined
    }
    if (name === 'commitTransaction') return this.#commit(transaction)
    if (transaction.state !== 'open') return 'gone'
    for (const document of documentsOf(command)) {
      const holder = this.#held.get(document)
      const since = this.#committed.get(document) ?? 0
      if ((holder && holder !== transaction) || since > transaction.began) {
        this.conflicts++
        this.#release(transaction)
        return 'conflict'
      }
      this.#held.set(document, transaction)
      transaction.written.add(document)
    }
    return undefined
  }

  /** Transactions whose connections are all gone will never be committed. MongoDB waits for a minute before it thinks so. */
  lost (connection: number): void {
    for (const transaction of this.#transactions.values()) {
      if (transaction.connections.delete(connection) && transaction.connections.size === 0 && transaction.state === 'open') this.#release(transaction)
    }
  }

  #transaction ({ startTransaction, connection }: Command, lsid: string, number: number): Transaction {
    let transaction = this.#transactions.get(lsid)
    if (startTransaction || transaction?.number !== number) {
      if (transaction) this.#release(transaction)
      // A transaction of which the first command never came is no transaction.
      transaction = { number, began: this.#commits, written: new Set(), state: startTransaction ? 'open' : 'over', connections: new Set() }
      this.#transactions.set(lsid, transaction)
    }
    transaction.connections.add(connection)
    return transaction
  }

  #commit (transaction: Transaction): ((succeeded: boolean) => void) | 'gone' | undefined {
    if (transaction.state === 'over') return 'gone'
    if (transaction.state !== 'open') return undefined // told again: the emulator's to answer
    transaction.state = 'committing'
    return succeeded => {
      this.#commits++
      if (succeeded) for (const document of transaction.written) this.#committed.set(document, this.#commits)
      this.#release(transaction, succeeded ? 'committed' : 'over')
    }
  }

  #release (transaction: Transaction, state: 'committed' | 'over' = 'over'): void {
    transaction.state = state
    for (const document of transaction.written) if (this.#held.get(document) === transaction) this.#held.delete(document)
    transaction.written.clear()
  }
}

function documentsOf ({ name, collection, document }: Command): string[] {
  const statements = statementsOf(name, document)
  return statements.map(statement => {
    const id = statement['_id']
    if (id === undefined) throw new RangeError(`A ${name} on ${collection} names no _id: whom it conflicts with cannot be told`)
    return `${collection} ${EJSON.stringify(id)}`
  })
}

/** What names the document of each statement: the document itself, or its filter. */
function statementsOf (name: string, document: Document): Document[] {
  switch (name) {
    case 'insert': return document['documents'] as Document[]
    case 'update': return (document['updates'] as Array<{ q: Document }>).map(({ q }) => q)
    case 'delete': return (document['deletes'] as Array<{ q: Document }>).map(({ q }) => q)
    default: return []
  }
}

const writeConflict = commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] })
const noSuchTransaction = commandError({ code: 251, codeName: 'NoSuchTransaction', labels: ['TransientTransactionError'] })

const requestId = (bytes: Buffer) => bytes.readInt32LE(4)
const responseTo = (bytes: Buffer) => bytes.readInt32LE(8)

/** Of an OP_MSG: its document comes after the header, the flags and the kind of its only section. */
const succeeded = (bytes: Buffer) => deserialize(bytes.subarray(21))['ok'] === 1

/** Of the same length, so that the lengths around it in the BSON stay true. */
function putInPlace (bytes: Buffer, from: string, to: string): void {
  if (from.length !== to.length) throw new RangeError(`${to} cannot stand in the place of ${from}: not the same length`)
  for (let at = bytes.indexOf(from); at !== -1; at = bytes.indexOf(from, at)) bytes.write(to, at)
}
