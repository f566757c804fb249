import type { AnyRow, AuthorizeHook, Collections, CrudOperation, Hooks, OnResultHook, ResolveConflictHook, ThroughParent, TransformHook, User } from '../../types/index.js'
import { HookError, OptionError, PowerSyncFatalError } from '../errors.js'
import { typeWords } from '../type-words.js'
import { rulesOf, type Collection } from '../schema/collection.js'
import { compileSchema, DecodeFault, isClosed, type CompiledSchema, type Rights } from '../schema/compile.js'
import { checkTables } from '../schema/client-names.js'
import { isForbiddenColumn, NAME_RULE } from '../schema/names.js'
import { sum } from './conflicts/sum.js'
import { conditionsOf } from './owner.js'
import { sameValue } from '../schema/same-value.js'

/** Collections that belong to MongoDB, PowerSync or this package. */
const reserved = /^(?:system\.|_powersync|powersync_)/

/** One entry of the `collections` option, compiled, with the hooks that run for it. */
export class RegisteredCollection {
  readonly name: string
  readonly put: 'merge' | 'replace'
  readonly nulls: 'store' | 'unset'
  readonly hooks: { authorize: AuthorizeHook[], transform: TransformHook[], resolveConflict: ResolveConflictHook[], onResult: OnResultHook[] }
  /** Parents that say whose the rows are. */
  readonly parents: readonly ThroughParent[]
  readonly #compiled: CompiledSchema

  constructor (readonly table: string, readonly definition: Collection, globalHooks: Hooks) {
    this.name = definition.name ?? table
    if (reserved.test(this.name) || this.name.includes('$') || this.name === '') {
      throw new OptionError(`collections.${table}`, `writes to ${JSON.stringify(this.name)}, which is reserved: choose another name`)
    }
    this.put = definition.put
    this.nulls = definition.nulls
    this.parents = rulesOf(definition.owner).parents
    this.hooks = {
      authorize: both(globalHooks.authorize, definition.authorize),
      transform: both(globalHooks.transform, definition.transform),
      resolveConflict: both(globalHooks.resolveConflict, definition.resolveConflict),
      onResult: both(globalHooks.onResult, definition.onResult)
    }
    this.#compiled = compileSchema(table, definition)
    this.#check()
  }

