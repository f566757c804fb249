import { Kind, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { OptionError } from '../errors.js'
import { didYouMean, nearest } from '../nearest.js'
import { typeWords } from '../type-words.js'

/** Names that mean an option of another spelling. */
const synonyms: Readonly<Record<string, string>> = { readonly: 'writable', authorise: 'authorize', secret: 'keys', uri: 'url', db: 'database' }

/**
 * Checks options against their schema, at every depth. `undefined` counts as not given.
 * @param path of the value, as in `upload.deadLetters`; empty for the options themselves
 * @throws {OptionError} for the first mistake: an unknown name, a wrong type, a value out of range. It names the option.
 */
export function checkOptions (schema: TSchema, value: unknown, path = ''): void {
  const part = schema[Kind] === 'Union' ? (schema['anyOf'] as TSchema[]).find(each => isRecord(value) && each[Kind] === 'Object') ?? schema : schema
  if (part[Kind] === 'Object' && part['additionalProperties'] !== undefined) return checkObject(part as TObject, value, path)
  if (part[Kind] === 'Record' && isRecord(value)) {
    const [[pattern, inner]] = Object.entries(part['patternProperties']) as [[string, TSchema]]
    for (const [name, item] of Object.entries(value)) {
      if (!new RegExp(pattern).test(name)) throw new OptionError(join(path, name), `is unknown: expected ${part['expected']}`)
      checkOptions(inner, item, join(path, name))
    }
    return
  }
  if (part[Kind] === 'Array' && part['items']['expected'] && Array.isArray(value)) return value.forEach((item, index) => checkOptions(part['items'], item, `${path}[${index}]`))
  if (!Value.Check(part, value)) throw wrong(part, value, path)
}

function checkObject (schema: TObject, value: unknown, path: string): void {
  if (!isRecord(value)) throw wrong(schema, value, path)
  const known = Object.keys(schema.properties)
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(schema.properties, name) || schema.additionalProperties) continue
    const near = nearest(name, known) ?? synonyms[name.toLowerCase()]
    throw new OptionError(join(path, name), `is unknown${near === undefined ? `: expected one of ${known.join(', ')}` : didYouMean(near)}`)
  }
  for (const [name, property] of Object.entries(schema.properties)) {
    const given = value[name]
    if (given !== undefined) checkOptions(property, given, join(path, name))
    else if (schema.required?.includes(name)) throw new OptionError(join(path, name), `is missing: expected ${property['expected'] ?? 'a value'}`)
  }
}

/** Shows numbers and short words. Other values may be secrets. */
function wrong (schema: TSchema, value: unknown, path: string): Error {
  const isShort = typeof value === 'number' || typeof value === 'boolean' || (schema[Kind] === 'Union' && typeof value === 'string' && value.length <= 20)
  return new OptionError(path, `is ${isShort ? typeof value === 'string' ? JSON.stringify(value) : String(value) : typeWords(value)}: expected ${schema['expected']}`)
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `upload` and `deadline` as `upload.deadline`; a name that is not a word, as an error code, as `upload.faults[13]`. */
const join = (path: string, name: string): string => /^\d/.test(name) ? `${path}[${name}]` : path ? `${path}.${name}` : name
