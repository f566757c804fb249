import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { mongodb } from '../bson.js'
import type { CrudOperation, CrudTransaction, FailedOperation, TransactionContext, User } from '../../types/index.js'
import { HookError, PowerSyncFatalError, WriteError } from '../errors.js'
import type { Spans } from '../observe/spans.js'
import { decodeAll, planAll, Rejected, runHooks, type Planned } from '../rules/hooks.js'
import { Parents } from '../rules/parents.js'
import { Permits } from '../rules/permits.js'
import { hasKeys, type Plan } from '../rules/plan.js'
import type { CollectionRegistry, UserCollections } from '../rules/registry.js'
import { Rows } from '../rules/rows.js'
import { addToOf, beneath, type Since } from '../rules/since.js'
import { updateBatchChain } from '../rules/update-batch.js'
import { codeOf, dataFault, isDuplicateId, isDuplicateKey, rootOf, type DataFault, type FaultRules } from '../store/faults.js'
import { documentsOf } from '../store/documents.js'
import { Ledger } from '../store/ledger.js'
import { statementsOf } from '../store/mongodb-storage.js'
import type { Statement, Statements, Way } from '../store/statements.js'
import { ConflictError, inTransaction, type CommandScope, type TransactionOptions, type TransactionScope } from '../store/transaction.js'

/** Who uploads. */
export interface Caller {
  user: User
  request: FastifyRequest | undefined
  log: FastifyBaseLogger
}

export interface CommitDependencies {
  client: mongodb.MongoClient
  db: mongodb.Db
  collections: CollectionRegistry
  statements: Statements
  faults: FaultRules
  spans: Spans
}

/** What one commit writes. */
export interface Work<Result> {
  /** Client transactions, as uploaded, of which all or none is written. */
  transactions: readonly CrudTransaction[]
  /** What is written around them, once they are planned, and what the commit gives. */
  around (plans: readonly Plan[], ofUser: UserCollections): Around<Result> | Promise<Around<Result>>
  /** What the transactions have to be put under, by row. */
  since?: ReadonlyMap<string, Since> | undefined
  /** Whether a retry of the operation is recognised. */
  deduplicated: (operation: CrudOperation) => boolean
}

export interface Around<Result> {
  /** If the first of these meets a key that exists, another was faster, and all starts again. */
  before: readonly Statement[]
  after?: readonly Statement[]
  result: Result
}

/** One attempt at it. */
interface Attempt<Result> extends Work<Result> {
  tables: ReadonlySet<string>
  way: Way
  /** Whether hooks are looked at one by one, for the one that caught an error of MongoDB. */
  probing: boolean
}

export interface Commit {
  /**
   * Runs one MongoDB transaction: asks what there is to write, plans it, writes it, commits it. Starts again after a
   * conflict.
   *
   * @param prepare reads what the work depends on
   * @throws {Rejected} for an operation that can never be written
   * @throws {UnknownCommitError} if it may have been committed or not
   * @throws anything else: it was not committed, and is retryable
   */
  run <Result>(prepare: (scope: TransactionScope) => Promise<Work<Result>>, caller: Caller, options: TransactionOptions): Promise<Result>
  /**
   * Writes one operation without a MongoDB transaction: one statement is atomic in itself, and the driver retries it.
   * @returns false if there is more to write, or another was faster
   * @throws as `run`
   */
  alone (transaction: CrudTransaction, caller: Caller, signal: AbortSignal): Promise<boolean>
}

/** NoSuchTransaction: the server ended the transaction, as it does after an error in it. */
const NoSuchTransaction = 251

