/** Stands in for the client's database: an upload queue in memory that behaves as the SDK's (contract of `ps_crud`). */
import type { ClientDatabase, ClientOperation, ClientTransaction } from '../../lib/client/index.js'

export interface Queue extends Required<
  Pick<ClientDatabase, 'getClientId' | 'getNextCrudTransaction' | 'getCrudTransactions'>
> {
  /** `op_id`s that are still to be uploaded, by transaction. */
  left(): number[][]
}

export type Change = Partial<ClientOperation> & Pick<ClientOperation, 'id'>

/** A queue of transactions that each have these changes; `op_id`s count up from 1, PUT into `rows` is the default. */
export function queueOf (...transactions: Change[][]): Queue {
  let opId = 0
  let queue = transactions.map((changes, index): ClientTransaction => {
    const transaction = {
      transactionId: index + 1,
      crud: changes.map(change =>
        entryOf({ clientId: ++opId, op: 'PUT', table: 'rows', opData: { text: 'x' }, ...change })
      ),
      async complete () { queue = queue.slice(queue.indexOf(transaction) + 1) }
    }
    return transaction
  })
  return {
    left: () => queue.map(({ crud }) => crud.map(({ clientId }) => clientId)),
    getClientId: async () => 'phone',
    getNextCrudTransaction: async () => queue[0] ?? null,
    async * getCrudTransactions () { yield * queue }
  }
}

/** As the SDK's `CrudEntry`, which is sent in another form than it has in memory. */
const entryOf = (operation: ClientOperation) => ({
  ...operation,
  toJSON () {
    const { clientId, op, table, id, opData, previousValues, metadata } = operation
    return { op_id: clientId, op, type: table, id, data: opData, old: previousValues, metadata }
  }
})

/** `count` transactions of one insert each. */
export const inserts = (count: number): Change[][] =>
  Array.from({ length: count }, (_, index) => [{ id: `row${index + 1}` }])
