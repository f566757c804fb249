import { column, Schema, Table } from '@powersync/common'

export const AppSchema = new Schema({
  lists: new Table({
    name: column.text,
    created_at: column.text,
    owner_id: column.text
  }),
  todos: new Table({
    list_id: column.text,
    description: column.text,
    completed: column.integer,
    owner_id: column.text
  })
})
