import type {
  AnyRow, Collection, Collections, CrudOperation, Hooks, OnResultHook, ThroughParent, User
} from '../../types/index.js'
import { HookError, OptionError, PowerSyncFatalError } from '../errors.js'
import { isPlain, typeWords } from '../type-words.js'
import { rulesOf } from '../schema/collection.js'
import { DecodeFault, isForbiddenColumn, NAME_RULE } from '../client/values.js'
import { compileSchema, isClosed, type CompiledSchema, type Rights } from '../schema/compile.js'
import { checkTables } from '../schema/client-names.js'
import type { Field } from '../schema/field-list.js'
import { sum } from './conflicts/sum.js'
import { createMigrations, type Migrations } from './migrations.js'
import { conditionsOf } from './owner.js'

/** Collections that belong to MongoDB, PowerSync or this package, and names that the driver refuses. */
const reserved = /^(?:$|\.|system\.|_powersync|powersync_)|\$|\0|\.\.|\.$/

/** One entry of the `collections` option, compiled, with the hooks that run for it. */
export class RegisteredCollection {
  /** Name of the MongoDB collection. */
  readonly name: string
  readonly schema: CompiledSchema
  readonly hooks: { [Name in Exclude<keyof Hooks, 'updateBatch'>]: Array<NonNullable<Hooks[Name]>> }
  /** Parents that say who owns the rows. */
  readonly parents: readonly ThroughParent[]
  /** Whether hooks or parents decide on its operations one by one. */
  readonly hasOperationHooks: boolean

  constructor (readonly table: string, readonly definition: Collection, globalHooks: Hooks) {
    const both = <Name extends keyof Hooks>(name: Name) =>
      [globalHooks[name], definition[name]].filter(hook => hook !== undefined) as Array<NonNullable<Hooks[Name]>>
    const refuse = (option: string, problem: string): never => {
      throw new OptionError(`collections.${table}${option}`, problem)
    }
    const { name = table, put, writable, authorizeTransfer, owner } = definition
    if (reserved.test(name)) {
      refuse('', `writes to ${JSON.stringify(name)}, which is reserved, or no name of a collection: choose another name`)
    }
    this.name = name
    this.parents = rulesOf(owner).parents
    this.hooks = {
      authorize: both('authorize'),
      transform: both('transform'),
      resolveConflict: both('resolveConflict'),
      onResult: both('onResult')
    }
    const { authorize, transform, resolveConflict } = this.hooks
    this.hasOperationHooks = authorizeTransfer !== undefined ||
      [authorize, transform, resolveConflict, this.parents].some(({ length }) => length > 0)
    this.schema = compileSchema(table, definition)
    if (put === 'replace' && writable) {
      refuse('.put', 'is replace, which would drop the fields that writable keeps: use merge, or leave writable out')
    }
    const unknown = resolveConflict.flatMap(({ fields = [] }) => fields).find(field => !this.schema.has(field))
    if (unknown !== undefined) {
      refuse('.resolveConflict',
        `needs ${JSON.stringify(unknown)}, which is not a field of the schema: add it there, or name another`)
    }
    const closed = this.parents.find(({ field }) => Array.isArray(writable) && !writable.includes(field))
    if (closed && definition.operations.includes('PUT') && transform.length === 0) {
      refuse('.writable', `lacks ${JSON.stringify(closed.field)}, so that no new row could name its parent: add it`)
    }
    if (authorizeTransfer && typeof owner !== 'function' && owner.length === this.parents.length) {
      refuse('.authorizeTransfer', 'needs an owner field: name it in owner')
    }
  }

  /**
   * The collection as a user may write it.
   * @throws {PowerSyncFatalError} `UNAUTHORIZED` when the user can have no rows in it
   */
  for (user: User, operationIndex?: number): UserCollection {
    const owner = conditionsOf(this, user)
    if (owner) return new UserCollection(this, owner, this.#rightsOf(user, owner))
    throw new PowerSyncFatalError('UNAUTHORIZED', 'The user can have no rows in this table', { operationIndex })
  }

  #rightsOf (user: User, owned: Record<string, unknown>): Rights | undefined {
    const { writable: rule, owner } = this.definition
    if (typeof rule !== 'function' && typeof owner !== 'function') return undefined
    const writable = typeof rule === 'function' ? rule(user) : true
    return {
      writable: writable === true ? undefined : this.#fieldsOf('writable', writable),
      owned: this.#fieldsOf('owner', Object.keys(owned))
    }
  }

