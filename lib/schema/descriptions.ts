import { Kind, OptionalKind, PatternStringExact, type TSchema } from '@sinclair/typebox'
import type { Collection, Collections } from '../../types/collections.js'
import type { Check, TableDescription } from '../../types/validators.js'
import { codecOf } from './codecs.js'
import type { UnknownFields } from './codec.js'
import { fieldsOf, otherColumns, placeOf } from './field-list.js'
import { compileId } from './ids.js'
import { knownNames } from './names.js'
import { formatRules } from './text.js'
import { spellings, type Literal } from './unions.js'

/**
 * The checks of all collections as data, for `lib/client/validate.ts`: what a client can know of the server's verdict.
 * By table; codecs give the words, so that both say the same.
 */
export function descriptionsOf (collections: Collections): Record<string, TableDescription> {
  return Object.fromEntries(Object.entries(collections).map(([table, collection]) => [table, describeTable(table, collection)]))
}

function describeTable (table: string, collection: Collection): TableDescription {
  const { unknownFields, operations, owner, writable } = collection
  const fields = fieldsOf(table, collection)
  const columns = fields.map(({ column }) => column)
  const server = new Set(serverRulesOf(collection))
  const id = describeId(table, collection)
  if (!id) server.add('id')
  return {
    operations: [...operations],
    ...id && { id },
    columns: Object.fromEntries(fields.map(({ column, schema, nullable, readOnly, owner, default: byDefault }) => {
      const { n, ...check } = new Describer(unknownFields, server).column(schema)
      const described: TableDescription['columns'][string] = [{ ...check, ...nullable && { n: 1 } }]
      if (readOnly || owner || byDefault) described.push(readOnly ? 2 : 1)
      return [column, described]
    })),
    hidden: fields.filter(({ name }) => !columns.includes(name)).map(({ name }) => name),
    others: otherColumns(collection),
    words: knownNames(columns),
    ...(typeof writable === 'function' || typeof owner === 'function') && { perUser: 1 as const },
    server: [...server]
  }
}

/** By the names of the options. Unique indexes are MongoDB's own, and known to nobody here. */
function serverRulesOf (collection: Collection): string[] {
  const { owner, defaults, writable } = collection
  const options = ['authorize', 'transform', 'resolveConflict', 'updateBatch', 'authorizeTransfer'] as const
  return [...options.filter(option => collection[option]), ...!Array.isArray(owner) || owner.length ? ['owner'] : [], ...typeof writable === 'function' ? ['writable'] : [], ...Object.keys(defaults).length ? ['defaults'] : []]
}

function describeId (table: string, { id }: Collection): Check | undefined {
  if (typeof id === 'object' && 'decode' in id) return undefined
  const { type, ...options } = typeof id === 'string' ? { type: id } : id
  const { expects: e } = compileId(table, id)
  if (type === 'integer') return { t: 'l', e }
  const pattern = type === 'string' ? (options as { pattern?: string }).pattern : type === 'uuid' ? UUID : OBJECT_ID
  return { t: 's', e, len: 1024, ...pattern !== undefined && { re: [[pattern, 'u']] } }
}

const UUID = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
const OBJECT_ID = '^[0-9a-f]{24}$'

/** Of one table: `server` collects what only the server can check. */
class Describer {
  readonly #unknownFields: UnknownFields
  readonly #server: Set<string>

  constructor (unknownFields: UnknownFields, server: Set<string>) {
    this.#unknownFields = unknownFields
    this.#server = server
  }

  column (schema: TSchema): Check {
    return this.#describe({ ...schema, default: undefined }, 0)
  }

