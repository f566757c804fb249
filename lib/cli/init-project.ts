import { Type, type TSchema } from '@sinclair/typebox'
import type { Collections } from '../../types/index.js'
import { bson } from '../schema/fields.js'
import { collection } from '../schema/collection.js'
import { usageError } from './io.js'

/** A table as `--table` describes it. */
export interface Table {
  name: string
  columns: Column[]
  owner: string | undefined
}

interface Column { name: string, type: ColumnType, optional: boolean }

const columnTypes = {
  text: { source: 'Type.String()', schema: () => Type.String(), sample: 'text' },
  integer: { source: 'bson.Int32()', schema: () => bson.Int32(), sample: 1 },
  number: { source: 'bson.Double()', schema: () => bson.Double(), sample: 1.5 },
  boolean: { source: 'bson.Boolean()', schema: () => bson.Boolean(), sample: 1 },
  date: { source: 'bson.Date()', schema: () => bson.Date(), sample: '2026-01-15T09:30:00Z' },
  owner: { source: 'Type.String()', schema: () => Type.String(), sample: 'ada' }
} satisfies Record<string, { source: string, schema: () => TSchema, sample: unknown }>

type ColumnType = keyof typeof columnTypes

export const defaultTables = ['lists: name, created_at? date, owner_id owner', 'todos: list_id, description, completed? boolean, owner_id owner']

/**
 * @param text as in `lists: name, created_at? date, owner_id owner`
 * @throws {CommandError} for anything else
 */
export function parseTable (text: string): Table {
  const [name = '', list = '', ...rest] = text.split(':').map(part => part.trim())
  const columns = list.split(',').map(parseColumn)
  const owners = columns.filter(column => column?.type === 'owner')
  const names = columns.map(column => column?.name)
  if (!/^[a-z]\w*$/i.test(name) || rest.length > 0 || columns.includes(undefined) || owners.length > 1 || new Set(names).size < names.length) {
    throw usageError(`the table "${text}" cannot be read`,
      `write a name and columns, as in "${defaultTables[0]}": ? is for columns that may be null, the types are ${Object.keys(columnTypes).join(', ')}, and at most one column is the owner's; every table has an id by itself`)
  }
  return { name, columns: columns as Column[], owner: owners[0]?.name }
}

function parseColumn (text: string): Column | undefined {
  const [, name = '', optional = '', type = 'text'] = /^([a-z]\w*)(\?)?(?:\s+(\w+))?$/i.exec(text.trim()) ?? []
  if (!name || name === 'id' || !Object.hasOwn(columnTypes, type)) return undefined
  return { name, type: type as ColumnType, optional: optional !== '' }
}

/** The tables as the plugin has them. */
export function collectionsOf (tables: Table[]): Collections {
  return Object.fromEntries(tables.map(({ name, columns, owner }) => {
    const properties = columns.map(({ name, type, optional }) => [name, optional ? Type.Optional(columnTypes[type].schema()) : columnTypes[type].schema()])
    return [name, collection({ schema: Type.Object(Object.fromEntries(properties)), ...owner === undefined ? {} : { owner } })]
  }))
}

/** The text of powersync.config. */
export function configOf (tables: Table[]): string {
  const text = tables.map(({ name, columns, owner }) => {
    const properties = columns.map(({ name, type, optional }) => `      ${name}: ${optional ? `Type.Optional(${columnTypes[type].source})` : columnTypes[type].source}`)
    return `  ${name}: collection({\n    schema: Type.Object({\n${properties.join(',\n')}\n    })${owner === undefined ? '' : `,\n    owner: '${owner}'`}\n  })`
  }).join(',\n')
  return `import { ${text.includes('bson.') ? 'bson, ' : ''}collection, Type } from 'fastify-powersync-mongo'

/** What clients may write, as which types, and which column holds a row's owner. The command line reads this file, too. */
export const collections = {
${text}
}
`
}

/** A row that the schema takes, as JavaScript. */
export const sampleOf = ({ columns }: Table): string =>
  `{ ${columns.map(({ name, type }) => `${name}: ${JSON.stringify(columnTypes[type].sample).replaceAll('"', "'")}`).join(', ')} }`
