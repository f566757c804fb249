import type { Collection, Collections } from '../../types/collections.js'
import type { ConflictTracking } from '../../types/hooks.js'
import { fieldsOf, type Field } from './field-list.js'
import type { Column } from './types.js'

export interface ClientTable {
  name: string
  columns: Array<{ name: string, type: Column }>
  /** As the JavaScript SDK spells them; those of the others differ in form only. */
  options: ClientTableOptions
}

interface ClientTableOptions {
  /** Clients only insert: nothing of the table is kept on the device. */
  insertOnly?: true
  trackPrevious?: { columns: string[] }
  trackMetadata?: true
  ignoreEmptyUpdates?: true
}

/** The languages of PowerSync's client SDKs that a schema can be printed for. */
export const clientTargets = ['js', 'dart', 'kotlin', 'swift'] as const
export type ClientTarget = typeof clientTargets[number]

/**
 * The code of the client's PowerSync schema: its tables and columns, without `id`, which every table has.
 * The service has generators of its own (`@powersync/service-sync-rules`); these give the same tables and columns, and
 * need neither that package nor a database to look at.
 * @param others tables to print behind those of the collections
 */
export function clientSchemaOf (
  collections: Collections,
  target: ClientTarget,
  others: readonly ClientTable[] = []
): string {
  // In all these languages a comment.
  const remarks = Object.keys(collections).filter(name => collections[name]?.schema === 'any')
    .map(name => `// ${JSON.stringify(name)} has no schema: add the columns that your app uses.\n`)
  return remarks.join('') + printers[target]([...clientTablesOf(collections), ...others])
}

/** The same as data. A collection without schema is a table without columns. */
export function clientTablesOf (collections: Collections): ClientTable[] {
  return Object.entries(collections).map(([name, collection]) => {
    const fields = fieldsOf(name, collection)
    return {
      name,
      columns: fields.map(({ column, type }) => ({ name: column, type: type.column })),
      options: optionsOf(collection, fields)
    }
  })
}

/** The columns that the table tracks for `resolveConflict`, and the updates that it leaves out. */
function optionsOf ({ operations, resolveConflict }: Collection, fields: Field[]): ClientTableOptions {
  if (operations.join() === 'PUT') return { insertOnly: true }
  const tracks: ConflictTracking = resolveConflict?.tracks ?? {}
  const { previous = [], metadata = false } = tracks
  return {
    ...(previous.length && {
      trackPrevious: { columns: fields.filter(({ name }) => previous.includes(name)).map(({ column }) => column) }
    }),
    ...metadata && { trackMetadata: true },
    ...resolveConflict?.tracks && { ignoreEmptyUpdates: true }
  }
}

const printers: Record<ClientTarget, (tables: ClientTable[]) => string> = {
  js: tables => `import { column, Schema, Table } from '@powersync/common'

export const AppSchema = new Schema({
${list(
  tables,
  ',\n',
  ({ name, columns, options }) => `  ${key(name)}: new Table({
${list(columns, ',\n', column => `    ${key(column.name)}: column.${column.type}`)}
  }${optionText(options, {
    before: ', { ',
    between: ', ',
    after: ' }',
    sign: ': ',
    trackPrevious: columns => ['trackPrevious', `{ columns: [${list(columns, ', ', js)}] }`]
  })})`
)}
})
`,
  dart: tables => `import 'package:powersync/powersync.dart';

const schema = Schema([
${list(
  tables,
  ',\n',
  ({
    name,
    columns,
    options: { insertOnly, ...options }
  }) => `  Table${insertOnly ? '.insertOnly' : ''}(${dart(name)}, [
${list(columns, ',\n', column => `    Column.${column.type}(${dart(column.name)})`)}
  ]${optionText(options, {
    before: ', ',
    between: ', ',
    sign: ': ',
    trackPrevious: columns => [
      'trackPreviousValues',
      `TrackPreviousValuesOptions(columnFilter: [${list(columns, ', ', dart)}])`
    ]
  })})`
)}
]);
`,
  kotlin: tables => `import com.powersync.db.schema.Column
import com.powersync.db.schema.Schema
import com.powersync.db.schema.Table
${tables.some(({ options }) => options.trackPrevious) ? 'import com.powersync.db.schema.TrackPreviousValuesOptions\n' : ''}
val schema = Schema(
${list(
  tables,
  ',\n',
  ({ name, columns, options }) => `  Table(
    name = ${kotlin(name)},
    columns = listOf(
${list(columns, ',\n', column => `      Column.${column.type}(${kotlin(column.name)})`)}
    )${optionText(options, {
      before: ',\n    ',
      between: ',\n    ',
      sign: ' = ',
      trackPrevious: columns => [
        'trackPreviousValues',
        `TrackPreviousValuesOptions(columnFilter = listOf(${list(columns, ', ', kotlin)}))`
      ]
    })}
  )`
)}
)
`,
  swift: tables => `import PowerSync

let schema = Schema(
${list(
  tables,
  ',\n',
  ({ name, columns, options }) => `  Table(
    name: ${swift(name)},
    columns: [
${list(columns, ',\n', column => `      .${column.type}(${swift(column.name)})`)}
    ]${optionText(options, {
      before: ',\n    ',
      between: ',\n    ',
      sign: ': ',
      trackPrevious: columns => [
        'trackPreviousValues',
        `TrackPreviousValuesOptions(columnFilter: [${list(columns, ', ', swift)}])`
      ]
    })}
  )`
)}
)
`
}

/** How a language writes options. */
interface OptionStyle {
  before: string
  between: string
  after?: string
  sign: string
  trackPrevious (columns: string[]): [name: string, value: string]
}

/** The options of a table, after its columns. Swift insists on this order. */
function optionText (
  options: ClientTableOptions,
  { before, between, after = '', sign, trackPrevious }: OptionStyle
): string {
  const all = [
    options.insertOnly && ['insertOnly', 'true'],
    options.trackMetadata && ['trackMetadata', 'true'],
    options.trackPrevious && trackPrevious(options.trackPrevious.columns),
    options.ignoreEmptyUpdates && ['ignoreEmptyUpdates', 'true']
  ].filter(option => option !== undefined)
  return all.length ? `${before}${list(all, between, option => option.join(sign))}${after}` : ''
}

const list = <Item>(items: Item[], separator: string, print: (item: Item) => string) => items.map(print).join(separator)

/** A property's name: quoted where it is no identifier. */
const key = (name: string) => /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name)
/** Text in these languages is JSON's, but for what starts an interpolation. */
const js = (name: string) => `'${JSON.stringify(name).slice(1, -1).replaceAll("'", "\\'").replaceAll('\\"', '"')}'`
const dart = (name: string) => js(name).replaceAll('$', '\\$')
const kotlin = (name: string) => JSON.stringify(name).replaceAll('$', '\\$')
const swift = (name: string) => JSON.stringify(name).replace(/\\u([0-9a-f]{4})/g, '\\u{$1}')
