import { asRead } from '../bson.js'
import type {
  AnyRow, Awaitable, Conflict, CrudOperation, CrudTransaction, OperationContext, OperationToWrite, PatchOperation,
  Since, StoredRow, TransactionContext, UpdateBatchHook
} from '../../types/index.js'
import { HookError, PowerSyncFatalError } from '../errors.js'
import { typeWords } from '../type-words.js'
import { deepFreeze } from '../freeze.js'
import { didYouMean, nearest } from '../nearest.js'
import { createTurns } from '../turns.js'
import type { Migrations } from './migrations.js'
import { ownedBy, planOf, rowOf, transferKey, transferOf, type Plan } from './plan.js'
import type { RegisteredCollection, UserCollections } from './registry.js'
import { createRows, type RuleScope } from './rows.js'

/** The state that the hooks of one attempt share. */
export interface HookScope extends RuleScope {
  context: TransactionContext
  /** Whether this is a dead letter, which is run once: sums need no op_id. */
  isLetter?: boolean | undefined
  /** What the client has changed since, by row, where a dead letter is written. */
  since?: ReadonlyMap<string, Since> | undefined
  /** Called after each hook. */
  probe?: ((hook: string, table?: string) => Promise<void>) | undefined
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
 * Uploaded transactions with their values and ids decoded, those of older clients after their migrations.
 * @throws {Rejected} for the first operation that is refused
 */
export async function decodeAll (
  transactions: readonly CrudTransaction[], ofUser: UserCollections, { lift }: Migrations
): Promise<CrudTransaction[]> {
  const turn = createTurns()
  const all: CrudTransaction[] = []
  for (const [position, transaction] of transactions.entries()) {
    const operations: CrudOperation[] = []
    for (const operation of transaction.operations) {
      try {
        const lifted = lift(operation, transaction.schemaVersion)
        if (lifted) operations.push(ofUser(lifted).decode(lifted))
      } catch (error) {
        throw located(error, position, operation)
      }
      const others = turn()
      if (others) await others
    }
    all.push({ ...transaction, operations })
  }
  return all
}

/** Plans client transactions that no hook sees. @throws {Rejected} as `decodeAll` */
export function planAll (transactions: readonly CrudTransaction[], ofUser: UserCollections): Planned[] {
  const allowed = new Set<string>()
  return transactions.map((transaction, position) => ({
    transaction,
    plans: transaction.operations.map(operation => {
      try {
        return planOf(operation, ofUser(operation), allowed)
      } catch (error) {
        throw located(error, position, operation)
      }
    })
  }))
}

/** A rejection with its place, which hooks need not say; any other error as it is. */
export function located (error: unknown, position: number, operation?: CrudOperation): unknown {
  if (!(error instanceof PowerSyncFatalError)) return error
  const { code, message, details, operationIndex = operation?.index } = error
  return new Rejected(position, new PowerSyncFatalError(code, message, { details, operationIndex }))
}

/**
 * Runs the operations of client transactions that are written together, in order, through `authorize`, `transform`,
 * `throughParent`, `resolveConflict` and `authorizeTransfer`, and plans what is left.
 *
 * @param transactions decoded
 * @throws {Rejected} for the first operation that is refused
 */
export async function runHooks (transactions: readonly CrudTransaction[], scope: HookScope): Promise<Planned[]> {
  const { collections, ofUser } = scope
  const rows = createRows(transactions, scope)
  const done: Planned[] = []
  for (const [position, transaction] of transactions.entries()) {
    const plans: Plan[] = []
    let current: CrudOperation | undefined
    try {
      await inSteps(function * () {
        for (current of transaction.operations) plans.push(...yield * plansOf(current, transaction))
      }())
      current = undefined
      await rows.end()
    } catch (error) {
      throw located(error, position, current)
    }
    done.push({ transaction: { ...transaction, operations: plans.map(({ operation }) => operation) }, plans })
  }
  return done

  function * plansOf (uploaded: CrudOperation, { clientId }: CrudTransaction): Steps<Plan[]> {
    deepFreeze(uploaded)
    const shared = collections.get(uploaded.table)
    const from = rowOf(shared.name, shared.id(uploaded))
    const context = contextOf(uploaded)
    yield * authorize(uploaded, context)
    const plans: Plan[] = []
    for (const operation of yield * transform(uploaded, context)) {
      const moved = operation.table !== uploaded.table || operation.id !== uploaded.id
      const itsContext = operation === uploaded ? context : contextOf(operation)
      if (moved) yield * authorize(operation, itsContext)
      yield * waitFor(rows.checkParents(operation))
      const resolved = yield * resolve(operation, itsContext)
      if (!resolved) continue
      const [path] = resolved.op === 'PATCH' ? Object.keys(resolved.sums ?? {}) : []
      if (path && !scope.isLetter && (uploaded.opId === undefined || clientId === undefined)) {
        throw new PowerSyncFatalError('INVALID_DATA',
          'A sum is not idempotent: the upload needs client_id and op_id, by which retries are recognised', {
            details: { path }
          })
      }
      // The result of `resolveConflict` may have another parent or owner.
      if (resolved !== operation) yield * waitFor(rows.checkParents(resolved))
      yield * authorizeTransfer(resolved, itsContext)
      plans.push(rows.plan(resolved, from))
    }
    return plans
  }

  function contextOf (operation: CrudOperation): OperationContext {
    return { ...scope.context, existing: rows.existingFor(operation) }
  }

  function * authorize (operation: CrudOperation, context: OperationContext): Steps<void> {
    for (const hook of collections.get(operation.table).hooks.authorize) {
      allow(yield * ask('authorize', operation.table, () => hook(operation, context)), 'The operation is not allowed')
    }
  }

  function * transform (uploaded: CrudOperation, context: OperationContext): Steps<CrudOperation[]> {
    let operations = [uploaded]
    for (const hook of collections.get(uploaded.table).hooks.transform) {
      const next: CrudOperation[] = []
      for (const operation of operations) {
        const itsContext = operation === uploaded ? context : contextOf(operation)
        const given = yield * ask('transform', operation.table, () => hook(operation, itsContext))
        if (given === undefined) {
          throw new HookError({ hook: 'transform', table: operation.table },
            'gave nothing: expected an operation, an array of them, or null for none')
        }
        for (const each of given === null ? [] : [given].flat()) {
          if (typeof each !== 'object' || each === null) {
            throw new HookError({ hook: 'transform' }, `gave ${typeWords(each)} in place of an operation`)
          }
          next.push(written('transform', each, operation))
        }
      }
      operations = next
    }
    return operations
  }

  /**
   * The operation that the `resolveConflict` hooks give, or null for none.
   *
   * The document that a hook saw is the one that is written. A MongoDB transaction reads one snapshot, and a write to a
   * document that has changed since is a write conflict: the transaction starts again, hooks included (MongoDB manual,
   * "In-progress Transactions and Write Conflicts"). A row that was missing stays so for PATCH and DELETE; an upsert of
   * one that was created meanwhile starts again too. Without a write, the upload counts as the earlier of the two.
   */
  function * resolve (operation: CrudOperation, context: OperationContext): Steps<CrudOperation | null> {
    const { shared, owner, createsOnly } = ofUser(operation)
    if (shared.hooks.resolveConflict.length === 0) return operation
    const document = rows.loaded(operation) ?? (yield * waitFor(context.existing()))
    if (!document) return withSums(operation, shared)
    if (!ownedBy(document, owner) || (operation.op === 'PUT' && createsOnly)) return operation
    const existing = shared.schema.read(document) as StoredRow
    const since = scope.since?.get(rowOf(shared.name, shared.id(operation)))
    let current = operation
    for (const hook of shared.hooks.resolveConflict) {
      const conflict = conflictOf(current, existing, shared, since)
      const given = yield * ask('resolveConflict', operation.table, () => hook(conflict, context))
      if (given === null) return null
      if (given?.table !== operation.table || given.id !== operation.id) {
        throw new HookError({ hook: 'resolveConflict', table: operation.table },
          'gave no operation on its row: expected one on the same row, or null to keep what the server has')
      }
      current = written('resolveConflict', given, current, existing)
    }
    return current
  }

  /** The plan refuses a transfer that is not allowed here. */
  function * authorizeTransfer (operation: CrudOperation, context: OperationContext): Steps<void> {
    const target = ofUser(operation)
    const hook = target.shared.definition.authorizeTransfer
    if (!hook || transferOf(operation, target) === undefined) return
    const verdict = yield * ask('authorizeTransfer', operation.table, () => hook(operation as PatchOperation, context))
    allow(verdict, 'The row may not be given to another owner')
    scope.allowed.add(transferKey(operation, target))
  }

  /** An operation that a hook gave: with values as the schema has them, if it is another than the one before. */
  function written (
    hook: string, given: OperationToWrite<AnyRow>, before: CrudOperation, existing?: AnyRow
  ): CrudOperation {
    if (given === before) return before
    const operation = { ...given, index: before.index } as CrudOperation
    return deepFreeze(encoded(operation, hook, scope, existing))
  }

  function * ask<Answer> (hook: string, table: string, answer: () => Awaitable<Answer>): Steps<Answer> {
    let given
    try {
      given = yield * waitFor(answer())
    } catch (error) {
      throw error instanceof PowerSyncFatalError ? error : new HookError({ hook, table }, 'failed', error)
    }
    yield * waitFor(scope.probe?.(hook, table))
    return given
  }
}

/** An operation that a hook gave. @throws {HookError} as its collection does, and for a table that is not listed */
function encoded (
  operation: CrudOperation, hook: string, { collections, ofUser }: HookScope, existing?: AnyRow
): CrudOperation {
  const { table } = operation
  if (!collections.has(table)) {
    throw new HookError({ hook }, "gave an operation on a table that is not one of the server's collections")
  }
  const unknown = Object.keys(operation).find(name => !properties.includes(name))
  if (unknown === undefined) return ofUser(operation).encode(operation, hook, existing)
  throw new HookError({ hook, table }, 'gave an operation with the unknown property ' +
    `${JSON.stringify(unknown)}${didYouMean(nearest(unknown, properties))}`)
}

const properties = ['op', 'table', 'id', 'data', 'previous', 'metadata', 'opId', 'index', 'sums']

function allow (verdict: boolean | string, refusal: string): void {
  if (verdict === true) return
  throw new PowerSyncFatalError('UNAUTHORIZED', typeof verdict === 'string' && verdict !== '' ? verdict : refusal)
}

/** On a row that is not there, a sum changes nothing. The dead letter of an earlier operation still has to know it. */
function withSums (operation: CrudOperation, { hooks, schema }: RegisteredCollection): CrudOperation {
  const previous = operation.previous && schema.previous(operation.previous)
  const all = hooks.resolveConflict.map(({ sumsOf }) => sumsOf?.(operation, previous))
  const sums: Record<string, string> = Object.assign({}, ...all)
  return Object.keys(sums).length ? { ...operation, sums } : operation
}

function conflictOf (
  operation: CrudOperation, existing: StoredRow, shared: RegisteredCollection, since: Since | undefined
): Conflict {
  let previous: AnyRow | undefined
  return {
    table: operation.table,
    operation,
    existing,
    /** Read when it is asked for. */
    get setSince () {
      const cleared = since?.unset.map(field => [field, null])
      return since && shared.schema.read(asRead({ ...since.set, ...Object.fromEntries(cleared!) }))
    },
    /** Decoded when it is asked for. */
    get previous () {
      previous ??= operation.previous && shared.schema.previous(operation.previous)
      return previous
    },
    decode: (field, value) => shared.field(field, value, operation) as object
  }
}

/**
 * Puts the `updateBatch` hooks around the storage: the one for all collections outermost, then each collection's own
 * around the operations on it. Operations on one collection keep their order, whichever table they come from.
 */
export function updateBatchChain (scope: HookScope, storage: Write): Write {
  const { collections, context, allowed, probe } = scope
  return wrap(collections.globalHooks.updateBatch, async transaction => {
    for (const [hook, part] of partsOf(transaction)) await wrap(hook, storage)(part)
  })

  /** The operations by hook, in the order of the first of each: as few parts as keep the order on each collection. */
  function partsOf (transaction: CrudTransaction): Array<[UpdateBatchHook | undefined, CrudTransaction]> {
    const parts: Array<[UpdateBatchHook | undefined, CrudTransaction]> = []
    /** Of each collection the part that has its last operation. */
    const last = new Map<string, number>()
    for (const operation of transaction.operations) {
      const { name, definition: { updateBatch: hook } } = collections.get(operation.table)
      let at = parts.findLastIndex(part => part[0] === hook)
      if (at < (last.get(name) ?? 0)) at = parts.push([hook, { ...transaction, operations: [] }]) - 1
      last.set(name, at)
      parts[at]![1].operations.push(operation)
    }
    return parts
  }

  function wrap (hook: UpdateBatchHook | undefined, next: Write): Write {
    if (!hook) return next
    return async transaction => {
      /** Calls of `next` that have not ended. A session runs one command at a time, so that they have to queue. */
      let open = 0
      let last: Promise<void> = Promise.resolve()
      const write = async (changed: CrudTransaction) => {
        await probe?.('updateBatch')
        await next(changed === transaction ? changed : given(changed, transaction))
      }
      try {
        await hook(deepFreeze(transaction), { ...context, allowed }, (changed = transaction) => {
          open++
          const done = last.then(() => write(changed)).finally(() => { open-- })
          last = done.catch(() => {})
          return done
        })
        if (open > 0) throw new HookError({ hook: 'updateBatch' }, 'ended before next did: await what next gives')
      } finally {
        await last
      }
      await probe?.('updateBatch')
    }
  }

  /** What the hook passes on as it got it stays, even if it does not fit: `resolveConflict` may have left it so. */
  function given (changed: CrudTransaction, { operations }: CrudTransaction): CrudTransaction {
    const keyOf = ({ index, table, id }: CrudOperation) => JSON.stringify([index, table, id])
    const got = new Map(operations.map(each => [keyOf(each), each.data]))
    const encodeOne = (each: CrudOperation) => encoded(each, 'updateBatch', scope, got.get(keyOf(each)))
    return { ...changed, operations: changed.operations.map(encodeOne) }
  }
}

type Write = (transaction: CrudTransaction) => Promise<void>

/** Work that yields the promises that it waits for: most hooks give plain values, and promises for these cost time. */
type Steps<Result> = Generator<PromiseLike<unknown>, Result, unknown>

function * waitFor<Value> (value: Awaitable<Value>): Steps<Value> {
  const isPromise = typeof (value as Partial<PromiseLike<Value>> | null | undefined)?.then === 'function'
  return (isPromise ? yield value as PromiseLike<Value> : value) as Value
}

async function inSteps<Result> (work: Steps<Result>): Promise<Result> {
  let step = work.next()
  while (!step.done) step = await step.value.then(value => work.next(value), (error: unknown) => work.throw(error))
  return step.value
}
