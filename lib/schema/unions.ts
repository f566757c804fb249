import { Kind, type TSchema } from '@sinclair/typebox'
import { JsonNumber } from '../json.js'
import { listWords } from '../type-words.js'
import { scalar, type Codec, type Place } from './codec.js'
import { DecodeFault } from './faults.js'
import { toNumber } from './numbers.js'
import { eitherOf, orNull } from './shapes.js'

export type Literal = string | number | boolean

/**
 * A union holds what the first of its types accepts, in the schema's order: write `[Number, String]` for clients that
 * send numbers as text, `[String, Number]` where text that looks like a number has to stay text. `Type.Null()` in it
 * makes it nullable.
 */
export function unionCodec (schema: TSchema, place: Place): Codec {
  const all: TSchema[] = schema['anyOf']
  const variants = all.filter(variant => variant[Kind] !== 'Null')
  const nullable = variants.length < all.length
  if (variants.length === 0) place.fail('has no type but null: add the one that it can hold')
  const codecs = variants.map(place.here) // also of literals, to check their keywords
  const codec = variants.every(variant => variant[Kind] === 'Literal') ? literalCodec(variants.map(variant => variant['const']), place) : firstOf(codecs)
  return nullable ? { ...codec, nullable, shape: orNull(codec.shape) } : codec
}

function firstOf (variants: Codec[]): Codec {
  const [first] = variants as [Codec]
  if (variants.length === 1) return first
  const firstResult = (convert: (variant: Codec) => unknown) => {
    for (const variant of variants) {
      const converted = convert(variant)
      if (converted !== undefined && !(converted instanceof DecodeFault)) return converted
    }
    return undefined
  }
  return {
    decode: value => firstResult(variant => variant.decode(value)),
    encode: value => firstResult(variant => variant.encode(value)),
    ...variants.some(({ read }) => read) && { read: value => firstResult(variant => readAs(variant, value)) ?? value },
    expects: listWords(variants.map(variant => variant.expects)),
    gives: listWords(variants.map(variant => variant.gives)),
    shape: eitherOf(variants.map(variant => variant.shape)),
    column: variants.every(variant => variant.column === first.column) ? first.column : 'text',
    nullable: variants.some(variant => variant.nullable),
    container: variants.every(variant => variant.container)
  }
}

/** A stored value in the type that hooks have for it, if it is of this one. */
function readAs ({ read, encode }: Codec, value: unknown): unknown {
  const hooked = read ? read(value) : value
  const encoded = encode(hooked)
  return encoded === undefined || encoded instanceof DecodeFault ? undefined : hooked
}

const COLUMNS = { string: 'text', number: 'real', boolean: 'integer' } as const

/** One of a few values. As they are first, then as clients without the type send them: `1`, `"1"`, `"true"`. */
export function literalCodec (literals: Literal[], place: Place): Codec {
  if (!literals.every(literal => Object.hasOwn(COLUMNS, typeof literal))) place.fail('has a literal that is not text, a number, true or false')
  const accepted = new Map<unknown, Literal>(literals.map(literal => [literal, literal]))
  const numbers = new Set(literals.filter(literal => typeof literal === 'number'))
  for (const literal of literals) {
    for (const spelling of spellings(literal)) if (!accepted.has(spelling)) accepted.set(spelling, literal)
  }
  const [column, ...others] = new Set(literals.map(literal => COLUMNS[typeof literal as keyof typeof COLUMNS]))
  const decode = (value: unknown) => {
    const literal = accepted.get(value)
    if (literal !== undefined || numbers.size === 0 || !(typeof value === 'string' || value instanceof JsonNumber)) return literal
    const number = toNumber(value) // "1.0"
    return numbers.has(number) ? number : undefined
  }
  return scalar(others.length ? 'text' : column!, { enum: literals }, decode, listWords(literals.map(literal => JSON.stringify(literal))),
    value => literals.includes(value as Literal) ? value : undefined)
}

/** How clients without the type send it. */
export function spellings (literal: Literal): unknown[] {
  if (typeof literal !== 'boolean') return [String(literal)]
  return literal ? [1, '1', 'true'] : [0, '0', 'false']
}
