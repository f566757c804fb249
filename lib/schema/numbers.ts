/**
 * A number as clients send it: a JSON number, or its text. Kotlin and Swift send every value as text, and print a
 * real as `2.5`, `1.0E10` or `1e+16`. No plus sign, no leading zeros, no blanks, no `0x10`.
 */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const INTEGER = /^-?(?:0|[1-9]\d*)$/

/** More than the longest number that any of these types prints; keeps a megabyte of digits away from the parsers. */
const LONGEST = 400

/** True for the text of a number. */
export function isNumberText (value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST && NUMBER.test(value)
}

/** True for the text of a whole number without fraction or exponent. */
export function isIntegerText (value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST && INTEGER.test(value)
}

/** NaN when the value is not a number, is not finite, or would lose precision as a double. */
export function toNumber (value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? value : NaN
  if (!isNumberText(value)) return NaN
  const number = Number(value)
  return Number.isFinite(number) && holds(number, value) ? number : NaN
}

/**
 * Is the number what the text says? A double prints itself with at most 17 digits, whoever prints it, and a whole
 * number can be looked at exactly.
 */
function holds (number: number, text: string): boolean {
  const digits = text.replace(/e.*$/i, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
  if (number === 0) return digits === 0 // else it was too small
  if (digits <= 15) return true
  return INTEGER.test(text) ? BigInt(text) === BigInt(number) : digits <= 17
}
