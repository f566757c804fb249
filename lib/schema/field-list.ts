import { OptionalKind, Type, type TObject, type TSchema } from '@sinclair/typebox'
import type { Collection, OwnerField } from '../../types/collections.js'
import { OptionError } from '../errors.js'
import { DEEPEST } from './any.js'
import { rulesOf } from './collection.js'
import { checkColumns } from './client-names.js'
import { convert, type Codec, type Place, type UnknownFields } from './codec.js'
import { codecOf } from './codecs.js'
import { DecodeFault, joinPath } from './faults.js'
import { checkKeywords } from './keywords.js'
import { isForbiddenColumn, knownNames, NAME_RULE } from './names.js'
import { checkRequired } from './nested.js'

/** One field of the schema, with all that the options say about it. */
export interface Field {
  /** In the document. */
  name: string
  /** At the client. */
  column: string
  /** Every JavaScript object has a property of the column's name, such as `constructor`. */
  inherited: boolean
  schema: TSchema
  /** How values get from one to the other. */
  codec: Codec
  /** Null and absence are accepted. */
  nullable: boolean
  /** Says whose row it is: the server sets it. */
  owner: boolean
  /** Clients cannot change it. */
  readOnly: boolean
  /** The value that the server gives, as BSON; null for none. */
  default: (() => unknown) | undefined
}

/**
 * The fields of a collection in the schema's order: the one reading of its definition, for whoever walks it.
 *
 * @param table the client's name of it, for messages
 * @throws {OptionError} for a mistake in the definition
 */
export function fieldsOf (table: string, definition: Collection): Field[] {
  const { defaults } = definition
  const writable = writableOf(definition)
  const { owners, parents } = ownersOf(table, definition.owner)
  const schema = schemaOf(table, definition)
  const known = (option: string, name: string) => {
    if (Object.hasOwn(schema.properties, name)) return
    throw new OptionError(`collections.${table}.${option}`, `names ${JSON.stringify(name)}, which is not in the schema: ${knownNames(Object.keys(schema.properties))}`)
  }
  for (const name of [...owners, ...parents]) known('owner', name)
  for (const name of writable ?? []) known('writable', name)
  for (const name of Object.keys(defaults)) {
    known('defaults', name)
    if (typeof defaults[name] !== 'function') throw new OptionError(`collections.${table}.defaults`, `has no function for ${JSON.stringify(name)}: use () => value`)
  }
  const columns = columnsOf(table, definition.fields, known)

  const taken = new Map<string, string>()
  const fields = Object.entries(schema.properties).map(([name, property]) => {
    const column = columns.get(name) ?? name
    const other = taken.get(column)
    if (other !== undefined) throw new OptionError(`collections.${table}.fields`, `makes the column ${JSON.stringify(column)} both ${JSON.stringify(other)} and ${JSON.stringify(name)}: rename one of them`)
    taken.set(column, name)
    checkName(table, 'schema', name)
    checkName(table, 'fields', column)
    const place = placeOf(`collections.${table}.schema`, name, 0, definition.unknownFields)
    const codec = codecOf(property, place)
    const field = { name, column, inherited: column in Object.prototype, schema: property, codec, nullable: OptionalKind in property || codec.nullable === true, owner: owners.includes(name), readOnly: writable?.includes(name) === false && !owners.includes(name) }
    return { ...field, default: defaultOf(table, field, Object.hasOwn(defaults, name) ? defaults[name] : undefined, place) }
  })
  checkColumns(table, fields)
  return fields
}

/** What the collection says, else the schema's own keyword, which may be a value or, as in TypeBox, a function. */
function defaultOf (table: string, field: Omit<Field, 'default'>, option: (() => unknown) | undefined, place: Place): Field['default'] {
  if (option) return () => encodeField(table, field, option() ?? null, 'defaults', true)
  const byDefault: unknown = field.schema['default']
  if (byDefault === undefined) return undefined
  if (typeof byDefault === 'function') return () => encodeField(table, field, byDefault() ?? null, 'the default in the schema', true)
  const encode = () => encodeField(table, field, byDefault, 'the default in the schema', true)
  try {
    encode()
  } catch (error) {
    place.fail(`has a default that does not fit: ${(error as Error).message}`)
  }
  return encode
}

/**
 * The BSON value of what the app's own code gave for a field.
 *
 * @param source who gave it, for the message
 * @param orNull null stands for nothing, whatever the field is
 * @throws {Error} to be retried, since the data are not at fault: it names source, table and field, and no value
 */
export function encodeField (table: string, { name, codec, nullable }: Pick<Field, 'name' | 'codec' | 'nullable'>, value: unknown, source: string, orNull = nullable): unknown {
  if (value === null && orNull) return null
  const encoded = convert(codec, value, 'encode')
  if (!(encoded instanceof DecodeFault)) return encoded
  const { path, expected, found } = encoded.within(name)
  throw new Error(`${source} gave ${found} for ${table}.${path}: expected ${expected}`)
}

