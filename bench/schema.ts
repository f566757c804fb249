/** The collections of the rows in uploads.ts: eight typed fields. */
import { Type } from '@sinclair/typebox'
import { bson, collection } from './package.js'
import { tableName } from './uploads.js'

const schema = Type.Object({
  text: Type.String({ maxLength: 200 }),
  date: bson.Date(),
  flag: bson.Boolean(),
  count: bson.Int32(),
  size: bson.Double(),
  ref: bson.ObjectId(),
  state: Type.Union([Type.Literal('open'), Type.Literal('done')]),
  note: Type.Optional(Type.String())
})

export const collectionsOf = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [tableName(index), collection({ schema })]))
