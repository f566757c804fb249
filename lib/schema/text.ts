import { FormatRegistry } from '@sinclair/typebox'
import { parseDate } from './dates.js'

/** Without lone surrogates, which have no UTF-8 and which the driver would silently replace by U+FFFD. */
export function isWellFormed (text: string): boolean {
  return (text as string & { isWellFormed (): boolean }).isWellFormed() // Node >= 20; TypeScript has it from ES2024 on
}

/** Length in code points, which is what JSON Schema and MongoDB's `$jsonSchema` count. */
export function codePoints (text: string): number {
  let count = 0
  for (let at = 0; at < text.length; count++) at += text.codePointAt(at)! > 0xffff ? 2 : 1
  return count
}

type Format = (text: string) => boolean

/** A format that the host has registered with TypeBox, whose registry is global and stays as it is, else one of these. */
export function stringFormat (name: string): Format | undefined {
  const rules = formats.get(name)
  return FormatRegistry.Get(name) ?? (rules && checkOf(rules))
}

export const formatNames = (): string[] => [...formats.keys()]

/** RFC 3339, 5.6 and 5.7: either case, and a 61st second at the end of a UTC day. */
function isMoment (text: string): boolean {
  const whole = text.toUpperCase().replace(FRACTION, '')
  if (whole.slice(17, 19) !== '60') return !Number.isNaN(parseDate(whole))
  return parseDate(`${whole.slice(0, 17)}59${whole.slice(19)}`) % 86_400_000 === 86_399_000
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i // RFC 9562: either case
const DATE = /^\d{4}-\d\d-\d\d$/
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i
const FRACTION = /\.\d+/
// HTML's definition of a valid e-mail address, whose parts cannot backtrack into each other.
const EMAIL = /^[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?)*$/i
const SCHEME = /^[a-z][a-z\d+.-]{0,63}:./i // RFC 3986
const NOT_IN_URI = /[^\w.~:/?#[\]@!$&'()*+,;=%-]|%(?![\da-f]{2})/i // searched for: repeating what may be there runs out of stack in long text

/** What a text of a format has to be, as data: the client checks the same (lib/client/validate.ts). */
export interface FormatRules {
  /** Regular expressions; true: one that must not match. */
  patterns: Array<[RegExp, true?]>
  longest?: number
  isDate?: true
}

const formats = new Map<string, FormatRules>([
  ['uuid', { patterns: [[UUID]] }],
  ['email', { patterns: [[EMAIL]], longest: 254 }],
  ['date', { patterns: [[DATE]], isDate: true }],
  ['date-time', { patterns: [[DATE_TIME]], isDate: true }],
  ['uri', { patterns: [[SCHEME], [NOT_IN_URI, true]] }]
])

/** Undefined when it is the host's own. */
export const formatRules = (name: string): FormatRules | undefined => FormatRegistry.Has(name) ? undefined : formats.get(name)

function checkOf ({ patterns, longest = Infinity, isDate }: FormatRules): Format {
  return text => text.length <= longest && patterns.every(([pattern, not]) => pattern.test(text) !== Boolean(not)) && (!isDate || isMoment(text))
}
