import { hash } from 'node:crypto'
import { parseJson } from '../json.js'
import type { CrudOperation } from '../../types/index.js'
import { fingerprintBytes } from './page.js'

/**
 * By what an uploaded operation is known: `op_id`, and what it writes. A client database that was restored from a backup
 * gives old ids to new operations. Undefined without `op_id`: there is nothing to know it by, and no guessing.
 *
 * The same content has the same fingerprint in whatever form it is sent: names are sorted, since Swift encodes them in
 * another order in each process, and JSON may be text or parsed. What the client knew before (`old`, `metadata`) is no
 * part of it.
 */
export function fingerprintOf ({ opId, op, table, id, data }: CrudOperation): string | undefined {
  if (opId === undefined) return undefined
  return hash('sha256', canonical([opId, op, table, id, data]), 'binary').slice(0, fingerprintBytes)
}

/** JSON whose names are sorted, at any depth, in texts that hold JSON too. */
export function canonical (value: unknown): string {
  if (typeof value === 'string') return mayBeJson(value) ? canonicalText(value) : JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  const prototype: unknown = Object.getPrototypeOf(value)
  // A number that JavaScript cannot hold, as the body's parser keeps it.
  if (prototype !== Object.prototype && prototype !== null) return String(value)
  let text = ''
  for (const name of Object.keys(value).sort()) text += `${JSON.stringify(name)}:${canonical((value as Record<string, unknown>)[name])},`
  return `{${text}}`
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
    return JSON.stringify(text)
  }
}
