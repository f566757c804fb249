import { randomUUID } from 'node:crypto'

/**
 * A number of a JSON text that JavaScript's numbers cannot be trusted with: its digits. It converts as any number does
 * (`Number(value)`, `String(value)`), so that code which does not know of it rounds, as JSON.parse would have done.
 */
export class JsonNumber {
  readonly #text: string

  constructor (text: string) {
    this.#text = text
  }

  /** As it was written. */
  get text (): string {
    return this.#text
  }

  valueOf (): number {
    return Number(this.#text)
  }

  toString (): string {
    return this.#text
  }

  toJSON (): string {
    return this.#text
  }
}

/**
 * JSON.parse that loses no digit: a number that a double does not hold as it is written, or whose digits reach beyond
 * 2⁵³, becomes a `JsonNumber`. All else is as JSON.parse gives it: of equal names the last, `__proto__` as a name like any
 * other, and no limit to the depth, which whoever walks through the value has to mind.
 *
 * @throws {SyntaxError} for what is not JSON
 */
export function parseJson (text: string): unknown {
  return hasExactNumber(text) ? parseExactly(text) : JSON.parse(text)
}

/** JSON.stringify, with the digits of each `JsonNumber`: `parseJson` gives the same value again. */
export function stringifyJson (value: unknown): string | undefined {
  if (value instanceof JsonNumber) return value.text
  if (Array.isArray(value)) return `[${value.map(item => stringifyJson(item) ?? 'null').join()}]`
  if (Object.is(value, -0)) return '-0'
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return JSON.stringify(value)
  const properties = Object.entries(value).map(([name, property]) => [JSON.stringify(name), stringifyJson(property)])
  return `{${properties.filter(([, property]) => property !== undefined).map(pair => pair.join(':')).join()}}`
}

/** A double holds every decimal of 15 digits; one that it does not hold has more, or an exponent of three digits. */
const SHORT = 15
const HIGH_EXPONENT = /(?:^|[\s:,[])-?\d[\d.]*[eE][-+]?\d{3}/
/** Nothing, or a character that stands before a number in JSON. */
const BEFORE_NUMBER = new Set([NaN, ...Buffer.from(' \t\n\r,:[-')])

/** Whether a number may have digits to keep. Looks at every fifteenth character: a fraction of the time that parsing takes. */
function hasExactNumber (text: string): boolean {
  for (let at = 0; at < text.length; at += SHORT) {
    if (!isDigit(text.charCodeAt(at))) continue
    let start = at
    while (isDigit(text.charCodeAt(start - 1))) start--
    while (isDigit(text.charCodeAt(at))) at++
    if (at - start > SHORT && BEFORE_NUMBER.has(text.charCodeAt(start - 1)) && (isLetterE(text.charCodeAt(at)) || !isHeld(text.slice(start, at)))) return true
  }
  return HIGH_EXPONENT.test(text)
}

/** Digits and dots. */
const isDigit = (code: number) => code >= 46 && code <= 57 && code !== 47

const isLetterE = (code: number) => code === 101 || code === 69

/** Where text begins and ends, and the numbers that a double may not hold. */
const TOKEN = /\\.|"|-?\d(?:[\d.]{15,}(?:[eE][-+]?\d+)?|[\d.]*[eE][-+]?\d{3,})/g

/** Parses numbers with digits to keep as text with a mark that no client can know, and puts their digits in its place. */
function parseExactly (text: string): unknown {
  JSON.parse(text) // throws for all that is not JSON
  const mark = randomUUID()
  let inText = false
  const marked = text.replace(TOKEN, token => {
    if (token === '"') inText = !inText
    return inText || token === '"' || isHeld(token) ? token : `"${mark}${token}"`
  })
  const root = { value: JSON.parse(marked) as unknown }
  const containers: Record<string, unknown>[] = [root]
  for (const container of containers) { // no recursion: what comes here may be nested as deeply as a body is long
    for (const name in container) {
      const value = container[name]
      if (typeof value === 'string' && value.startsWith(mark)) container[name] = new JsonNumber(value.slice(mark.length))
      else if (typeof value === 'object' && value !== null) containers.push(value as Record<string, unknown>)
    }
  }
  return root.value
}

/** Whether a JavaScript number is all that the text says, and no text of other digits would give it. */
function isHeld (token: string): boolean {
  const number = Number(token)
  return (String(number) === token || isShortest(number, token)) && (Number.isSafeInteger(number) || !LONG.test(token))
}

const LONG = /^-?\d{16}/

/** Whether a text says the same decimal number as JavaScript prints. */
export function isShortest (number: number, text: string): boolean {
  const printed = String(number)
  return printed === text || (Number.isFinite(number) && decimalOf(printed) === decimalOf(text))
}

/** One spelling for each decimal number: its digits without zeros around them, and its exponent. */
function decimalOf (text: string): string {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text)
  if (!parts) return text // such as 1.2.3, in what is not JSON
  const [, sign, whole, fraction = '', exponent = '0'] = parts
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  return significant === '' ? '0' : `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}