  #describe (schema: TSchema, depth: number): Check {
    const { expects: e, nullable } = codecOf(schema, placeOf('validators', '', depth, this.#unknownFields))
    const column = depth === 0 && { z: 0 }
    const bounds = (least: string, most: string) => {
      const c: Check['c'] = [bound(schema[least]), bound(schema[most])]
      return c.some(each => each !== null) && { c }
    }
    const check = (t: Check['t'], rest: Partial<Check> = {}): Check => ({ t, e, ...nullable && { n: 1 }, ...rest })
    const inside = (schema: TSchema) => this.#describe(schema, depth + 1)
    const kind: string = schema[Kind]
    if (depth === 0 && ['Array', 'Object', 'Record'].includes(kind)) return check('j', { i: inside(schema) })
    switch (kind) {
      case 'String': return check('s', { w: 1, ...bounds('minLength', 'maxLength'), ...this.#text(schema) })
      case 'Boolean':
      case 'BsonBoolean': return check('v', { v: [true, false].map(literal => [literal, ...spellings(literal)]) })
      case 'Literal': return check('v', { v: [literalOf(schema)] })
      case 'Number':
      case 'BsonDouble': return check('n', rangeOf(schema))
      case 'Integer': return check('n', { ...rangeOf(schema), w: 1, c: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER] })
      case 'BsonInt32': return check('n', { ...rangeOf(schema), w: 1, c: [-(2 ** 31), 2 ** 31 - 1] })
      case 'BsonLong': return check('l', { ...rangeOf(schema), ...column })
      case 'BsonDecimal128': return check('m', { ...column })
      case 'BsonDate': return check('d', { ...bounds('minimumTimestamp', 'maximumTimestamp') })
      case 'BsonObjectId': return check('s', { re: [[OBJECT_ID, 'u']] })
      case 'BsonUUID': return check('s', { re: [[UUID, 'u']] })
      case 'BsonBinary': return check('b', { ...bounds('minByteLength', 'maxByteLength') })
      case 'BsonJson': return depth === 0 ? check('j', { i: inside(schema['content']) }) : this.#describe(schema['content'], depth)
      case 'Array': return check('a', { ...bounds('minItems', 'maxItems'), i: inside(schema['items']), ...schema['uniqueItems'] && { u: 1 } })
      case 'Object': return check('o', this.#object(schema, depth))
      case 'Record': return check('o', this.#record(schema, inside))
      case 'Union': return check(...this.#union(schema['anyOf'], depth))
      default: return check('y', { z: depth })
    }
  }

  #text (schema: TSchema): Partial<Check> {
    const { pattern, format, enum: choices } = schema
    const rules = format === undefined ? undefined : formatRules(format)
    if (format !== undefined && !rules) this.#server.add(`format ${format}`)
    const re: Check['re'] = [...pattern === undefined ? [] : [[pattern, 'u'] as [string, string]],
      ...(rules?.patterns ?? []).map(([{ source, flags }, not]) => [source, flags, ...not ? [1 as const] : []] as [string, string, 1?])]
    return { ...re.length && { re }, ...rules?.longest && { len: rules.longest }, ...rules?.isDate && { date: 1 }, ...choices && { v: [choices] } }
  }

  #object (schema: TSchema, depth: number): Partial<Check> {
    const properties = Object.entries<TSchema>(schema['properties'])
    const additional: boolean | TSchema = schema['additionalProperties'] ?? this.#unknownFields !== 'reject'
    return {
      p: Object.fromEntries(properties.map(([name, property]) => {
        const check = this.#describe(property, depth + 1)
        return [name, OptionalKind in property ? [check, 1] : [check]]
      })),
      ...additional ? { i: typeof additional === 'object' ? this.#describe(additional, depth + 1) : { t: 'y', e: 'any JSON value', n: 1, z: depth + 1 } } : { x: knownNames(properties.map(([name]) => name)) }
    }
  }

  #record (schema: TSchema, inside: (schema: TSchema) => Check): Partial<Check> {
    const [pattern, item] = Object.entries<TSchema>(schema['patternProperties'])[0]!
    return { i: inside(item), ...pattern !== PatternStringExact && { k: pattern, x: `a name that matches ${new RegExp(pattern, 'u')}` } }
  }

  #union (all: TSchema[], depth: number): [Check['t'], Partial<Check>] {
    const [first, ...others] = all.filter(variant => variant[Kind] !== 'Null') as [TSchema, ...TSchema[]]
    const variants = [first, ...others]
    if (variants.every(variant => variant[Kind] === 'Literal')) return ['v', { v: variants.map(literalOf) }]
    if (others.length > 0) return ['u', { o: variants.map(variant => this.#describe(variant, depth)) }]
    const { t, e, n, ...rest } = this.#describe(first, depth)
    return [t, rest]
  }
}

/** JSON has no infinity, and no bigint. */
const bound = (value: unknown) => Number.isFinite(value) ? value as number : null

function rangeOf (schema: TSchema): Partial<Check> {
  const r = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'].map(keyword => {
    const value: unknown = schema[keyword]
    return typeof value === 'bigint' ? String(value) : bound(value)
  })
  return r.some(each => each !== null) ? { r } : {}
}

function literalOf ({ const: literal }: TSchema): unknown[] {
  return [literal, ...spellings(literal as Literal)]
}