export function createCommit (dependencies: CommitDependencies): Commit {
  const { client, db, collections, statements, faults, spans } = dependencies

  return { run, alone }

  async function run <Result> (prepare: (scope: TransactionScope) => Promise<Work<Result>>, caller: Caller, options: TransactionOptions): Promise<Result> {
    const ways: Way[] = ['fewest', 'ordered', 'single']
    for (let probing = false; ;) {
      let hooked = false
      const onRetry = (error: unknown) => {
        // A hook may have caught the error that ended the transaction: it would be caught again each time.
        if (!probing && hooked && codeOf(rootOf(error)) === NoSuchTransaction) throw new EndedError(error)
        options.onRetry?.(error)
      }
      try {
        return await inTransaction(client, { ...options, spans, onRetry }, async scope => {
          const work = await prepare(scope)
          const tables = tablesOf(work.transactions)
          hooked = collections.hasWriteHooks(tables)
          return await write({ ...work, tables, way: ways[0]!, probing }, caller, scope)
        })
      } catch (error) {
        if (error instanceof EndedError) probing = true
        else if (!(error instanceof UnlocatedError)) throw error
        else if (ways.length === 1) throw error.cause
        else ways.shift()
      }
    }
  }

  async function alone (transaction: CrudTransaction, caller: Caller, signal: AbortSignal): Promise<boolean> {
    if (transaction.operations.length !== 1 || collections.hasWriteHooks(tablesOf([transaction]))) return false
    const ofUser = collections.for(caller.user)
    const planned = await spans.run('powersync.decode', async () => planAll(decodeAll([transaction], ofUser), ofUser, new Permits()))
    try {
      await spans.run('powersync.storage', () => send([], planned, [], 'fewest', { signal }))
      return true
    } catch (error) {
      if (error instanceof ConflictError || error instanceof UnlocatedError) return false
      throw error
    }
  }

  async function write <Result> (work: Attempt<Result>, { user, request, log }: Caller, scope: TransactionScope): Promise<Result> {
    const { transactions, since, tables, way, probing } = work
    const ofUser = collections.for(user)
    const permits = new Permits()
    const parents = new Parents(ofUser)
    const context: TransactionContext = { user, request, log, db, session: scope.session }
    const probe = probing ? probeOf(scope) : undefined
    const decoded = await spans.run('powersync.decode', async () => decodeAll(transactions, ofUser))
    const planned = collections.hasOperationHooks(tables)
      ? await spans.run('powersync.hooks', () => runHooks(decoded, { collections, ofUser, context, permits, parents, probe, deduplicated: work.deduplicated }))
      : planAll(decoded, ofUser, permits)
    scope.signal.throwIfAborted()
    const { before, after = [], result } = await work.around(planned.flatMap(({ plans }) => plans), ofUser)
    const store = async (part: Planned[], first: readonly Statement[] = [], last: readonly Statement[] = []) => {
      const under = since?.size ? await beneathSince(part, since, ofUser, scope) : part
      await send(first, under, last, way, scope)
    }
    await spans.run('powersync.storage', async () => {
      if (!collections.hasUpdateBatchHooks(tables)) return await store(planned, before, after)
      await send(before, [], [], way, scope)
      for (const [position, part] of planned.entries()) if (part.transaction.operations.length) await throughHooks(position, part)
      await send([], [], after, way, scope)
    })
    return result

    /** One transaction through the `updateBatch` hooks. Any error of a write in them may be its data's fault. */
    async function throughHooks (position: number, { transaction }: Planned): Promise<void> {
      const next = async (written: CrudTransaction) => {
        const operations = written.operations.map(operation => ofUser(operation).encode(operation, 'updateBatch'))
        const encoded = { ...written, operations }
        const plans = await parents.plan(encoded, new Rows([encoded], collections, ofUser, context), permits)
        await store([{ transaction: written, plans }])
      }
      try {
        await updateBatchChain(collections, context, next, probe)(transaction)
      } catch (error) {
        if (error instanceof Rejected) throw new Rejected(position, error.cause)
        if (error instanceof ConflictError || error instanceof UnlocatedError || error instanceof HookError) throw error
        const rejection = rejectionOf(position, undefined, dataFault(error, faults))
        throw rejection ?? (error instanceof WriteError ? error : new HookError({ hook: 'updateBatch' }, 'failed', error))
      }
    }
  }

  /**
   * @throws {Rejected} with the position of the transaction whose operation failed, in `planned`
   * @throws {ConflictError} if another was faster
   */
  async function send (before: readonly Statement[], planned: readonly Planned[], after: readonly Statement[], way: Way, scope: CommandScope): Promise<void> {
    const sources: Plan[] = []
    const own = statementsOf(planned.flatMap(({ plans }) => plans), sources)
    try {
      await statements.send([before, own, after], way, scope)
    } catch (error) {
      if (!(error instanceof WriteError)) throw error
      const { position, cause } = error
      if (position === 0 && before.length && isDuplicateKey(cause)) throw new ConflictError('another upload was faster', { cause })
      const plan = position === undefined ? undefined : sources[position - before.length]
      if (plan && isDuplicateId(cause)) {
        // An upsert that looks for its owner's document and meets the same _id is about somebody else's.
        if (!hasKeys(plan.owner)) throw new ConflictError('another upload created the document', { cause })
        throw rejectionOf(positionOf(plan, planned), plan.operation.index, somebodyElses)
      }
      const fault = dataFault(error, faults)
      if (!fault || (position !== undefined && !plan)) throw error
      throw rejectionOf(plan && positionOf(plan, planned), plan?.operation.index, fault) ?? new UnlocatedError(error)
    }
  }

  async function beneathSince (planned: Planned[], since: ReadonlyMap<string, Since>, ofUser: UserCollections, scope: TransactionScope): Promise<Planned[]> {
    const affected = planned.flatMap(({ plans }) => plans.filter(({ row }) => since.has(row)))
    const documents = await documentsOf(db, affected, scope)
    return planned.map(({ transaction, plans }) => ({
      transaction,
      plans: beneath(plans, since, documents, addToOf(ofUser))
    }))
  }

  /** Tells after each hook whether the transaction still lives: MongoDB ends it at an error, whoever catches that. */
  function probeOf (scope: TransactionScope) {
    return async (hook: string, table: string | undefined) => {
      try {
        await db.collection(Ledger.collectionName).findOne({ _id: null as never }, { ...scope, projection: { _id: 1 } })
      } catch (error) {
        if (codeOf(error) !== NoSuchTransaction) throw error
        throw new HookError({ hook, table }, 'caught an error of MongoDB, which ended the transaction: let it pass, or use a command without the session')
      }
    }
  }
}

