import { Kind, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { OptionError } from '../errors.js'
import { didYouMean, nearest } from '../nearest.js'
import { typeWords } from '../type-words.js'

/** Options that other libraries, or earlier versions, call by these names. */
const synonyms: Readonly<Record<string, string>> = {
  readonly: 'writable', authorise: 'authorize', secret: 'keys', uri: 'url', db: 'database'
}

/**
 * Checks options against their schema, at every depth. `undefined` counts as absent.
 * @param path the option's name, as in `upload.deadLetters`; empty for the options as a whole
 * @throws {OptionError} for the first unknown name, wrong type or value out of range
 */
export function checkOptions (schema: TSchema, value: unknown, path = ''): void {
  const part = partFor(schema, value)
  if (part[Kind] === 'Object' && part['additionalProperties'] !== undefined) {
    checkObject(part as TObject, value, path)
  } else if (part[Kind] === 'Record' && isRecord(value)) {
    const [[pattern, inner]] = Object.entries(part['patternProperties']) as [[string, TSchema]]
    for (const [name, item] of Object.entries(value)) {
      const expected = `is unknown: expected ${part['expected']}`
      if (!new RegExp(pattern).test(name)) throw new OptionError(join(path, name), expected)
      checkOptions(inner, item, join(path, name))
    }
  } else if (part[Kind] === 'Array' && part['items']['expected'] && Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkOptions(part['items'], item, `${path}[${index}]`)
  } else if (!Value.Check(part, value)) throw wrong(part, value, path)
}

/** Of a union, its object for an object, so that an error names the option within. */
function partFor (schema: TSchema, value: unknown): TSchema {
  const members: TSchema[] = schema[Kind] === 'Union' && isRecord(value) ? schema['anyOf'] : []
  return members.find(member => member[Kind] === 'Object') ?? schema
}

function checkObject (schema: TObject, value: unknown, path: string): void {
  if (!isRecord(value)) throw wrong(schema, value, path)
  const known = Object.keys(schema.properties)
  const unknown = Object.keys(value).find(name => !schema.additionalProperties && !known.includes(name))
  if (unknown !== undefined) {
    const near = nearest(unknown, known) ?? synonyms[unknown.toLowerCase()]
    throw new OptionError(
      join(path, unknown),
      `is unknown${didYouMean(near) || `: expected one of ${known.join(', ')}`}`
    )
  }
  for (const [name, property] of Object.entries(schema.properties)) {
    const given = value[name]
    if (given !== undefined) checkOptions(property, given, join(path, name))
    else if (schema.required?.includes(name)) {
      throw new OptionError(join(path, name), `is missing: expected ${property['expected'] ?? 'a value'}`)
    }
  }
}

/** Shows numbers, booleans, and short texts where the schema lists the possible ones. Other values may be secrets. */
function wrong (schema: TSchema, value: unknown, path: string): Error {
  const isListed = schema[Kind] === 'Union' && typeof value === 'string' && value.length <= 20
  const isShown = isListed || typeof value === 'number' || typeof value === 'boolean'
  const found = isListed ? JSON.stringify(value) : isShown ? String(value) : typeWords(value)
  return new OptionError(path, `is ${found}: expected ${schema['expected']}`)
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `upload` and `deadline` as `upload.deadline`; a name that is a number, as an error code, as `upload.faults[13]`. */
const join = (path: string, name: string): string =>
  /^\d/.test(name) ? `${path}[${name}]` : path ? `${path}.${name}` : name
