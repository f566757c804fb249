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

/** A double holds every decimal of 15 digits, so one that it does not hold has 16 characters, or an exponent of three digits. */
const SHORT = 15
const EXPONENT = /[eE][-+]?\d{3}/g
const NUMBER = /-?\d[\d.]*(?:[eE][-+]?\d+)?/y

/** Looks at every fifteenth character only, and for exponents: a fraction of the time that parsing takes. */
function hasExactNumber (text: string): boolean {
  for (let at = 0; at < text.length; at += SHORT) {
    if (!isDigit(text.charCodeAt(at))) continue
    const start = runStart(text, at)
    at = runEnd(text, at)
    if (at - start > SHORT && isExactNumber(text, start, at)) return true
  }
  for (const { index } of text.matchAll(EXPONENT)) {
    if (isExactNumber(text, runStart(text, index), index)) return true
  }
  return false
}

/** Digits and dots. */
const isDigit = (code: number) => code >= 46 && code <= 57 && code !== 47

function runStart (text: string, at: number): number {
  while (isDigit(text.charCodeAt(at - 1))) at--
  return at
}

function runEnd (text: string, at: number): number {
  while (isDigit(text.charCodeAt(at))) at++
  return at
}

/** Whether a run of digits is a number, of which digits have to be kept. A hit within a string costs time and nothing else. */
function isExactNumber (text: string, start: number, end: number): boolean {
  const sign = text.charCodeAt(start - 1) === MINUS ? 1 : 0
  if (!BEFORE_NUMBER.has(text.charCodeAt(start - sign - 1))) return false
  if (!isLetterE(text.charCodeAt(end))) return !isHeld(text.slice(start, end))
  NUMBER.lastIndex = start
  const token = NUMBER.exec(text)?.[0]
  return token !== undefined && !isHeld(token)
}

/** Nothing, or what stands before a value in JSON. */
const BEFORE_NUMBER = new Set([NaN, ...Buffer.from(' \t\n\r,:[')])
const MINUS = 45

const isLetterE = (code: number) => code === 101 || code === 69

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
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text)!
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  return significant === '' ? '0' : `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}

type Container = unknown[] | Record<string, unknown>

/** Without recursion, since what comes here may be nested as deeply as a body is long. */
function parseExactly (text: string): unknown {
  JSON.parse(text) // throws; from here on the text is JSON, and each token ends where it must
  const open: Container[] = []
  let root: unknown
  let name: string | undefined // of the value that comes next in an object
  const add = (value: unknown) => {
    const parent = open.at(-1)
    if (!parent) root = value
    else if (Array.isArray(parent)) parent.push(value)
    else setProperty(parent, name!, value)
    name = undefined
  }
  for (let at = 0; at < text.length;) {
    const token = tokenAt(text, at)
    at += token.length
    switch (token[0]) {
      case '{': case '[': {
        const container: Container = token === '{' ? {} : []
        add(container)
        open.push(container)
        break
      }
      case '}': case ']': open.pop(); break
      case ',': case ':': case ' ': case '\t': case '\n': case '\r': break
      case '"': {
        const string: string = JSON.parse(token)
        const parent = open.at(-1)
        if (parent && !Array.isArray(parent) && name === undefined) name = string
        else add(string)
        break
      }
      case 't': case 'f': case 'n': add(JSON.parse(token)); break
      default: add(isHeld(token) ? Number(token) : new JsonNumber(token))
    }
  }
  return root
}

const WORD = /[a-z]+/y

function tokenAt (text: string, at: number): string {
  const first = text.charCodeAt(at)
  if (first === QUOTE) return text.slice(at, stringEnd(text, at))
  const token = first >= 97 && first <= 122 ? WORD : NUMBER // "{" and "}" come after the letters
  token.lastIndex = at
  return token.exec(text)?.[0] ?? text.charAt(at)
}

const QUOTE = 34
const BACKSLASH = 92

function stringEnd (text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end + 1
  }
}

/** As JSON.parse does it: assigning to `__proto__` would change the object's nature. */
function setProperty (object: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
  else object[name] = value
}
