import type { Collection } from '../../types/collections.js'
import { explain, missing, type UnknownFields } from './codec.js'
import { DecodeFault, joinPath } from './faults.js'
import { fieldsOf, type Field } from './field-list.js'
import { compileId, decodeId } from './ids.js'
import { forbiddenName, isForbiddenColumn, knownNames, unknownName } from './names.js'
import { anyCodec } from './nested.js'
import { readerOf, readFields } from './stored.js'

export { DecodeFault } from './faults.js'

type Row = Record<string, unknown>

/** What a collection makes of uploaded rows and ids: the values that go to MongoDB, or why they cannot. */
export interface CompiledCollection {
  /**
   * A complete row: every field that clients may write, in the schema's order. A column that is absent or null is
   * null, or its default. The owner field may be null too: the storage sets it.
   */
  put (data: Row): Row | DecodeFault
  /** The changed fields only; null means cleared. */
  patch (data: Row): Row | DecodeFault
  /** What a new document has beside its row: the defaults of fields that are not to be written. */
  onInsert (): Row
  hasOnInsert: boolean
  /** Whether a document may have a field of this name. */
  has (name: string): boolean
  /** `_id` of a client's id. */
  id (text: string): unknown
  /** The client's id of an `_id`. */
  idText (value: unknown): string
  /** One value, not null, of one field, for example the user's id for the owner field. */
  field (name: string, value: unknown): unknown
  /** What a client says that a row was: the values that fit their fields. */
  previous (data: Row): Row
  /** A document that the driver read, with the types that decoded rows have. */
  read (document: Row): Row
  /** Names of the document's fields that clients may write. */
  fields: readonly string[]
}

/** What a collection's fields are to some users. */
export interface Rights {
  /** Fields that the server sets. */
  owned: ReadonlySet<string>
  /** Fields that they may write. Undefined: all. */
  writable: ReadonlySet<string> | undefined
}

/**
 * Compiles a collection once, so that an operation costs no walk through its schema.
 *
 * @param table the client's name of it, for messages
 * @param rights of those whose uploads it is for. Default: as the definition says, all fields
 * @throws {OptionError} for a mistake in the definition
 */
export function compileCollection (table: string, definition: Collection, rights?: Rights): CompiledCollection {
  const fields = fieldsOf(table, definition).map(field => fieldFor(rights, field))
  const byName = new Map(fields.map(field => [field.name, field]))
  const id = compileId(table, definition.id)
  const readers = fields.flatMap(({ name, schema }) => {
    const read = readerOf(schema)
    return read ? [{ name, read }] : []
  })
  const insertDefaults = fields.filter(field => isKept(field) && field.default)
  return {
    ...generate(fields, definition, rights),
    onInsert: () => Object.fromEntries(insertDefaults.map(field => [field.name, field.default!() ?? null])),
    hasOnInsert: insertDefaults.length > 0,
    has: name => byName.has(name) || (definition.schema === 'any' && !isForbiddenColumn(name)),
    id: text => decodeId(id, text),
    idText: value => id.encode(value),
    field: (name, value) => {
      const codec = byName.get(name)?.codec ?? anyCodec(0)
      return codec.decode(value) ?? explain(codec, value, name)
    },
    previous: data => previousOf(data, fields, definition),
    read: document => readers.length === 0 ? document : readFields(document, readers) as Row,
    fields: fields.filter(field => !isKept(field)).map(field => field.name)
  }
}

/** What a client had before is a hint, which fails nothing: what does not fit is left out. Read-only fields are in it. */
function previousOf (data: Row, fields: Field[], { schema, unknownFields }: Collection): Row {
  const row: Row = {}
  const columns = new Set<string>()
  for (const { column, name, codec } of fields) {
    columns.add(column)
    const value = own(data, column)
    const decoded = value === null ? null : codec.decode(value)
    if (decoded !== undefined) row[name] = decoded
  }
  if (schema !== 'any' && unknownFields !== 'store') return row
  for (const [column, value] of Object.entries(data)) {
    if (!columns.has(column) && !isForbiddenColumn(column)) row[column] = value
  }
  return row
}

/** One field as some users have it. */
interface UserField extends Field {
  /** Not theirs to write. */
  closed: boolean
}

function fieldFor (rights: Rights | undefined, field: Field): UserField {
  if (!rights) return { ...field, closed: false }
  const owner = rights.owned.has(field.name)
  return { ...field, owner, closed: !owner && rights.writable?.has(field.name) === false }
}

/** Stays as it is in the document, whatever is sent. */
const isKept = ({ readOnly, closed }: UserField): boolean => readOnly || closed

/**
 * Writes the two decoders as JavaScript: straight-line code that reads each column once and builds the row as one
 * literal, as TypeBox's TypeCompiler and Ajv do it.
 *
 * Generating code is safe here: it is done when the server starts, from the app's own schema and never from anything
 * that a client sent. Names enter it through JSON.stringify only, functions as parameters, and codecs' inline
 * conditions hold nothing but numbers.
 */
