const DAY = 86_400_000
const LAST_TIME = 8_640_000_000_000_000 // ECMAScript's limit, 100 000 000 days from 1970

/**
 * Reads a date as PowerSync's service and clients write it: `2025-09-22T14:29:30.123Z`, with `T` or a space, with
 * 1 to 9 fraction digits or none (BSON keeps milliseconds, so further digits are cut off), without seconds, as a bare
 * date, with extended years (`+010000-01-01…`), and with `Z`, an offset or nothing, which means UTC whatever the
 * host's time zone is. `new Date(text)` would read it in the host's zone, and accept much more.
 *
 * @returns milliseconds since 1970; NaN when the text is anything else, or a day or time that does not exist.
 */
export function parseDate (text: string): number {
  let at = 4
  let year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  const sign = text.charCodeAt(0)
  if (sign === PLUS || sign === MINUS) {
    at = 7
    year = twoDigits(text, 1) * 10_000 + twoDigits(text, 3) * 100 + twoDigits(text, 5)
    if (sign === MINUS) {
      if (year === 0) return NaN // ECMA-262: -000000 is not a year
      year = -year
    }
  }
  const month = twoDigits(text, at + 1)
  const day = twoDigits(text, at + 4)
  if (text.charCodeAt(at) !== MINUS || text.charCodeAt(at + 3) !== MINUS) return NaN
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month))) return NaN

  const time = daysSince1970(year, month, day) * DAY + (text.length === at + 6 ? 0 : parseTime(text, at + 6))
  return time >= -LAST_TIME && time <= LAST_TIME ? time : NaN
}

const PLUS = 43
const MINUS = 45
const DOT = 46
const COLON = 58
const SPACE = 32
const T = 84
const Z = 90

/** NaN when one of the two is not a digit, which makes everything that is computed from it NaN. */
function twoDigits (text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : NaN
}

/** Separator, time of day and zone, in milliseconds. */
function parseTime (text: string, at: number): number {
  const separator = text.charCodeAt(at)
  const hour = twoDigits(text, at + 1)
  const minute = twoDigits(text, at + 4)
  if (separator !== T && separator !== SPACE) return NaN
  if (!(hour <= 23 && minute <= 59) || text.charCodeAt(at + 3) !== COLON) return NaN
  at += 6

  let milliseconds = (hour * 60 + minute) * 60_000
  if (text.charCodeAt(at) === COLON) {
    const second = twoDigits(text, at + 1)
    if (!(second <= 59)) return NaN
    milliseconds += second * 1000
    at += 3
    if (text.charCodeAt(at) === DOT) {
      const start = ++at
      for (let unit = 100; isDigit(text.charCodeAt(at)); unit = Math.floor(unit / 10)) {
        milliseconds += (text.charCodeAt(at++) - 48) * unit
      }
      if (at === start || at > start + 9) return NaN
    }
  }
  return milliseconds - parseZone(text, at)
}

function isDigit (code: number): boolean {
  return code >= 48 && code <= 57
}

/** Nothing, `Z`, `+HH`, `+HHMM` or `+HH:MM`, to the end of the text, in milliseconds. */
function parseZone (text: string, at: number): number {
  const rest = text.length - at
  if (rest === 0) return 0
  const sign = text.charCodeAt(at)
  if (sign === Z && rest === 1) return 0
  if (sign !== PLUS && sign !== MINUS) return NaN
  if (rest === 6 && text.charCodeAt(at + 3) !== COLON) return NaN
  if (rest !== 3 && rest !== 5 && rest !== 6) return NaN
  const hours = twoDigits(text, at + 1)
  const minutes = rest === 3 ? 0 : twoDigits(text, at + rest - 2)
  if (!(hours <= 23 && minutes <= 59)) return NaN
  return (sign === MINUS ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

function daysInMonth (year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil. `Date.UTC` takes year 99 for 1999. */
function daysSince1970 (year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}
