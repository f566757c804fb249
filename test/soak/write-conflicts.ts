/**
 * MongoDB's write conflicts, for an emulator that has none between updates: a proxy between the driver and the
 * emulator that lets the first writer of a document win, as MongoDB's storage engine does. A transaction that writes a
 * document which another one has written and not committed yet, or has committed since this one began, is answered
 * with `WriteConflict` and `TransientTransactionError`.
 *
 * Without it two transactions that update one document both commit, and the first one's update is gone:
 * `write-conflicts.test.ts` shows it. Commits reach the emulator one at a time: of those that meet it loses some, whatever
 * they wrote. Writes outside of transactions pass unseen.
 * https://www.mongodb.com/docs/manual/core/transactions-production-consideration/#in-progress-transactions-and-write-conflicts
 */
import fastifyMongodb from '@fastify/mongodb'
import type { Command, Document } from '../support/wire-protocol.js'
import { startWireProxy, type Verdict, type WireProxy } from '../support/wire-proxy.js'
import { commandError } from '../support/wire-replies.js'

export interface WriteConflicts extends WireProxy {
  /** How many write conflicts were answered. */
  readonly conflicts: number
}

const { EJSON } = fastifyMongodb.mongodb.BSON

/** @param uri of the emulator, which has to listen on the loopback interface */
export async function startWriteConflicts (uri: string): Promise<WriteConflicts> {
  const documents = new Documents()
  const proxy = await startWireProxy(uri, {
    judge: command => documents.judge(command),
    lost: connection => documents.lost(connection)
  })
  return { ...proxy, get conflicts () { return documents.conflicts } }
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

  judge (command: Command): Verdict {
    const { name, lsid, txnNumber, autocommit } = command
    if (lsid === undefined || txnNumber === undefined || autocommit !== false) return undefined
    const transaction = this.#transaction(command, lsid, txnNumber)
    if (name === 'abortTransaction') {
      this.#release(transaction)
      return undefined
    }
    if (name === 'commitTransaction') return this.#commit(transaction)
    if (transaction.state !== 'open') return noSuchTransaction
    for (const document of documentsOf(command)) {
      const holder = this.#held.get(document)
      const since = this.#committed.get(document) ?? 0
      if ((holder && holder !== transaction) || since > transaction.began) {
        this.conflicts++
        this.#release(transaction)
        return writeConflict
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

  #commit (transaction: Transaction): Verdict {
    if (transaction.state === 'over') return noSuchTransaction
    if (transaction.state !== 'open') return undefined // told again: the emulator's to answer
    transaction.state = 'committing'
    return {
      inTurn: succeeded => {
        this.#commits++
        if (succeeded) for (const document of transaction.written) this.#committed.set(document, this.#commits)
        this.#release(transaction, succeeded ? 'committed' : 'over')
      }
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

const writeConflict: Verdict = { reply: commandError({ code: 112, codeName: 'WriteConflict', labels: ['TransientTransactionError'] }) }
const noSuchTransaction: Verdict = { reply: commandError({ code: 251, codeName: 'NoSuchTransaction', labels: ['TransientTransactionError'] }) }
