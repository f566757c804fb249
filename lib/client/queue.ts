import type { ClientDatabase, ClientTransaction } from './types.js'

export interface Limits {
  transactions: number
  operations: number
}

/** The oldest transactions in the upload queue, at least one if there is any, and whole ones only. */
export async function nextTransactions (database: ClientDatabase, limits: Limits): Promise<ClientTransaction[]> {
  // Undefined in older SDKs, and on React Native without a polyfill for Symbol.asyncIterator.
  const iterator = database.getCrudTransactions?.()[Symbol.asyncIterator]?.()
  if (!iterator) {
    const transaction = await database.getNextCrudTransaction()
    return transaction ? [transaction] : []
  }
  const transactions: ClientTransaction[] = []
  for (let operations = 0; transactions.length < limits.transactions;) {
    const { done, value } = await iterator.next() as IteratorResult<ClientTransaction>
    if (done) break
    operations += value.crud.length
    if (transactions.length > 0 && operations > limits.operations) break
    transactions.push(value)
  }
  return transactions
}

/**
 * A transaction as `/upload` takes it: the SDK's operations know their form, and those of other makes have their names.
 */
export const toWire = ({ transactionId, crud }: ClientTransaction) => ({ transaction_id: transactionId, crud })
