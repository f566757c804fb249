import { Kind, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { OptionError } from './errors.js'
import { didYouMean, nearest } from './nearest.js'
import { isPlain, typeWords } from './type-words.js'

/** Options that other libraries, or earlier versions, call by these names. */
const synonyms: Readonly<Record<string, string>> = { readonly: 'writable', secret: 'keys', uri: 'mongo', db: 'mongo' }

/**
 * Checks options against their schema, at every depth. `undefined` counts as absent.
 * @param path the option's name, as in `upload.deadLetters`; empty for the options as a whole
 */
export function checkOptions (schema: TSchema, value: unknown, path = ''): void {
  // Of a union, its object for an object, so that an error names the option within.
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const variants: TSchema[] = schema[Kind] === 'Union' && isObject ? schema['anyOf'] : []
  const part = variants.find(variant => variant[Kind] === 'Object') ?? schema
  const { [Kind]: kind, additionalProperties, patternProperties, items, expected } = part
  const { minProperties = 0, minItems = 0 } = part
  const isClosed = kind === 'Record' || (kind === 'Object' && additionalProperties !== undefined)
  if (kind === 'Object' && isClosed && isPlain(value)) {
    checkObject(part as TObject, value, path)
  } else if (kind === 'Record' && isPlain(value) && Object.keys(value).length >= minProperties) {
    const [[pattern, inner]] = Object.entries(patternProperties) as [[string, TSchema]]
    for (const [name, item] of Object.entries(value)) {
      if (!new RegExp(pattern).test(name)) throw new OptionError(join(path, name), `is unknown: expected ${expected}`)
      checkOptions(inner, item, join(path, name))
    }
  } else if (kind === 'Array' && items['expected'] && Array.isArray(value) && value.length >= minItems) {
    for (const [index, item] of value.entries()) checkOptions(items, item, `${path}[${index}]`)
  } else if (isClosed || !fits(part, value)) {
    // Numbers, booleans, and short texts where the schema lists the possible ones. Other values may be secrets.
    const isListed = kind === 'Union' && typeof value === 'string' && value.length <= 20
    const isShown = isListed || typeof value === 'number' || typeof value === 'boolean'
    const found = isListed ? JSON.stringify(value) : isShown ? String(value) : typeWords(value)
    throw new OptionError(path || 'options', `is ${found}: ${fixOf(schema)}`)
  }
}

function checkObject (schema: TObject, value: Record<string, unknown>, path: string): void {
  const known = Object.keys(schema.properties)
  const unknown = Object.keys(value).find(name => !schema.additionalProperties && !known.includes(name))
  if (unknown !== undefined) {
    const near = nearest(unknown, known) ?? known.find(name => name === synonyms[unknown.toLowerCase()])
    const hint = didYouMean(near) || `: expected one of ${known.join(', ')}`
    throw new OptionError(join(path, unknown), `is unknown${hint}`)
  }
  for (const [name, property] of Object.entries(schema.properties)) {
    if (value[name] !== undefined) checkOptions(property, value[name], join(path, name))
    else if (schema.required?.includes(name)) {
      throw new OptionError(join(path, name), `is missing: ${fixOf(property)}`)
    }
  }
}

const fixOf = ({ fix, expected = 'a value' }: TSchema): string => fix ?? `expected ${expected}`

/** Not as a guard, by which TypeScript would take other values for impossible ones. */
const fits = (schema: TSchema, value: unknown): boolean => Value.Check(schema, value)

/** `upload` and `deadline` as `upload.deadline`; a name that is a number, as an error code, as `upload.faults[13]`. */
const join = (path: string, name: string): string =>
  /^\d/.test(name) ? `${path}[${name}]` : path ? `${path}.${name}` : name