function generate (fields: UserField[], { unknownFields, readOnlyFields, schema }: Collection, rights: Rights | undefined): Pick<CompiledCollection, 'put' | 'patch'> {
  const policy = schema === 'any' ? 'store' : unknownFields
  const rejectReadOnly = readOnlyFields === 'reject'
  const source = [
    '"use strict"',
    ...fields.map((_, index) => `const decode${index} = fields[${index}].codec.decode`),
    ...fields.map((_, index) => `const default${index} = fields[${index}].default`),
    ...putSource(fields, rejectReadOnly),
    ...patchSource(fields, rejectReadOnly),
    'return { put, patch }'
  ].join('\n')

  const invalid = (index: number, value: unknown) => {
    const { codec, column } = fields[index]!
    return explain(codec, value, joinPath('', column))
  }
  const required = (index: number, value: unknown) => {
    const { codec, column } = fields[index]!
    return missing(codec, value, joinPath('', column))
  }
  const kept = (index: number) => fields[index]!.closed ? closedTo(fields[index]!.column) : new DecodeFault('INVALID_DATA', joinPath('', fields[index]!.column), 'no value', 'one', 'is read-only')

  // eslint-disable-next-line no-new-func -- see above
  return new Function('fields', 'own', 'rest', 'invalid', 'required', 'kept', source)(
    fields, own, restOf(fields, policy, rights), invalid, required, kept)
}

function putSource (fields: UserField[], rejectReadOnly: boolean): string[] {
  const written = fields.map((field, index) => ({ field, index })).filter(({ field }) => !isKept(field))
  return [
    'function put (data) {',
    'let known = 0',
    ...fields.flatMap((field, index) => {
      const lines = [`const value${index} = ${read(field)}`, `if (value${index} !== undefined) known++`]
      if (isKept(field)) return refuses(field, rejectReadOnly) ? [...lines, `if (value${index} != null) return kept(${index})`] : lines
      lines.push(`let field${index} = null`, `if (value${index} != null) {`, ...convert(field, index), '}')
      const isRequired = !field.nullable && !field.owner
      if (field.default) lines.push(`if (field${index} === null) field${index} = default${index}() ?? null`)
      if (isRequired) lines.push(`if (field${index} === null) return required(${index}, value${index})`)
      return lines
    }),
    `const row = { ${written.map(({ field, index }) => `${JSON.stringify(field.name)}: field${index}`).join(', ')} }`,
    ...returnRow,
    '}'
  ]
}

function patchSource (fields: UserField[], rejectReadOnly: boolean): string[] {
  return [
    'function patch (data) {',
    'let known = 0',
    'const row = {}',
    ...fields.flatMap((field, index) => [
      `const value${index} = ${read(field)}`,
      `if (value${index} !== undefined) {`,
      'known++',
      ...isKept(field) ? (refuses(field, rejectReadOnly) ? [`return kept(${index})`] : []) : change(field, index),
      '}'
    ]),
    ...returnRow,
    '}'
  ]
}

/** Whether a value for it fails the operation, where it is not just left out. */
const refuses = ({ closed }: UserField, rejectReadOnly: boolean): boolean => closed || rejectReadOnly

function change (field: Field, index: number): string[] {
  const name = JSON.stringify(field.name)
  return [
    `let field${index} = null`,
    `if (value${index} !== null) {`,
    ...convert(field, index),
    field.nullable ? '}' : `} else return required(${index}, null)`,
    `row[${name}] = field${index}`
  ]
}

/** The names that every object inherits have to be looked up with care. */
function read ({ column }: Field): string {
  const name = JSON.stringify(column)
  return column in Object.prototype ? `own(data, ${name})` : `data[${name}]`
}

function own (data: Row, name: string): unknown {
  return Object.hasOwn(data, name) ? data[name] : undefined
}

function convert ({ codec }: Field, index: number): string[] {
  const call = [`field${index} = decode${index}(value${index})`, `if (field${index} === undefined) return invalid(${index}, value${index})`]
  const inline = codec.inline?.(`value${index}`)
  return inline ? [`if (${inline.when}) field${index} = ${inline.value}`, 'else {', ...call, '}'] : call
}

/** Counting the columns is quicker than looking each of them up, and finds whether there are others than the known ones. */
const returnRow = [
  'let columns = 0',
  'for (const column in data) columns++',
  'return columns === known ? row : rest(data, row)'
]

/** What to do with the columns that are not in the schema. */
function restOf (fields: Field[], policy: UnknownFields, rights: Rights | undefined) {
  const columns = new Set(fields.map(field => field.column))
  const names = new Set(fields.map(field => field.name))
  const any = anyCodec(0)

  return (data: Row, row: Row): Row | DecodeFault => {
    for (const column of Object.keys(data)) {
      const value = data[column]
      if (columns.has(column) || (value === undefined && !isForbiddenColumn(column))) continue
      const path = joinPath('', column)
      if (isForbiddenColumn(column)) return forbiddenName(path)
      // A field whose column has another name is not to be had by its own.
      if (policy === 'reject' || names.has(column)) return unknownName(path, knownNames([...columns]))
      if (policy === 'drop') continue
      if (rights?.writable?.has(column) === false && !rights.owned.has(column)) return closedTo(column)
      if (any.decode(value) === undefined) return explain(any, value, path)
      row[column] = value
    }
    return row
  }
}

const closedTo = (column: string) => new DecodeFault('UNAUTHORIZED', joinPath('', column), 'no value', 'one', 'is not this user\'s to write')