  /** Fields that a function of the app gave for a user. A mistake is the app's: the upload is retried until then. */
  #fieldsOf (option: string, fields: readonly string[]): ReadonlySet<string> {
    const where = `collections.${this.table}.${option}`
    if (!Array.isArray(fields)) {
      throw new Error(`${where} gave ${typeWords(fields)}: expected an array of fields, or true for all`)
    }
    const unknown = fields.find(field => !this.schema.has(field))
    if (unknown === undefined) return new Set(fields)
    throw new Error(`${where} gave ${JSON.stringify(unknown)}, which is not a field of the schema`)
  }

  /** @throws {PowerSyncFatalError} when the id is not canonical for the collection */
  id (operation: CrudOperation): unknown {
    return accepted(this.schema.id(operation.id), operation)
  }

  /** The same, or undefined when no document can have such an id. */
  tryId (id: string): unknown {
    const value = this.schema.id(id)
    return value instanceof DecodeFault ? undefined : value
  }

  /** A value of one field, as a client would send it. @throws {PowerSyncFatalError} when it does not fit */
  field (name: string, value: unknown, operation: CrudOperation): unknown {
    return accepted(this.schema.decodeField(name, value), operation)
  }

  /** A field's value with an amount added, which is decimal text. @throws {PowerSyncFatalError} when it does not fit */
  addTo (name: string, value: unknown, added: string, operation: CrudOperation): unknown {
    return this.field(name, sum([value ?? 0, added]), operation)
  }
}

function accepted (value: unknown, { index }: CrudOperation): unknown {
  if (!(value instanceof DecodeFault)) return value
  const { code, message, path } = value
  throw new PowerSyncFatalError(code, message, { details: { path }, operationIndex: index })
}

/** A collection as one user may write it. */
export class UserCollection {
  /** Whether rows have an owner, for this user. */
  readonly isOwned: boolean
  /** Whether a PUT leaves a document that exists as it is. */
  readonly createsOnly: boolean
  /** Fields that stay as they are in a document, whatever the user sends. */
  readonly #kept: ReadonlySet<string>
  /** Fields with a value for a PUT that lacks them: a default or null. */
  readonly #filled: readonly Field[]
  readonly #hasOnInsert: boolean

  constructor (
    readonly shared: RegisteredCollection,
    /** Conditions of every write, by field: a document must meet them to be the user's. Empty: all do. */
    readonly owner: Readonly<AnyRow>,
    private readonly rights: Rights | undefined
  ) {
    const kept = shared.schema.fields.filter(({ name, readOnly }) => readOnly || isClosed(name, rights))
    this.isOwned = Object.keys(owner).length > 0
    this.createsOnly = !shared.definition.operations.includes('PATCH')
    this.#kept = new Set(kept.map(({ name }) => name))
    this.#filled = shared.schema.fields.filter(each => !kept.includes(each) && (each.nullable || each.default))
    this.#hasOnInsert = kept.some(field => field.default)
  }

  /**
   * An uploaded operation with its values as BSON.
   * @throws {PowerSyncFatalError} when the user may not send such an operation, or the row cannot be stored
   */
  decode (operation: CrudOperation): CrudOperation {
    const { op, index } = operation
    if (!this.shared.definition.operations.includes(op)) {
      throw new PowerSyncFatalError('UNAUTHORIZED', `${op} is not allowed on this table`, { operationIndex: index })
    }
    this.shared.id(operation)
    if (op === 'DELETE') return { ...operation }
    return { ...operation, data: accepted(this.shared.schema.decode(operation, this.rights), operation) as AnyRow }
  }

  /**
   * An operation that a hook of the app gave, with its values as BSON. The owner may be null, as in `decode`.
   * @param existing the document as the hook saw it: what other programs wrote there may stay, even if it does not fit
   * @throws {HookError} for a name or a value that cannot be written: the app is at fault, not the data
   */
  encode (operation: CrudOperation, hook: string, existing: AnyRow = none): CrudOperation {
    const place = { hook, table: this.shared.table }
    if (!['PUT', 'PATCH', 'DELETE'].includes(operation.op)) {
      throw new HookError(place, 'gave an operation whose op is not PUT, PATCH or DELETE')
    }
    if (this.shared.tryId(operation.id) === undefined) {
      throw new HookError(place, 'gave an operation with an id that the collection does not accept')
    }
    if (operation.op === 'DELETE') return operation
    if (!isPlain(operation.data)) {
      throw new HookError(place, `gave an operation whose data is ${typeWords(operation.data)}: expected an object`)
    }
    const data: AnyRow = {}
    for (const [name, value] of Object.entries(operation.data)) {
      if (isForbiddenColumn(name)) {
        throw new HookError(place, `gave an operation with the field ${JSON.stringify(name)}: expected ${NAME_RULE}`)
      }
      if (value === undefined) continue
      const isKept = Object.is(value, existing[name]) || (value === null && Object.hasOwn(this.owner, name))
      data[name] = isKept ? value : this.shared.schema.encode(name, value, hook)
    }
    if (operation.op === 'PATCH') return { ...operation, data }
    const row = this.whole(data)
    // What `resolveConflict` leaves out stays as it is; an `updateBatch` hands that on.
    const missing = hook === 'transform' && this.shared.schema.fields.find(({ name, nullable }) =>
      !nullable && !this.#kept.has(name) && this.#lacks(row, name))
    if (missing) throw new HookError(place, `gave a PUT without the required field ${JSON.stringify(missing.name)}`)
    return { ...operation, data: row }
  }

  /** Fields of a new document beside its row: the server's defaults for fields that the user cannot write. */
  onInsert (row: object): AnyRow {
    return this.#hasOnInsert ? this.shared.schema.onInsert(this.rights, row) : none
  }

  /** The row of a PUT with what it lacks, whoever left that out: defaults, else null; not the owner. */
  whole (row: AnyRow): AnyRow {
    const absent = this.#filled.filter(({ name }) => this.#lacks(row, name))
    if (absent.length === 0) return row
    const given = absent.map(({ name, nullable, default: byDefault }) =>
      [name, byDefault?.() ?? (nullable ? null : undefined)])
    return { ...row, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) }
  }

