import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '../bson.js'
import type { CommandScope, CrudTransaction, Since, User } from '../../types/index.js'
import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'
import { flat } from '../flat.js'
import type { Spans } from '../observe/spans.js'
import {
  decodeAll, located, planAll, Rejected, runHooks, updateBatchChain, type HookScope, type Planned
} from '../rules/hooks.js'
import { changes, hasKeys, type Plan } from '../rules/plan.js'
import type { CollectionRegistry, UserCollections } from '../rules/registry.js'
import { planWritten } from '../rules/rows.js'
import { beneath } from '../rules/since.js'
import { Ledger } from '../store/ledger.js'
import {
  codeOf, dataFault, isDuplicateId, isDuplicateKey, isOfWrite, rootOf, type FaultRules
} from '../store/mongodb-errors.js'
import { statementOf, type Statement, type Statements, type Way } from '../store/statements.js'
import {
  ConflictError, inTransaction, type TransactionOptions, type TransactionScope
} from '../store/transaction.js'

export interface Caller {
  user: User
  request: FastifyRequest | undefined
  log: FastifyBaseLogger
}

export interface CommitDependencies {
  db: mongodb.Db
  collections: CollectionRegistry
  statements: Statements
  faults: FaultRules
  spans: Spans
}

/** What is written together; each part may be empty. */
interface Writes {
  /** If the first of these meets a key that exists, another was faster, and all starts again. */
  before?: readonly Statement[]
  planned?: readonly Planned[]
  /** The later changes that `planned` goes under, by row. */
  since?: ReadonlyMap<string, Since>
  /** What comes last, by the plans as `updateBatch` hooks have left them. */
  after?: (written: readonly Plan[]) => readonly Statement[] | Promise<readonly Statement[]>
}

/** A MongoDB transaction that is under way: it reads, plans client transactions, and writes once. */
export interface Attempt {
  scope: TransactionScope
  /** The collections as the caller may write them. */
  ofUser: UserCollections
  /** @throws {Rejected} for the first operation that is refused */
  plan (transactions: readonly CrudTransaction[], letter: Pick<HookScope, 'isLetter' | 'since'>): Promise<Planned[]>
  write (writes: Writes): Promise<void>
}

/** NoSuchTransaction: the server ended the transaction, as it does after an error in it. */
const NoSuchTransaction = 251

