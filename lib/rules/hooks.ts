import type {
  AnyRow, Awaitable, CrudOperation, CrudTransaction, OperationContext, OperationToWrite, PatchOperation, TransactionContext
} from '../../types/index.js'
import { HookError, PowerSyncFatalError } from '../errors.js'
import { typeWords } from '../type-words.js'
import { inOrder, isPromise, then } from './awaitable.js'
import { deepFreeze } from './freeze.js'
import type { Parents } from './parents.js'
import type { Permits } from './permits.js'
import { planOf, rowOf, type Plan } from './plan.js'
import type { CollectionRegistry, RegisteredCollection, UserCollection, UserCollections } from './registry.js'
import { resolveConflicts } from './resolve.js'
import { Rows } from './rows.js'

/** What the hooks of one upload share. */
export interface HookRun {
  collections: CollectionRegistry
  ofUser: UserCollections
  context: TransactionContext
  permits: Permits
  parents: Parents
  /** Whether sums can be recognised when they are sent again. */
  deduplicated: (operation: CrudOperation) => boolean
  /** Called after each hook. */
  probe?: ((hook: string, table: string) => Promise<void>) | undefined
}

/** A client transaction as it will be written. */
export interface Planned {
  /** Its operations as the hooks left them. */
  transaction: CrudTransaction
  plans: Plan[]
}

/** An operation failed its transaction for good. */
export class Rejected extends Error {
  constructor (
    /** Position of the transaction among those that were planned. */
    readonly transaction: number,
    override readonly cause: PowerSyncFatalError
  ) {
    super('rejected', { cause })
  }

  get code (): string {
    return this.cause.code
  }
}

/**
 * Runs the operations of client transactions that are written together, in order, through `authorize`, `transform`,
 * `resolveConflict` and `authorizeTransfer`, and plans what is left.
 *
 * @param transactions decoded
 * @throws {Rejected} for the first operation that is refused
 */
export async function runHooks (transactions: readonly CrudTransaction[], run: HookRun): Promise<Planned[]> {
  const rows = new Rows(transactions, run.collections, run.ofUser, run.context)
  const done: Planned[] = []
  for (const [position, transaction] of transactions.entries()) {
    rows.begin()
    const operations: CrudOperation[] = []
    const plans: Plan[] = []
    const write = (operation: CrudOperation, from: string) => {
      const plan = planOf(operation, run.ofUser(operation), run.permits, from)
      operations.push(operation)
      plans.push(plan)
      rows.add(plan)
    }
    for (const operation of transaction.operations) {
      try {
        const pending = new OperationRun(operation, run, rows, write).start()
        if (isPromise(pending)) await pending
      } catch (error) {
        throw located(error, position, operation)
      }
    }
    await run.parents.settle().catch((error: unknown) => { throw located(error, position) })
    done.push({ transaction: { ...transaction, operations }, plans })
  }
  return done
}

/** Plans client transactions that no hook sees. */
export function planAll (transactions: readonly CrudTransaction[], ofUser: UserCollections, permits: Permits): Planned[] {
  return transactions.map((transaction, position) => ({
    transaction,
    plans: mapOperations(transaction, position, operation => planOf(operation, ofUser(operation), permits))
  }))
}

/** Uploaded transactions with their values and ids decoded. */
export function decodeAll (transactions: readonly CrudTransaction[], ofUser: UserCollections): CrudTransaction[] {
  return transactions.map((transaction, position) => ({
    ...transaction,
    operations: mapOperations(transaction, position, operation => ofUser(operation).decode(operation))
  }))
}

/** @throws {Rejected} for the first operation that is refused */
function mapOperations<Result> ({ operations }: CrudTransaction, position: number, work: (operation: CrudOperation) => Result): Result[] {
  return operations.map(operation => {
    try {
      return work(operation)
    } catch (error) {
      throw located(error, position, operation)
    }
  })
}

/** One uploaded operation on its way through the hooks. */
class OperationRun {
  constructor (
    private readonly uploaded: CrudOperation,
    private readonly run: HookRun,
    private readonly rows: Rows,
    private readonly write: (operation: CrudOperation, from: string) => void
  ) {
    deepFreeze(uploaded)
  }