  /**
   * The collection as a user may write it.
   * @throws {PowerSyncFatalError} `UNAUTHORIZED` when the user can have no rows in it
   */
  for (user: User, operationIndex?: number): UserCollection {
    const owner = conditionsOf(this.definition.owner, user, (field, value) => this.#compiled.decodeField(field, value))
    if (!owner) throw new PowerSyncFatalError('UNAUTHORIZED', 'The user can have no rows in this table', { operationIndex })
    return new UserCollection(this, owner, this.#compiled, this.#rightsOf(user, owner))
  }

  #rightsOf (user: User, owner: Record<string, unknown>): Rights | undefined {
    const { definition } = this
    const { writable: rule } = definition
    if (typeof rule !== 'function' && typeof definition.owner !== 'function') return undefined
    const writable = typeof rule === 'function' ? rule(user) : true
    const owned = Object.keys(owner)
    this.#checkFields(writable, 'writable')
    this.#checkFields(owned, 'owner')
    return { owned: new Set(owned), writable: writable === true ? undefined : new Set(writable) }
  }

  /** What a function of the app gave for a user: a mistake in it is the app's, and the upload waits until it is mended. */
  #checkFields (fields: true | readonly string[], option: string): void {
    const where = `collections.${this.table}.${option}`
    if (fields === true) return
    if (!Array.isArray(fields)) throw new Error(`${where} gave ${typeWords(fields)}: expected an array of fields, or true for all`)
    const unknown = fields.find(field => !this.#compiled.has(field))
    if (unknown !== undefined) throw new Error(`${where} gave ${JSON.stringify(unknown)}, which is not a field of the schema`)
  }

  #check (): void {
    const { table, put, definition: { writable, authorizeTransfer, owner } } = this
    if (put === 'replace' && writable) {
      throw new OptionError(`collections.${table}.put`, 'is replace, which would drop the fields that writable keeps: use merge, or leave writable out')
    }
    for (const field of this.hooks.resolveConflict.flatMap(({ fields = [] }) => fields)) {
      if (!this.#compiled.has(field)) throw new OptionError(`collections.${table}.resolveConflict`, `needs ${JSON.stringify(field)}, which is not a field of the schema: add it there, or name another`)
    }
    if (authorizeTransfer && typeof owner !== 'function' && owner.length === this.parents.length) {
      throw new OptionError(`collections.${table}.authorizeTransfer`, 'needs an owner field: name it in owner')
    }
  }

  /** @throws {PowerSyncFatalError} when the id is not canonical for the collection */
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

  /** What a client says that the row was before its operation, in the types of the schema. */
  previous ({ previous }: CrudOperation): AnyRow | undefined {
    return previous && this.#compiled.previous(previous)
  }

  /** A document, in the types of the schema. */
  read (document: AnyRow): AnyRow {
    return this.#compiled.read(document)
  }

  /**
   * A value of one field, as a client would send it with this operation.
   * @throws {PowerSyncFatalError} when it does not fit
   */
  field (name: string, value: unknown, operation: CrudOperation): unknown {
    const decoded = this.#compiled.decodeField(name, value)
    if (decoded instanceof DecodeFault) throw rejection(decoded, operation)
    return decoded
  }

  /**
   * An operation that a hook of the app gave, with its values as BSON.
   * @throws {HookError} for a name or a value that cannot be written: the fault is the app's, not the data's
   */
  encode (operation: CrudOperation, hook: string): CrudOperation {
    const place = { hook, table: this.table }
    if (this.tryId(operation.id) === undefined) throw new HookError(place, 'gave an operation with an id that the collection does not accept')
    if (operation.op === 'DELETE') return operation
    const data: AnyRow = {}
    for (const [name, value] of Object.entries(operation.data)) {
      if (isForbiddenColumn(name)) throw new HookError(place, `gave an operation with the field ${JSON.stringify(name)}: expected ${NAME_RULE}`)
      if (value !== undefined) data[name] = this.#compiled.encode(name, value, hook)
    }
    return { ...operation, data } as CrudOperation
  }

  /**
   * A field's value with an amount added, in the field's type.
   * @param added decimal text
   * @throws {PowerSyncFatalError} when the sum does not fit
   */
  addTo (name: string, value: unknown, added: string, operation: CrudOperation): unknown {
    return this.field(name, sum([value ?? 0, added]), operation)
  }
}

const none: Readonly<Record<string, never>> = Object.freeze({})

/** A collection as one user may write it. */
export class UserCollection {
  readonly #compiled: CompiledSchema
  readonly #rights: Rights | undefined
  readonly #hasOnInsert: boolean
  /** Whether rows have an owner, for this user. */
  readonly isOwned: boolean
  /** Whether a PUT leaves a document that exists as it is. */
  readonly createsOnly: boolean

  constructor (
    readonly shared: RegisteredCollection,
    /** What a document must hold to be the user's, by field: conditions of every write. Empty: all are. */
    readonly owner: Readonly<Record<string, unknown>>,
    compiled: CompiledSchema,
    rights: Rights | undefined
  ) {
    this.#compiled = compiled
    this.#rights = rights
    this.isOwned = Object.keys(owner).length > 0
    this.#hasOnInsert = compiled.fields.some(field => field.default && (field.readOnly || isClosed(field.name, rights)))
    this.createsOnly = !shared.definition.operations.includes('PATCH')
  }

  /**
   * An uploaded operation with its values as BSON.
   * @throws {PowerSyncFatalError} when the user may not send such an operation, or the row cannot be stored
   */
  decode (operation: CrudOperation): CrudOperation {
    if (!this.shared.definition.operations.includes(operation.op)) {
      throw new PowerSyncFatalError('UNAUTHORIZED', `${operation.op} is not allowed on this table`, { operationIndex: operation.index })
    }
    this.shared.id(operation)
    if (operation.op === 'DELETE') return { ...operation }
    const data = this.#compiled.decode(operation, this.#rights)
    if (data instanceof DecodeFault) throw rejection(data, operation)
    return { ...operation, data }
  }

  /** Whether a write of the user would meet this document. */
  owns (document: Record<string, unknown>): boolean {
    return Object.entries(this.owner).every(([field, value]) => sameValue(document[field], value))
  }

  /** Whether the operation is one on this document: not on somebody else's, nor one that leaves it as it is. */
  conflicts ({ op }: CrudOperation, document: Record<string, unknown>): boolean {
    return this.owns(document) && !(op === 'PUT' && this.createsOnly)
  }