/** The server ended the transaction before its end. */
class EndedError extends Error {
  constructor (override readonly cause: unknown) {
    super('ended', { cause })
  }
}

/** The data is at fault, and the server did not tell which statement failed. */
class UnlocatedError extends Error {
  constructor (override readonly cause: WriteError) {
    super('unlocated', { cause })
  }
}

const somebodyElses: DataFault = { code: 'UNAUTHORIZED', message: 'The row belongs to another owner' }

function rejectionOf (position: number | undefined, index: number | undefined, fault: DataFault | undefined): Rejected | undefined {
  if (!fault || position === undefined) return undefined
  if (fault instanceof PowerSyncFatalError) return new Rejected(position, fault)
  return new Rejected(position, new PowerSyncFatalError(fault.code, fault.message, { details: fault.details, operationIndex: index }))
}

const positionOf = (plan: Plan, planned: readonly Planned[]): number => planned.findIndex(({ plans }) => plans.includes(plan))

export function tablesOf (transactions: readonly CrudTransaction[]): Set<string> {
  const tables = new Set<string>()
  for (const { operations } of transactions) for (const operation of operations) tables.add(operation.table)
  return tables
}

/** What the client is told of a rejection. */
export function failedOperation ({ cause: { code, message, details, operationIndex } }: Rejected): FailedOperation {
  return {
    error_code: code,
    message,
    ...details && { details },
    ...operationIndex !== undefined && { operation_index: operationIndex }
  }
}
