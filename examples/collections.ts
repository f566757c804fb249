/**
 * The tables of the todo app: what server.ts writes, and what the command line reads:
 *
 *     npx powersync-mongo client-schema --config examples/collections.ts
 *     npx powersync-mongo streams --config examples/collections.ts \
 *       --everybody lists,todos,notes,contacts,products,documents,invoices
 */
import { bson, collection, PowerSyncFatalError, Type } from 'fastify-powersync-mongo'
import { additive, fieldLevel, keepServer, lastWriteWins, versioned } from 'fastify-powersync-mongo/conflicts'

export const collections = {
  // A PowerSync client leaves out the columns that are null: all but a few are optional.
  lists: collection({
    schema: Type.Object({
      name: Type.String({ maxLength: 200 }),
      owner_id: Type.Optional(Type.String()),
      created_at: Type.Optional(bson.Date())
    })
  }),
  todos: collection({
    schema: Type.Object({
      list_id: Type.String(),
      description: Type.String({ maxLength: 2000 }),
      completed: Type.Optional(bson.Boolean()),
      created_at: Type.Optional(bson.Date()),
      created_by: Type.Optional(Type.String()),
      completed_at: Type.Optional(bson.Date()),
      completed_by: Type.Optional(Type.String())
    }),
    authorize: ({ data }, { user }) => {
      if (data?.description?.trim() === '') throw new PowerSyncFatalError('NOTHING_TO_DO', 'A todo needs a description')
      return !data?.created_by || data.created_by === user.id || 'A todo is created in the name of its author'
    }
  }),

  // One table for each way to resolve a conflict: the page plays them.
  notes: collection({
    schema: Type.Object({ text: Type.String(), modified_at: bson.Date() }),
    resolveConflict: lastWriteWins({ field: 'modified_at' })
  }),
  contacts: collection({
    schema: Type.Object({
      name: Type.String(),
      phone: Type.String(),
      modified: Type.Optional(bson.Json(Type.Record(Type.String(), bson.Date())))
    }),
    writable: ['name', 'phone'],
    resolveConflict: fieldLevel({ metadata: 'modified' })
  }),
  products: collection({
    schema: Type.Object({ name: Type.String(), stock: bson.Int32({ minimum: 0 }) }),
    resolveConflict: additive(['stock'])
  }),
  documents: collection({
    schema: Type.Object({ text: Type.String(), version: bson.Int32() }),
    resolveConflict: versioned({ field: 'version' })
  }),
  invoices: collection({
    schema: Type.Object({ total: bson.Int32() }),
    resolveConflict: keepServer
  })
}
