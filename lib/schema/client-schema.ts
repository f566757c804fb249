import type { Collections } from '../../types/collections.js'
import type { Column } from './codec.js'
import { fieldsOf } from './field-list.js'

export interface ClientTable {
  name: string
  columns: { name: string, type: Column }[]
}

/** The languages of PowerSync's client SDKs that a schema can be printed for. */
export const clientTargets = ['js', 'dart', 'kotlin', 'swift'] as const
export type ClientTarget = typeof clientTargets[number]

/**
 * The code of the client's PowerSync schema: its tables and columns, without `id`, which every table has.
 * The service has generators of its own (`@powersync/service-sync-rules`); these give the same tables and columns, and
 * need neither that package nor a database to look at.
 */
export function clientSchemaOf (collections: Collections, target: ClientTarget): string {
  // In all these languages a comment.
  const remarks = Object.keys(collections).filter(name => collections[name]?.schema === 'any')
    .map(name => `// ${JSON.stringify(name)} has no schema: add the columns that your app uses.\n`)
  return remarks.join('') + printers[target](clientTablesOf(collections))
}

/** The same as data. A collection without schema is a table without columns. */
export function clientTablesOf (collections: Collections): ClientTable[] {
  return Object.entries(collections).map(([name, collection]) => ({
    name,
    columns: fieldsOf(name, collection).map(({ column, codec }) => ({ name: column, type: codec.column }))
  }))
}

const printers: Record<ClientTarget, (tables: ClientTable[]) => string> = {
  js: tables => `import { column, Schema, Table } from '@powersync/common'

export const AppSchema = new Schema({
${list(tables, ',\n', ({ name, columns }) => `  ${key(name)}: new Table({
${list(columns, ',\n', column => `    ${key(column.name)}: column.${column.type}`)}
  })`)}
})
`,
  dart: tables => `import 'package:powersync/powersync.dart';

const schema = Schema([
${list(tables, ',\n', ({ name, columns }) => `  Table(${dart(name)}, [
${list(columns, ',\n', column => `    Column.${column.type}(${dart(column.name)})`)}
  ])`)}
]);
`,
  kotlin: tables => `import com.powersync.db.schema.Column
import com.powersync.db.schema.Schema
import com.powersync.db.schema.Table

val schema = Schema(
${list(tables, ',\n', ({ name, columns }) => `  Table(
    name = ${kotlin(name)},
    columns = listOf(
${list(columns, ',\n', column => `      Column.${column.type}(${kotlin(column.name)})`)}
    )
  )`)}
)
`,
  swift: tables => `import PowerSync

let schema = Schema(
${list(tables, ',\n', ({ name, columns }) => `  Table(
    name: ${swift(name)},
    columns: [
${list(columns, ',\n', column => `      .${column.type}(${swift(column.name)})`)}
    ]
  )`)}
)
`
}

const list = <Item>(items: Item[], separator: string, print: (item: Item) => string) => items.map(print).join(separator)

/** A property's name: quoted where it is no identifier. */
const key = (name: string) => /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name)
/** Text in these languages is JSON's, but for what starts an interpolation. */
const dart = (name: string) => `'${JSON.stringify(name).slice(1, -1).replace(/['$]/g, '\\$&').replaceAll('\\"', '"')}'`
const kotlin = (name: string) => JSON.stringify(name).replaceAll('$', '\\$')
const swift = (name: string) => JSON.stringify(name).replace(/\\u([0-9a-f]{4})/g, '\\u{$1}')
