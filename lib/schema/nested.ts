import { Kind, OptionalKind, type TSchema } from '@sinclair/typebox'
import { BSON } from '../bson.js'
import { explain, mismatch, missing, type Codec, type Place } from './codec.js'
import { numberKeyword, refuseKeywords } from './constraints.js'
import { DecodeFault, joinPath } from './faults.js'
import { typeWords } from '../type-words.js'
import { forbiddenName, isForbiddenKey, knownNames, NAME_RULE, unknownName } from './names.js'
import { isWellFormed } from './text.js'

type PlainObject = Record<string, unknown>

/** The service turns nested documents into JSON to this depth (PowerSync: module-mongodb, bufferToSqlite.ts). */
export const DEEPEST = 20

/** A column that holds an object or array as JSON text; some connectors send it parsed. */
export function jsonColumn (schema: TSchema, place: Place): Codec {
  const content = place.inside(schema, '')
  if (!content.container) place.fail(`holds a Type.${schema[Kind]} as JSON: use a Type.Object, Type.Array or Type.Record, or Type.Unknown for any of them`)
  const expects = `JSON text of ${content.expects}`
  return {
    expects,
    bsonType: content.bsonType,
    column: 'text',
    container: true,
    decode: value => {
      const parsed = parseJson(value)
      return parsed === undefined ? undefined : content.decode(parsed)
    },
    explain: (value, path) => {
      const parsed = parseJson(value)
      if (parsed !== undefined) return explain(content, parsed, path)
      return new DecodeFault('INVALID_DATA', path, expects, typeof value === 'string' ? 'other text' : typeWords(value))
    }
  }
}

/** An object or array; undefined for anything else, such as the texts `null` and `5`. */
function parseJson (value: unknown): object | undefined {
  let parsed = value
  if (typeof value === 'string') {
    try {
      parsed = JSON.parse(value)
    } catch {
      return undefined
    }
  }
  return typeof parsed === 'object' && parsed !== null ? parsed : undefined
}

export function arrayCodec (schema: TSchema, place: Place): Codec {
  refuseKeywords(schema, ['contains', 'minContains', 'maxContains'], place)
  const least = numberKeyword(schema, 'minItems', place) ?? 0
  const most = numberKeyword(schema, 'maxItems', place) ?? Infinity
  const unique = schema['uniqueItems'] === true
  const item = place.inside(schema['items'], '[]')
  const size = least === 0 && most === Infinity ? '' : ` of ${least} to ${most} items`
  const codec: Codec = {
    expects: `an array${size}${unique ? ' without duplicates' : ''}`,
    bsonType: 'array',
    column: 'text',
    container: true,
    decode: value => {
      if (!Array.isArray(value) || value.length < least || value.length > most) return undefined
      const items: unknown[] = []
      for (const each of value) {
        const decoded = decodeNullable(item, each)
        if (decoded === undefined) return undefined
        items.push(decoded)
      }
      return unique && hasDuplicates(items) ? undefined : items
    },
    explain: (value, path) => {
      if (Array.isArray(value)) {
        for (const [index, each] of value.entries()) {
          if (decodeNullable(item, each) === undefined) return explain(item, each, `${path}[${index}]`)
        }
      }
      return mismatch(codec, value, path)
    }
  }
  return codec
}

/** Equal as BSON, which is how MongoDB's own `uniqueItems` sees them. */
function hasDuplicates (items: unknown[]): boolean {
  return new Set(items.map(item => Buffer.from(BSON.serialize({ item })).toString('latin1'))).size < items.length
}

interface Property { codec: Codec, optional: boolean }

/** What to do with names beside the properties: the codec of their values, or one of two policies. */
type Additional = Codec | 'reject' | 'drop'

export function objectCodec (schema: TSchema, place: Place): Codec {
  refuseKeywords(schema, ['minProperties', 'maxProperties', 'patternProperties'], place)
  const properties = new Map<string, Property>()
  for (const [name, property] of Object.entries<TSchema>(schema['properties'])) {
    if (isForbiddenKey(name)) place.fail(`has the property ${JSON.stringify(name)}, which cannot be stored: use ${NAME_RULE}`)
    properties.set(name, { codec: place.inside(property, name), optional: OptionalKind in property })
  }
  return keyed(properties, additionalProperties(schema, place), { test: () => true, words: knownNames([...properties.keys()]) })
}

export function recordCodec (schema: TSchema, place: Place): Codec {
  refuseKeywords(schema, ['minProperties', 'maxProperties'], place)
  const [pattern, item] = Object.entries<TSchema>(schema['patternProperties'])[0]! // TypeBox makes exactly one
  const names = new RegExp(pattern)
  return keyed(new Map(), place.inside(item, '*'), { test: name => names.test(name), words: `a name that matches ${names}` })
}

