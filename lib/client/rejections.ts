/** Rejected changes on the device of their author: the mirror of the server's dead letters. */
import type {
  Correction, LocalTransaction, RejectedOperation, Rejection, Rejections, RejectionsDatabase, RejectionsOptions
} from '../../types/rejections.js'
import { ConnectorError } from './errors.js'
import { quote } from './sql.js'

/**
 * The columns of the client's table, for its schema.
 * @param column the SDK's own
 * @example
 * new Schema({ ...tables, rejections: new Table(rejectionColumns(column)) })
 */
export function rejectionColumns <Text, Integer> ({ text, integer }: { text: Text, integer: Integer }) {
  return {
    created_at: text,
    error_code: text,
    message: text,
    path: text,
    table: text,
    row_id: text,
    op: text,
    data: text,
    operation_index: integer,
    operations: text
  }
}

type Row = { id: string } & ReturnType<typeof rejectionColumns<string, number | null>>

/** The rejections of the signed-in user: for a schema with `rejectionColumns`, and the stream that `streams` prints. */
export function createRejections (database: RejectionsDatabase, options: RejectionsOptions = {}): Rejections {
  const { table = 'rejections' } = options
  const name = quote(table)

  return {
    all,
    watch,
    discard: id => settle(id, () => []),
    resend: (id, correction = {}) => settle(id, rejection => corrected(rejection, correction))
  }

  async function all (): Promise<Rejection[]> {
    return (await database.getAll<Row>(`SELECT * FROM ${name} ORDER BY created_at, id`)).map(read)
  }

  function watch (onChange: (rejections: Rejection[]) => void, onError?: (error: Error) => void): () => void {
    let isWatched = true
    const look = () => all()
      .then(rejections => { if (isWatched) onChange(rejections) })
      .catch((error: Error) => onError?.(error))
    let latest = look()
    const dispose = database.onChange({ onChange: () => { latest = latest.then(look) } }, { tables: [table] })
    return () => {
      isWatched = false
      dispose()
    }
  }

  function settle (id: string, write: (rejection: Rejection) => RejectedOperation[]): Promise<boolean> {
    return database.writeTransaction(async transaction => {
      const row = await transaction.getOptional<Row>(`SELECT * FROM ${name} WHERE id = ?`, [id])
      if (!row) return false
      for (const operation of write(read(row))) await apply(operation, transaction)
      // At the end: an upload that is cut into parts must not settle what it has not written yet.
      await transaction.execute(`DELETE FROM ${name} WHERE id = ?`, [id])
      return true
    })
  }
}

function read (row: Row): Rejection {
  const { id, error_code: code, message, path, operation_index: index } = row
  const operations: RejectedOperation[] | null = JSON.parse(withExactNumbers(row.operations ?? 'null'))
  const failed = operations?.[index ?? (operations.length === 1 ? 0 : -1)]
  return { id, createdAt: new Date(row.created_at.replace(' ', 'T')), code, message, path, operations, failed }
}

/** A 64-bit number of another SDK is exact as text, which the server takes as well: JavaScript would round it. */
function withExactNumbers (json: string): string {
  let inText = false
  return json.replace(/(?:\\.){1,99}|"|-?\d[\d.eE+-]*/g, token => {
    if (token === '"') inText = !inText
    const isRounded = !inText && /^-?\d{16,}$/.test(token) && String(Number(token)) !== token
    return isRounded ? `"${token}"` : token
  })
}

function corrected ({ operations, failed }: Rejection, correction: Correction): RejectedOperation[] {
  if (!operations) throw cannot('it is too large to be on the device')
  if (typeof correction === 'function') return correction(operations)
  if (!failed && Object.keys(correction).length) throw cannot('which operation failed is unknown: pass a function')
  const change = (operation: RejectedOperation) => ({ ...operation, data: { ...operation.data, ...correction } })
  return operations.map(operation => operation === failed ? change(operation) : operation)
}

/** As the app itself would write it, so that the SDK queues the same operation. */
async function apply ({ op, table, id, data, metadata }: RejectedOperation, transaction: LocalTransaction) {
  const name = quote(table)
  const own = { ...metadata !== undefined && { _metadata: metadata }, id: op === 'PUT' ? id : undefined }
  const values = Object.entries({ ...data, ...own }).filter(([, value]) => value !== undefined)
  const columns = values.map(([column]) => quote(column))
  const parameters = values.map(([, value]) => toSQLite(value))
  if (op === 'DELETE' && metadata === undefined) return transaction.execute(`DELETE FROM ${name} WHERE id = ?`, [id])
  if (op === 'DELETE') {
    return transaction.execute(`UPDATE ${name} SET _deleted = TRUE, _metadata = ? WHERE id = ?`, [metadata, id])
  }
  if (op === 'PUT') {
    const places = columns.map(() => '?').join()
    return transaction.execute(`INSERT OR REPLACE INTO ${name} (${columns.join()}) VALUES (${places})`, parameters)
  }
  // An update that finds no row would be lost without a sign.
  if (!await transaction.getOptional(`SELECT id FROM ${name} WHERE id = ?`, [id])) {
    throw cannot('its row is not on the device: resend an older rejection of the row first, or discard it')
  }
  const changes = columns.map(column => `${column} = ?`).join()
  if (changes) await transaction.execute(`UPDATE ${name} SET ${changes} WHERE id = ?`, [...parameters, id])
}

const cannot = (reason: string) =>
  new ConnectorError('PSM_RESEND', `The rejected change cannot be sent again: ${reason}`)

function toSQLite (value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value)
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}
