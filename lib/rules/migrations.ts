import type { Collections, CrudOperation, Migration } from '../../types/index.js'
import { HookError, OptionError, PowerSyncFatalError, SchemaVersionError } from '../errors.js'
import { JsonNumber } from '../client/values.js'
import { deepFreeze } from '../freeze.js'
import { isPlain, present, typeWords } from '../type-words.js'

export type Migrations = ReturnType<typeof createMigrations>

/** Lifts operations of older clients, version by version, to the schemas of `collections`: none may be left out. */
export function createMigrations (collections: Collections) {
  const steps = new Map(Object.entries(collections).map(([table, { migrations }]) => [table, migrations]))
  const versions = [...steps.values()].flatMap(own => Object.keys(own).map(Number)).sort((a, b) => a - b)
  const current = versions.at(-1) ?? 1
  /** The oldest that is lifted. */
  const oldest = (versions[0] ?? 2) - 1
  for (let version = oldest + 1; version < current; version++) {
    if (versions.includes(version)) continue
    throw new OptionError('collections', `has no migration to version ${version}, and one to version ${current}: ` +
      `add { migrations: { ${version}: operation => operation } } to a collection if nothing changed`)
  }

  return { current, oldest, takes, lift }

  /** Whether a version is lifted. */
  function takes (version: number): boolean {
    return version >= oldest && version <= current
  }

  /** An uploaded operation as a client of the current version would have sent it; null drops it. */
  function lift (operation: CrudOperation, version = current): CrudOperation | null {
    if (version === current) return operation
    if (!takes(version)) {
      throw new SchemaVersionError(`The operations are of schema version ${version}: ` +
        `this server takes versions ${oldest} to ${current} (option migrations of its collections)`)
    }
    const own = steps.get(operation.table) ?? {}
    let lifted: CrudOperation | null = deepFreeze(operation)
    for (let next = version + 1; lifted && next <= current; next++) {
      const migration = own[next]
      if (migration) lifted = step(migration, lifted, next)
    }
    return lifted
  }
}

function step (migration: Migration, operation: CrudOperation, version: number): CrudOperation | null {
  const { op, table, id } = operation
  const place = { hook: `migrations[${version}]`, table }
  let given
  try {
    given = migration(deepFreeze({ ...operation, data: operation.data ?? {} }))
  } catch (error) {
    throw error instanceof PowerSyncFatalError ? error : new HookError(place, 'failed', error)
  }
  if (given === null) return null
  if (given?.op !== op || given.table !== table || given.id !== id) {
    throw new HookError(place, 'gave another op, table or id, or no operation: ' +
      'expected the operation with changed data, previous or metadata, or null for none')
  }
  const { data, previous, metadata } = given
  const wrong = [data, previous].flatMap(row => Object.entries(present(row ?? {}))).find(([, value]) => !isJson(value))
  if (wrong) {
    throw new HookError(place, `gave ${typeWords(wrong[1])} for ${wrong[0]}: expected a value as clients send it`)
  }
  const lifted = op === 'DELETE' ? undefined : present(data)
  return deepFreeze({ ...operation, data: lifted, previous: previous && present(previous), metadata } as CrudOperation)
}

/** A Date would be refused for good, as if the client had sent it. NaN may be what a migration made of its data. */
function isJson (value: unknown): boolean {
  if (Array.isArray(value) || isPlain(value)) return Object.values(value).every(isJson)
  return value === null || value instanceof JsonNumber ||
    ['string', 'number', 'boolean', 'bigint'].includes(typeof value)
}
