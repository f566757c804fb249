import type { Collection } from '../../types/collections.js'
import { JsonNumber } from '../json.js'
import { anyCodec } from './any.js'
import { convert, mismatch, missing, type UnknownFields } from './codec.js'
import { DecodeFault } from './faults.js'
import { encodeField, fieldsOf, otherColumns, type Field } from './field-list.js'
import { compileId, decodeId } from './ids.js'
import { forbiddenName, isForbiddenColumn, knownNames, unknownName } from './names.js'

export { DecodeFault } from './faults.js'

type Row = Record<string, unknown>

/** What a decoder has to know of an uploaded operation. */
type UploadedRow = { op: 'PUT' | 'PATCH', id: string, data: Readonly<Row> }

/**
 * How values get from the client to MongoDB, from the app's code to MongoDB, and from MongoDB to the hooks. A value that
 * does not fit is a `DecodeFault`, returned, if the client sent it, and a thrown `Error` if the app's own code gave it.
 */
export interface CompiledSchema {
  /** In the schema's order, each with its column, type, nullability and default. */
  readonly fields: readonly Field[]
  /** Whether a document may have a field of this name. */
  has (name: string): boolean
  /** `_id` of a client's id, or why it has none. */
  id (text: string): unknown
  /** The client's id of an `_id`. */
  idText (value: unknown): string
  /**
   * The fields that an operation writes, as BSON values: a PUT all that the user may write, in the schema's order, with
   * their defaults or null; a PATCH the changed ones. Read-only fields are left out. The owner's field may be null in
   * spite of its type: the server sets it. `id` and `_id` may be in the data if they are the operation's own.
   *
   * @param rights of the user. Default: all fields
   */
  decode (operation: UploadedRow, rights?: Rights): Row | DecodeFault
  /** One value, not null, of one field, as a client would send it: for example the user's id for the owner's field. */
  decodeField (name: string, value: unknown): unknown
  /**
   * The BSON value of what a hook gave for a field. A field that the schema does not have takes any BSON value.
   *
   * @param source for the message: `transform`
   * @throws {Error} to be retried: it names source, table, field and what was expected, and no value
   */
  encode (name: string, value: unknown, source: string): unknown
  /** What a document has from its creation on beside the row of its PUT: the defaults of fields that the user does not write. */
  onInsert (rights?: Rights): Row
  /** What a client says that a row was: the values that fit their fields, others are left out. */
  previous (data: Readonly<Row>): Row
  /** A document that the driver read, with the types that decoded rows have. */
  read (document: Row): Row
}

/** What a collection's fields are to a user. */
export interface Rights {
  /** Fields that the server sets, because they say whose row it is. */
  owned: ReadonlySet<string>
  /** Fields that the user may write. Undefined: all. */
  writable: ReadonlySet<string> | undefined
}

/**
 * Compiles a collection once, so that an operation costs no walk through its schema.
 *
 * @param table the client's name of it, for messages
 * @throws {OptionError} for a mistake in the definition
 */
export function compileSchema (table: string, definition: Collection): CompiledSchema {
  const fields = fieldsOf(table, definition)
  const byName = new Map(fields.map(field => [field.name, field]))
  const id = compileId(table, definition.id)
  const any = anyCodec(0)
  const readers = fields.filter(({ codec }) => codec.read)
  const withDefault = fields.filter(field => field.default)
  return {
    fields,
    has: name => byName.has(name) || (definition.schema === 'any' && !isForbiddenColumn(name)),
    id: text => decodeId(id, text),
    idText: value => id.encode(value),
    decode: decoderOf(fields, definition),
    decodeField: (name, value) => {
      const decoded = convert(byName.get(name)?.codec ?? any, value, 'decode')
      return decoded instanceof DecodeFault ? decoded.within(name) : decoded
    },
    encode: (name, value, source) => encodeField(table, byName.get(name) ?? { name, codec: any, nullable: true }, value, source),
    onInsert: rights => Object.fromEntries(withDefault.filter(field => isKept(field, rights)).map(field => [field.name, field.default!()])),
    previous: data => previousOf(data, fields, definition),
    read: document => {
      if (readers.length === 0) return document
      const row = { ...document }
      for (const { name, codec } of readers) if (Object.hasOwn(row, name)) row[name] = codec.read!(row[name])
      return row
    }
  }
}