/** What `additionalProperties` says; else what the collection does with columns that it does not know. */
function additionalProperties (schema: TSchema, place: Place): Additional {
  const additional: boolean | TSchema | undefined = schema['additionalProperties']
  if (typeof additional === 'object') return place.inside(additional, '*')
  const policy = additional === undefined ? place.unknownFields : additional ? 'store' : 'reject'
  return policy === 'store' ? anyCodec(place.depth + 1) : policy
}

/** Keys keep the order in which they came: documents that differ in it are not equal to MongoDB. */
function keyed (properties: Map<string, Property>, additional: Additional, additionalNames: { test (name: string): boolean, words: string }): Codec {
  const required = [...properties].filter(([, { optional }]) => !optional) // JSON, unlike a column, tells null and absent apart
  const extra = typeof additional === 'object' ? { codec: additional, optional: false } : undefined
  const propertyOf = (name: string) => properties.get(name) ?? (additionalNames.test(name) ? extra : undefined)

  const codec: Codec = {
    expects: 'an object',
    bsonType: 'object',
    column: 'text',
    container: true,
    decode: value => {
      if (!isObject(value)) return undefined
      const document: PlainObject = {}
      for (const name of Object.keys(value)) {
        if (isForbiddenKey(name)) return undefined
        const property = propertyOf(name)
        if (property) {
          const decoded = decodeProperty(property, value[name])
          if (decoded === undefined) return undefined
          document[name] = decoded
        } else if (additional !== 'drop') return undefined
      }
      return required.every(([name]) => Object.hasOwn(document, name)) ? document : undefined
    },
    explain: (value, path) => {
      if (!isObject(value)) return mismatch(codec, value, path)
      for (const name of Object.keys(value)) {
        const at = joinPath(path, name)
        if (isForbiddenKey(name)) return forbiddenName(at)
        const property = propertyOf(name)
        if (property && decodeProperty(property, value[name]) === undefined) return explain(property.codec, value[name], at)
        if (!property && additional !== 'drop') return unknownName(at, additionalNames.words)
      }
      const [name, { codec: absent }] = required.find(([name]) => !Object.hasOwn(value, name))!
      return missing(absent, undefined, joinPath(path, name))
    }
  }
  return codec
}

function isObject (value: unknown): value is PlainObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function decodeProperty ({ codec, optional }: Property, value: unknown): unknown {
  return value === null && optional ? null : decodeNullable(codec, value)
}

function decodeNullable (codec: Codec, value: unknown): unknown {
  if (value !== null) return codec.decode(value)
  return codec.nullable ? null : undefined
}

/** Whatever JSON can hold, stored as it came; its names are checked at every depth. */
export function anyCodec (depth: number): Codec {
  const flawOf = (value: unknown) => findFlaw(value, Math.max(depth, 1))
  return {
    expects: 'any JSON value',
    bsonType: [],
    column: 'text',
    nullable: true,
    container: true,
    decode: value => flawOf(value) ? undefined : value,
    explain: (value, path) => {
      const { steps, fault } = flawOf(value)!
      return fault(steps.reduce(addStep, path))
    }
  }
}

/** What is wrong with a value, and the way to it, innermost step last. */
interface Flaw { steps: Array<string | number>, fault: (path: string) => DecodeFault }

function findFlaw (value: unknown, depth: number): Flaw | undefined {
  switch (typeof value) {
    case 'boolean': return undefined
    case 'string': return isWellFormed(value) ? undefined : flaw('well-formed Unicode text', 'text with half a character')
    case 'number': return Number.isFinite(value) ? undefined : flaw('a finite number', 'a number beyond it')
    case 'object': return value === null ? undefined : findNestedFlaw(value, depth)
    default: return flaw('any JSON value', typeWords(value))
  }
}

function findNestedFlaw (value: object, depth: number): Flaw | undefined {
  if (depth > DEEPEST) return flaw(`JSON of at most ${DEEPEST} levels`, 'a deeper one')
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const flaw = findFlaw(item, depth + 1)
      if (flaw) return within(index, flaw)
    }
    return undefined
  }
  for (const [name, item] of Object.entries(value)) {
    const flaw = isForbiddenKey(name) ? { steps: [], fault: forbiddenName } : findFlaw(item, depth + 1)
    if (flaw) return within(name, flaw)
  }
  return undefined
}

function flaw (expected: string, found: string): Flaw {
  return { steps: [], fault: path => new DecodeFault('INVALID_DATA', path, expected, found) }
}

function within (step: string | number, { steps, fault }: Flaw): Flaw {
  return { steps: [step, ...steps], fault }
}

function addStep (path: string, step: string | number): string {
  return typeof step === 'number' ? `${path}[${step}]` : joinPath(path, step)
}
