import { OptionalKind, Type, type TObject } from '@sinclair/typebox'
import type { Collection } from '../../types/collections.js'
import { converterOf, type Convert, type OtherColumns, type RowField } from '../client/check.js'
import { DecodeFault, isForbiddenColumn, NAME_RULE } from '../client/values.js'
import { OptionError } from '../errors.js'
import { checkColumns } from './client-names.js'
import { rulesOf } from './collection.js'
import { decoding, encoding } from './convert.js'
import { checkKeywords, fail, knownNames, type Place } from './keywords.js'
import { checkRequired, typeOf, type FieldType } from './types.js'

export interface Field extends RowField {
  type: FieldType
  /** The BSON value of a client's value, or why it has none. */
  convert: Convert
  /** The BSON value of what the app's code, `source`, gave. An error, to be retried, names the field and no value. */
  encode (value: unknown, source: string): unknown
  default: (() => unknown) | undefined
}

/** The fields of a collection in the schema's order: the one reading of its definition. A mistake stops the start. */
export function fieldsOf (table: string, definition: Collection): Field[] {
  const { defaults, unknownFields } = definition
  const wrong = (option: string, problem: string) => new OptionError(`collections.${table}.${option}`, problem)
  const name = JSON.stringify
  const writable = writableOf(definition)
  const { owners, parents } = ownersOf(table, definition.owner)
  const named = {
    fields: Object.values(definition.fields),
    owner: [...owners, ...parents],
    writable: writable ?? [],
    defaults: Object.keys(defaults)
  }
  const { properties } = schemaOf(table, definition, Object.values(named).flat())
  for (const [option, names] of Object.entries(named)) {
    const unknown = names.find(each => !Object.hasOwn(properties, each))
    if (unknown === undefined) continue
    throw wrong(option, `names ${name(unknown)}, which is not in the schema: ${knownNames(Object.keys(properties))}`)
  }
  const constant = Object.keys(defaults).find(each => typeof defaults[each] !== 'function')
  if (constant !== undefined) throw wrong('defaults', `has no function for ${name(constant)}: use () => value`)

  /** Field → column, for those that differ. */
  const columns = new Map<string, string>()
  for (const [column, field] of Object.entries(definition.fields)) {
    const both = `${name(columns.get(field))} and ${name(column)}`
    if (columns.has(field)) throw wrong('fields', `maps both ${both} to ${name(field)}: keep one`)
    columns.set(field, column)
  }
  const taken = new Map<string, string>()
  const fields = Object.entries(properties).map(([field, schema]): Field => {
    const column = columns.get(field) ?? field
    const both = `${name(column)} both ${name(taken.get(column))} and ${name(field)}`
    if (taken.has(column)) throw wrong('fields', `makes the column ${both}: rename one of them`)
    taken.set(column, field)
    if (isForbiddenColumn(field)) throw wrong('schema', `has the name ${name(field)}: use ${NAME_RULE}`)
    if (isForbiddenColumn(column)) throw wrong('fields', `has the name ${name(column)}: use ${NAME_RULE}`)
    const place = { option: `collections.${table}.schema`, path: field, depth: 0, unknownFields }
    const type = typeOf(schema, place)
    const encode = encoderOf(table, field, type)
    const owner = owners.includes(field)
    const nullable = OptionalKind in schema || type.n === 1
    const option = Object.hasOwn(defaults, field) ? defaults[field] : undefined
    // The schema's own keyword may be a value or, as in TypeBox, a function.
    const [given, source] = option ? [option, 'defaults'] : [schema['default'], 'the default in the schema']
    if (given === null && !nullable && !owner) fail(place, 'has the default null, and is required: use Type.Optional')
    return {
      name: field,
      column,
      type,
      check: type,
      convert: converterOf(type, decoding),
      encode,
      nullable,
      owner,
      readOnly: writable?.includes(field) === false && !owner,
      default: defaultOf(given, source, encode, place)
    }
  })
  checkColumns(table, fields, definition.resolveConflict?.tracks?.metadata)
  return fields
}

