import { FormatRegistry } from '@sinclair/typebox'
import { parseDate } from './dates.js'

type Format = (text: string) => boolean

/**
 * The string formats that work without any set-up. TypeBox's own registry is global and belongs to the host: nothing
 * is registered there, and a format that the host has registered there comes first.
 *
 * @returns undefined when nobody knows the format.
 */
export function stringFormat (name: string): Format | undefined {
  const rules = formats.get(name)
  return FormatRegistry.Get(name) ?? (rules && checkOf(rules))
}

export const formatNames = (): string[] => [...formats.keys()]

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i // RFC 9562: either case
const DATE = /^\d{4}-\d\d-\d\d$/
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/ // RFC 3339
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
  return text => text.length <= longest && patterns.every(([pattern, not]) => pattern.test(text) !== Boolean(not)) &&
    !(isDate && Number.isNaN(parseDate(text.replace(FRACTION, ''))))
}
