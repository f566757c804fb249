/** How a value is checked: made by `client-schema --validators`. Bounds are inclusive, null stands for none. */
export interface Check {
  /** text, values, number, long, decimal, date, binary, array, object, JSON column, any, union */
  t: 's' | 'v' | 'n' | 'l' | 'm' | 'd' | 'b' | 'a' | 'o' | 'j' | 'y' | 'u'
  /** What is expected, in words. */
  e: string
  /** Null is accepted. */
  n?: 1
  /** Least and most: characters, bytes, items, milliseconds. */
  c?: [number | null, number | null]
  /** Regular expressions of a text: source, flags, and whether it must not match. */
  re?: Array<[source: string, flags: string, not?: 1]>
  /** The most UTF-16 units or, of an id, bytes. */
  len?: number
  /** The text is a date. */
  date?: 1
  /** Values as they are stored, each with its other spellings. */
  v?: unknown[][]
  /** minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf; of a long as text */
  r?: Array<number | string | null>
  /** A whole number. */
  w?: 1
  /** A column; or the depth of what can hold anything. */
  z?: number
  /** The items of an array, the content of a JSON column, other properties of an object. */
  i?: Check
  /** Duplicates are refused. */
  u?: 1
  /** Properties, optional ones with 1. */
  p?: Record<string, [Check, 1?]>
  /** Which other names are accepted: a regular expression; and the words for those that are, unless all are kept. */
  k?: string
  x?: string
  /** Variants of a union. */
  o?: Check[]
}

/** A table as `createValidators` takes it: what `client-schema --validators` prints. */
export interface TableDescription {
  operations: string[]
  /** None: the app's own, which only the server knows. */
  id?: Check
  /** 1: the server has a value where a PUT has none; 2: clients do not write it. */
  columns: Record<string, [Check, (1 | 2)?]>
  /** Fields whose column has another name. */
  hidden: string[]
  others: 'reject' | 'drop' | 'store'
  words: string
  /** Whether a null is refused may depend on the user. */
  perUser?: 1
  /** Rules that need the database or code of the server. */
  server: string[]
}

/** Why the server would reject an operation. */
export interface Verdict {
  code: string
  /** The column, and the way into its JSON. */
  path?: string
  message: string
}

/** The SDK's `CrudEntry`, or any object with its parts. */
export interface OperationToCheck {
  op: string
  table: string
  id: string
  opData?: Record<string, unknown> | undefined
}
