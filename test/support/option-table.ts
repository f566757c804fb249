/**
 * The tables of docs/options.md: options, types and defaults come from the schema, meanings are written in the
 * document. `UPDATE=1 npx tsx test/documents/options.test.ts` writes them.
 */
import { Kind, type TObject, type TSchema } from '@sinclair/typebox'
import type { Row } from '../../lib/options/schema.js'

interface NamedRow extends Row { names: string[] }

/** @param documented the table as it stands in the document */
export function optionTable (schema: TObject, documented: string): string {
  const meanings = new Map(
    [...documented.matchAll(/^\| `([^`]+)`.*? (?<!\\)\| ((?:[^|]|\\\|)+) \|$/gm)].map(([, name, meaning]) => [name, meaning])
  )
  const rows = optionRows(schema).map(({ names, type, byDefault = '' }) => {
    const meaning = meanings.get(names[0]) ?? 'TO BE WRITTEN'
    return `| ${names.map(name => `\`${name}\``).join(', ')} | ${type} | ${byDefault} | ${meaning} |\n`
  })
  return `| option | type | default | meaning |\n| --- | --- | --- | --- |\n${rows.join('')}`
}

/** An option without a row of its own shares that of the option before it. */
export function optionRows (schema: TObject, prefix = ''): NamedRow[] {
  const rows: NamedRow[] = []
  for (const [name, property] of Object.entries<TSchema>(schema.properties)) {
    const row = property['row'] as Row | undefined
    const inner = objectIn(property)
    if (row) rows.push({ byDefault: wordsOf(property['default']), ...withoutUndefined(row), names: [prefix + name] })
    else if (!inner) rows.at(-1)!.names.push(prefix + name)
    if (inner) rows.push(...optionRows(inner, `${prefix}${name}.`))
  }
  return rows
}

function objectIn (schema: TSchema): TObject | undefined {
  if (schema[Kind] === 'Union') return (schema['anyOf'] as TSchema[]).map(objectIn).find(Boolean)
  const isGroup =
    schema[Kind] === 'Object' &&
    Object.values<TSchema>(schema['properties']).some(property => property['row'] || objectIn(property))
  return isGroup ? schema as TObject : undefined
}

function wordsOf (value: unknown): string {
  if (typeof value === 'number') return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ' ')
  return value === undefined ? '' : `\`${typeof value === 'string' ? `'${value}'` : value}\``
}

const withoutUndefined = (row: Row): Row => JSON.parse(JSON.stringify(row)) as Row
