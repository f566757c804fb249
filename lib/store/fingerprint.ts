import { hash } from 'node:crypto'
import { parseJson } from '../json.js'
import type { CrudOperation } from '../../types/index.js'
import { fingerprintBytes } from './page.js'

/**
 * Identifies an uploaded operation by its `op_id` and its content: a client database that was restored from a backup
 * gives old ids to new operations. Undefined without `op_id`: nothing is guessed.
 *
 * The same content has the same fingerprint in whatever form it is sent: names are sorted, since Swift encodes them in
 * another order in each process, and JSON may be text or parsed. What the client knew before (`old`, `metadata`) is no
 * part of it.
 */
export function fingerprintOf ({ opId, op, table, id, data }: CrudOperation): string | undefined {
  if (opId === undefined) return undefined
  const content = `${op}${measured(opId)}${measured(table)}${measured(id)}${canonical(data)}`
  return hash('sha256', content, 'binary').slice(0, fingerprintBytes)
}

/**
 * A value as text that no other value has: names sorted at any depth, in texts that hold JSON too. A text has its
 * length before it, so that nothing in it needs to be escaped: JSON.stringify takes twice the time.
 */
export function canonical (value: unknown): string {
  if (typeof value === 'string') return mayBeJson(value) ? canonicalText(value) : measured(value)
  if (typeof value !== 'object' || value === null) return String(value)
  let text = ''
  if (Array.isArray(value)) {
    for (const item of value) text += `${canonical(item)},`
    return `[${text}]`
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  // A number that JavaScript cannot hold, as the body's parser keeps it.
  if (prototype !== Object.prototype && prototype !== null) return String(value)
  for (const name of sortedNames(value)) text += `${measured(name)}${canonical((value as Record<string, unknown>)[name])},`
  return `{${text}}`
}

const measured = (text: string) => `${text.length}"${text}`

/** Neighbours in an upload have the same columns as a rule: sorting these takes as long as all the rest. */
let latest: { names: string[], sorted: string[] } = { names: [], sorted: [] }

function sortedNames (value: object): string[] {
  const names = Object.keys(value)
  const isSame = names.length === latest.names.length && names.every((name, index) => name === latest.names[index])
  if (!isSame) latest = { names, sorted: [...names].sort() }
  return latest.sorted
}

/** Whether a text begins as an array or an object does. */
function mayBeJson (text: string): boolean {
  const first = text.charCodeAt(0)
  return first === 0x5b || first === 0x7b || (first <= 0x20 && /^\s*[[{]/.test(text))
}

function canonicalText (text: string): string {
  try {
    return canonical(parseJson(text))
  } catch {
    return measured(text)
  }
}
