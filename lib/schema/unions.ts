import { Kind, type TSchema } from '@sinclair/typebox'
import type { Codec, Place } from './codec.js'
import { toNumber } from './numbers.js'
import { listWords } from './text.js'

type Literal = string | number | boolean

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
  const codec = variants.every(variant => variant[Kind] === 'Literal')
    ? literalCodec(variants.map(variant => variant['const']))
    : firstOf(variants.map(place.here))
  return nullable ? { ...codec, nullable } : codec
}

function firstOf (variants: Codec[]): Codec {
  const [first] = variants as [Codec]
  if (variants.length === 1) return first
  return {
    expects: listWords(variants.map(variant => variant.expects)),
    bsonType: [...new Set(variants.flatMap(variant => variant.bsonType))],
    column: variants.every(variant => variant.column === first.column) ? first.column : 'text',
    nullable: variants.some(variant => variant.nullable),
    container: variants.every(variant => variant.container),
    decode: value => {
      for (const variant of variants) {
        const decoded = variant.decode(value)
        if (decoded !== undefined) return decoded
      }
      return undefined
    }
  }
}

const LITERALS = {
  string: { bsonType: 'string', column: 'text' },
  number: { bsonType: 'number', column: 'real' },
  boolean: { bsonType: 'bool', column: 'integer' }
} as const

/** One of a few values. As they are first, then as clients without the type send them: `1`, `"1"`, `"true"`. */
export function literalCodec (literals: Literal[]): Codec {
  const accepted = new Map<unknown, Literal>(literals.map(literal => [literal, literal]))
  const numbers = new Set(literals.filter(literal => typeof literal === 'number'))
  for (const literal of literals) {
    for (const spelling of spellings(literal)) if (!accepted.has(spelling)) accepted.set(spelling, literal)
  }
  const types = new Set(literals.map(literal => LITERALS[typeof literal as keyof typeof LITERALS]))
  const columns = new Set([...types].map(type => type.column))
  return {
    expects: listWords(literals.map(literal => JSON.stringify(literal))),
    bsonType: [...types].map(type => type.bsonType),
    column: columns.size === 1 ? [...columns][0]! : 'text',
    decode: value => {
      const literal = accepted.get(value)
      if (literal !== undefined || typeof value !== 'string' || numbers.size === 0) return literal
      const number = toNumber(value) // "1.0"
      return numbers.has(number) ? number : undefined
    }
  }
}

function spellings (literal: Literal): unknown[] {
  if (typeof literal !== 'boolean') return [String(literal)]
  return literal ? [1, '1', 'true'] : [0, '0', 'false']
}
