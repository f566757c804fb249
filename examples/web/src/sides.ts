/** The local row and the document of the server, column by column, with the types that each side stores. */
import { element } from './dom.js'
import type { ExtendedJson, ServerDocument } from './server.js'

interface Value { text: string, type: string }

export function sides (row: Record<string, string | number | null>, document: ServerDocument | undefined): HTMLElement {
  const columns = [...new Set([...Object.keys(row), ...Object.keys(document ?? {}).map(name => name === '_id' ? 'id' : name)])]
  const lines = columns.map(column => {
    const stored = document?.[column === 'id' ? '_id' : column]
    return element('tr', {},
      element('th', { scope: 'row' }, column),
      cell(local(row[column])),
      document ? cell(stored === undefined ? undefined : remote(stored)) : element('td', { className: 'missing' }, '–'))
  })
  return element('table', {},
    element('thead', {}, element('tr', {}, ...['Column', 'SQLite, here', 'MongoDB, there'].map(text => element('th', { scope: 'col' }, text)))),
    element('tbody', {}, ...lines))
}

function cell (value: Value | undefined): HTMLElement {
  if (!value) return element('td', { className: 'missing' }, '–')
  return element('td', {}, element('code', {}, value.text), ' ', element('span', { className: 'type' }, value.type))
}

function local (value: string | number | null | undefined): Value | undefined {
  if (value === undefined) return undefined
  if (value === null) return { text: 'null', type: '' }
  return typeof value === 'string' ? { text: value, type: 'text' } : { text: String(value), type: Number.isInteger(value) ? 'integer' : 'real' }
}

const names: Record<string, string> = { $numberInt: 'int', $numberLong: 'long', $numberDouble: 'double', $numberDecimal: 'decimal', $oid: 'objectId' }

function remote (value: ExtendedJson): Value {
  if (value === null) return { text: 'null', type: '' }
  if (typeof value === 'string') return { text: value, type: 'string' }
  if (typeof value === 'boolean') return { text: String(value), type: 'bool' }
  if (Array.isArray(value)) return { text: JSON.stringify(value), type: 'array' }
  const [[key, inner] = ['', '']] = Object.entries(value)
  if (key === '$date') return { text: new Date(Number((inner as { $numberLong: string }).$numberLong)).toISOString(), type: 'date' }
  const type = names[key]
  return type ? { text: String(inner), type } : { text: JSON.stringify(value), type: 'object' }
}
