import { Kind, Type, TypeRegistry, type Static, type TSchema } from '@sinclair/typebox'
import { JsonNumber } from '../client/values.js'

/**
 * What clients send to `/upload`: the shapes of PowerSync's demos, SDKs and reference write API.
 * Null means absent (the Dart SDK sends nulls). Fields that are not listed are tolerated and ignored.
 */
const optional = <Schema extends TSchema>(schema: Schema) => Type.Optional(Type.Union([schema, Type.Null()]))

const Columns = Type.Unsafe<Record<string, unknown>>({
  ...Type.Object({}, { description: 'an object of columns' }),
  [Kind]: 'PowerSyncColumns'
})
TypeRegistry.Set(
  'PowerSyncColumns',
  (_, value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)
)

const Text = Type.String({ description: 'text' })
/** What the server keeps or compares beside the rows is short: the longest name of a collection has 255 bytes. */
export const longestName = 1024
const Name = Type.String({ maxLength: longestName, description: 'text of at most 1024 characters' })
const Sequence = Type.Unsafe<number | string | JsonNumber>({
  ...Type.Union([Type.Integer(), Name], { description: 'an integer or text of at most 1024 characters' }),
  [Kind]: 'PowerSyncSequence'
})
TypeRegistry.Set(
  'PowerSyncSequence',
  (_, value) =>
    Number.isInteger(value) || value instanceof JsonNumber || (typeof value === 'string' && value.length <= longestName)
)

/** It is in the server's log: without what starts a new line there, or steers a terminal. */
export const ClientId = Type.String({
  pattern: '^[^\\x00-\\x1f\\x7f-\\x9f]{0,1024}$',
  description: 'the client database\'s id as text of at most 1024 characters, none of them a control character'
})

export const UploadedOperation = Type.Object({
  op: Type.Union([Type.Literal('PUT'), Type.Literal('PATCH'), Type.Literal('DELETE')], {
    description: '"PUT", "PATCH" or "DELETE"'
  }),
  // Empty too: a row can have such an id, and what a row can have is not a mistake of the connector.
  id: Type.String({ description: 'the row\'s id as text' }),
  table: optional(Name),
  type: optional(Name),
  data: optional(Columns),
  opData: optional(Columns),
  op_data: optional(Columns),
  old: optional(Columns),
  previousValues: optional(Columns),
  previous_values: optional(Columns),
  metadata: optional(Text),
  op_id: optional(Sequence),
  clientId: optional(Sequence),
  tx_id: optional(Sequence),
  transactionId: optional(Sequence),
  transaction_id: optional(Sequence)
}, { description: 'an operation' })

const Operations = Type.Array(UploadedOperation, { description: 'an array of operations' })

const UploadedTransaction = Type.Object({
  transaction_id: optional(Sequence),
  crud: Operations
}, { description: 'a transaction' })

export const SchemaVersion = Type.Integer({ minimum: 1, description: 'a whole number from 1' })

export const UploadBody = Type.Object({
  client_id: optional(ClientId),
  schema_version: optional(SchemaVersion),
  batch: optional(Operations),
  operations: optional(Operations),
  transactions: optional(
    Type.Array(UploadedTransaction, { minItems: 1, maxItems: 50, description: '1 to 50 transactions' })
  )
}, { description: 'an object with one of "batch", "operations" and "transactions"' })

export type UploadedOperation = Static<typeof UploadedOperation>
export type UploadBody = Static<typeof UploadBody>

const FailedOperation = Type.Object({
  error_code: Type.String({
    description:
      'INVALID_DATA, SCHEMA_MISMATCH, UNAUTHORIZED, DUPLICATE_KEY, DOCUMENT_VALIDATION_FAILURE, or the app\'s own'
  }),
  message: Type.String(),
  details: Type.Optional(Type.Unknown()),
  operation_index: Type.Optional(
    Type.Integer({ minimum: 0, description: 'position in the client transaction, from 0' })
  )
})

/** One object rather than a union, so that the serialiser needs no test per result. */
const TransactionResult = Type.Object({
  status: Type.Union([
    Type.Literal('success'), Type.Literal('fatal_error'), Type.Literal('retryable_error'), Type.Literal('not_attempted')
  ]),
  requires_client_handling: Type.Optional(Type.Boolean({ description: 'fatal_error' })),
  failed_operation: Type.Optional(FailedOperation),
  error_code: Type.Optional(Type.String({ description: 'retryable_error: UPDATE_NEEDED where the client is too old' })),
  message: Type.Optional(Type.String({ description: 'retryable_error; fatal_error: that of failed_operation' })),
  retry_after_ms: Type.Optional(Type.Integer({ description: 'retryable_error: milliseconds' }))
})

export const UploadAnswer = Type.Object({
  results: Type.Array(TransactionResult, { description: 'one per client transaction, in order' })
})

/** Fastify's own form of an error. */
export const ErrorAnswer = Type.Object({
  statusCode: Type.Integer(),
  code: Type.Optional(Type.String()),
  error: Type.String(),
  message: Type.String()
})

/** 503 is an answer with results, or an error from before there were any. */
export const UnavailableAnswer = Type.Partial(Type.Composite([UploadAnswer, ErrorAnswer]))
