import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler, type ValueError } from '@sinclair/typebox/compiler'
import type { CrudOperation, CrudTransaction } from '../../types/index.js'
import { BodyError } from '../errors.js'
import { typeWords } from '../type-words.js'
import type { JsonNumber } from '../client/values.js'
import { ClientId, longestName, SchemaVersion, UploadBody, type UploadedOperation } from './schemas.js'

const containers = ['batch', 'operations', 'transactions'] as const

/** The containers that an upload comes in; the answer's status depends on it. */
export type Container = typeof containers[number]

export interface Upload {
  container: Container
  transactions: CrudTransaction[]
}

const body = TypeCompiler.Compile(UploadBody)
const clientId = TypeCompiler.Compile(ClientId)
const schemaVersion = TypeCompiler.Compile(SchemaVersion)

/**
 * Turns any accepted shape of an upload into client transactions, in the client's order.
 *
 * `batch` and `operations` are one list: neighbours with the same transaction id make one transaction, and so do
 * neighbours without any, since a connector that leaves the id out sends `getNextCrudTransaction()`.
 *
 * @param value the parsed body
 * @param header the `x-client-id` header, used when the body has no `client_id`
 * @param version the `x-schema-version` header, used when the body has no `schema_version`
 * @throws {BodyError} naming the place, what was found and what was expected
 */
export function readUpload (value: unknown, header?: string, version?: string): Upload {
  if (!body.Check(value)) throw new BodyError(describe(body.Errors(value).First()))
  const source = {
    clientId: value.client_id || checkHeader(header) || undefined,
    schemaVersion: value.schema_version ?? readVersion(version)
  }
  const container = containerOf(value)
  if (container === 'transactions') {
    return {
      container,
      transactions: value.transactions!.map(({ crud, transaction_id: id }, position) => ({
        id: text(id ?? (crud[0] && transactionId(crud[0]))),
        ...source,
        operations: crud.map((operation, index) =>
          readOperation(operation, index, `transactions[${position}].crud`, index)
        )
      }))
    }
  }
  return { container, transactions: groupByTransaction(value[container]!, container, source) }
}

/** Of two, one would be dropped in silence. */
function containerOf (body: UploadBody): Container {
  const [container, ...others] = containers.filter(name => body[name])
  if (!container || others.length > 0) {
    const found = container ? [container, ...others].map(name => `"${name}"`).join(' and ') : 'none of them'
    throw new BodyError(`The body: expected ${UploadBody.description}, found ${found}`)
  }
  return container
}

function checkHeader (header: string | undefined): string | undefined {
  if (header !== undefined && !clientId.Check(header)) {
    throw new BodyError(`The header x-client-id: expected ${ClientId.description}, found other text`)
  }
  return header
}

function readVersion (header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const version = /^\d+$/.test(header) ? Number(header) : undefined
  if (!schemaVersion.Check(version)) {
    throw new BodyError(`The header x-schema-version: expected ${SchemaVersion.description}, found other text`)
  }
  return version
}

type Source = Pick<CrudTransaction, 'clientId' | 'schemaVersion'>

function groupByTransaction (operations: UploadedOperation[], container: Container, source: Source): CrudTransaction[] {
  const transactions: CrudTransaction[] = []
  let current: CrudTransaction | undefined
  for (let position = 0; position < operations.length; position++) {
    const uploaded = operations[position] as UploadedOperation
    const id = text(transactionId(uploaded))
    if (!current || current.id !== id) {
      current = { id, ...source, operations: [] }
      transactions.push(current)
    }
    current.operations.push(readOperation(uploaded, current.operations.length, container, position))
  }
  return transactions
}

/** Clients send one and the same thing under several names: the first that is neither absent nor null counts. */
function readOperation (
  uploaded: UploadedOperation, index: number, container: string, position: number
): CrudOperation {
  const table = uploaded.table ?? uploaded.type
  if (table === undefined || table === null) {
    throw new BodyError(`${container}[${position}]: expected the table's name in "table" or "type", found neither`)
  }
  const data = uploaded.op === 'DELETE' ? undefined : uploaded.data ?? uploaded.opData ?? uploaded.op_data ?? {}
  const previous = uploaded.old ?? uploaded.previousValues ?? uploaded.previous_values ?? undefined
  if (isDeeper(uploaded, deepest + 1)) {
    throw new BodyError(`${container}[${position}]: expected values of at most ${deepest} levels, found a deeper one`)
  }
  const { op, id, metadata } = uploaded
  const opId = text(uploaded.op_id ?? uploaded.clientId)
  return { op, table, id, data, previous, metadata: metadata ?? undefined, opId, index } as CrudOperation
}

/** Far more levels than are synced, and far fewer than JSON.stringify has stack for. */
const deepest = 100

/** Whether a value has more levels of arrays and objects. */
function isDeeper (value: object, levels: number): boolean {
  if (levels === 0) return true
  for (const name in value) {
    const inner = (value as Record<string, unknown>)[name]
    if (typeof inner === 'object' && inner !== null && isDeeper(inner, levels - 1)) return true
  }
  return false
}

const transactionId = (uploaded: UploadedOperation) =>
  uploaded.tx_id ?? uploaded.transactionId ?? uploaded.transaction_id

const text = (value: number | string | JsonNumber | null | undefined) =>
  value === undefined || value === null ? undefined : String(value)

/** Says where the body is wrong, without a value of it: a body that cannot be read may hold anything. */
function describe (error: ValueError | undefined): string {
  const { path, schema: nullable, value } = innermost(error as ValueError)
  // A union with null is described by its other part.
  const schema: TSchema = nullable.description ? nullable : nullable['anyOf'][0]
  const place = path.slice(1).replace(/\/(\d+)/g, '[$1]').replaceAll('/', '.') || 'The body'
  return `${place}: expected ${schema.description}, found ${finding(schema, value)}`
}

/** How many or how long, where that is wrong and not the type. */
function finding (schema: TSchema, value: unknown): string {
  if (Array.isArray(value) && schema['maxItems'] !== undefined) return `${value.length}`
  if (typeof value === 'string' && value.length > longestName) return `text of ${value.length} characters`
  return typeWords(value)
}

/** A value that may be null and is wrong further in: the error there, not that the whole is neither. */
function innermost (error: ValueError): ValueError {
  const inner = error.errors[0]?.First()
  return inner && inner.path !== error.path ? innermost(inner) : error
}