  /** The owner field that a PATCH would set to something else than it is in all rows of the user. */
  transfers ({ op, data }: CrudOperation): string | undefined {
    return op === 'PATCH' && this.isOwned ? Object.keys(this.owner).find(field => Object.hasOwn(data, field) && !sameValue(data[field], this.owner[field])) : undefined
  }

  /** The row of a PUT as it is written: the owner is who uploads it, whatever was sent. */
  owned (row: Record<string, unknown>): Record<string, unknown> {
    return this.isOwned ? { ...row, ...this.owner } : row
  }

  /** What a new document has beside its row: the server's defaults of fields that the user cannot write. */
  onInsert (row: object): Record<string, unknown> {
    if (!this.#hasOnInsert) return none
    return Object.fromEntries(Object.entries(this.#compiled.onInsert(this.#rights)).filter(([field]) => !Object.hasOwn(row, field)))
  }

  /** As `RegisteredCollection.encode`. */
  encode (operation: CrudOperation, hook: string): CrudOperation {
    return this.shared.encode(operation, hook)
  }

  /** Fields of the schema that a row has not. */
  absent (row: object): string[] {
    return this.#compiled.fields.filter(field => !field.readOnly && !Object.hasOwn(row, field.name) && !isClosed(field.name, this.#rights)).map(({ name }) => name)
  }
}

/** The tables that can be written, by name: everything else is refused. */
export class CollectionRegistry {
  readonly #byTable: ReadonlyMap<string, RegisteredCollection>

  constructor (collections: Collections, readonly globalHooks: Hooks) {
    this.#byTable = new Map(Object.entries(collections).map(([table, definition]) =>
      [table, new RegisteredCollection(table, definition, globalHooks)]))
    checkTables(this.tables())
    for (const table of this.tables()) this.#checkParents(table, [])
  }

  /** @throws {OptionError} when a way through the parents leads nowhere, or round in circles */
  #checkParents (table: string, passed: readonly string[]): void {
    for (const { parent } of this.find(table).parents) {
      const way = [...passed, table]
      if (!this.#byTable.has(parent)) throw new OptionError(`collections.${table}.owner`, `goes through the parent table ${JSON.stringify(parent)}, which is not one of collections`)
      if (way.includes(parent)) throw new OptionError(`collections.${way[0]}.owner`, `goes through ${parent} in a circle: a chain of parents must end at a table with an owner`)
      this.#checkParents(parent, way)
    }
  }

  /** @throws {PowerSyncFatalError} for a table that is not listed */
  get (operation: Pick<CrudOperation, 'table' | 'index'>): RegisteredCollection {
    return this.#byTable.get(operation.table) ?? fail(operation.table, operation.index)
  }

  /** @throws {PowerSyncFatalError} for a table that is not listed */
  find (table: string): RegisteredCollection {
    return this.#byTable.get(table) ?? fail(table)
  }

  /** The collections as one user may write them; each is worked out once, when it is first asked for. */
  for (user: User): UserCollections {
    const byTable = new Map<string, UserCollection>()
    return operation => {
      let collection = byTable.get(operation.table)
      if (!collection) byTable.set(operation.table, collection = this.get(operation).for(user, operation.index))
      return collection
    }
  }

  has (table: string): boolean {
    return this.#byTable.has(table)
  }

  tables (): string[] {
    return [...this.#byTable.keys()]
  }

  /** Whether hooks or parents decide on the operations of these tables one by one. */
  hasOperationHooks (tables: Iterable<string>): boolean {
    return this.#some(tables, ({ hooks, definition, parents }) =>
      parents.length > 0 || hooks.authorize.length > 0 || hooks.transform.length > 0 || hooks.resolveConflict.length > 0 || definition.authorizeTransfer !== undefined)
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

/**
 * The collection of an operation, as one user may write it.
 * @throws {PowerSyncFatalError} for a table that is not listed, or in which the user can have no rows
 */
export type UserCollections = (operation: Pick<CrudOperation, 'table' | 'index'>) => UserCollection

const both = <Hook>(global: Hook | undefined, own: Hook | undefined): Hook[] =>
  [global, own].filter(hook => hook !== undefined) as Hook[]

const rejection = (fault: DecodeFault, operation: CrudOperation) =>
  new PowerSyncFatalError(fault.code, fault.message, { details: { path: fault.path }, operationIndex: operation.index })

function fail (table: string, operationIndex?: number): never {
  throw new PowerSyncFatalError('SCHEMA_MISMATCH', 'The table is not one of the server\'s collections', { details: { table }, operationIndex })
}