/** Stays as it is in the document, whatever is sent. */
const isKept = (field: Field, rights: Rights | undefined): boolean => field.readOnly || isClosed(field.name, rights)

/** Not this user's to write. */
export const isClosed = (name: string, rights: Rights | undefined): boolean => rights?.writable?.has(name) === false && !rights.owned.has(name)

/** What a client had before is a hint, which fails nothing: what does not fit is left out. Read-only fields are in it. */
function previousOf (data: Readonly<Row>, fields: Field[], { schema, unknownFields }: Collection): Row {
  const row: Row = {}
  const columns = new Set<string>()
  for (const { column, name, codec } of fields) {
    columns.add(column)
    const value = own(data, column)
    const decoded = value === null ? null : codec.decode(value)
    if (decoded !== undefined && !(decoded instanceof DecodeFault)) row[name] = decoded
  }
  if (schema !== 'any' && unknownFields !== 'store') return row
  for (const [column, value] of Object.entries(data)) {
    if (!columns.has(column) && !isForbiddenColumn(column)) row[column] = value
  }
  return row
}

function decoderOf (fields: Field[], definition: Collection): CompiledSchema['decode'] {
  const rest = restOf(fields, otherColumns(definition))
  return ({ op, id, data }, rights) => {
    const row: Row = {}
    let known = 0
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index]!
      const { column, codec } = field
      const value = field.inherited ? own(data, column) : data[column]
      if (value !== undefined) known++
      else if (op === 'PATCH') continue
      if (field.readOnly || (rights && isClosed(field.name, rights))) {
        if (isClosed(field.name, rights) && value !== undefined && (op === 'PATCH' || value !== null)) return closedTo(column)
        continue
      }
      let decoded: unknown = null
      if (value !== undefined && value !== null) {
        decoded = codec.decode(value)
        if (decoded === undefined || decoded instanceof DecodeFault) return (decoded ?? mismatch(codec, value, 'decode')).within(column)
      } else if (op === 'PUT' && field.default) decoded = field.default()
      if (decoded === null && !field.nullable && !(op === 'PUT' && (field.owner || rights?.owned.has(field.name)))) return missing(codec, value, 'decode').within(column)
      row[field.name] = decoded
    }
    // Counting the columns is quicker than looking each of them up, and finds whether there are others than the known ones.
    return Object.keys(data).length === known ? row : rest(data, row, id, rights)
  }
}

/** The names that every object inherits have to be looked up with care. */
function own (data: Readonly<Row>, name: string): unknown {
  return Object.hasOwn(data, name) ? data[name] : undefined
}

/** What to do with the columns that are not in the schema. */
function restOf (fields: Field[], policy: UnknownFields) {
  const columns = new Set(fields.map(field => field.column))
  const names = new Set(fields.map(field => field.name))
  const any = anyCodec(0)

  return (data: Readonly<Row>, row: Row, id: string, rights: Rights | undefined): Row | DecodeFault => {
    for (const column of Object.keys(data)) {
      const value = data[column]
      if (columns.has(column) || (value === undefined && !isForbiddenColumn(column))) continue
      if (isForbiddenColumn(column)) {
        if (isOwnId(column, value, id)) continue
        return forbiddenName().within(column)
      }
      // A field whose column has another name is not to be had by its own.
      if (policy === 'reject' || names.has(column)) return unknownName(knownNames([...columns])).within(column)
      if (policy === 'drop') continue
      if (isClosed(column, rights)) return closedTo(column)
      const decoded = any.decode(value)
      if (decoded instanceof DecodeFault) return decoded.within(column)
      row[column] = decoded
    }
    return row
  }
}

/** Clients whose stream selects `_id` have it as a column too, and some connectors send the whole row. */
const isOwnId = (column: string, value: unknown, id: string): boolean =>
  (column === 'id' || column === '_id') && (typeof value !== 'object' || value instanceof JsonNumber) && String(value) === id

const closedTo = (column: string) => new DecodeFault('UNAUTHORIZED', 'no value', 'one', 'is not this user\'s to write').within(column)
