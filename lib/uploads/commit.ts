import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { reading, type mongodb } from '../bson.js'
import type { CrudTransaction, FailedOperation, Since, User } from '../../types/index.js'
import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'
import type { Spans } from '../observe/spans.js'
import {
  decodeAll, planAll, Rejected, runHooks, updateBatchChain, type HookScope, type Planned
} from '../rules/hooks.js'
import { hasKeys, rowOf, type Plan } from '../rules/plan.js'
import type { CollectionRegistry, UserCollections } from '../rules/registry.js'
import { planWritten } from '../rules/rows.js'
import { beneath } from '../rules/since.js'
import {
  codeOf, dataFault, isDuplicateId, isDuplicateKey, rootOf, type DataFault, type FaultRules
} from '../store/faults.js'
import { Ledger } from '../store/ledger.js'
import { statementsOf } from '../store/mongodb-storage.js'
import type { Statement, Statements, Way } from '../store/statements.js'
import {
  ConflictError, inTransaction, type CommandScope, type TransactionOptions, type TransactionScope
} from '../store/transaction.js'

/** The uploading user and request. */
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

/** The writes of one commit. */
export interface Work<Result> {
  /** Client transactions, as uploaded, of which all or none is written. */
  transactions: readonly CrudTransaction[]
  /** The writes around them, once they are planned, and the result of the commit. */
  around (plans: readonly Plan[], ofUser: UserCollections): Around<Result> | Promise<Around<Result>>
  /** The later changes that the transactions go under, by row. */
  since?: ReadonlyMap<string, Since>
  /** Whether it runs a dead letter. */
  isLetter?: boolean
}

interface Around<Result> {
  /** If the first of these meets a key that exists, another was faster, and all starts again. */
  before?: readonly Statement[]
  after?: readonly Statement[]
  result: Result
}

export type Commit = ReturnType<typeof createCommit>

/** How one attempt goes. */
interface Attempt {
  scope: TransactionScope
  way: Way
  /** Whether hooks are looked at one by one, for the one that caught an error of MongoDB. */
  probing: boolean
}

/** Statements that are sent together; each part may be empty. */
interface Batch {
  before?: readonly Statement[] | undefined
  planned?: readonly Planned[]
  after?: readonly Statement[] | undefined
}

/** NoSuchTransaction: the server ended the transaction, as it does after an error in it. */
const NoSuchTransaction = 251

