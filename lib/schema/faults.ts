/**
 * `SCHEMA_MISMATCH`: the data have a column that the collection does not know. `UNAUTHORIZED`: one that the user may not
 * write. Else `INVALID_DATA`.
 */
export type DecodeFaultCode = 'INVALID_DATA' | 'SCHEMA_MISMATCH' | 'UNAUTHORIZED'

/**
 * Why an uploaded value cannot be stored. Returned, not thrown, since bad data are nothing unexpected.
 * It names types and places, never a value.
 */
export class DecodeFault {
  constructor (
    readonly code: DecodeFaultCode,
    /** Column, and the way into its JSON: `address.lines[2]`. */
    readonly path: string,
    /** What would be accepted, in words. */
    readonly expected: string,
    /** The type of what came, in words. */
    readonly found: string,
    readonly problem: string = 'cannot be stored'
  ) {}

  get message (): string {
    return `${this.path} ${this.problem}: expected ${this.expected}, found ${this.found}`
  }
}

/** Letters of a way into the data from which on it is not told any further: the client may have named each step. */
const longestPath = 512

/** A way into the data. Names of unknown columns come from the client: they are cut and quoted where they look odd. */
export function joinPath (path: string, key: string): string {
  if (path.length > longestPath) return path.endsWith('…') ? path : `${path}…`
  const name = /^[\w$-]{1,64}$/.test(key) ? key : JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)
  return path === '' ? name : `${path}.${name}`
}