export function encoderOf (table: string, name: string, type: FieldType): Field['encode'] {
  const encode = converterOf(type, encoding)
  return (value, source) => {
    const encoded = encode(value)
    if (!(encoded instanceof DecodeFault)) return encoded
    const { path, expected, found } = encoded.within(name)
    throw new Error(`${source} gave ${found} for ${table}.${path}: expected ${expected}`)
  }
}

function defaultOf (given: unknown, source: string, encode: Field['encode'], place: Place): Field['default'] {
  if (given === undefined) return undefined
  const value = () => {
    const value: unknown = typeof given === 'function' ? given() : given
    return value === undefined || value === null ? null : encode(value, source)
  }
  try {
    if (typeof given !== 'function') value()
  } catch (error) {
    fail(place, `has a default that does not fit: ${(error as Error).message}`)
  }
  return value
}

/** What a rule may say beside its field: one of these. */
const ruleKinds: Readonly<Record<string, (value: unknown) => boolean>> = {
  parent: value => typeof value === 'string',
  claim: value => typeof value === 'string' && value !== '',
  value: value => typeof value === 'function'
}

/** Names of the fields that an owner's rules name: those that the server sets, and those that hold a parent's id. */
function ownersOf (table: string, owner: Collection['owner']): { owners: string[], parents: string[] } {
  const { fields, parents } = rulesOf(owner)
  for (const { field, ...how } of [...fields, ...parents]) {
    const said = Object.entries(how).filter(([, value]) => value !== undefined)
    const isRule = said.length <= 1 && said.every(([name, value]) => ruleKinds[name]?.(value))
    if (isRule && typeof field === 'string') continue
    throw new OptionError(`collections.${table}.owner`, "is invalid: expected 'field', { field, claim }, " +
      '{ field, value: user => … }, throughParent(table, field), one or more of them in an array, ' +
      'or user => ({ field: value })')
  }
  const twice = fields.find(({ field }, index) => fields.findIndex(other => other.field === field) < index)
  if (twice) {
    throw new OptionError(`collections.${table}.owner`,
      `names ${JSON.stringify(twice.field)} twice: a field holds one value, so keep one of the rules`)
  }
  return { owners: fields.map(({ field }) => field), parents: parents.map(({ field }) => field) }
}

/** The fields that clients may write, if they are the same for all users. */
const writableOf = ({ writable }: Collection): readonly string[] | undefined =>
  Array.isArray(writable) ? writable : undefined

/** The handling of columns that the schema does not have: if the writable fields are listed, they are dropped. */
export function otherColumns (definition: Collection, fields: Field[]): OtherColumns {
  const policy = definition.schema === 'any' ? 'store' : definition.unknownFields
  const columns = fields.map(({ column }) => column)
  return {
    others: policy === 'store' && writableOf(definition) ? 'drop' : policy,
    hidden: fields.filter(({ name }) => !columns.includes(name)).map(({ name }) => name),
    words: knownNames(columns)
  }
}

/** Without schema, the fields that the other options name can hold anything, and so can all others. */
function schemaOf (table: string, { schema, unknownFields }: Collection, named: string[]): TObject {
  if (schema === 'any') return Type.Object(Object.fromEntries(named.map(name => [name, Type.Unknown()])))
  if (typeof schema !== 'object' || typeof schema?.properties !== 'object') {
    const write = "pass Type.Object({ … }), or 'any' to store values as they come"
    throw new OptionError(`collections.${table}.schema`, `is missing: ${write}`)
  }
  // The keywords of the object itself: what becomes of other columns is the option's affair.
  const place = { option: `collections.${table}.schema`, path: '', depth: 1, unknownFields }
  checkKeywords(schema, ['type', 'properties', 'required', 'additionalProperties'], place)
  const additional = schema['additionalProperties']
  if (additional !== undefined && additional !== (unknownFields === 'store')) {
    fail(place, 'says in additionalProperties something else than unknownFields: ' +
      "leave it out, and use unknownFields: 'reject', 'drop' or 'store'")
  }
  checkRequired(schema, place)
  return schema
}
