/** The type of a value in words, for messages. */
export function typeWords (value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return WORDS[typeof value]
}

const WORDS = {
  undefined: 'nothing',
  string: 'text',
  number: 'a number',
  boolean: 'a boolean',
  object: 'an object',
  bigint: 'a bigint',
  function: 'a function',
  symbol: 'a symbol'
}
