import type { Collection } from '../../types/collections.js'
import { converterOf, rowReader, type UploadedRow } from '../client/check.js'
import { DecodeFault, isForbiddenColumn } from '../client/values.js'
import { decoding, readerOf } from './convert.js'
import { encoderOf, fieldsOf, otherColumns, type Field } from './field-list.js'
import { idsOf } from './ids.js'
import { any } from './types.js'

type Row = Record<string, unknown>

/** A collection's fields as a user may read and write them. */
export interface Rights {
  /** Fields that the server sets, because they say whose row it is. */
  owned: ReadonlySet<string>
  /** Fields that the user may write. Undefined: all. */
  writable: ReadonlySet<string> | undefined
}

/** Whether the user may not write a field. */
export const isClosed = (name: string, rights: Rights | undefined): boolean =>
  rights?.writable?.has(name) === false && !rights.owned.has(name)

const limitsOf = (rights: Rights) => ({
  owns: (name: string) => rights.owned.has(name),
  refuses: (name: string) => isClosed(name, rights)
    ? new DecodeFault('UNAUTHORIZED', 'no value', 'one', "is not this user's to write")
    : undefined
})

const anything = any(undefined, { depth: 0 })
const decodeAny = converterOf(anything, decoding)

/**
 * Converts values from the client to MongoDB, from the app's code to MongoDB, and from MongoDB to the hooks. A client's
 * value that does not fit gives a `DecodeFault`; one of the app's own code throws an `Error`.
 */
export type CompiledSchema = ReturnType<typeof compileSchema>

/**
 * Compiles a collection once, so that an operation costs no walk through its schema.
 *
 * @param table the client's name of it, for messages
 * @throws {OptionError} for a mistake in the definition
 */
export function compileSchema (table: string, definition: Collection) {
  const fields = fieldsOf(table, definition)
  const byName = new Map(fields.map(field => [field.name, field]))
  const readRow = rowReader(fields, otherColumns(definition, fields), decoding)
  const readers = fields.map(({ name, type }) => ({ name, read: readerOf(type) })).filter(({ read }) => read)
  const withDefault = fields.filter(field => field.default)
  return {
    /** In the schema's order, each with its column, type, nullability and default. */
    fields,
    /** Whether a document may have a field of this name. */
    has: (name: string): boolean => byName.has(name) || (definition.schema === 'any' && !isForbiddenColumn(name)),
    /** `_id` of a client's id, or why it has none. */
    id: idsOf(table, definition.id).decode,
    /**
     * The fields that an operation writes, as BSON values: of a PUT all that the user may write, in the schema's order,
     * with their defaults or null; of a PATCH the changed ones. Read-only fields are left out. The owner's field may be
     * null whatever its type: the server sets it. `id` and `_id` in the data must be the operation's own.
     *
     * @param rights of the user. Default: all fields
     */
    decode: (operation: UploadedRow, rights?: Rights) => readRow(operation, rights && limitsOf(rights)),
    /** One value of one field, as a client would send it: for example the user's id for the owner's field. */
    decodeField (name: string, value: unknown): unknown {
      const decoded = (byName.get(name)?.convert ?? decodeAny)(value)
      return decoded instanceof DecodeFault ? decoded.within(name) : decoded
    },
    /**
     * The BSON value of what a hook gave for a field. A field that the schema does not have takes any BSON value.
     *
     * @param source for the message: `transform`
     * @throws {Error} to be retried: it names source, table, field and what was expected, and no value
     */
    encode (name: string, value: unknown, source: string): unknown {
      const field = byName.get(name)
      if (value === null && field?.nullable) return null
      return (field?.encode ?? encoderOf(table, name, anything))(value, source)
    },
    /**
     * Of a new document beside the row of its PUT: the defaults of fields that the user does not write.
     * @throws {Error} for a required field that gets null: the app is at fault, and not the data
     */
    onInsert (rights?: Rights, row: object = {}): Row {
      const server = withDefault.filter(({ name, readOnly }) =>
        (readOnly || isClosed(name, rights)) && !Object.hasOwn(row, name))
      return Object.fromEntries(server.map(({ name, nullable, encode, default: byDefault }) =>
        [name, byDefault!() ?? (nullable ? null : encode(null, 'defaults'))]))
    },
    /** The previous values that a client sends: those that fit their fields; others are left out. */
    previous: previousReader(fields, definition),
    /** A document that the driver read, with the types that decoded rows have. */
    read (document: Row): Row {
      if (readers.length === 0) return document
      const row = { ...document }
      for (const { name, read } of readers) if (Object.hasOwn(row, name)) row[name] = read!(row[name])
      return row
    }
  }
}

/** Values that a client had before are a hint: those that do not fit are left out. Read-only fields are in it. */
function previousReader (fields: Field[], { schema, unknownFields }: Collection) {
  const columns = new Map(fields.map(field => [field.column, field]))
  const storesOthers = schema === 'any' || unknownFields === 'store'
  return (data: Readonly<Row>): Row => {
    const row: Row = {}
    for (const [column, value] of Object.entries(data)) {
      const { name, convert } = columns.get(column) ?? { name: column, convert: decodeAny }
      if (!columns.has(column) && (!storesOthers || isForbiddenColumn(column))) continue
      const decoded = value === null ? null : convert(value)
      if (!(decoded instanceof DecodeFault)) row[name] = decoded
    }
    return row
  }
}
