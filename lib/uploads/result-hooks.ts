import type { mongodb } from '../bson.js'
import type { TransactionOutcome } from '../../types/index.js'
import type { CollectionRegistry } from '../rules/registry.js'
import { deepFreeze } from '../rules/freeze.js'
import { loggable } from '../observe/loggable.js'
import type { Caller } from './commit.js'
import type { Deadline } from './deadline.js'
import { tablesOf } from './commit.js'

/** Shows an outcome to the `onResult` hooks. What they do changes nothing of it. */
export async function runResultHooks (
  outcome: TransactionOutcome, { user, request, log }: Caller, { collections, db }: { collections: CollectionRegistry, db: mongodb.Db }, limit: Deadline
): Promise<void> {
  for (const hook of collections.resultHooks(tablesOf([outcome.transaction]))) {
    deepFreeze(outcome)
    try {
      await limit.race(Promise.resolve(hook(outcome, { user, request, db, log })))
    } catch (error) {
      log.error({ err: loggable(error) }, 'onResult failed; the upload is not affected')
    }
  }
}
