/** The collections of the host that is attacked: one for each kind of rule that an app can have. */
import { Type } from '@sinclair/typebox'
import { bson, collection, throughParent, type Collections, type TransformHook, type User } from '../../index.js'

/** The host's own way to know its users. */
export const sessions = new Map<string, User>([
  ['session-of-alice', { id: 'alice' }],
  ['session-of-mallory', { id: 'mallory' }]
])

/** Collection with the notes of dead letters. */
export const mirror = 'rejections'

const Owner = { owner_id: Type.String() }

/** Writes a list in place of the draft, under the id that the client asks for. */
const publish: TransformHook<any> = operation => {
  const id = operation.data?.publish_as
  return typeof id === 'string' ? { op: 'PUT', table: 'lists', id, data: { name: 'published' } } : operation
}

export const collections: Collections = {
  lists: collection({
    schema: Type.Object({
      ...Owner,
      name: Type.String({ maxLength: 200 }),
      note: Type.Optional(Type.String()),
      done: Type.Optional(bson.Boolean()),
      due: Type.Optional(bson.Date()),
      settings: Type.Optional(
        bson.Json(
          Type.Object({
            theme: Type.String(),
            level: Type.Optional(Type.Integer()),
            tags: Type.Optional(Type.Array(Type.String()))
          })
        )
      ),
      extra: Type.Optional(bson.Json(Type.Unknown())),
      labels: Type.Optional(bson.Json(Type.Record(Type.String(), Type.Integer()))),
      created_at: Type.Optional(bson.Date()),
      verified: Type.Optional(bson.Boolean())
    }),
    owner: 'owner_id',
    writable: ['name', 'note', 'done', 'due', 'settings', 'extra', 'labels']
  }),
  todos: collection({
    schema: Type.Object({ list_id: Type.String(), text: Type.String() }),
    owner: throughParent('lists', 'list_id')
  }),
  notes: collection({
    id: { type: 'uuid', store: 'bson' },
    schema: Type.Object({ owner: Type.String(), text: Type.String(), revoked_at: Type.Optional(bson.Date()) }),
    fields: { ownerId: 'owner' },
    owner: 'owner',
    writable: ['text']
  }),
  photos: collection({
    id: 'objectId',
    put: 'replace',
    schema: Type.Object({ ...Owner, title: Type.String(), data: Type.Optional(bson.Binary({ maxByteLength: 1024 })) }),
    owner: 'owner_id'
  }),
  counters: collection({
    id: 'integer',
    nulls: 'unset',
    schema: Type.Object({
      ...Owner,
      int: Type.Optional(bson.Int32()),
      long: Type.Optional(bson.Long()),
      double: Type.Optional(bson.Double()),
      decimal: Type.Optional(bson.Decimal128()),
      number: Type.Optional(Type.Number()),
      positive: Type.Optional(Type.Integer({ minimum: 0 }))
    }),
    owner: 'owner_id'
  }),
  documents: collection({ schema: 'any', owner: 'owner_id' }),
  contacts: collection({
    schema: Type.Object({
      ...Owner,
      email: Type.Optional(Type.String({ format: 'email' })),
      link: Type.Optional(Type.String({ format: 'uri' })),
      at: Type.Optional(Type.String({ format: 'date-time' })),
      ref: Type.Optional(Type.String({ format: 'uuid' })),
      kind: Type.Optional(Type.Union([Type.Literal('work'), Type.Literal('home')]))
    }),
    owner: 'owner_id'
  }),
  drafts: collection({
    schema: Type.Object({ ...Owner, text: Type.String(), publish_as: Type.Optional(Type.String()) }),
    owner: 'owner_id',
    transform: publish
  }),
  events: collection({
    schema: Type.Object({ name: Type.String() }),
    authorize: async ({ op }, { existing }) => op === 'PUT' && await existing() === null
  }),
  people: collection({ name: 'accounts', schema: Type.Object({ ...Owner, name: Type.String() }), owner: 'owner_id' }),
  articles: collection({
    schema: Type.Object({
      author_id: Type.String(),
      title: Type.String(),
      price: Type.Optional(bson.Int32()),
      published: Type.Optional(bson.Boolean())
    }),
    owner: 'author_id',
    writable: user => user.id === 'editor' ? true : ['title']
  }),
  logs: collection({ schema: Type.Object({ ...Owner, text: Type.String() }), owner: 'owner_id', operations: ['PUT'] }),
  archive: collection({ schema: Type.Object({ text: Type.String() }), operations: [] }),
  gifts: collection({
    schema: Type.Object({ ...Owner, name: Type.String() }),
    owner: 'owner_id',
    authorizeTransfer: ({ data }) => data.owner_id === 'bob'
  }),
  invoices: collection({
    schema: Type.Object({ org_id: Type.String(), total: bson.Int32() }),
    owner: { field: 'org_id', value: user => user['org'] }
  }),
  notices: collection({
    schema: Type.Object({ ...Owner, text: Type.String() }),
    owner: user => user.id === 'admin' ? {} : user['role'] === 'guest' ? null : { owner_id: user.id }
  }),
  flaky: collection({
    schema: Type.Object({ text: Type.String() }),
    authorize: () => {
      throw new Error('the service behind it is down')
    }
  })
}
