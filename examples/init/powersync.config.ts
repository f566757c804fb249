import { bson, collection, Type } from 'fastify-powersync-mongo'

/** What clients may write, with types and owners. The command line reads this file, too. */
export const collections = {
  lists: collection({
    schema: Type.Object({
      name: Type.String(),
      created_at: Type.Optional(bson.Date()),
      owner_id: Type.String()
    }),
    owner: 'owner_id'
  }),
  todos: collection({
    schema: Type.Object({
      list_id: Type.String(),
      description: Type.String(),
      completed: Type.Optional(bson.Boolean()),
      owner_id: Type.String()
    }),
    owner: 'owner_id'
  })
}
