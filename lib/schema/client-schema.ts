import type { Collection, Collections } from '../../types/collections.js'
import { fieldsOf, type Field } from './field-list.js'
import type { Column } from './types.js'

export interface ClientTable {
  name: string
  columns: Array<{ name: string, type: Column }>
  /** As the JavaScript SDK spells them; those of the others differ in form only. */
  options: {
    /** Clients only insert: nothing of the table is kept on the device. */
    insertOnly?: true
    trackMetadata?: true
    trackPrevious?: { columns: string[] }
    ignoreEmptyUpdates?: true
  }
}

export const clientTargets = ['js', 'dart', 'kotlin', 'swift'] as const
export type ClientTarget = typeof clientTargets[number]

/**
 * The code of the client's PowerSync schema: its tables and columns, without `id`, which every table has. It is that of
 * the service's own generators (`@powersync/service-sync-rules`), and needs no database to look at.
 * @param others tables to print behind those of the collections
 */
export function clientSchemaOf (
  collections: Collections, target: ClientTarget, others: readonly ClientTable[] = []
): string {
  // In all these languages a comment.
  const remarks = Object.keys(collections).filter(name => collections[name]?.schema === 'any')
    .map(name => `// ${JSON.stringify(name)} has no schema: add the columns that your app uses.\n`)
  const { file, table, text, column, sign, track } = languages[target]
  const tables = [...clientTablesOf(collections), ...others].map(({ name, columns, options }) => {
    const { insertOnly, trackMetadata, trackPrevious, ignoreEmptyUpdates } = options
    // Swift insists on this order.
    const set = [
      insertOnly && `insertOnly${sign}true`,
      trackMetadata && `trackMetadata${sign}true`,
      trackPrevious && track(trackPrevious.columns.map(text).join(', ')),
      ignoreEmptyUpdates && `ignoreEmptyUpdates${sign}true`
    ].filter(option => option !== undefined)
    return table(name, columns.map(({ name, type }) => column(name, type)).join(',\n'), set)
  })
  return remarks.join('') + file(tables.join(',\n'))
}

/** The same as data. A collection without schema is a table without columns. */
export function clientTablesOf (collections: Collections): ClientTable[] {
  return Object.entries(collections).map(([name, collection]) => {
    const fields = fieldsOf(name, collection)
    const columns = fields.map(({ column, type }) => ({ name: column, type: type.column }))
    return { name, columns, options: optionsOf(collection, fields) }
  })
}

/** The columns that the table tracks for `resolveConflict`, and the updates that it leaves out. */
function optionsOf ({ operations, resolveConflict }: Collection, fields: Field[]): ClientTable['options'] {
  if (operations.join() === 'PUT') return { insertOnly: true }
  const { tracks } = { ...resolveConflict }
  const previous = fields.filter(({ name }) => tracks?.previous?.includes(name)).map(({ column }) => column)
  return {
    ...tracks?.previous?.length && { trackPrevious: { columns: previous } },
    ...tracks?.metadata && { trackMetadata: true },
    ...tracks && { ignoreEmptyUpdates: true }
  }
}

/** How a language writes a schema, out of the parts that it has written already. */
interface Language {
  file (tables: string): string
  table (name: string, columns: string, options: string[]): string
  column (name: string, type: Column): string
  /** Between an option and its value. */
  sign: string
  track (columns: string): string
  text (value: string): string
}

// Text in these languages is JSON's, but for what starts an interpolation.
const js = (text: string) => `'${JSON.stringify(text).slice(1, -1).replaceAll("'", "\\'").replaceAll('\\"', '"')}'`
const dart = (text: string) => js(text).replaceAll('$', '\\$')
const kotlin = (text: string) => JSON.stringify(text).replaceAll('$', '\\$')
const swift = (text: string) => JSON.stringify(text).replace(/\\u([0-9a-f]{4})/g, '\\u{$1}')
/** A property's name: quoted where it is no identifier. */
const key = (name: string) => /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name)

/** Arguments that have names, each on a line of its own. */
const named = (values: string[], options: string[]) => `  Table(\n    ${[...values, ...options].join(',\n    ')}\n  )`
const trackPreviousValues = (columns: string) =>
  `trackPreviousValues: TrackPreviousValuesOptions(columnFilter: [${columns}])`

const languages: Record<ClientTarget, Language> = {
  js: {
    file: tables =>
      `import { column, Schema, Table } from '@powersync/common'\n\nexport const AppSchema = new Schema({\n${tables}\n})\n`,
    table: (name, columns, options) =>
      `  ${key(name)}: new Table({\n${columns}\n  }${options.length ? `, { ${options.join(', ')} }` : ''})`,
    column: (name, type) => `    ${key(name)}: column.${type}`,
    sign: ': ',
    track: columns => `trackPrevious: { columns: [${columns}] }`,
    text: js
  },
  dart: {
    file: tables => `import 'package:powersync/powersync.dart';\n\nconst schema = Schema([\n${tables}\n]);\n`,
    table (name, columns, options) {
      const insertOnly = options[0] === 'insertOnly: true'
      const others = insertOnly ? [] : options.map(option => `, ${option}`)
      return `  Table${insertOnly ? '.insertOnly' : ''}(${dart(name)}, [\n${columns}\n  ]${others.join('')})`
    },
    column: (name, type) => `    Column.${type}(${dart(name)})`,
    sign: ': ',
    track: trackPreviousValues,
    text: dart
  },
  kotlin: {
    file (tables) {
      const names = ['Column', 'Schema', 'Table']
      if (tables.includes('trackPreviousValues = ')) names.push('TrackPreviousValuesOptions')
      const imports = names.map(name => `import com.powersync.db.schema.${name}\n`)
      return `${imports.join('')}\nval schema = Schema(\n${tables}\n)\n`
    },
    table: (name, columns, options) =>
      named([`name = ${kotlin(name)}`, `columns = listOf(\n${columns}\n    )`], options),
    column: (name, type) => `      Column.${type}(${kotlin(name)})`,
    sign: ' = ',
    track: columns => `trackPreviousValues = TrackPreviousValuesOptions(columnFilter = listOf(${columns}))`,
    text: kotlin
  },
  swift: {
    file: tables => `import PowerSync\n\nlet schema = Schema(\n${tables}\n)\n`,
    table: (name, columns, options) => named([`name: ${swift(name)}`, `columns: [\n${columns}\n    ]`], options),
    column: (name, type) => `      .${type}(${swift(name)})`,
    sign: ': ',
    track: trackPreviousValues,
    text: swift
  }
}
