/** One write for each way in which the server refuses a transaction. */
import { addTodo, database, list, user } from './database.js'

export interface Rejection {
  code: string
  label: string
  about: string
  write: () => Promise<unknown>
}

export const rejections: Rejection[] = [
  {
    code: 'INVALID_DATA',
    label: 'Date that is none',
    about: 'SQLite keeps any text in created_at; the schema of the server wants a date.',
    write: () => addTodo({ description: 'Learn to tell the time', created_at: 'tomorrow, perhaps' })
  },
  {
    code: 'SCHEMA_MISMATCH',
    label: 'Unknown table',
    about: 'The app has a table, notes, that is not among the collections of the server.',
    write: () => database.execute('INSERT INTO notes (id, text) VALUES (uuid(), ?)', ['Nobody expects this table'])
  },
  {
    code: 'UNAUTHORIZED',
    label: 'In another name',
    about: 'The hook authorize lets nobody write a todo as somebody else.',
    write: () => addTodo({ description: 'Forge a signature', created_by: 'somebody else' })
  },
  {
    code: 'DUPLICATE_KEY',
    label: 'Second list of a name',
    about: 'A unique index in MongoDB: an owner has one list of each name.',
    write: () => database.execute('INSERT INTO lists (id, name, owner_id, created_at) VALUES (uuid(), ?, ?, ?)', [list.name, user, new Date().toISOString()])
  },
  {
    code: 'NOTHING_TO_DO',
    label: 'Todo without words',
    about: 'A rule of the app: a hook throws PowerSyncFatalError with a code of its own.',
    write: () => addTodo({ description: '   ' })
  }
]