  #lacks (row: AnyRow, name: string): boolean {
    return !Object.hasOwn(row, name) && !Object.hasOwn(this.owner, name)
  }
}

const none: AnyRow = Object.freeze({})

/**
 * The collection of an operation, as one user may write it.
 * @throws {PowerSyncFatalError} for a table that is not listed, or in which the user can have no rows
 */
export type UserCollections = (operation: Pick<CrudOperation, 'table' | 'index'>) => UserCollection

/** The tables that can be written, by name: everything else is refused. */
export class CollectionRegistry {
  readonly migrations: Migrations
  readonly #byTable: ReadonlyMap<string, RegisteredCollection>

  constructor (collections: Collections, readonly globalHooks: Hooks) {
    this.#byTable = new Map(Object.entries(collections).map(([table, definition]) =>
      [table, new RegisteredCollection(table, definition, globalHooks)]))
    checkTables(this.tables())
    this.migrations = createMigrations(collections)
    for (const table of this.tables()) this.#checkParents(table, [])
  }

  /** @throws {OptionError} when a chain of parents leads nowhere, or in a circle */
  #checkParents (table: string, passed: readonly string[]): void {
    const chain = [...passed, table]
    for (const { parent } of this.get(table).parents) {
      if (!this.has(parent)) {
        throw new OptionError(`collections.${table}.owner`,
          `goes through the parent table ${JSON.stringify(parent)}, which is not one of collections`)
      }
      if (chain.includes(parent)) {
        throw new OptionError(`collections.${chain[0]}.owner`,
          `goes through ${parent} in a circle: a chain of parents must end at a table with an owner`)
      }
      this.#checkParents(parent, chain)
    }
  }

  /** @throws {PowerSyncFatalError} for a table that is not listed */
  get (table: string, operationIndex?: number): RegisteredCollection {
    const collection = this.#byTable.get(table)
    if (collection) return collection
    throw new PowerSyncFatalError('SCHEMA_MISMATCH', 'The table is not one of the server\'s collections', {
      details: { table }, operationIndex
    })
  }

  /** The collections as one user may write them; each is worked out once, when it is first asked for. */
  for (user: User): UserCollections {
    const byTable = new Map<string, UserCollection>()
    return ({ table, index }) => {
      let collection = byTable.get(table)
      if (!collection) byTable.set(table, collection = this.get(table, index).for(user, index))
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
  hasOperationHooks (tables: ReadonlySet<string>): boolean {
    return [...tables].some(table => this.#byTable.get(table)?.hasOperationHooks)
  }

  hasUpdateBatchHooks (tables: ReadonlySet<string>): boolean {
    return [this.globalHooks, ...[...tables].map(table => this.#byTable.get(table)?.definition)]
      .some(hooks => hooks?.updateBatch)
  }

  /** Whether any hook may write in the transaction that has operations on these tables. */
  hasWriteHooks (tables: ReadonlySet<string>): boolean {
    return this.hasOperationHooks(tables) || this.hasUpdateBatchHooks(tables)
  }

  /** `onResult` of all collections, then of each of these tables, each once. */
  resultHooks (tables: Iterable<string>): Set<OnResultHook> {
    const { onResult } = this.globalHooks
    const hooks = new Set<OnResultHook>(onResult && [onResult])
    for (const table of tables) for (const hook of this.#byTable.get(table)?.hooks.onResult ?? []) hooks.add(hook)
    return hooks
  }
}