export function createCommit ({ db, collections, statements, faults, spans }: CommitDependencies) {
  return { run, alone }

  /**
   * Runs one MongoDB transaction: asks what there is to write, plans it, writes it, commits it. Starts again after a
   * conflict.
   *
   * @param prepare reads what the work depends on
   * @throws {Rejected} for an operation that can never be written
   * @throws {UnknownCommitError} if it may have been committed or not
   * @throws anything else: it was not committed, and is retryable
   */
  async function run<Result> (
    prepare: (scope: TransactionScope) => Promise<Work<Result>>, caller: Caller, options: TransactionOptions
  ): Promise<Result> {
    const ways: Way[] = ['fewest', 'ordered', 'single']
    for (let probing = false; ;) {
      let hooked = false
      const onRetry = (error: unknown) => {
        // A hook may have caught the error that ended the transaction: it would be caught again each time.
        const isEnded = codeOf(rootOf(error)) === NoSuchTransaction
        if (isEnded && hooked && !probing) throw new AgainError('with a probe', error)
        options.onRetry?.(error)
      }
      try {
        return await inTransaction(db.client, { ...options, spans, onRetry }, async scope => {
          const work = await prepare(scope)
          hooked = collections.hasWriteHooks(tablesOf(work.transactions))
          return await writeAll(work, caller, { scope, way: ways[0]!, probing })
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
      planAll(decodeAll([transaction], ofUser, collections.migrations), ofUser))
    try {
      await spans.run('powersync.storage', () => send({ planned }, 'fewest', { signal }))
      return true
    } catch (error) {
      if (error instanceof ConflictError || error instanceof AgainError) return false
      throw error
    }
  }

  async function writeAll<Result> (work: Work<Result>, caller: Caller, attempt: Attempt): Promise<Result> {
    const { user, request, log } = caller
    const { transactions, since, isLetter = false } = work
    const { scope, way } = attempt
    const ofUser = collections.for(user)
    const context = { user, request, log, db, session: scope.session }
    const probe = attempt.probing ? probeOf(scope) : undefined
    const rules: HookScope = { collections, ofUser, context, allowed: new Set(), isLetter, probe }
    const tables = tablesOf(transactions)
    const decoded = await spans.run('powersync.decode', async () =>
      decodeAll(transactions, ofUser, collections.migrations))
    const planned = collections.hasOperationHooks(tables)
      ? await spans.run('powersync.hooks', () => runHooks(decoded, rules))
      : planAll(decoded, ofUser)
    scope.signal.throwIfAborted()
    const { before, after, result } = await work.around(planned.flatMap(({ plans }) => plans), ofUser)
    const under = async (part: Planned[]) => since?.size ? await beneathSince(part, since, ofUser, scope) : part
    await spans.run('powersync.storage', async () => {
      if (!collections.hasUpdateBatchHooks(tables)) {
        return await send({ before, planned: await under(planned), after }, way, scope)
      }
      await send({ before }, way, scope)
      for (const [position, { transaction }] of planned.entries()) {
        if (transaction.operations.length) await throughHooks(position, transaction)
      }
      await send({ after }, way, scope)
    })
    return result

    /** One transaction through the `updateBatch` hooks. Any error of a write in them may be the fault of its data. */
    async function throughHooks (position: number, transaction: CrudTransaction): Promise<void> {
      const chain = updateBatchChain(rules, async given => {
        const operations = given.operations.map(operation => ofUser(operation).shared.encode(operation, 'updateBatch'))
        const plans = await planWritten({ ...given, operations }, rules)
        await send({ planned: await under([{ transaction: given, plans }]) }, way, scope)
      })
      try {
        await chain(transaction)
      } catch (error) {
        if (error instanceof Rejected) throw new Rejected(position, error.cause)
        if ([ConflictError, AgainError, HookError].some(kind => error instanceof kind)) throw error
        const fault = dataFault(error, faults)
        if (fault) throw rejectionOf(position, undefined, fault)
        throw error instanceof WriteError ? error : new HookError({ hook: 'updateBatch' }, 'failed', error)
      }
    }
  }

  /**
   * @throws {Rejected} with the position of the transaction whose operation failed, in `planned`
   * @throws {ConflictError} if another was faster
   */
  async function send ({ before = [], planned = [], after = [] }: Batch, way: Way, scope: CommandScope): Promise<void> {
    const sources: Plan[] = []
    const own = statementsOf(planned.flatMap(({ plans }) => plans), sources)
    try {
      await statements.send([before, own, after], way, scope)
    } catch (error) {
      if (!(error instanceof WriteError)) throw error
      const { position, cause } = error
      if (position === 0 && before.length && isDuplicateKey(cause)) {
        throw new ConflictError('another upload was faster', { cause })
      }
      const plan = position === undefined ? undefined : sources[position - before.length]
      const isTaken = plan && isDuplicateId(cause)
      if (isTaken && !hasKeys(plan.owner)) throw new ConflictError('another upload created the document', { cause })
      // An upsert that looks for its owner's document and meets the same _id is about somebody else's.
      const fault = isTaken ? somebodyElses : dataFault(error, faults)
      if (!fault || (position !== undefined && !plan)) throw error
      if (!plan) throw new AgainError('to find the operation', error)
      throw rejectionOf(planned.findIndex(({ plans }) => plans.includes(plan)), plan.operation.index, fault)
    }
  }

  async function beneathSince (
    planned: Planned[], since: ReadonlyMap<string, Since>, ofUser: UserCollections, scope: TransactionScope
  ): Promise<Planned[]> {
    const documents = new Map<string, mongodb.Document>()
    const affected = planned.flatMap(({ plans }) => plans.filter(({ row }) => since.has(row)))
    for (const name of new Set(affected.map(({ collection }) => collection))) {
      const ids = affected.filter(({ collection }) => collection === name).map(({ _id }) => _id)
      const filter: mongodb.Document = { _id: { $in: ids } }
      const found = await db.collection(name).find(filter, { ...scope, ...reading }).toArray()
      for (const document of found) documents.set(rowOf(name, document._id), document)
    }
    return planned.map(({ transaction, plans }) => ({ transaction, plans: beneath(plans, since, documents, ofUser) }))
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

const somebodyElses: DataFault = { code: 'UNAUTHORIZED', message: 'The row belongs to another owner' }

function rejectionOf (position: number, operationIndex: number | undefined, fault: DataFault): Rejected {
  if (fault instanceof PowerSyncFatalError) return new Rejected(position, fault)
  const { code, message, details } = fault
  return new Rejected(position, new PowerSyncFatalError(code, message, { details, operationIndex }))
}

export function tablesOf (transactions: readonly CrudTransaction[]): Set<string> {
  const tables = new Set<string>()
  for (const { operations } of transactions) for (const operation of operations) tables.add(operation.table)
  return tables
}

/** A rejection as the client sees it. */
export function failedOperation ({ cause: { code, message, details, operationIndex } }: Rejected): FailedOperation {
  return {
    error_code: code,
    message,
    ...details && { details },
    ...operationIndex !== undefined && { operation_index: operationIndex }
  }
}
