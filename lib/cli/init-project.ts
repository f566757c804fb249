import { Type, type TSchema } from '@sinclair/typebox'
import type { Collections } from '../../types/index.js'
import { bson } from '../schema/fields.js'
import { collection } from '../schema/collection.js'
import { usageError } from './terminal.js'

/** A table as `--table` describes it. */
export interface Table { name: string, columns: Column[], owner: string | undefined }

interface Column { name: string, type: keyof typeof columnTypes, optional: boolean }

const columnTypes = {
  text: { source: 'Type.String()', schema: Type.String(), sample: 'text' },
  integer: { source: 'bson.Int32()', schema: bson.Int32(), sample: 1 },
  number: { source: 'bson.Double()', schema: bson.Double(), sample: 1.5 },
  boolean: { source: 'bson.Boolean()', schema: bson.Boolean(), sample: 1 },
  date: { source: 'bson.Date()', schema: bson.Date(), sample: '2026-01-15T09:30:00Z' },
  owner: { source: 'Type.String()', schema: Type.String(), sample: 'ada' }
} satisfies Record<string, { source: string, schema: TSchema, sample: unknown }>

export const defaultTables = [
  'lists: name, created_at? date, owner_id owner',
  'todos: list_id, description, completed? boolean, owner_id owner'
]

const tableFix =
  `write a name and columns, as in "${defaultTables[0]}": ? marks columns that may be null, the types are ` +
  `${Object.keys(columnTypes).join(', ')}, and one column may be the owner's; every table has an id by itself`

/**
 * @param text as in `lists: name, created_at? date, owner_id owner`
 * @throws {CommandError} for anything else
 */
export function parseTable (text: string): Table {
  const [, name, list] = /^\s*([a-z]\w*)\s*:([^:]+)$/i.exec(text) ?? []
  const columns = list?.split(',').map(parseColumn) ?? [undefined]
  const owners = columns.filter(column => column?.type === 'owner')
  const isUnique = new Set(columns.map(column => column?.name)).size === columns.length
  if (!name || columns.includes(undefined) || owners.length > 1 || !isUnique) {
    throw usageError(`the table "${text}" cannot be read`, tableFix)
  }
  return { name, columns: columns as Column[], owner: owners[0]?.name }
}

function parseColumn (text: string): Column | undefined {
  const [, name = 'id', optional, type = 'text'] = /^([a-z]\w*)(\?)?(?:\s+(\w+))?$/i.exec(text.trim()) ?? []
  if (name === 'id' || !Object.hasOwn(columnTypes, type)) return undefined
  return { name, type: type as Column['type'], optional: optional === '?' }
}

/** The tables as the plugin has them. */
export function collectionsOf (tables: Table[]): Collections {
  return Object.fromEntries(tables.map(({ name, columns, owner }) => {
    const properties = columns.map(({ name, type, optional }): [string, TSchema] => {
      const { schema } = columnTypes[type]
      return [name, optional ? Type.Optional(schema) : schema]
    })
    return [name, collection({ schema: Type.Object(Object.fromEntries(properties)), owner })]
  }))
}

/** The text of powersync.config. */
export function configOf (tables: Table[]): string {
  const text = tables.map(({ name, columns, owner }) => {
    const properties = columns.map(({ name, type, optional }) => {
      const { source } = columnTypes[type]
      return `      ${name}: ${optional ? `Type.Optional(${source})` : source}`
    })
    const rule = owner === undefined ? '' : `,\n    owner: '${owner}'`
    return `  ${name}: collection({\n    schema: Type.Object({\n${properties.join(',\n')}\n    })${rule}\n  })`
  }).join(',\n')
  return `import { ${text.includes('bson.') ? 'bson, ' : ''}collection, Type } from 'fastify-powersync-mongo'

/** What clients may write, with types and owners. The command line reads this file, too. */
export const collections = {
${text}
}
`
}

/** A row that the schema takes, as JavaScript. */
export function sampleOf ({ columns }: Table): string {
  const values = columns.map(
    ({ name, type }) => `${name}: ${JSON.stringify(columnTypes[type].sample).replaceAll('"', "'")}`
  )
  return `{ ${values.join(', ')} }`
}