  start (): Awaitable<void> {
    const operation = this.uploaded
    const collection = this.run.collections.get(operation)
    const context = this.#contextOf(operation)
    return then(this.#authorize(operation, collection, context), () =>
      then(this.#transform(operation, collection, context), transformed => inOrder(transformed, each => this.#settle(each))))
  }

  /** An operation on another row than the uploaded one is authorised again. */
  #settle (operation: CrudOperation): Awaitable<void> {
    const { collections, ofUser, parents } = this.run
    const moved = operation.table !== this.uploaded.table || operation.id !== this.uploaded.id
    const collection = collections.get(operation)
    const context = this.#contextOf(operation)
    return then(moved ? this.#authorize(operation, collection, context) : undefined, () =>
      then(parents.check(operation, this.rows), () =>
        then(this.#resolve(operation, ofUser(operation), context), resolved =>
          resolved ? then(this.#permit(resolved, operation, context), () => this.write(resolved, this.#from())) : undefined)))
  }

  /** What `resolveConflict` made of it may have another parent or owner. */
  #permit (operation: CrudOperation, unresolved: CrudOperation, context: OperationContext): Awaitable<void> {
    const { ofUser, parents } = this.run
    const checked = operation === unresolved ? undefined : parents.check(operation, this.rows)
    return then(checked, () => this.#authorizeTransfer(operation, ofUser(operation), context))
  }

  #from (): string {
    const collection = this.run.collections.get(this.uploaded)
    return rowOf(collection.name, collection.id(this.uploaded))
  }

  #authorize (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Awaitable<void> {
    return inOrder(hooks.authorize, hook =>
      then(this.#ask('authorize', operation.table, () => hook(operation, context)), verdict => check(verdict, 'The operation is not allowed')))
  }

  #transform (operation: CrudOperation, { hooks }: RegisteredCollection, context: OperationContext): Awaitable<readonly CrudOperation[]> {
    return hooks.transform.reduce<Awaitable<readonly CrudOperation[]>>((operations, hook) => then(operations, before => {
      const next: CrudOperation[] = []
      const each = inOrder(before, one => then(this.#ask('transform', one.table, () => hook(one, context)), result => {
        if (result === undefined) throw new HookError({ hook: 'transform', table: one.table }, 'gave nothing: expected an operation, an array of them, or null for none')
        for (const written of arrayOf(result)) next.push(written === one ? one : this.#written('transform', written, one))
      }))
      return then(each, () => next)
    }), [operation])
  }

  #resolve (operation: CrudOperation, target: UserCollection, context: OperationContext): Awaitable<CrudOperation | null> {
    const resolved = resolveConflicts(operation, target, {
      document: () => this.rows.loaded(operation) ?? context.existing(),
      ask: answer => this.#ask('resolveConflict', operation.table, answer),
      written: changed => this.#written('resolveConflict', changed, operation)
    }, context)
    return then(resolved, last => {
      const sums = Object.keys(last?.sums ?? {})
      if (last?.op === 'PATCH' && sums.length && !this.run.deduplicated(this.uploaded)) {
        throw new PowerSyncFatalError('INVALID_DATA', 'A sum is not idempotent: the upload needs client_id and op_id, by which retries are recognised', { details: { path: sums[0] } })
      }
      return last
    })
  }

  /** The plan refuses what is not permitted. */
  #authorizeTransfer (operation: CrudOperation, target: UserCollection, context: OperationContext): Awaitable<void> {
    const hook = target.shared.definition.authorizeTransfer
    if (!hook || target.transfers(operation) === undefined) return
    return then(this.#ask('authorizeTransfer', operation.table, () => hook(operation as PatchOperation, context)), verdict => {
      check(verdict, 'The row may not be given to another owner')
      this.run.permits.allow(operation, target)
    })
  }

  /** What a hook gave in place of an operation: with values as the schema has them. */
  #written (hook: string, written: OperationToWrite<AnyRow>, from: CrudOperation): CrudOperation {
    const operation = { ...written, index: from.index } as CrudOperation
    return deepFreeze(this.run.ofUser(operation).encode(operation, hook))
  }

  #ask<Answer> (hook: string, table: string, answer: () => Awaitable<Answer>): Awaitable<Answer> {
    const { probe } = this.run
    const failed = (error: unknown): never => { throw error instanceof PowerSyncFatalError ? error : new HookError({ hook, table }, 'failed', error) }
    try {
      const given = answer()
      if (!isPromise(given)) return given
      const done = given.catch(failed)
      return probe ? done.then(async value => { await probe(hook, table); return value }) : done
    } catch (error) {
      return failed(error)
    }
  }

  #contextOf (operation: CrudOperation): OperationContext {
    return { ...this.run.context, existing: this.rows.for(operation).existing }
  }
}

function check (verdict: boolean | string, refusal: string): void {
  if (verdict !== true) throw new PowerSyncFatalError('UNAUTHORIZED', typeof verdict === 'string' ? verdict : refusal)
}

function arrayOf (result: OperationToWrite | OperationToWrite[] | null): Array<OperationToWrite<AnyRow>> {
  if (result === null) return []
  const operations = Array.isArray(result) ? result : [result]
  for (const operation of operations) {
    if (typeof operation !== 'object' || operation === null) throw new HookError({ hook: 'transform' }, `gave ${typeWords(operation)} in place of an operation`)
  }
  return operations
}

/** A rejection with its place, which hooks need not say; any other error as it is. */
function located (error: unknown, position: number, operation?: CrudOperation): unknown {
  if (!(error instanceof PowerSyncFatalError)) return error
  const { code, message, details, operationIndex = operation?.index } = error
  return new Rejected(position, new PowerSyncFatalError(code, message, { details, operationIndex }))
}