/** Names of the fields that an owner's rules name: those that the server sets, and those that hold a parent's id. */
function ownersOf (table: string, owner: Collection['owner']): { owners: string[], parents: string[] } {
  const { fields, parents } = rulesOf(owner)
  for (const rule of [...fields, ...parents] as OwnerField[]) {
    const { field, value, claim } = rule
    const known = Object.keys(rule).every(key => ['field', 'claim', 'value', 'parent', 'missing'].includes(key))
    if (known && typeof field === 'string' && (value === undefined || (typeof value === 'function' && claim === undefined))) continue
    throw new OptionError(`collections.${table}.owner`, "is invalid: expected 'field', { field, claim }, { field, value: user => … }, throughParent(table, field), several of them in an array, or user => ({ field: value })")
  }
  return { owners: fields.map(({ field }) => field), parents: parents.map(({ field }) => field) }
}

/** The fields that clients may write, if they are the same for all users. */
const writableOf = ({ writable }: Pick<Collection, 'writable'>): readonly string[] | undefined => Array.isArray(writable) ? writable : undefined

/** What becomes of columns that the schema does not have: where the writable fields are listed, none is stored. */
export function otherColumns (definition: Collection): UnknownFields {
  const policy = definition.schema === 'any' ? 'store' : definition.unknownFields
  return policy === 'store' && writableOf(definition) ? 'drop' : policy
}

/** Without schema, the fields that the other options name can hold anything, and so can all others. */
function schemaOf (table: string, { schema, fields, owner, defaults, unknownFields, ...definition }: Collection): TObject {
  if (schema === 'any') {
    const names = [...Object.values(fields), ...Object.values(ownersOf(table, owner)).flat(), ...writableOf(definition) ?? [], ...Object.keys(defaults)]
    return Type.Object(Object.fromEntries(names.map(name => [name, Type.Unknown()])))
  }
  if (typeof schema === 'object' && schema !== null && typeof schema.properties === 'object') {
    checkWhole(table, schema, unknownFields)
    return schema
  }
  throw new OptionError(`collections.${table}.schema`, 'is missing: pass Type.Object({ … }), or \'any\' to store values as they come')
}

/** The keywords of the object itself: what becomes of other columns is the option's affair. */
function checkWhole (table: string, schema: TObject, unknownFields: UnknownFields): void {
  const place = placeOf(`collections.${table}.schema`, '', 1, unknownFields)
  checkKeywords(schema, ['properties', 'required', 'additionalProperties'], place)
  const additional = schema['additionalProperties']
  if (additional !== undefined && additional !== (unknownFields === 'store')) {
    place.fail("says in additionalProperties something else than unknownFields: leave it out, and use unknownFields: 'reject', 'drop' or 'store'")
  }
  checkRequired(schema, new Map(Object.entries(schema.properties).map(([name, property]) => [name, { optional: OptionalKind in Object(property) }])), place)
}

/** Field → column, for those that differ. */
function columnsOf (table: string, fields: Readonly<Record<string, string>>, known: (option: string, name: string) => void): Map<string, string> {
  const columns = new Map<string, string>()
  for (const [column, field] of Object.entries(fields)) {
    known('fields', field)
    const other = columns.get(field)
    if (other !== undefined) throw new OptionError(`collections.${table}.fields`, `maps both ${JSON.stringify(other)} and ${JSON.stringify(column)} to ${JSON.stringify(field)}: keep one`)
    columns.set(field, column)
  }
  return columns
}

function checkName (table: string, option: string, name: string): void {
  if (isForbiddenColumn(name)) throw new OptionError(`collections.${table}.${option}`, `has the name ${JSON.stringify(name)}: use ${NAME_RULE}`)
}

/** Where a schema stands: `path` is the way to it, for messages. */
export function placeOf (option: string, path: string, depth: number, unknownFields: UnknownFields, whole = depth === 0): Place {
  const place: Place = {
    depth,
    whole,
    unknownFields,
    fail: problem => { throw new OptionError(option, path === '' ? `is wrong: it ${problem}` : `is wrong at ${path}: it ${problem}`) },
    here: schema => codecOf(schema, placeOf(option, path, depth, unknownFields, false)),
    inside: (schema: TSchema, step: string) => {
      if (depth > DEEPEST) place.fail(`is nested deeper than ${DEEPEST} levels, which PowerSync does not sync: flatten it`)
      return codecOf(schema, placeOf(option, step === '' ? path : step === '[]' ? `${path}[]` : joinPath(path, step), depth + 1, unknownFields))
    }
  }
  return place
}
