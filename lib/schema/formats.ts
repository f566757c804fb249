import { FormatRegistry } from '@sinclair/typebox'
import type { Check } from '../../types/validators.js'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i // RFC 9562: either case
const DATE = /^\d{4}-\d\d-\d\d$/
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i
// HTML's definition of a valid e-mail address, whose parts cannot backtrack into each other.
const LABEL = '[a-z\\d](?:[a-z\\d-]{0,61}[a-z\\d])?'
const EMAIL = `^[\\w.!#$%&'*+/=?^\`{|}~-]{1,64}@${LABEL}(?:\\.${LABEL})*$`
const SCHEME = /^[a-z][a-z\d+.-]{0,63}:./i // RFC 3986
/** Searched for: repeating what may be there runs out of stack in long text. */
const NOT_IN_URI = /[^\w.~:/?#[\]@!$&'()*+,;=%-]|%(?![\da-f]{2})/i

/** The rule for a text of a format: a description of its type, or a function of the host. */
interface Format extends Pick<Check, 're' | 'len' | 'date'> {
  test?: (text: string) => boolean
}

const formats: Record<string, Format> = {
  uuid: { re: [[UUID.source, 'i']] },
  email: { re: [[EMAIL, 'i']], len: 254 },
  date: { re: [[DATE.source, '']], date: 1 },
  'date-time': { re: [[DATE_TIME.source, 'i']], date: 1 },
  uri: { re: [[SCHEME.source, 'i'], [NOT_IN_URI.source, 'i', 1]] }
}

export const formatNames = Object.keys(formats)

/** A format that the host has registered with TypeBox, whose global registry stays as it is; else one of these. */
export function formatOf (name: string): Format | undefined {
  const test = FormatRegistry.Get(name)
  return test ? { test } : Object.hasOwn(formats, name) ? formats[name] : undefined
}
