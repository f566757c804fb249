/**
 * The tables of the todo app: what server.ts writes, and what the command line reads:
 *
 *     npx powersync-mongo client-schema --config examples/collections.ts
 *     npx powersync-mongo streams --config examples/collections.ts
 */
import { Type } from '@sinclair/typebox'
import { bson, collection, PowerSyncFatalError } from 'fastify-powersync-mongo'

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
      if (data?.description?.trim() === '') throw new PowerSyncFatalError('NOTHING_TO_DO', 'A todo says what is to be done')
      return !data?.created_by || data.created_by === user.id || 'A todo is created by whoever writes it'
    }
  })
}