export function createCommit ({ db, collections, statements, faults, spans }: CommitDependencies) {
  return { run, alone }

  /**
   * Does work in one MongoDB transaction, commits it, and starts again after a conflict.
   * @throws {Rejected} for an operation that can never be written
   * @throws {UnknownCommitError} if it may have been committed or not
   * @throws anything else: it was not committed, and is retryable
   */
  async function run<Result> (
    caller: Caller, options: TransactionOptions, work: (attempt: Attempt) => Promise<Result>
  ): Promise<Result> {
    const ways: Way[] = ['fewest', 'ordered', 'single']
    const ofUser = collections.for(caller.user)
    /** Whether hooks are looked at one by one, for the one that caught an error of MongoDB. */
    let probing = false
    for (;;) {
      let hooked = false
      const onRetry = (error: unknown) => {
        // A hook may have caught the error that ended the transaction: it would be caught again each time.
        const isEnded = codeOf(rootOf(error)) === NoSuchTransaction
        if (isEnded && hooked && !probing) throw new AgainError('with a probe', error)
        options.onRetry?.(error)
      }
      try {
        return await inTransaction(db.client, { ...options, spans, onRetry }, async scope => {
          const context = { ...caller, db, session: scope.session }
          const rules: HookScope =
            { collections, ofUser, context, allowed: new Set(), probe: probing ? probeOf(scope) : undefined }
          return await work({
            scope,
            ofUser,
            plan: async (transactions, letter) => {
              const tables = tablesOf(transactions)
              hooked = collections.hasWriteHooks(tables)
              return await plan(transactions, tables, { ...rules, ...letter })
            },
            write: writes => spans.run('powersync.storage', () => write(writes, rules, ways[0]!, scope))
          })
        })
      } catch (error) {
        if (!(error instanceof AgainError)) throw error
        if (error.how === 'with a probe') probing = true
        else if (ways.length > 1) ways.shift()
        else throw error.cause
      }
    }
  }

  /**
   * Writes one operation without a MongoDB transaction: one statement is atomic in itself, and the driver retries it.
   * @returns false if there is more to write, or another was faster
   * @throws as `run`
   */
  async function alone (transaction: CrudTransaction, caller: Caller, signal: AbortSignal): Promise<boolean> {
    if (transaction.operations.length !== 1 || collections.hasWriteHooks(tablesOf([transaction]))) return false
    const ofUser = collections.for(caller.user)
    const planned = await spans.run('powersync.decode', async () =>
      planAll(await decodeAll([transaction], ofUser, collections.migrations), ofUser))
    try {
      await spans.run('powersync.storage', () => send({ planned }, 'fewest', { signal }))
      return true
    } catch (error) {
      if (error instanceof ConflictError || error instanceof AgainError) return false
      throw error
    }
  }

  async function plan (
    transactions: readonly CrudTransaction[], tables: ReadonlySet<string>, rules: HookScope
  ): Promise<Planned[]> {
    const decoded = await spans.run('powersync.decode', () =>
      decodeAll(transactions, rules.ofUser, collections.migrations))
    if (!collections.hasOperationHooks(tables)) return planAll(decoded, rules.ofUser)
    return await spans.run('powersync.hooks', () => runHooks(decoded, rules))
  }

  async function write (
    { before = [], planned = [], since, after = () => [] }: Writes, rules: HookScope, way: Way, scope: TransactionScope
  ): Promise<void> {
    scope.signal.throwIfAborted()
    const documents = new Map<string, mongodb.Document | null>()
    const under = async (part: readonly Planned[]) => {
      if (!since?.size) return part
      const all: Planned[] = []
      // One after the other: a session runs one command at a time.
      for (const [position, each] of part.entries()) {
        const plans = await beneath(each.plans, since, rules, documents)
          .catch((error: unknown) => { throw located(error, position) })
        all.push({ ...each, plans })
      }
      return all
    }
    if (!collections.hasUpdateBatchHooks(tablesOf(planned.map(({ transaction }) => transaction)))) {
      const last = await after(plansOf(planned))
      return await send({ before, planned: await under(planned), after: last }, way, scope)
    }
    await send({ before }, way, scope)
    const written: Plan[] = []
    for (const [position, each] of planned.entries()) {
      if (each.transaction.operations.length) await throughHooks(position, each)
    }
    await send({ after: await after(written) }, way, scope)

    /** One transaction through the `updateBatch` hooks. Any error of a write in them may be the fault of its data. */
    async function throughHooks (position: number, { transaction, plans: asPlanned }: Planned): Promise<void> {
      const from = new Map(asPlanned.map(plan => [plan.operation.index, plan.from]))
      const chain = updateBatchChain(rules, async given => {
        const plans = await planWritten(given, rules, from)
        // What goes under later changes is the difference that all its parts make.
        const parts = written.filter(({ row }) => since?.has(row))
        await send({ planned: await under([{ transaction: given, plans: [...parts, ...plans] }]) }, way, scope)
        written.push(...plans)
      })
      try {
        await chain(transaction)
      } catch (error) {
        if (error instanceof Rejected) throw new Rejected(position, error.cause)
        if ([ConflictError, AgainError, HookError].some(kind => error instanceof kind)) throw error
        const fault = isOfWrite(error) && dataFault(error, faults)
        if (fault) throw located(fault, position)
        throw error instanceof WriteError ? error : new HookError({ hook: 'updateBatch' }, 'failed', error)
      }
    }
  }

  /** A rejection has the position of its transaction in `planned`. */
  async function send (
    { before = [], planned = [], after = [] }: Pick<Writes, 'before' | 'planned'> & { after?: readonly Statement[] },
    way: Way,
    scope: CommandScope
  ): Promise<void> {
    const written = plansOf(planned).filter(changes)
    try {
      await statements.send([before, written.map(statementOf), after], way, scope)
    } catch (error) {
      if (!(error instanceof WriteError)) throw error
      const { position, cause } = error
      if (position === 0 && before.length && isDuplicateKey(cause)) {
        throw new ConflictError('another upload was faster', { cause })
      }
      const plan = position === undefined ? undefined : written[position - before.length]
      const isTaken = plan && isDuplicateId(cause)
      if (isTaken && !hasKeys(plan.owner)) throw new ConflictError('another upload created the document', { cause })
      // An upsert that looks for its owner's document and meets the same _id is about somebody else's.
      const fault = isTaken
        ? new PowerSyncFatalError('UNAUTHORIZED', 'The row belongs to another owner')
        : dataFault(error, faults)
      if (!fault || (position !== undefined && !plan)) throw error
      if (!plan) throw new AgainError('to find the operation', error)
      throw located(fault, planned.findIndex(({ plans }) => plans.includes(plan)), plan.operation)
    }
  }

  /** Tells after each hook whether the transaction still lives: MongoDB ends it at an error, whoever catches that. */
  function probeOf (scope: TransactionScope) {
    return async (hook: string, table?: string) => {
      try {
        await db.collection(Ledger.collectionName).findOne({ _id: null as never }, { ...scope, projection: { _id: 1 } })
      } catch (error) {
        if (codeOf(error) !== NoSuchTransaction) throw error
        throw new HookError({ hook, table },
          'caught an error of MongoDB, which ended the transaction: let it pass, or use a command without the session')
      }
    }
  }
}

/** All is to be done once more, in another way. */
class AgainError extends Error {
  /** To find the operation: the data is at fault, and the server did not tell which statement failed. */
  constructor (readonly how: 'with a probe' | 'to find the operation', override readonly cause: unknown) {
    super(`again ${how}`, { cause })
  }
}

export const plansOf = (planned: readonly Planned[]): readonly Plan[] => flat(planned.map(({ plans }) => plans))

export function tablesOf (transactions: readonly CrudTransaction[]): Set<string> {
  const tables = new Set<string>()
  for (const { operations } of transactions) for (const { table } of operations) tables.add(table)
  return tables
}
