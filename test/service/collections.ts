/**
 * The tables of these tests. Each has an owner and each test has users of its own, so that no test sees the rows of
 * another one. The PowerSync Service gets their streams from streams.yaml:
 *
 *     cd test/service
 *     npx powersync-mongo streams --config collections.ts --rejections rejections > streams.yaml
 */
import { Type } from '@sinclair/typebox'
import {
  bson, collection, PowerSyncFatalError, type Collections
} from '../../index.js'
import { additive, fieldLevel, keepServer, lastWriteWins, versioned } from '../../lib/rules/conflicts/index.js'

/** The fields that rows have. */
const owned = { owner_id: Type.String() }
const named = { ...owned, name: Type.Optional(Type.String()) }

/** Every type that a schema may use, nested. */
const nested = Type.Object({
  date: Type.Optional(bson.Date()),
  boolean: Type.Optional(bson.Boolean()),
  object_id: Type.Optional(bson.ObjectId()),
  uuid: Type.Optional(bson.UUID()),
  int32: Type.Optional(bson.Int32()),
  long: Type.Optional(bson.Long()),
  double: Type.Optional(bson.Double()),
  decimal: Type.Optional(bson.Decimal128()),
  text: Type.Optional(Type.String()),
  number: Type.Optional(Type.Number()),
  inner: Type.Optional(Type.Object({ list: Type.Array(bson.Long()) })),
  any: Type.Optional(Type.Any())
})

enum Priority { Low = 'low', High = 'high' }

const simple = Type.Object(named)

export const collections: Collections = {
  /** Every type that a schema may use. A row holds a value in one of them. */
  samples: collection({
    schema: Type.Object({
      ...owned,
      date: Type.Optional(bson.Date()),
      boolean: Type.Optional(bson.Boolean()),
      plain_boolean: Type.Optional(Type.Boolean()),
      object_id: Type.Optional(bson.ObjectId()),
      uuid: Type.Optional(bson.UUID()),
      int32: Type.Optional(bson.Int32()),
      long: Type.Optional(bson.Long()),
      /** The client has it as text: a JavaScript client loses the digits of a larger number than 2⁵³. */
      long_as_text: Type.Optional(bson.Long()),
      double: Type.Optional(bson.Double()),
      decimal: Type.Optional(bson.Decimal128()),
      binary: Type.Optional(bson.Binary()),
      text: Type.Optional(Type.String()),
      number: Type.Optional(Type.Number()),
      integer: Type.Optional(Type.Integer()),
      literal: Type.Optional(Type.Literal('open')),
      literals: Type.Optional(Type.Union([Type.Literal(1), Type.Literal('two'), Type.Literal(true)])),
      enumeration: Type.Optional(Type.Enum(Priority)),
      union: Type.Optional(Type.Union([bson.Date(), bson.Int32(), Type.String()])),
      nullable: Type.Optional(Type.Union([bson.Int32(), Type.Null()])),
      json: Type.Optional(bson.Json(nested)),
      object: Type.Optional(nested),
      array: Type.Optional(Type.Array(bson.Date())),
      record: Type.Optional(Type.Record(Type.String(), bson.Decimal128())),
      any: Type.Optional(Type.Any()),
      unknown: Type.Optional(Type.Unknown()),
      renamed_field: Type.Optional(bson.Date())
    }),
    fields: { renamedColumn: 'renamed_field' },
    owner: 'owner_id'
  }),
  anything: collection({ schema: 'any', owner: 'owner_id' }),

  string_ids: collection({ schema: simple, owner: 'owner_id' }),
  uuid_ids: collection({ schema: simple, owner: 'owner_id', id: 'uuid' }),
  bson_uuid_ids: collection({ schema: simple, owner: 'owner_id', id: { type: 'uuid', store: 'bson' } }),
  object_ids: collection({ schema: simple, owner: 'owner_id', id: 'objectId' }),
  integer_ids: collection({ schema: simple, owner: 'owner_id', id: 'integer' }),

  accounts: collection({ schema: simple, owner: 'owner_id' }),
  transfers: collection({ schema: simple, owner: 'owner_id', id: 'uuid' }),
  entries: collection({ name: 'journal_entries', schema: simple, owner: 'owner_id', id: 'objectId' }),

  /** Rejects in every way in which this package does. */
  ruled: collection({
    schema: Type.Object({
      ...owned,
      name: Type.Optional(Type.String({ maxLength: 20 })),
      /** Unique, and at most 99 by MongoDB's own rules. */
      number: Type.Optional(bson.Int32({ minimum: 0 })),
      server: Type.Optional(Type.String())
    }),
    owner: 'owner_id',
    writable: ['name', 'number'],
    authorize: ({ op, data, id }) => {
      const deleted = op === 'DELETE' ? id : ''
      if (data?.name === 'full' || deleted.endsWith('kept')) throw new PowerSyncFatalError('FULL', 'There is no room')
      return (data?.name !== 'forbidden' && !deleted.endsWith('locked')) || 'This is not for you'
    }
  }),
  log: collection({ schema: simple, owner: 'owner_id', operations: ['PUT'] }),

  by_default: collection({ schema: Type.Object({ ...named, note: Type.Optional(Type.String()) }), owner: 'owner_id' }),
  sums: collection({
    schema: Type.Object({
      ...owned,
      int32: bson.Int32({ minimum: 0 }),
      long: bson.Long(),
      double: bson.Double(),
      decimal: bson.Decimal128()
    }),
    owner: 'owner_id',
    resolveConflict: additive(['int32', 'long', 'double', 'decimal'])
  }),
  versions: collection({
    schema: Type.Object({ ...named, version: bson.Int32() }),
    owner: 'owner_id',
    resolveConflict: versioned({ field: 'version' })
  }),
  kept_versions: collection({
    schema: Type.Object({ ...named, version: bson.Int32() }),
    owner: 'owner_id',
    resolveConflict: versioned({ field: 'version', onStale: 'keep' })
  }),
  timed_fields: collection({
    schema: Type.Object({
      ...named,
      note: Type.Optional(Type.String()),
      modified: Type.Optional(bson.Json(Type.Record(Type.String(), bson.Date())))
    }),
    owner: 'owner_id',
    writable: ['name', 'note'],
    resolveConflict: fieldLevel({ metadata: 'modified' })
  }),
  timed_rows: collection({
    schema: Type.Object({ ...named, modified_at: bson.Date() }),
    owner: 'owner_id',
    resolveConflict: lastWriteWins({ field: 'modified_at' })
  }),
  created_once: collection({ schema: simple, owner: 'owner_id', resolveConflict: keepServer })
}
