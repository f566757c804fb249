/** The local database, as in any PowerSync app; and what the page reads from it. */
import { column, PowerSyncDatabase, Schema, Table } from '@powersync/web'

const schema = new Schema({
  lists: new Table({ name: column.text, owner_id: column.text, created_at: column.text }),
  todos: new Table({
    list_id: column.text,
    description: column.text,
    completed: column.integer,
    created_at: column.text,
    created_by: column.text,
    completed_at: column.text,
    completed_by: column.text
  }),
  /** The server has no such collection. */
  notes: new Table({ text: column.text }),
  /** What the server answered, one row per transaction. Never uploaded. */
  answers: new Table({ at: column.text, position: column.integer, http_status: column.integer, status: column.text, code: column.text, message: column.text, operations: column.text }, { localOnly: true })
})

/** Where build.ts puts the SDK's worker. */
declare const workerUrl: string

export const database = new PowerSyncDatabase({
  schema,
  database: { dbFilename: 'todos.db', worker: workerUrl },
  sync: { worker: workerUrl }
})

export const user = 'demo'
export const list = { id: 'inbox', name: 'Inbox' }

type Row = Record<string, string | number | null>

export interface Todo {
  id: string
  description: string
  completed: number
  created_at: string
}

export interface QueuedOperation {
  op_id: number
  tx_id: number
  op: string
  table: string
  id: string
  data: Row | undefined
}

export interface Answer {
  id: string
  at: string
  /** 0 when there was none. */
  http_status: number
  status: string
  code: string | null
  message: string | null
  operations: Array<Pick<QueuedOperation, 'op' | 'table' | 'id'>>
}

export interface Local {
  todos: Todo[]
  queue: QueuedOperation[]
  answers: Answer[]
  /** The row to compare, with all its columns. */
  chosen: Row | null
}

export async function readLocal (chosen: string | undefined): Promise<Local> {
  return await database.readTransaction(async tx => {
    const todos = await tx.getAll<Todo>('SELECT id, description, completed, created_at FROM todos ORDER BY created_at DESC, id')
    const queue = await tx.getAll<{ id: number, tx_id: number, data: string }>('SELECT id, tx_id, data FROM ps_crud ORDER BY id')
    const answers = await tx.getAll<Omit<Answer, 'operations'> & { operations: string }>('SELECT * FROM answers ORDER BY at DESC, position DESC LIMIT 20')
    return {
      todos,
      queue: queue.map(({ id, tx_id: txId, data }) => {
        const { op, type, id: row, data: columns } = JSON.parse(data) as { op: string, type: string, id: string, data?: Row }
        return { op_id: id, tx_id: txId, op, table: type, id: row, data: columns }
      }),
      answers: answers.map(answer => ({ ...answer, operations: JSON.parse(answer.operations) as Answer['operations'] })),
      chosen: await tx.getOptional<Row>('SELECT * FROM todos WHERE id = ?', [chosen ?? todos[0]?.id ?? ''])
    }
  })
}

/** The first of each table that is there, once per browser. */
export async function prepareList (): Promise<void> {
  await database.writeTransaction(async tx => {
    if (await tx.getOptional('SELECT id FROM lists WHERE id = ?', [list.id])) return
    await tx.execute('INSERT INTO lists (id, name, owner_id, created_at) VALUES (?, ?, ?, ?)', [list.id, list.name, user, new Date().toISOString()])
  })
}

export async function addTodo (columns: Partial<Record<'description' | 'created_at' | 'created_by', string>>): Promise<string> {
  const { description = '', created_at: createdAt = new Date().toISOString(), created_by: createdBy = user } = columns
  const id = crypto.randomUUID()
  await database.execute('INSERT INTO todos (id, list_id, description, completed, created_at, created_by) VALUES (?, ?, ?, 0, ?, ?)', [id, list.id, description, createdAt, createdBy])
  return id
}

export async function tickTodo (id: string, completed: boolean): Promise<void> {
  const at = completed ? new Date().toISOString() : null
  await database.execute('UPDATE todos SET completed = ?, completed_at = ?, completed_by = ? WHERE id = ?', [completed ? 1 : 0, at, completed ? user : null, id])
}

export async function renameTodo (id: string, description: string): Promise<void> {
  await database.execute('UPDATE todos SET description = ? WHERE id = ?', [description, id])
}

export async function deleteTodo (id: string): Promise<void> {
  await database.execute('DELETE FROM todos WHERE id = ?', [id])
}

export async function rememberAnswers (answers: Array<Omit<Answer, 'id'>>): Promise<void> {
  await database.writeTransaction(async tx => {
    for (const [position, { at, http_status: httpStatus, status, code, message, operations }] of answers.entries()) {
      await tx.execute('INSERT INTO answers (id, at, position, http_status, status, code, message, operations) VALUES (uuid(), ?, ?, ?, ?, ?, ?, ?)', [at, position, httpStatus, status, code, message, JSON.stringify(operations)])
    }
    await tx.execute('DELETE FROM answers WHERE id NOT IN (SELECT id FROM answers ORDER BY at DESC LIMIT 50)')
  })
}
