import type { AuthorizeHook, Collections, CrudOperation, Hooks, OnResultHook, TransformHook, User } from '../../types/index.js'
import { OptionError, PowerSyncFatalError } from '../errors.js'
import type { Collection } from './collection.js'
import { compileCollection, DecodeFault, type CompiledCollection } from './decoder.js'
import { sameValue } from './same-value.js'

/** Collections that belong to MongoDB, PowerSync or this package. */
const reserved = /^(?:system\.|_powersync|powersync_)/

/** One entry of the `collections` option, compiled, with the hooks that run for it. */
export class RegisteredCollection {
  readonly name: string
  readonly put: 'merge' | 'replace'
  readonly nulls: 'store' | 'unset'
  readonly owner: { field: string, valueOf (user: User): unknown } | undefined
  readonly hooks: { authorize: AuthorizeHook[], transform: TransformHook[], onResult: OnResultHook[] }
  readonly #compiled: CompiledCollection
  readonly #hasOnInsert: boolean

  constructor (readonly table: string, readonly definition: Collection, globalHooks: Hooks) {
    this.name = definition.name ?? table
    if (reserved.test(this.name) || this.name.includes('$') || this.name === '') {
      throw new OptionError(`collections.${table}`, `writes to ${JSON.stringify(this.name)}, which is reserved: choose another name`)
    }
    this.put = definition.put
    this.nulls = definition.nulls
    this.hooks = {
      authorize: both(globalHooks.authorize, definition.authorize),
      transform: both(globalHooks.transform, definition.transform),
      onResult: both(globalHooks.onResult, definition.onResult)
    }
    this.#compiled = compileCollection(table, definition)
    this.#hasOnInsert = definition.readOnly.some(field => definition.defaults[field])
    if (this.put === 'replace' && definition.readOnly.length > 0) {
      throw new OptionError(`collections.${table}.put`, 'is replace, which would drop the fields in readOnly: use merge, or leave readOnly out')
    }
    this.owner = definition.owner === undefined ? undefined : this.#ownerOf(definition.owner)
  }

  /** @throws {PowerSyncFatalError} when the row cannot be stored */
  decode (operation: CrudOperation): CrudOperation {
    this.id(operation)
    if (operation.op === 'DELETE') return { ...operation }
    const data = this.#compiled[operation.op === 'PUT' ? 'put' : 'patch'](operation.data)
    if (data instanceof DecodeFault) throw rejection(data, operation)
    return { ...operation, data }
  }

  /**
   * The `_id` of an operation's document.
   * @throws {PowerSyncFatalError} when the id is not canonical for the collection
   */
  id (operation: CrudOperation): unknown {
    const id = this.#compiled.id(operation.id)
    if (id instanceof DecodeFault) throw rejection(id, operation)
    return id
  }

  /** The same, or undefined when no document can have such an id. */
  tryId (id: string): unknown {
    const value = this.#compiled.id(id)
    return value instanceof DecodeFault ? undefined : value
  }

  idText (value: unknown): string {
    return this.#compiled.idText(value)
  }

  /** The row of a PUT as it is written: the owner is who uploads it, whatever was sent. */
  ownedBy (user: User, row: Record<string, unknown>): Record<string, unknown> {
    return this.owner ? { ...row, [this.owner.field]: this.owner.valueOf(user) } : row
  }

  /** Whether a write of the user would meet this document. */
  isOwnedBy (user: User, document: Record<string, unknown>): boolean {
    return !this.owner || sameValue(document[this.owner.field], this.owner.valueOf(user))
  }

  /** What a new document has beside its row: the server's defaults of fields that clients cannot write. */
  onInsert (): Record<string, unknown> | undefined {
    return this.#hasOnInsert ? this.#compiled.onInsert() : undefined
  }

  /** Fields of the schema that a row has not. */
  absent (row: object): string[] {
    return this.#compiled.fields.filter(field => !Object.hasOwn(row, field))
  }

  /**
   * What the app's own `transform` must keep to: keys that MongoDB would take for operators or paths.
   * @throws an error to be retried: the fault is in the app, not in the data
   */
  checkWrite (operation: CrudOperation): void {
    this.id(operation)
    for (const key of Object.keys(operation.data ?? {})) {
      if (key === '_id' || key === '__proto__' || key.startsWith('$') || key.includes('.')) {
        throw new Error(`transform gave an operation on ${this.table} with the field ${JSON.stringify(key)}, which cannot be written`)
      }
    }
  }

  #ownerOf (field: string) {
    return {
      field,
      valueOf: (user: User) => {
        const value = this.#compiled.field(field, user.id)
        if (value instanceof DecodeFault) throw new PowerSyncFatalError('UNAUTHORIZED', 'The user\'s id is not one that the collection\'s owner field can hold')
        return value
      }
    }
  }
}

/** The tables that can be written, by name: everything else is refused. */
export class CollectionRegistry {
  readonly #byTable: ReadonlyMap<string, RegisteredCollection>

  constructor (collections: Collections, readonly globalHooks: Hooks) {
    this.#byTable = new Map(Object.entries(collections).map(([table, definition]) =>
      [table, new RegisteredCollection(table, definition, globalHooks)]))
  }

  /** @throws {PowerSyncFatalError} for a table that is not listed */
  get (operation: Pick<CrudOperation, 'table' | 'index'>): RegisteredCollection {
    return this.#byTable.get(operation.table) ?? fail(operation.table, operation.index)
  }

  /** @throws {PowerSyncFatalError} for a table that is not listed */
  find (table: string): RegisteredCollection {
    return this.#byTable.get(table) ?? fail(table)
  }

  tables (): string[] {
    return [...this.#byTable.keys()]
  }

  /** Whether hooks see the operations on these tables one by one. */
  hasOperationHooks (tables: Iterable<string>): boolean {
    return this.#some(tables, ({ hooks }) => hooks.authorize.length > 0 || hooks.transform.length > 0)
  }

  /** Whether any hook may write in the transaction that has operations on these tables. */
  hasWriteHooks (tables: Iterable<string>): boolean {
    return this.hasOperationHooks(tables) || this.hasUpdateBatchHooks(tables)
  }

  hasUpdateBatchHooks (tables: Iterable<string>): boolean {
    return this.globalHooks.updateBatch !== undefined || this.#some(tables, ({ definition }) => definition.updateBatch !== undefined)
  }

  /** `onResult` of all collections, then of each of these tables, each once. */
  resultHooks (tables: Iterable<string>): Set<OnResultHook> {
    const hooks = new Set(both(this.globalHooks.onResult, undefined))
    for (const table of tables) for (const hook of this.#byTable.get(table)?.hooks.onResult ?? []) hooks.add(hook)
    return hooks
  }

  #some (tables: Iterable<string>, test: (collection: RegisteredCollection) => boolean): boolean {
    for (const table of tables) {
      const collection = this.#byTable.get(table)
      if (collection && test(collection)) return true
    }
    return false
  }
}

const both = <Hook>(global: Hook | undefined, own: Hook | undefined): Hook[] =>
  [global, own].filter(hook => hook !== undefined) as Hook[]

const rejection = (fault: DecodeFault, operation: CrudOperation) =>
  new PowerSyncFatalError(fault.code, fault.message, { details: { path: fault.path }, operationIndex: operation.index })

function fail (table: string, operationIndex?: number): never {
  throw new PowerSyncFatalError('SCHEMA_MISMATCH', 'The table is not one of the server\'s collections', { details: { table }, operationIndex })
}
