/** Dead letters without an upload that is rejected, for tests of what becomes of them. */
import type { mongodb } from '@fastify/mongodb'
import type { CrudTransaction, FailedOperation, User } from '../../index.js'
import type { DeadLetters } from '../../lib/store/dead-letters.js'
import { Statements } from '../../lib/store/statements.js'

/** Keeps a transaction as a rejected upload would, of a client that is not deduplicated. */
export async function keepLetter (
  db: mongodb.Db,
  letters: DeadLetters,
  transaction: CrudTransaction,
  { failed, user, requestId }: { failed: FailedOperation, user: User, requestId?: string }
): Promise<void> {
  const letter = letters.letterOf({ transaction, reason: failed, user, requestId, sequence: null, rows: [], since: [] })
  await new Statements(db, { bulkWrite: false }).send([await letters.statementsOf(letter, {})], 'fewest', {})
}
