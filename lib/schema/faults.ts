/** `SCHEMA_MISMATCH`: a column that the collection does not know. `UNAUTHORIZED`: one that the user may not write. */
export type DecodeFaultCode = 'INVALID_DATA' | 'SCHEMA_MISMATCH' | 'UNAUTHORIZED'

/** Letters of a path after which the rest is cut: the client may have named each step. */
const LONGEST_PATH = 512

/** Why an uploaded value cannot be stored: types and places, never a value. Returned, not thrown: bad data are no surprise. */
export class DecodeFault {
  readonly #steps: Array<string | number> = []

  constructor (
    readonly code: DecodeFaultCode,
    /** What would be accepted, in words. */
    readonly expected: string,
    /** The type of what came, in words. */
    readonly found: string,
    readonly problem: string = 'cannot be stored'
  ) {}

  /** Adds an outer step to the path: a column, a name within its JSON, or a position. */
  within (step: string | number): this {
    this.#steps.unshift(step)
    return this
  }

  /** Column, and the way into its JSON: `address.lines[2]`. */
  get path (): string {
    return this.#steps.reduce<string>((path, step) => typeof step === 'number' ? `${path}[${step}]` : joinPath(path, step), '')
  }

  get message (): string {
    return `${this.path} ${this.problem}: expected ${this.expected}, found ${this.found}`
  }
}

/** Names of unknown columns come from the client: they are cut, and quoted where they look odd. */
export function joinPath (path: string, key: string): string {
  if (path.length > LONGEST_PATH) return path.endsWith('…') ? path : `${path}…`
  const name = /^[\w$-]{1,64}$/.test(key) ? key : JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)
  return path === '' ? name : `${path}.${name}`
}
